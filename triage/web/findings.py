"""The triage queue, one finding, and what a person does to it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import lifecycle, queries, search, tickets, verification
from triage.domain.access import Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.ownership import assigning
from triage.domain.ownership import unowned as orphanage
from triage.models import Finding, Status, Team, Verification
from triage.web.filters import address, switched
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs

# What the buttons say, in the order in which they are offered.
ACTIONS = (
    (Status.OPEN, Status.IN_PROGRESS, "play", True),
    (Status.OPEN, Status.FIX_CLAIMED, "wrench", False),
    (Status.IN_PROGRESS, Status.FIX_CLAIMED, "wrench", True),
    (Status.IN_PROGRESS, Status.OPEN, "undo-2", False),
    (Status.FIX_CLAIMED, Status.OPEN, "undo-2", False),
)


@require_safe
@needs(Right.VIEW)
def queue(request: PageRequest) -> HttpResponse:
    at = now()
    rows = Finding.objects.filter(is_open=True).select_related(*queries.ROW).order_by("-score", "id")[:50]
    return render(request, "triage/findings/list.html", {
        "heading": gettext("Triage queue"), "here": reverse("queue"), "q": "", "page": {"rows": rows}, "count": Finding.objects.count(), "at": at,
        "orders": [{"label": "Risk", "href": "?", "current": True}, {"label": "Due date", "href": "?", "current": False}],
    })


@require_safe
@needs(Right.VIEW)
def unowned(request: PageRequest) -> HttpResponse:
    """By account, the worst first, with what would give them an owner."""
    groups = [(group, _open_of(account=group.account.uid, team="none")) for group in orphanage.unowned(actor=request.actor)]
    return render(request, "triage/findings/unowned.html", {"groups": groups})


@require_safe
@needs(Right.VIEW)
def finding(request: PageRequest, number: int) -> HttpResponse:
    found = queries.finding(number)
    if found.pk != number:
        return redirect("finding", found.pk)
    if request.htmx and request.htmx.target == "preview":
        return render(request, "triage/findings/_preview.html", _shown(request, found, next_page=request.headers.get("X-Preview", "")))
    return _page(request, found)


@require_POST
@needs(Right.VIEW)
def finding_status(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `to`, `version`."""
    return _done(request, number, lambda: lifecycle.move(
        finding=number, to=request.POST.get("to", ""), actor=request.actor, at=now(), version=_version(request),
    ))


@require_POST
@needs(Right.VIEW)
def finding_owner(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `team` (a slug, or `-` for nobody) and `reason`, or `release`; and `version`."""
    said = {"finding": number, "actor": request.actor, "at": now(), "reason": request.POST.get("reason", "")}

    def act() -> object:
        if "release" in request.POST:
            return assigning.release(**said, version=_version(request))
        slug = request.POST.get("team", "")
        return assigning.assign(**said, team=None if slug == "-" else assigning.team_named(slug), version=_version(request))

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_verify(request: PageRequest, number: int) -> HttpResponse:
    return _done(request, number, lambda: verification.request(
        finding=number, trigger=Verification.Trigger.PERSON, actor=request.actor, at=now(),
    ))


@require_POST
@needs(Right.VIEW)
def finding_ticket(request: PageRequest, number: int) -> HttpResponse:
    return _done(request, number, lambda: tickets.open_tickets(
        findings=[number], actor=request.actor, at=now(), language=request.LANGUAGE_CODE,
    ))


def _done(request: PageRequest, number: int, act: Callable[[], object]) -> HttpResponse:
    try:
        act()
    except TriageError as error:
        return _page(request, queries.finding(number), error=error)
    return redirect(back_to(request, reverse("finding", args=[number])))


def _page(request: PageRequest, found: Finding, *, error: TriageError | None = None) -> HttpResponse:
    code = status_code(error) if error else 200
    shown = _shown(request, found, next_page="")
    shown |= {
        "error": error.text if error else None, "code": code, "story": queries.story(found), "queue": reverse("queue"),
        "controls": found.check_ref.controls.order_by("framework", "reference"),
        "address": request.build_absolute_uri(reverse("finding", args=[found.pk])),
    }
    return render(request, "triage/findings/detail.html", shown, status=code)


def _shown(request: PageRequest, found: Finding, *, next_page: str) -> dict[str, Any]:
    may = lifecycle.BY_PEOPLE.get(found.status, {})
    words = {
        Status.IN_PROGRESS: gettext("Start work"), Status.FIX_CLAIMED: gettext("It is fixed"), Status.OPEN: gettext("Back to open"),
    }
    return {
        "finding": found, "at": now(), "next": next_page, "place": getattr(found, "place", None),
        "actions": [
            {"to": to, "icon": icon, "label": words[to], "main": main}
            for before, to, icon, main in ACTIONS
            if before == found.status and to in may and request.actor.may(may[to], team=found.team_id)
        ],
        "teams": Team.objects.filter(archived_at=None),
        "can_verify": verification.fitting(found.check_ref.scanner, found.check_ref.key) is not None,
        "can_ticket": found.is_open,
    }


def _open_of(**values: str) -> str:
    """The address of the queue with what is to be fixed and has these values."""
    query = search.parse("is:open")
    for field, value in values.items():
        query = switched(query, field, value)
    return address(reverse("queue"), q=query.text())


def _version(request: PageRequest) -> int:
    written = request.POST.get("version", "")
    if not written.isdecimal():
        raise Invalid(_("The form does not say which version of the finding you saw. Reload the page."))
    return int(written)
