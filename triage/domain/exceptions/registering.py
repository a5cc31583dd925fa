"""The register of exceptions: who asked for what, who allowed it, until when, and what it covers. Only reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.errors import NotFound
from triage.domain.queries import Who, who
from triage.models import Event, ExceptionItem, ExceptionState, RiskException

LIVING = (ExceptionState.REQUESTED, ExceptionState.APPROVED)


@dataclass(frozen=True, slots=True)
class Entry:
    """An exception with the people in it. `covered`: findings that it covers now. `asked`: that it was asked for or ever covered."""

    exception: RiskException
    requester: Who
    approver: Who | None
    covered: int
    asked: int


@dataclass(frozen=True, slots=True)
class Story:
    entry: Entry
    items: Sequence[ExceptionItem]
    events: Sequence[tuple[Event, Who]]


def register(*, actor: Actor, on: datetime | None = None, living: bool = False, limit: int = 1000) -> list[Entry]:
    """The newest first. `on`: those in force at that moment; `living`: those that wait or are in force now. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    rows = RiskException.objects.all()
    if living:
        rows = rows.filter(state__in=LIVING)
    if on is not None:
        approved = Q(decided_at__lte=on) & ~Q(state=ExceptionState.REFUSED)
        rows = rows.filter(approved, Q(ended_at=None) | Q(ended_at__gt=on), until__gt=on)
    return _entries(rows.order_by("-pk")[:limit])


def story(number: int, *, actor: Actor) -> Story:
    """One exception with its findings and its trail. Raises NotAllowed, NotFound."""
    actor.demand(Right.VIEW)
    entries = _entries(RiskException.objects.filter(pk=number))
    if not entries:
        raise NotFound(_("There is no exception X-%(number)s."), number=number)
    items = ExceptionItem.objects.filter(exception=number).select_related(
        "finding__check_ref", "finding__asset", "finding__account"
    )
    events = list(Event.objects.filter(subject="exception", subject_id=number).order_by("pk"))
    names = who({event.actor for event in events})
    return Story(
        entries[0], list(items.order_by("ended_at", "-severity", "pk")[:200]), [(event, names[event.actor]) for event in events]
    )


def of_finding(finding: int) -> list[RiskException]:
    """Exceptions that were asked for it, or cover it, the newest first."""
    return list(RiskException.objects.filter(items__finding=finding).distinct().order_by("-pk"))


def of_asset(asset: int) -> list[RiskException]:
    """Exceptions that were asked for the asset or one of its findings, the newest first; at most 20."""
    rows = RiskException.objects.filter(Q(asset=asset) | Q(items__finding__asset=asset)).distinct().order_by("-pk")
    return list(rows[:20])


def _entries(rows: QuerySet[RiskException]) -> list[Entry]:
    live = Count("items", filter=Q(items__covered_at__isnull=False, items__ended_at=None))
    found = list(rows.select_related("finding", "check_ref", "asset").annotate(covered=live, asked=Count("items")))
    names = who({row.requested_by for row in found} | {row.decided_by for row in found if row.decided_by})
    return [
        Entry(row, names[row.requested_by], names[row.decided_by] if row.decided_by else None, row.covered, row.asked)
        for row in found
    ]
