"""The first page: how the estate stands; and, before there is anything, three doors into it."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from triage.domain import overview, tokens
from triage.domain.access import Right
from triage.models import Scan
from triage.web.charts import attainment, burndown
from triage.web.filters import link, load_links
from triage.web.requests import PageRequest, needs, nudge

DAYS = 90  # that a token of the first page lasts
HIDDEN = "steps-hidden"


@require_safe
@needs(Right.VIEW)
def home(request: PageRequest) -> HttpResponse:
    if not Scan.objects.exists():
        return _doors(request)
    at = localtime()
    found = overview.overview(actor=request.actor, at=at)
    steps = overview.first_steps()
    figures = [
        (found.overdue, "alarm-clock", "bad" if found.overdue.n else ""), (found.due, "calendar-clock", ""),
        (found.unowned, "user-round-x", "warn" if found.unowned.n else ""), (found.claimed, "shield-check", ""),
    ]  # fmt: skip
    shown = {
        "at": at, "found": found, "figures": [(figure, icon, tone, link(figure.query)) for figure, icon, tone in figures],
        "burndown": burndown(found.weeks), "kept": attainment(found.kept), "regressed": link("is:open is:regressed"),
        "loads": [(load, load_links(load.team.slug if load.team else "none")) for load in found.loads],
        "steps": None if steps.done or request.COOKIES.get(HIDDEN) else steps,
    }  # fmt: skip
    return render(request, "triage/home/overview.html", shown)


def _doors(request: PageRequest, *, secret: str = "") -> HttpResponse:
    shown = {
        "secret": secret,
        "address": request.build_absolute_uri(reverse("api-imports")),
        "days": DAYS,
        "may_import": request.actor.may(Right.IMPORT),
        "may_administer": request.actor.may(Right.ADMINISTER),
    }
    return render(request, "triage/home/doors.html", shown)


@require_POST
@needs(Right.ADMINISTER)
def home_demo(request: PageRequest) -> HttpResponse:
    """Three weeks of a simulated account, brought by a worker while the person watches the scans come."""
    nudge("demonstrate")
    messages.info(request, gettext("The demo is loading: five reports over three weeks. Reload to see them appear."))
    return redirect("scans")


@require_POST
@needs(Right.ADMINISTER)
def home_token(request: PageRequest) -> HttpResponse:
    """A token for a scanner's reports, shown this once."""
    at = now()
    _token, secret = tokens.issue(
        user=request.user, name=gettext("First scanner"), scopes=("imports:write",), expires_at=at + timedelta(days=DAYS),
        actor=request.actor, at=at,
    )  # fmt: skip
    return _doors(request, secret=secret)


@require_POST
@needs(Right.VIEW)
def home_steps(request: PageRequest) -> HttpResponse:
    """Do not show the first steps any more, in this browser."""
    answer = redirect("home")
    answer.set_cookie(HIDDEN, "1", max_age=365 * 86_400, httponly=True, samesite="Lax", secure=request.is_secure())
    return answer
