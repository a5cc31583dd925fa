"""The gallery: each component in all its states, for whoever builds pages. There in development alone (DEBUG)."""

from datetime import date, timedelta
from types import SimpleNamespace

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from triage.domain.access import Right
from triage.domain.errors import NotFound
from triage.domain.overview import Kept, Week
from triage.models import Environment, Presence, Severity, Status
from triage.web.charts import attainment, burndown
from triage.web.requests import PageRequest, needs

TONES = ("critical", "high", "medium", "low", "good", "accent")
GROUNDS = ("canvas", "surface", "sunken", "hover", "chosen", "line", "line-strong")
INKS = ("ink", "ink-2", "ink-3")
SIZES = ("2xl", "xl", "lg", "md", "sm", "xs", "2xs")


@require_safe
@needs(Right.VIEW)
def design(request: PageRequest) -> HttpResponse:
    if not settings.DEBUG:
        raise NotFound("There is no such page.")
    at = now()
    clocks = [
        SimpleNamespace(
            settled_at=None,
            paused_at=None,
            due_at=at + timedelta(days=days),
            clock_from=at - timedelta(days=9),
            is_open=True,
            sla_id=None,
        )
        for days in (-18, 1, 9)
    ]
    clocks.append(SimpleNamespace(settled_at=None, paused_at=at, due_at=None, clock_from=at - timedelta(days=9), is_open=True))
    weeks = [
        Week(date(2026, 9, 7) + timedelta(weeks=number), 30 - number, 12 + 2 * number, 240 - 9 * number) for number in range(12)
    ]
    shown = {
        "tones": TONES, "grounds": GROUNDS, "inks": INKS, "sizes": SIZES, "severities": sorted(Severity, reverse=True),
        "statuses": Status.values,
        "presences": Presence.values, "environments": [value for value in Environment.values if value], "clocks": clocks, "at": at,
        "team": SimpleNamespace(name="Orders", slug="orders", archived_at=None), "burndown": burndown(weeks), "weeks": weeks,
        "kept": attainment([Kept(Severity.CRITICAL, 3, 7), Kept(Severity.HIGH, 18, 2), Kept(Severity.MEDIUM, 40, 0)]),
    }  # fmt: skip
    return render(request, "triage/design.html", shown)
