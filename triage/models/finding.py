"""One check failing on one asset (or at one place in code), from first seen to proven fixed."""

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.account import Account, Environment
from triage.models.asset import Asset
from triage.models.check import Check
from triage.models.severity import Severity


class Status(models.TextChoices):
    """What people and evidence decided."""

    OPEN = "open", _("Open")
    IN_PROGRESS = "in_progress", _("In progress")
    FIX_CLAIMED = "fix_claimed", _("Fix claimed")
    VERIFIED = "verified", _("Verified")
    ACCEPTED = "accepted", _("Risk accepted")
    FALSE_POSITIVE = "false_positive", _("False positive")
    MANUAL = "manual", _("To be attested")
    ATTESTED = "attested", _("Attested")


class Presence(models.TextChoices):
    """What the last scan that covered it saw."""

    REPORTED = "reported", _("Reported")
    UNREPORTED = "unreported", _("No longer reported")
    GONE = "gone", _("Gone")


class Grade(models.TextChoices):
    """How a fix was shown."""

    PROOF = "proof", _("Proof")
    ABSENCE = "absence", _("Absence")
    NONE = "", _("None")


TO_FIX = (Status.OPEN, Status.IN_PROGRESS, Status.FIX_CLAIMED)


class FindingQuerySet(models.QuerySet["Finding"]):
    def to_fix(self) -> "FindingQuerySet":
        """Somebody has to act, and it is still there."""
        return self.filter(is_open=True)


class Finding(models.Model):
    """`identity`: BLAKE2b-128 of the key's parts (check, account, asset, `qualifier`); `key_version`: of the rule that made it.

    `qualifier`: what the key needs beside check and asset: region, name, discriminator, joined by U+001F.
    `is_open`: to be fixed and not gone; kept by the database. `last_seen`: frozen when it leaves *reported*; while it is
    reported, the newest complete scope that covers it saw it too (`seen()` in domain.lifecycle).
    `clock_from`, `due_at`, `due_original`, `paused_at`, `sla`: the clock to remediate, which stands while `paused_at` is set and then
    has no due date. The clocks to acknowledge and to contain start with it, the clock to verify at `claimed_at`. `notice_at`: when
    a clock next has something to say (a warning, a breach, the end of a pause).
    `event_seq` and `version` are kept by triggers: the first counts its audit events, the second its changes (If-Match).
    """

    identity = models.BinaryField(max_length=16, unique=True)
    key_version = models.SmallIntegerField(default=1)
    qualifier = models.TextField(blank=True)
    check_ref = models.ForeignKey(
        Check, models.PROTECT, db_constraint=False, db_index=False, related_name="findings", db_column="check_id"
    )
    asset = models.ForeignKey(Asset, models.PROTECT, db_constraint=False, db_index=False, related_name="findings")
    account = models.ForeignKey(Account, models.PROTECT, db_constraint=False, db_index=False, related_name="findings")
    group = models.ForeignKey(
        "triage.Group", models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="findings"
    )
    region = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=10, choices=Environment, blank=True)
    status = models.CharField(max_length=15, choices=Status, default=Status.OPEN)
    presence = models.CharField(max_length=10, choices=Presence, default=Presence.REPORTED)
    is_open = models.GeneratedField(
        expression=models.Q(status__in=[s.value for s in TO_FIX]) & ~models.Q(presence=Presence.GONE.value),  # type: ignore[arg-type]
        output_field=models.BooleanField(),
        db_persist=True,
    )
    severity = models.SmallIntegerField(choices=Severity)
    scanner_severity = models.SmallIntegerField(choices=Severity)
    score = models.IntegerField(default=0)
    message = models.TextField(blank=True)
    muted = models.BooleanField(default=False)
    review = models.BooleanField(default=False)
    stand_in = models.BooleanField(default=False)
    team = models.ForeignKey(
        "triage.Team", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="findings"
    )
    trail = models.ForeignKey("triage.OwnerTrail", models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    pinned = models.BooleanField(default=False)  # the team was set by hand and stays until released
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, db_index=False, related_name="assigned"
    )
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    clock_from = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    due_original = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    sla = models.ForeignKey("triage.SlaVersion", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+")
    acknowledge_due = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    contain_due = models.DateTimeField(null=True)
    contained_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    verify_due = models.DateTimeField(null=True)
    notice_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)  # verified or gone: the clock stopped here
    grade = models.CharField(max_length=10, choices=Grade, blank=True)
    regressions = models.PositiveSmallIntegerField(default=0)
    first_scan = models.ForeignKey(
        "triage.Scan", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    changed_at = models.DateTimeField()
    event_seq = models.IntegerField(default=1)
    version = models.IntegerField(default=1)

    objects = FindingQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(status__in=Status.values), name="finding_status_known"),
            models.CheckConstraint(condition=models.Q(presence__in=Presence.values), name="finding_presence_known"),
            models.CheckConstraint(condition=models.Q(severity__range=(1, 5)), name="finding_severity_known"),
            models.CheckConstraint(
                condition=~models.Q(status=Status.VERIFIED) | ~models.Q(grade=""), name="nothing_is_verified_without_evidence"
            ),
        )
        indexes = (
            models.Index(fields=["-score", "id"], condition=models.Q(is_open=True), name="finding_queue"),
            models.Index(fields=["-score", "id"], name="finding_all"),
            models.Index(fields=["due_at", "id"], condition=models.Q(is_open=True), name="finding_due"),
            models.Index(fields=["team", "-score", "id"], condition=models.Q(is_open=True), name="finding_team_queue"),
            models.Index(fields=["team", "due_at"], condition=models.Q(is_open=True), name="finding_team_due"),
            models.Index(fields=["account", "-score", "id"], name="finding_account"),
            models.Index(fields=["check_ref", "-score", "id"], name="finding_check"),
            models.Index(fields=["asset"], name="finding_asset"),
            models.Index(fields=["notice_at"], condition=models.Q(notice_at__isnull=False), name="finding_notice"),
            models.Index(fields=["assignee"], condition=models.Q(assignee__isnull=False), name="finding_assignee"),
            models.Index(fields=["claimed_at"], condition=models.Q(status=Status.FIX_CLAIMED), name="finding_claimed"),
            BrinIndex(fields=["first_scan", "first_seen"], pages_per_range=32, name="finding_first"),
            models.Index(fields=["account", "check_ref"], condition=models.Q(stand_in=True), name="finding_stand_in"),
        )

    def __str__(self) -> str:
        return f"F-{self.pk:06d}"


