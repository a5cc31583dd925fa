"""Who must have done what by when: policies in immutable versions, their targets, and the ledger of a clock's changes."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.severity import Severity


class SlaPolicy(models.Model):
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class SlaVersion(models.Model):
    """A published state of a policy. Never edited: a change is a new version."""

    policy = models.ForeignKey(SlaPolicy, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    published_at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    reason = models.CharField(max_length=500, blank=True)
    in_force = models.BooleanField(default=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["policy", "number"], name="one_sla_version_per_number"),
            models.UniqueConstraint(fields=["policy"], condition=models.Q(in_force=True), name="one_sla_version_in_force"),
        )

    def __str__(self) -> str:
        return f"{self.policy} v{self.number}"


class ClockKind(models.TextChoices):
    ACKNOWLEDGE = "acknowledge", _("Acknowledge")
    CONTAIN = "contain", _("Contain")
    REMEDIATE = "remediate", _("Remediate")
    VERIFY = "verify", _("Verify")


class SlaTarget(models.Model):
    """How long a clock may run. '' and null mean any; of all targets that fit the strictest wins."""

    class Unit(models.TextChoices):
        ELAPSED_HOURS = "elapsed_hours", _("elapsed hours")
        BUSINESS_SECONDS = "business_seconds", _("business seconds")
        CALENDAR_DAYS = "calendar_days", _("calendar days")

    version = models.ForeignKey(SlaVersion, models.CASCADE, related_name="targets")
    clock = models.CharField(max_length=12, choices=ClockKind, default=ClockKind.REMEDIATE)
    severity = models.SmallIntegerField(choices=Severity, null=True)
    environment = models.CharField(max_length=10, blank=True)
    criticality = models.SmallIntegerField(null=True)
    exposure = models.SmallIntegerField(null=True)
    framework = models.CharField(max_length=120, blank=True)
    unit = models.CharField(max_length=20, choices=Unit, default=Unit.ELAPSED_HOURS)
    amount = models.PositiveIntegerField()

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(amount__gt=0), name="sla_target_positive"),)


class ClockEntry(models.Model):
    """A change of a running clock: written on pause, resume, stop and recomputation. The running clock is on the finding."""

    class Kind(models.TextChoices):
        PAUSE = "pause", _("Paused")
        RESUME = "resume", _("Resumed")
        STOP = "stop", _("Stopped")
        RECOMPUTE = "recompute", _("Recomputed")

    finding = models.ForeignKey("triage.Finding", models.PROTECT, related_name="clock_entries")
    clock = models.CharField(max_length=12, choices=ClockKind)
    run = models.PositiveSmallIntegerField(default=1)  # a regression starts the next run
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    due_before = models.DateTimeField(null=True)
    due_after = models.DateTimeField(null=True)
    version = models.ForeignKey(SlaVersion, models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=80)

    class Meta:
        indexes = (models.Index(fields=["finding", "at"], name="clock_entry_finding"),)
