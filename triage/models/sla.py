"""Who must have done what by when: policies in immutable versions, their targets, and the ledgers of what became of the clocks."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.calendar import CalendarVersion
from triage.models.severity import Severity


class SlaPolicy(models.Model):
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class SlaVersion(models.Model):
    """A published state of a policy. Never edited: a change is a new version.

    A clock keeps to the version of each policy that applied when it started: the one of the highest number whose `applies_from`
    is null or not later. Null says that the version was applied to clocks that ran already. A version without targets retires
    its policy. `pause_days`: so long a clock may stand paused in all, 0 for never. `ladder`: [[percent of the time, [who, …]], …].
    """

    policy = models.ForeignKey(SlaPolicy, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    published_at = models.DateTimeField()
    applies_from = models.DateTimeField(null=True)
    actor = models.CharField(max_length=80)
    reason = models.CharField(max_length=500, blank=True)
    pause_days = models.PositiveSmallIntegerField(default=30)
    ladder = models.JSONField(default=list)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["policy", "number"], name="one_sla_version_per_number"),)

    def __str__(self) -> str:
        return f"{self.policy} v{self.number}"


class ClockKind(models.TextChoices):
    ACKNOWLEDGE = "acknowledge", _("Acknowledge")
    CONTAIN = "contain", _("Contain")
    REMEDIATE = "remediate", _("Remediate")
    VERIFY = "verify", _("Verify")


class SlaUnit(models.TextChoices):
    """The three ways to measure time. They are never mixed: only the dates that follow are compared."""

    HOURS = "hours", _("elapsed hours")
    BUSINESS_HOURS = "business_hours", _("business hours")
    DAYS = "days", _("calendar days")


class SlaTarget(models.Model):
    """How long a clock may run. '' and null mean any; of all targets that fit, the one that ends first wins.

    `amount`: hours, or local days of the calendar's time zone, of which the last counts to its end.
    """

    version = models.ForeignKey(SlaVersion, models.CASCADE, related_name="targets")
    clock = models.CharField(max_length=12, choices=ClockKind, default=ClockKind.REMEDIATE)
    severity = models.SmallIntegerField(choices=Severity, null=True)
    environment = models.CharField(max_length=10, blank=True)
    criticality = models.SmallIntegerField(null=True)
    exposure = models.SmallIntegerField(null=True)
    framework = models.CharField(max_length=120, blank=True)
    unit = models.CharField(max_length=20, choices=SlaUnit, default=SlaUnit.HOURS)
    amount = models.PositiveIntegerField()
    calendar = models.ForeignKey(CalendarVersion, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="sla_target_positive"),
            models.CheckConstraint(
                condition=models.Q(unit=SlaUnit.HOURS, calendar=None)
                | (~models.Q(unit=SlaUnit.HOURS) & ~models.Q(calendar=None)),
                name="sla_target_measured",
            ),
        )


class ClockEntry(models.Model):
    """A change of a clock to remediate: written on pause, resume, stop, recomputation and breach. The running one is on the finding.

    `started_at`: which of the finding's clocks it is, as a regression starts another. `until`: of a pause, when it ends at the
    latest. `pause`: of a resumption, what it ends. `version`: what gave `due_before`; `version_after`: what
    gave `due_after`. A stop keeps by what the clock was measured: its dates, severity and team.
    """

    class Kind(models.TextChoices):
        PAUSE = "pause", _("Paused")
        RESUME = "resume", _("Resumed")
        STOP = "stop", _("Stopped")
        RECOMPUTE = "recompute", _("Recomputed")
        BREACH = "breach", _("Out of time")

    finding = models.ForeignKey(
        "triage.Finding", models.PROTECT, db_constraint=False, db_index=False, related_name="clock_entries"
    )
    started_at = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    until = models.DateTimeField(null=True)
    pause = models.OneToOneField("self", models.PROTECT, null=True, related_name="resumption")
    due_before = models.DateTimeField(null=True)
    due_after = models.DateTimeField(null=True)
    due_original = models.DateTimeField(null=True)
    severity = models.SmallIntegerField(choices=Severity, null=True)
    team = models.BigIntegerField(null=True)
    version = models.ForeignKey(SlaVersion, models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+")
    version_after = models.ForeignKey(
        SlaVersion, models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=80)

    class Meta:
        indexes = (
            models.Index(fields=["finding", "started_at", "at"], name="clock_entry_finding"),
            models.Index(fields=["due_before"], condition=models.Q(kind="stop"), name="clock_entry_stopped"),
        )


class SlaNotice(models.Model):
    """A rung of a policy's ladder that a clock reached, told once. `due_at`: as it was then; `tell`: owner, lead, security."""

    finding = models.ForeignKey("triage.Finding", models.PROTECT, db_constraint=False, db_index=False, related_name="notices")
    clock = models.CharField(max_length=12, choices=ClockKind)
    started_at = models.DateTimeField()
    version = models.ForeignKey(SlaVersion, models.PROTECT, related_name="+")
    percent = models.PositiveSmallIntegerField()
    tell = models.JSONField()
    due_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["finding", "clock", "started_at", "version", "percent"], name="one_notice_per_rung"),
        )
        indexes = (models.Index(fields=["-at"], name="notice_newest"),)


class Containment(models.Model):
    """What was done at once against an exposure that a fix will end, and whether it had been used."""

    class Exploited(models.TextChoices):
        YES = "yes", _("Yes")
        NO = "no", _("No")
        UNKNOWN = "unknown", _("Not known")

    finding = models.ForeignKey("triage.Finding", models.PROTECT, db_constraint=False, related_name="containments")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    done = models.TextField()
    exploited = models.CharField(max_length=10, choices=Exploited, default=Exploited.UNKNOWN)
    evidence = models.ForeignKey("triage.Evidence", models.PROTECT, null=True, related_name="+")