class FindingAlias(models.Model):
    """Another name of a finding: an id of the scanner's that cannot be composed from the key, or an id that a merge retired."""

    name = models.TextField()
    finding = models.ForeignKey(Finding, models.PROTECT, related_name="aliases")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name", "finding"], name="one_alias_per_finding"),)


class CodePlace(models.Model):
    """Where a code finding stands now. A shift of lines changes this row and is no event.

    `text_hash`, `context_hash`: BLAKE2b-128 of the snippet and of it with its surroundings, without white space.
    `ordinal`: which of equal results of the file it is. `others`: further places of the same result.
    """

    finding = models.OneToOneField(Finding, models.PROTECT, primary_key=True, related_name="place")
    stream = models.ForeignKey("triage.CodeStream", models.PROTECT, related_name="places")
    path = models.TextField()
    start_line = models.IntegerField(default=0)
    end_line = models.IntegerField(default=0)
    start_column = models.IntegerField(default=0)
    end_column = models.IntegerField(default=0)
    address = models.TextField(blank=True)
    snippet = models.TextField(blank=True)
    context = models.TextField(blank=True)
    text_hash = models.BinaryField(max_length=16)
    context_hash = models.BinaryField(max_length=16)
    fingerprints = models.JSONField(default=list)
    trusted = models.CharField(max_length=200, blank=True)
    ordinal = models.IntegerField(default=0)
    others = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"{self.path}:{self.start_line}" if self.start_line else self.path


class Group(models.Model):
    """Findings of several scanners that are one weakness of one asset. Each keeps its own life; it is fixed when all are."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="groups")
    weakness = models.CharField(max_length=120)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["asset", "weakness"], name="one_group_per_weakness"),)


class Counter(models.Model):
    """How many findings stand where. Rows only add up (a change appends −1 and +1); the worker folds them."""

    team = models.BigIntegerField(null=True)
    account = models.BigIntegerField()
    severity = models.SmallIntegerField()
    status = models.CharField(max_length=15)
    presence = models.CharField(max_length=10)
    environment = models.CharField(max_length=10)
    n = models.BigIntegerField()


class CheckCounter(models.Model):
    """The same by check: for the queue that is grouped by check."""

    check_ref = models.BigIntegerField(db_column="check_id")
    team = models.BigIntegerField(null=True)
    is_open = models.BooleanField()
    n = models.BigIntegerField()


class DailyCount(models.Model):
    """What happened on a day (UTC), for trends, mean time to remediate and attainment. Rows only add up.

    `seconds`: sum of clock_from to settlement of what was settled; `in_time`: how many of those before they were due.
    """

    class Kind(models.TextChoices):
        OPENED = "opened"
        VERIFIED = "verified"
        GONE = "gone"
        REGRESSED = "regressed"
        ACCEPTED = "accepted"

    day = models.DateField()
    kind = models.CharField(max_length=10, choices=Kind)
    team = models.BigIntegerField(null=True)
    severity = models.SmallIntegerField()
    n = models.BigIntegerField()
    seconds = models.BigIntegerField(default=0)
    in_time = models.BigIntegerField(default=0)

    class Meta:
        indexes = (models.Index(fields=["day", "kind"], name="daily_count_day"),)
