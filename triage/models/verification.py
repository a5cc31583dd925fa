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
    legal_hold = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return bytes(self.sha256).hex()


class Verification(models.Model):
    """`outcome`: as the port says; only `fixed` closes. `lease_until`, `attempts`: as an import's."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")

    class Trigger(models.TextChoices):
        PERSON = "person", _("By hand")
        TICKET = "ticket", _("Ticket done")
        SCHEDULE = "schedule", _("Schedule")

    finding = models.ForeignKey(Finding, models.PROTECT, related_name="verifications")
    trigger = models.CharField(max_length=10, choices=Trigger)
    actor = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    verifier = models.CharField(max_length=80, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    summary = models.JSONField(null=True)
    missing = models.CharField(max_length=200, blank=True)
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
