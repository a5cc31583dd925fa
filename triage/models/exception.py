"""What is not to be fixed for now: who asked, who allowed it, why, and until when."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.severity import Severity


class ExceptionKind(models.TextChoices):
    ACCEPTED = "accepted", _("Risk accepted")
    COMPENSATED = "compensated", _("Compensated")
    FALSE_POSITIVE = "false_positive", _("False positive")
    ATTESTED = "attested", _("Attestation")


class ExceptionState(models.TextChoices):
    REQUESTED = "requested", _("Requested")
    APPROVED = "approved", _("In force")
    REFUSED = "refused", _("Refused")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")
    VOIDED = "voided", _("Void: the risk changed")
    FIXED = "fixed", _("Fixed in the meantime")


class RiskException(models.Model):
    """A request, and what became of it. It is about one thing: a finding, a check, an asset, or all that a query finds.

    `ceiling`: the severity up to which it covers; what is more severe, or becomes so, is not covered. `compensation`: what lowers
    the risk meanwhile. `passed`: of an attestation, what was attested. `until`: it ends then, whatever happens. `requested_user`,
    `decided_user`: the people behind tokens and pages, as nobody may approve what he asked for.
    """

    class Scope(models.TextChoices):
        FINDING = "finding", _("Finding")
        CHECK = "check", _("Check")
        ASSET = "asset", _("Asset")
        QUERY = "query", _("Query")

    kind = models.CharField(max_length=15, choices=ExceptionKind)
    scope = models.CharField(max_length=10, choices=Scope)
    finding = models.ForeignKey("triage.Finding", models.PROTECT, null=True, related_name="exceptions")
    check_ref = models.ForeignKey("triage.Check", models.PROTECT, null=True, related_name="exceptions", db_column="check_id")
    asset = models.ForeignKey("triage.Asset", models.PROTECT, null=True, related_name="exceptions")
    query = models.CharField(max_length=2000, blank=True)
    state = models.CharField(max_length=10, choices=ExceptionState, default=ExceptionState.REQUESTED)
    ceiling = models.SmallIntegerField(choices=Severity)
    reason = models.TextField()
    compensation = models.TextField(blank=True)
    passed = models.BooleanField(null=True)
    evidence = models.ForeignKey("triage.Evidence", models.PROTECT, null=True, related_name="+")
    until = models.DateTimeField()
    requested_at = models.DateTimeField()
    requested_by = models.CharField(max_length=80)
    requested_user = models.BigIntegerField(null=True)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=80, blank=True)
    decided_user = models.BigIntegerField(null=True)
    decision = models.CharField(max_length=500, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=80, blank=True)
    end_reason = models.CharField(max_length=500, blank=True)
    told = models.SmallIntegerField(null=True)  # days before the end, of the last notice

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(scope="finding", finding__isnull=False, check_ref=None, asset=None, query="")
                | models.Q(scope="check", finding=None, check_ref__isnull=False, asset=None, query="")
                | models.Q(scope="asset", finding=None, check_ref=None, asset__isnull=False, query="")
                | (models.Q(scope="query", finding=None, check_ref=None, asset=None) & ~models.Q(query="")),
                name="an_exception_is_about_one_thing",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=ExceptionState.APPROVED) | ~models.Q(decided_by=models.F("requested_by")),
                name="nobody_approves_what_he_asked_for",
            ),
        )
        indexes = (models.Index(fields=["state", "until"], name="exception_state"),)

    def __str__(self) -> str:
        return f"X-{self.pk}"


class ExceptionItem(models.Model):
    """A finding that an exception was asked for or covers, and the risk as it was then: what is approved is this, and no more.

    Void when it becomes more severe or exposed, moves to another environment, or its check is called otherwise, that is tests
    something else. `risk`: BLAKE2b-128 over these four. `pause`: of the clock, while it is covered. `ended`: why it is covered no
    longer, an ExceptionState.
    """

    exception = models.ForeignKey(RiskException, models.PROTECT, related_name="items")
    finding = models.ForeignKey("triage.Finding", models.PROTECT, db_constraint=False, related_name="exception_items")
    severity = models.SmallIntegerField(choices=Severity)
    environment = models.CharField(max_length=10, blank=True)
    exposed = models.BooleanField()
    check_title = models.TextField(blank=True)
    risk = models.BinaryField(max_length=16)
    covered_at = models.DateTimeField(null=True)
    pause = models.ForeignKey("triage.ClockEntry", models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    ended = models.CharField(max_length=10, choices=ExceptionState, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["finding"],
                condition=models.Q(covered_at__isnull=False, ended_at=None),
                name="one_exception_covers_a_finding",
            ),
        )
        indexes = (models.Index(fields=["exception", "finding"], name="exception_item_finding"),)
