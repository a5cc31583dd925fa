"""The audit trail: append-only, written by triggers for every change of a finding, and by the domain for what is no column.

The application's database role may read and insert here and nothing else.
"""

from django.db import models
from django.db.models.functions import Now


class Xid8Field(models.BigIntegerField):  # type: ignore[type-arg]
    """PostgreSQL's 64-bit transaction id: what the sealer orders by, as a gap in ids proves nothing."""

    def db_type(self, connection: object) -> str:  # noqa: ARG002 - Django's signature
        return "xid8"


class CurrentTransaction(models.Func):
    function = "pg_current_xact_id"
    output_field = Xid8Field()


class Event(models.Model):
    """One thing that happened to one subject.

    `subject`, `subject_id`: "finding" 12, "rule" 3, "user" 1 … `seq`: contiguous per finding. `before`, `after`: the audited
    columns that changed. `actor`: a typed pseudonym ("user:3", "token:1", "os:0", "worker"). `at`: when it happened, as the
    domain says; `recorded_at`: when it was written. `evidence`: SHA-256 of what proves it.
    """

    subject = models.CharField(max_length=20)
    subject_id = models.BigIntegerField()
    seq = models.IntegerField(null=True)
    kind = models.CharField(max_length=30)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True, db_default="")
    actor = models.CharField(max_length=80)
    door = models.CharField(max_length=10)
    scan = models.BigIntegerField(null=True, db_column="scan_id")
    evidence = models.BinaryField(null=True)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())
    xid = Xid8Field(db_default=CurrentTransaction(), editable=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["subject_id", "seq", "subject"], name="one_event_per_seq"),)
        indexes = (
            # What a scan opened, which is most of a first import, is found by the findings' first scan.
            models.Index(
                fields=["scan", "kind", "id"],
                condition=models.Q(scan__isnull=False) & ~models.Q(kind="opened"),
                name="event_scan",
            ),
            models.Index(fields=["subject", "subject_id", "id"], condition=models.Q(seq__isnull=True), name="event_subject"),
        )

    def __str__(self) -> str:
        return f"{self.subject} {self.subject_id} {self.kind}"
