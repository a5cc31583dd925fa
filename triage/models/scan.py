"""A report taken in: its file, its scope, what it changed, and how far the import is."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.account import Account


class ScanState(models.TextChoices):
    RECEIVED = "received", _("Waiting")
    RUNNING = "running", _("Being imported")
    DONE = "done", _("Imported")
    DUPLICATE = "duplicate", _("Already imported")
    FAILED = "failed", _("Refused")


class Scan(models.Model):
    """`at`: when the scanner looked. `declared`: scope and options as the importer gave them. `counts`: the summary.

    `problem`: a Text ({"message", "params"}) saying why it was refused, or null. `lease_until` and `attempts`: an import whose
    worker died is taken up again, three times at most.
    """

    state = models.CharField(max_length=10, choices=ScanState, default=ScanState.RECEIVED)
    scanner = models.CharField(max_length=80, blank=True)
    format = models.CharField(max_length=80, blank=True)
    version = models.CharField(max_length=80, blank=True)
    file_name = models.CharField(max_length=300, blank=True)
    sha256 = models.BinaryField(max_length=32)
    size = models.BigIntegerField()
    declared = models.JSONField(default=dict)
    at = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    actor = models.CharField(max_length=80)
    door = models.CharField(max_length=10)
    lease_until = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    counts = models.JSONField(default=dict)
    notes = models.JSONField(default=list)  # Texts about the whole report: what it could not prove and why
    problem = models.JSONField(null=True)
    duplicate_of = models.ForeignKey("self", models.PROTECT, null=True, related_name="duplicates")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=ScanState.values), name="scan_state_known"),
            # The same bytes under the same declaration are imported once, whatever races.
            models.UniqueConstraint(
                fields=["sha256", "declared"], condition=models.Q(state=ScanState.DONE), name="one_import_per_file_and_scope"
            ),
        )
        indexes = (
            models.Index(fields=["-id"], name="scan_newest", include=["state"]),
            models.Index(fields=["state"], condition=models.Q(state__in=["received", "running"]), name="scan_waiting"),
        )

    def __str__(self) -> str:
        return f"S-{self.pk}"


class ScanProgress(models.Model):
    """How far an import is. Written by a connection of its own, as the import is one transaction."""

    scan = models.OneToOneField(Scan, models.CASCADE, primary_key=True, db_constraint=False, related_name="progress")
    stage = models.CharField(max_length=20)
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    at = models.DateTimeField()


class ScanWarning(models.Model):
    """A record that was skipped (`lost`) or mended, with where and why. `reason` is a Text."""

    scan = models.ForeignKey(Scan, models.CASCADE, related_name="warnings")
    position = models.CharField(max_length=40)
    line = models.BigIntegerField(default=0)
    field = models.CharField(max_length=100, blank=True)
    reason = models.JSONField()
    lost = models.BooleanField()


class CheckSet(models.Model):
    """The checks that a run executed, stored once."""

    digest = models.BinaryField(max_length=16, unique=True)
    checks = ArrayField(models.BigIntegerField())


class CodeStream(models.Model):
    """What one run of a code scanner is compared with: the last run of the same tool, category, repository and branch."""

    scanner = models.CharField(max_length=80)
    account = models.ForeignKey(Account, models.PROTECT, related_name="streams")
    category = models.CharField(max_length=300, blank=True)
    branch = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["scanner", "account", "category", "branch"], name="one_code_stream"),)


class ScanScope(models.Model):
    """What a scan looked at in one account. Only a `complete` scope says something about what it does not name.

    `check_set` null: all checks of the scanner (code). `regions` empty: regions do not matter (code). `records`: fingerprints of
    what the scan said and the findings they became (`ingest.records`), kept for the newest scan of an account alone.
    """

    scan = models.ForeignKey(Scan, models.PROTECT, related_name="scopes")
    scanner = models.CharField(max_length=80)
    account = models.ForeignKey(Account, models.PROTECT, db_index=False)
    stream = models.ForeignKey(CodeStream, models.PROTECT, null=True)
    check_set = models.ForeignKey(CheckSet, models.PROTECT, null=True)
    regions = ArrayField(models.TextField(), default=list)
    complete = models.BooleanField()
    at = models.DateTimeField()
    records = models.BinaryField(null=True)

    class Meta:
        indexes = (models.Index(fields=["account", "scanner", "-scan"], name="scope_newest"),)
