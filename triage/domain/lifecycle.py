"""The life of a finding: a table of edges, and the verbs that follow it.

Status is what people and evidence decided, presence is what the last scan that covered it saw. Nothing but evidence leads to
*verified*. docs/lifecycle.md is drawn from this table.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_noop as _

from triage.domain import risk, sla
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import NotAllowed
from triage.domain.locking import locked
from triage.domain.sets import chunks
from triage.models import Finding, Grade, Presence, Status

S = Status

# What a person may do with a finding, and with which right.
BY_PEOPLE: dict[str, dict[str, Right]] = {
    S.OPEN: {S.IN_PROGRESS: Right.CLAIM, S.FIX_CLAIMED: Right.CLAIM},
    S.IN_PROGRESS: {S.OPEN: Right.CLAIM, S.FIX_CLAIMED: Right.CLAIM},
    S.FIX_CLAIMED: {S.OPEN: Right.CLAIM, S.IN_PROGRESS: Right.CLAIM},
}

# What an approved exception, its end, or an attestation does.
BY_DECISION: dict[str, frozenset[str]] = {
    S.OPEN: frozenset({S.ACCEPTED, S.FALSE_POSITIVE}),
    S.IN_PROGRESS: frozenset({S.ACCEPTED, S.FALSE_POSITIVE}),
    S.FIX_CLAIMED: frozenset({S.ACCEPTED, S.FALSE_POSITIVE}),
    S.ACCEPTED: frozenset({S.OPEN}),
    S.FALSE_POSITIVE: frozenset({S.OPEN}),
    S.MANUAL: frozenset({S.ATTESTED}),
    S.ATTESTED: frozenset({S.MANUAL}),
}

# What evidence does: a PASS row, a verification run, a code finding's absence; or the check failing again.
BY_EVIDENCE: dict[str, frozenset[str]] = {
    S.OPEN: frozenset({S.VERIFIED}),
    S.IN_PROGRESS: frozenset({S.VERIFIED}),
    S.FIX_CLAIMED: frozenset({S.VERIFIED, S.OPEN}),
    S.ACCEPTED: frozenset({S.VERIFIED}),
    S.FALSE_POSITIVE: frozenset({S.VERIFIED}),
    S.VERIFIED: frozenset({S.OPEN}),
    # A check that asked for a person's look and now judges by itself.
    S.MANUAL: frozenset({S.VERIFIED, S.OPEN}),
    S.ATTESTED: frozenset({S.VERIFIED, S.OPEN}),
}

PRESENCE: dict[str, frozenset[str]] = {
    Presence.REPORTED: frozenset({Presence.UNREPORTED, Presence.GONE}),
    Presence.UNREPORTED: frozenset({Presence.REPORTED, Presence.GONE}),
    Presence.GONE: frozenset({Presence.REPORTED}),
}

CLOSABLE = tuple(before for before, after in BY_EVIDENCE.items() if S.VERIFIED in after)


def move(*, finding: int, to: str, actor: Actor, at: datetime, version: int | None = None, reason: str = "") -> Finding:
    """A person moves a finding along BY_PEOPLE.

    `version`: what the person saw; raises Stale when it is another now, NotAllowed when there is no such edge or right.
    """
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
        current = locked(finding, version=version)
        edge = BY_PEOPLE.get(current.status, {}).get(to)
        if edge is None:
            raise NotAllowed(
                _("A finding that is “%(before)s” cannot become “%(after)s”."), before=current.status, after=to,
            )  # fmt: skip
        actor.demand(edge, team=current.team_id)
        Finding.objects.filter(pk=current.pk).update(
            status=to,
            claimed_at=at if to == S.FIX_CLAIMED else None,
            acknowledged_at=Coalesce("acknowledged_at", at),
            changed_at=at,
        )
        if S.FIX_CLAIMED in (to, current.status):
            sla.recompute([current.pk], at=at)  # the clock to verify starts with a claim
    current.refresh_from_db()
    return current


def settle(findings: Iterable[int], *, at: datetime, grade: str) -> list[int]:
    """Evidence shows that the check passes: *verified*, whatever the status was, and the clock stops. Ids that changed.

    Inside a recording. `grade`: proof (PASS row, verification) or absence (code).
    """
    return _update(
        findings, Q(status__in=CLOSABLE), stops=True, status=S.VERIFIED, grade=grade, presence=Presence.REPORTED, settled_at=at,
        claimed_at=None, verify_due=None, paused_at=None, notice_at=None, changed_at=at,
    )  # fmt: skip


def refute(findings: Iterable[int], *, at: datetime) -> list[int]:
    """The check still fails: a fix claimed before `at` is open again, with its original clock. Inside a recording."""
    return _update(
        findings, Q(status=S.FIX_CLAIMED, claimed_at__lt=at), status=S.OPEN, claimed_at=None, verify_due=None, changed_at=at
    )


def judge(findings: Iterable[int], *, at: datetime) -> list[int]:
    """A check that asked for a person's look fails by itself now: open, with a clock from now. Inside a recording."""
    changed = _update(findings, Q(status__in=(S.MANUAL, S.ATTESTED)), status=S.OPEN, clock_from=at, changed_at=at)
    sla.restart(changed, at=at)
    _rescore(changed, at=at)
    return changed


