"""What a source has brought: each of its reports, and what became of it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.connection import Connection
from triage.models.scan import Scan


class SourceLook(models.Model):
    """When a source was looked at last (`at`), and what it was due for then (`slot`)."""

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="look")
    slot = models.DateTimeField()
    at = models.DateTimeField()


class SourceReport(models.Model):
    """`name`, `version`: as the source tells its reports apart. `said`: a Text, the last thing that went wrong.

    `notes`: Texts that came with it. `lease_until`, `attempts`: as an import's.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        FETCHING = "fetching", _("Being fetched")
        TAKEN = "taken", _("Accepted")
        REFUSED = "refused", _("Refused")
        PASSED = "passed", _("Superseded")

    connection = models.ForeignKey(Connection, models.CASCADE, db_index=False, related_name="reports")
    name = models.CharField(max_length=1000)
    version = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    scan = models.ForeignKey(Scan, models.PROTECT, null=True, related_name="brought")
    said = models.JSONField(null=True)
    notes = models.JSONField(default=list)
    found_at = models.DateTimeField()
    due_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["connection", "name", "version"], name="one_report_of_a_source"),)
        indexes = (
            models.Index(fields=["due_at"], condition=models.Q(state__in=["waiting", "fetching"]), name="source_report_waiting"),
            models.Index(fields=["connection", "-id"], name="source_report_newest"),
        )

    def __str__(self) -> str:
        return self.name
