"""Verifications that nobody asks for one by one: of what is said to be fixed, and again of what was verified, to catch drift."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q

from triage.domain import access
from triage.domain.audit import Recording
from triage.domain.sets import CHUNK
from triage.domain.verification import rescanning
from triage.domain.verification.requesting import answered_checks, queue, request_all
from triage.models import Event, Finding, Grade, Status, Verification, VerificationPolicy, VerificationRun

Trigger = Verification.Trigger
AGAIN_AT_ONCE = 200  # of what was verified, an hour: accounts are asked a little all the time, and not all at once


def in_force() -> VerificationPolicy:
    """What is so now."""
    return VerificationPolicy.objects.first() or VerificationPolicy(pk=1)


def put(values: Mapping[str, Any], *, log: Recording) -> None:
    """Change these fields. Inside a recording, for who has asked for the right already."""
    policy = in_force()
    before = {name: getattr(policy, name) for name in values}
    for name, value in values.items():
        setattr(policy, name, value)
    policy.save()
    log.tell("verification policy", policy.pk, "changed", before=before, after=values)


def look_at_claims(*, at: datetime) -> int:
    """Ask for verifications of fixes that were claimed, through whichever door, and that nothing was asked for since; how many."""
    if not in_force().on_claim:
        return 0
    asked_since = Verification.objects.filter(finding=OuterRef("pk"), requested_at__gte=OuterRef("claimed_at"))
    claims = Finding.objects.filter(
        ~Exists(asked_since), Q(check_ref__in=answered_checks()) | Q(account__in=rescanning.places()), status=Status.FIX_CLAIMED,
        claimed_at__isnull=False, is_open=True,
    )  # fmt: skip
    found = list(claims.order_by("claimed_at").values_list("pk", flat=True)[:CHUNK])
    return queue(found, trigger=Trigger.CLAIM, actor=access.worker().name, at=at) if found else 0


def look_at_report(scan: int, *, at: datetime) -> VerificationRun | None:
    """Ask for verifications of what this report says is fixed: a scanner that was denied a permission may say so of what is not.

    Of accounts alone that somebody said how to reach, and of checks that are answered in a moment: a report may say it of thousands.
    """
    if not in_force().on_report:
        return None
    events = Event.objects.filter(scan=scan, kind="verified", subject="finding").values("subject_id")
    fixed = Finding.objects.filter(
        pk__in=events, status=Status.VERIFIED, grade=Grade.PROOF, check_ref__in=answered_checks(families_too=False)
    )
    reached = fixed.exclude(account__options={})
    return _run(list(reached.values_list("pk", flat=True)), Trigger.REPORT, at)


def look_for_drift(*, at: datetime) -> VerificationRun | None:
    """Ask again for what was verified and neither proven nor asked for within the policy's days, the oldest first, a few at a time.

    What fails then is a regression. Accounts out of scope are left alone.
    """
    days = in_force().again_days
    if not days:
        return None
    since = at - timedelta(days=days)
    asked = Verification.objects.filter(finding=OuterRef("pk"), requested_at__gte=since)
    old = Finding.objects.filter(
        ~Exists(asked), status=Status.VERIFIED, grade=Grade.PROOF, settled_at__lt=since, account__in_scope=True,
        check_ref__in=answered_checks(),
    )  # fmt: skip
    return _run(list(old.order_by("settled_at", "pk").values_list("pk", flat=True)[:AGAIN_AT_ONCE]), Trigger.SCHEDULE, at)


def _run(findings: list[int], trigger: str, at: datetime) -> VerificationRun | None:
    return request_all(findings=findings, trigger=trigger, actor=access.worker(), at=at) if findings else None
