"""A re-run of a check with its verdict, and the bytes that prove it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.finding import Finding


class Evidence(models.Model):
    """Bytes kept by their SHA-256 in CSPM_HOME/evidence. `size`: of the bytes themselves; `encoding`: zstd or '' on disk.

    What the archive has, if there is one: `archive_version`, locked until `archive_until`; `archive_held`: its legal hold is on. Before
    that, `archive_problem` ({message, params}) says why it could not be stored, and `archive_due_at` when to try again, null for at
    once. `on_disk`: false when the local copy was given up; that it is true does not prove that the file is there.
    """

    sha256 = models.BinaryField(max_length=32, primary_key=True)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    encoding = models.CharField(max_length=10, blank=True)
    kept_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)
    on_disk = models.BooleanField(default=True)
    archived_at = models.DateTimeField(null=True)
    archive_version = models.CharField(max_length=1024, blank=True)
    archive_until = models.DateTimeField(null=True)
    archive_held = models.BooleanField(default=False)
    archive_due_at = models.DateTimeField(null=True)
    archive_problem = models.JSONField(default=dict)

    class Meta:
        indexes = (
            models.Index(fields=["kept_at"], condition=models.Q(archived_at=None, deleted_at=None), name="evidence_not_archived"),
            models.Index(
                fields=["archived_at"], condition=models.Q(archived_at__isnull=False, on_disk=True), name="evidence_in_both"
            ),
            models.Index(fields=["archived_at"], condition=models.Q(archive_held=True), name="evidence_held"),
        )

    def __str__(self) -> str:
        return bytes(self.sha256).hex()


class ArchiveStanding(models.Model):
    """How the archive did. One row at most. `stored_at`: when it last took something.

    `problem` ({message, params}): why it takes nothing since `problem_at`, {} while it does; `failures`: so many tries in a row;
    `due_at`: not before.
    """

    stored_at = models.DateTimeField(null=True)
    problem = models.JSONField(default=dict)
    problem_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="one_archive_standing"),)


class Trigger(models.TextChoices):
    """What asked for a verification."""

    PERSON = "person", _("By hand")
    TICKET = "ticket", _("Ticket done")
    CLAIM = "claim", _("Fix claimed")
    REPORT = "report", _("Report says fixed")
    SCHEDULE = "schedule", _("Schedule")


class VerificationRun(models.Model):
    """Verifications that were asked for at once, by `query` or, without one, as a list of findings.

    `total`: those that became verifications. Of what was meant besides: `barred`, whoever asked may not verify them; `unanswered`, no
    verifier answers their check; `joined`, they were on their way already.
    """

    query = models.TextField(blank=True)
    trigger = models.CharField(max_length=10, choices=Trigger)
    actor = models.CharField(max_length=80)
    requested_at = models.DateTimeField()
    total = models.PositiveIntegerField(default=0)
    barred = models.PositiveIntegerField(default=0)
    unanswered = models.PositiveIntegerField(default=0)
    joined = models.PositiveIntegerField(default=0)
    cancelled_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"R-{self.pk}"


class Verification(models.Model):
    """`outcome`: as the port says; only `fixed` closes. `lease_until`, `attempts`: as an import's.

    `missing`, `principal`: the permission that was lacking, and who lacked it.
    """

    Trigger = Trigger

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    finding = models.ForeignKey(Finding, models.PROTECT, related_name="verifications")
    run = models.ForeignKey(VerificationRun, models.PROTECT, null=True, related_name="verifications")
    trigger = models.CharField(max_length=10, choices=Trigger)
    actor = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    verifier = models.CharField(max_length=80, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    summary = models.JSONField(null=True)
    missing = models.CharField(max_length=200, blank=True)
    principal = models.CharField(max_length=300, blank=True)
    evidence = models.ForeignKey(Evidence, models.PROTECT, null=True, related_name="verifications")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["finding"], condition=models.Q(state__in=["queued", "running"]), name="one_verification_at_a_time"
            ),
        )
        indexes = (
            models.Index(
                models.F("run").asc(nulls_first=True), "id",
                condition=models.Q(state__in=["queued", "running"]), name="verification_waiting",
            ),
            models.Index(fields=["outcome", "-id"], name="verification_outcome"),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"V-{self.pk}"


class VerificationPolicy(models.Model):
    """When a verification is asked for by itself. One row at most; without it, what a new one says is so.

    `on_claim`: somebody says that it is fixed. `on_report`: a report says so, of an
    account that verifications know how to reach. `again_days`: after so many days what was verified is
    looked at again, 0 never.
    """

    on_claim = models.BooleanField(default=True)
    on_report = models.BooleanField(default=True)
    again_days = models.PositiveSmallIntegerField(default=30)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="one_verification_policy"),)

    def __str__(self) -> str:
        return "verification"


class Hold(models.Model):
    """Evidence that may not be deleted, however old: of a finding, an account's, what a query finds, or all there is.

    An account's findings are those that it has, whenever they come. What the query found when the hold was placed, or at any
    pruning since, is among its items. It ends when it is released.
    """

    finding = models.ForeignKey(Finding, models.PROTECT, null=True, related_name="holds")
    account = models.ForeignKey("triage.Account", models.PROTECT, null=True, related_name="holds")
    query = models.TextField(blank=True)
    reason = models.CharField(max_length=500)
    placed_by = models.CharField(max_length=80)
    placed_at = models.DateTimeField()
    released_by = models.CharField(max_length=80, blank=True)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(account=None, query="")
                | models.Q(finding=None, query="")
                | models.Q(finding=None, account=None),
                name="a_hold_is_about_one_thing",
            ),
        )

    def __str__(self) -> str:
        return f"H-{self.pk}"

    @property
    def is_of_everything(self) -> bool:
        return self.finding_id is None and self.account_id is None and not self.query


class HoldItem(models.Model):
    """A finding that a hold's query has found."""

    hold = models.ForeignKey(Hold, models.PROTECT, related_name="items")
    finding = models.ForeignKey(Finding, models.PROTECT, db_constraint=False, related_name="hold_items")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["finding", "hold"], name="a_hold_has_a_finding_once"),)
