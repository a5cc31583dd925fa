"""The triage queue, one finding, and what a person does to it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import lifecycle, queries, search, tickets, verification
from triage.domain.access import Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.ownership import assigning
from triage.domain.ownership import unowned as orphanage
from triage.domain.search import facets, pages
from triage.models import Finding, Status, Team, Verification
from triage.web import filters
from triage.web.filters import chips
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs, nudge

DEFAULT = "is:open"
SECONDS = 5  # that a search may take
VIEWS = (
    (_("To be fixed"), "is:open"), (_("Mine or my team's"), "is:open is:mine"), (_("Overdue"), "is:open is:overdue"),
    (_("Due soon"), "is:open is:due_soon"), (_("Without an owner"), "is:open is:unowned"),
    (_("Came back"), "is:open is:regressed"), (_("To be verified"), "status:fix_claimed"), (_("Was fixed"), "status:verified"),
)  # fmt: skip
ORDERS = {"": _("Risk"), "due": _("Due date"), "severity": _("Severity"), "newest": _("Newest")}

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
    """The address is the state: `q` the query, `order`, `cursor` the page, `selected` what is shown beside the list."""
    at = localtime()
    text = request.GET.get("q", DEFAULT)
    order = request.GET.get("order", "")
    shown: dict[str, Any] = {
        "at": at, "here": reverse("queue"), "q": text, "default": text == DEFAULT, "order": order,
        "views": [(label, _link(query), query == text) for label, query in VIEWS],
        "orders": [(label, _link(text, order=name), name == order) for name, label in ORDERS.items()],
    }  # fmt: skip
    try:
        query = search.parse(text)
        shown |= _found(request, query, order=order, at=at)
    except search.QueryError as error:
        return render(request, "triage/findings/list.html", shown | _pointed(text, error), status=400)
    if (selected := request.GET.get("selected", "")).isdecimal():
        found = queries.finding(int(selected[:18]))
        shown |= {"selected": found.pk, **_shown(request, found, next_page=request.get_full_path())}
    return render(request, "triage/findings/list.html", shown)


def _found(request: PageRequest, query: search.Query, *, order: str, at: datetime) -> dict[str, Any]:
    """The page of findings and the filters beside it."""
    asked: dict[str, Any] = {"at": at, "user": request.user.pk, "teams": queries.own_teams(request.user)}
    text = query.text()
    with queries.patience(SECONDS):
        page = pages.page(search.findings(query, **asked), order=order or "score", cursor=request.GET.get("cursor"))
        counted = facets.facets(query, **asked)
        nothing_yet = not page.items and not Finding.objects.exists()
    return {
        "page": page,
        "chips": [(chip.label, _link(chip.without, order=order)) for chip in chips(query)],
        "facets": [
            filters.panel(name, counted[name], query, link=lambda other: _link(other.text(), order=order))
            for name in filters.PANELS
        ],
        "previous": page.previous and _link(text, order=order, cursor=page.previous),
        "following": page.next and _link(text, order=order, cursor=page.next),
        "nothing_yet": nothing_yet,
        "unowned": filters.holds(query, "is", "unowned") or filters.holds(query, "team", "none"),
    }  # fmt: skip


def _pointed(text: str, error: search.QueryError) -> dict[str, Any]:
    """Where the query stops making sense, and what would make sense there."""
    start, end = error.position, error.position + error.length
    return {
        "error": error.text,
        "pointed": (text[:start], text[start:end] or " ", text[end:]),
        "suggestions": [(word, _link(text[:start] + word + text[end:])) for word in error.suggestions],
    }


def _link(text: str, **params: str) -> str:
    return filters.address(reverse("queue"), q=text, **params)


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
        return render(
            request, "triage/findings/_preview.html", _shown(request, found, next_page=request.headers.get("X-Preview", ""))
        )
    return _page(request, found)


@require_POST
@needs(Right.VIEW)
def finding_status(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `to`, `version`."""
    return _done(
        request,
        number,
        lambda: lifecycle.move(
            finding=number,
            to=request.POST.get("to", ""),
            actor=request.actor,
            at=now(),
            version=_version(request),
        ),
    )


@require_POST
@needs(Right.VIEW)
def finding_owner(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `team` (a slug, or `-` for nobody) and `reason`, or `release`; and `version`."""
    said: dict[str, Any] = {"finding": number, "actor": request.actor, "at": now(), "reason": request.POST.get("reason", "")}

    def act() -> object:
        if "release" in request.POST:
            return assigning.release(**said, version=_version(request))
        slug = request.POST.get("team", "")
        return assigning.assign(**said, team=None if slug == "-" else assigning.team_named(slug), version=_version(request))

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_verify(request: PageRequest, number: int) -> HttpResponse:
    def act() -> None:
        run = verification.request(finding=number, trigger=Verification.Trigger.PERSON, actor=request.actor, at=now())
        nudge("verify", run.pk)

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_ticket(request: PageRequest, number: int) -> HttpResponse:
    def act() -> None:
        tickets.open_tickets(findings=[number], actor=request.actor, at=now(), language=request.LANGUAGE_CODE)
        nudge("drain_outbox")

    return _done(request, number, act)


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
        "error": error.text if error else None,
        "code": code,
        "story": queries.story(found),
        "queue": reverse("queue"),
        "links": {"asset": _open_of(asset=found.asset.uid), "check": _open_of(check=found.check_ref.key)},
        "controls": found.check_ref.controls.order_by("framework", "reference"),
        "address": request.build_absolute_uri(reverse("finding", args=[found.pk])),
    }
    return render(request, "triage/findings/detail.html", shown, status=code)


def _shown(request: PageRequest, found: Finding, *, next_page: str) -> dict[str, Any]:
    may = lifecycle.BY_PEOPLE.get(found.status, {})
    words = {
        Status.IN_PROGRESS: gettext("Start work"),
        Status.FIX_CLAIMED: gettext("It is fixed"),
        Status.OPEN: gettext("Back to open"),
    }
    return {
        "finding": found,
        "at": now(),
        "next": next_page,
        "place": getattr(found, "place", None),
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
    query = search.parse(DEFAULT)
    for field, value in values.items():
        query = filters.switched(query, field, value)
    return _link(query.text())


def _version(request: PageRequest) -> int:
    written = request.POST.get("version", "")
    if not written.isdecimal():
        raise Invalid(_("The form does not say which version of the finding you saw. Reload the page."))
    return int(written)
