"""A re-run of a check with its verdict, and the bytes that prove it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.finding import Finding


class Evidence(models.Model):
    """Bytes kept by their SHA-256 in CSPM_HOME/evidence. `size`: of the bytes themselves; `encoding`: zstd or '' on disk."""

    sha256 = models.BinaryField(max_length=32, primary_key=True)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    encoding = models.CharField(max_length=10, blank=True)
    kept_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return bytes(self.sha256).hex()


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
    """Evidence that may not be deleted, however old: of one finding, or all there is. It ends when it is released."""

    finding = models.ForeignKey(Finding, models.PROTECT, null=True, related_name="holds")
    reason = models.CharField(max_length=500)
    placed_by = models.CharField(max_length=80)
    placed_at = models.DateTimeField()
    released_by = models.CharField(max_length=80, blank=True)
    released_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"H-{self.pk}"