def decide(findings: Iterable[int], *, to: str, at: datetime) -> list[int]:
    """An exception or an attestation covers them: along BY_DECISION. Inside a recording, which pauses their clocks too."""
    before = [status for status, after in BY_DECISION.items() if to in after]
    return _update(findings, Q(status__in=before), status=to, claimed_at=None, verify_due=None, changed_at=at)


def readmit(findings: Iterable[int], *, at: datetime) -> list[int]:
    """What covered them is over: open again, or to be attested again. Inside a recording, which lets their clocks run on."""
    ids = list(findings)
    back = _update(ids, Q(status__in=(S.ACCEPTED, S.FALSE_POSITIVE)), status=S.OPEN, notice_at=at, changed_at=at)
    _rescore(back, at=at)
    return back + _update(ids, Q(status=S.ATTESTED), status=S.MANUAL, changed_at=at)


def vanish(findings: Iterable[int], *, at: datetime) -> list[int]:
    """A complete scan that covered it did not name it: *unreported*. Not fixed: the clock runs on. Inside a recording."""
    return _update(
        findings, Q(presence=Presence.REPORTED) & ~Q(status=S.VERIFIED), presence=Presence.UNREPORTED, changed_at=at,
    )  # fmt: skip


def lose(findings: Iterable[int], *, at: datetime) -> list[int]:
    """A direct call says that the asset is not there any more: *gone*, and the clock stops. Inside a recording."""
    return _update(
        findings, ~Q(presence=Presence.GONE) & ~Q(status=S.VERIFIED), stops=True, presence=Presence.GONE, settled_at=at,
        paused_at=None, notice_at=None, changed_at=at,
    )  # fmt: skip


def reopen(findings: Iterable[int], *, at: datetime) -> list[int]:
    """The check fails again after it was verified: a regression, open with a new clock. Inside a recording."""
    changed = _update(
        findings, Q(status=S.VERIFIED), status=S.OPEN, presence=Presence.REPORTED, grade=Grade.NONE, settled_at=None, clock_from=at,
        acknowledged_at=None, contained_at=None, regressions=F("regressions") + 1, changed_at=at,
    )  # fmt: skip
    sla.restart(changed, at=at)
    _rescore(changed, at=at)
    return changed


def return_(findings: Iterable[int], *, at: datetime) -> list[int]:
    """It was unreported or gone and is reported again. What was gone gets a new clock. Inside a recording."""
    ids = list(findings)
    again: dict[str, Any] = {
        "presence": Presence.REPORTED, "settled_at": None, "acknowledged_at": None, "contained_at": None, "changed_at": at,
    }  # fmt: skip
    gone = Q(presence=Presence.GONE)
    # What was excepted or claimed before it was gone was so of another life: it begins anew.
    back = _update(ids, gone & Q(status__in=(S.OPEN, S.IN_PROGRESS)), **again, clock_from=at)
    before = (S.FIX_CLAIMED, S.ACCEPTED, S.FALSE_POSITIVE)
    back += _update(ids, gone & Q(status__in=before), **again, status=S.OPEN, clock_from=at, claimed_at=None, verify_due=None)
    unjudged = _update(ids, gone & Q(status__in=(S.MANUAL, S.ATTESTED)), **again, status=S.MANUAL)
    sla.restart(back, at=at)
    _rescore(back, at=at)
    back += unjudged
    return back + _update(ids, Q(presence=Presence.UNREPORTED), presence=Presence.REPORTED, changed_at=at)


def _rescore(findings: Iterable[int], *, at: datetime) -> None:
    """What was not open was not scored meanwhile."""
    for ids in chunks(findings):
        risk.rescore(ids, at=at)


def _update(findings: Iterable[int], condition: Q, *, stops: bool = False, **values: Any) -> list[int]:
    """Lock the rows that still fulfil the condition, in order of id, and update them: two statements a chunk.

    `stops`: their clocks end, which the ledger keeps.
    """
    changed: list[int] = []
    for wanted in chunks(sorted(findings)):
        rows = Finding.objects.filter(condition, pk__in=wanted)
        ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
        if ids:
            if stops:
                sla.stop(ids, at=values["changed_at"])
            Finding.objects.filter(pk__in=ids).update(**values)
            changed += ids
    return changed
