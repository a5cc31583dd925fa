"""A bundle that somebody ordered on a page, and what became of it."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _


class Bundle(models.Model):
    """`since`, `to`: of the period, the second one excluded. `sample`: 0 for all. `sha256`: of the ZIP in CSPM_HOME/bundles.

    `absent`: SHA-256 of evidence that is not in it, and why. `problem`: a Text of why there is none. `lease_until`, `attempts`: as
    an import's.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Being made")
        DONE = "done", _("Ready")
        FAILED = "failed", _("Refused")

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    since = models.DateTimeField()
    to = models.DateTimeField()
    query = models.CharField(max_length=2000, blank=True)
    framework = models.CharField(max_length=120, blank=True)
    sample = models.PositiveIntegerField()
    seed = models.CharField(max_length=100, blank=True)
    head = models.TextField(blank=True)
    language = models.CharField(max_length=10)
    actor = models.CharField(max_length=80)
    door = models.CharField(max_length=10)
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sha256 = models.BinaryField(null=True)
    size = models.BigIntegerField(null=True)
    findings = models.BigIntegerField(null=True)
    sampled = models.BigIntegerField(null=True)
    events = models.BigIntegerField(null=True)
    absent = models.JSONField(default=dict)
    problem = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"B-{self.pk}"

    @property
    def last_moment(self) -> datetime:
        """Of the period."""
        return self.to - timedelta(microseconds=1)
