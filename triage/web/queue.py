"""The triage queue: the address is its state."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import queries, search, views
from triage.domain.access import Right
from triage.domain.errors import TriageError
from triage.domain.search import facets, pages
from triage.domain.search import groups as grouping
from triage.models import Finding
from triage.web.filters import DEFAULT, PANELS, chips, holds, link, panel, switched
from triage.web.findings import shown_of
from triage.web.requests import PageRequest, back_to, needs

SECONDS = 5  # that a search may take
VIEWS = (
    (_("To fix"), "is:open"), (_("Mine or my team's"), "is:open is:mine"), (_("Overdue"), "is:open is:overdue"),
    (_("Due soon"), "is:open is:due_soon"), (_("Without an owner"), "is:open is:unowned"),
    (_("Came back"), "is:open is:regressed"), (_("To verify"), "status:fix_claimed"), (_("Was fixed"), "status:verified"),
)  # fmt: skip
GROUPINGS = {"": _("List"), "check": _("Check"), "asset": _("Asset"), "owner": _("Owner"), "account": _("Account")}
GROUP_ROWS = 20  # of a group, before one goes to the whole of it
ORDERS = {"": _("Risk"), "due": _("Due date"), "severity": _("Severity"), "newest": _("Newest")}


@require_safe
@needs(Right.VIEW)
def queue(request: PageRequest) -> HttpResponse:
    """The address is the state: `q` the query, `order`, `group`, `cursor` the page, `selected` what is shown beside the list."""
    at = localtime()
    text = request.GET.get("q", DEFAULT)
    order, group = request.GET.get("order", ""), request.GET.get("group", "")
    shown: dict[str, Any] = {
        "at": at, "here": reverse("queue"), "q": text, "default": text == DEFAULT, "order": order,
        "views": [(label, link(query, group=group), query == text) for label, query in VIEWS], "group": group,
        "saved": [(view, link(view.query, order=view.order, group=view.group), view.query == text) for view in views.of(request.user)],
        "may_share": request.actor.may(Right.TRIAGE),
        "groupings": [(label, link(text, order=order, group=name), name == group) for name, label in GROUPINGS.items()],
        "may_act": request.actor.teams_with(Right.CLAIM) != frozenset(),
        "may_verify": request.actor.teams_with(Right.VERIFY) != frozenset(),
        "orders": [(label, link(text, order=name), name == order) for name, label in ORDERS.items()],
    }  # fmt: skip
    try:
        query = search.parse(text)
        shown |= _grouped(request, query, group, at=at) if group else _found(request, query, order=order, at=at)
    except search.QueryError as error:
        return render(request, "triage/findings/list.html", shown | pointed(text, error), status=400)
    if (selected := request.GET.get("selected", "")).isdecimal():
        found = queries.finding(int(selected[:18]))
        shown |= {"selected": found.pk, **shown_of(request, found, next_page=request.get_full_path())}
    return render(request, "triage/findings/list.html", shown)


def _found(request: PageRequest, query: search.Query, *, order: str, at: datetime) -> dict[str, Any]:
    """The page of findings and the filters beside it."""
    asked: dict[str, Any] = {"at": at, "user": request.user.pk, "teams": queries.own_teams(request.user)}
    text = query.text()
    with queries.patience(SECONDS):
        count_to = pages.WORDS_COUNTED if query.has_words else pages.COUNTED
        page = pages.page(
            search.findings(query, **asked), order=order or "score", cursor=request.GET.get("cursor"), count_to=count_to
        )
        counted = facets.facets(query, page=page, **asked)
        nothing_yet = not page.items and not Finding.objects.exists()
    return {
        "page": page,
        "chips": [(chip.label, link(chip.without, order=order)) for chip in chips(query)],
        "facets": [
            panel(name, counted[name], query, link=lambda other: link(other.text(), order=order))
            for name in PANELS
        ],
        "previous": page.previous and link(text, order=order, cursor=page.previous),
        "following": page.next and link(text, order=order, cursor=page.next),
        "nothing_yet": nothing_yet,
        "unowned": holds(query, "is", "unowned") or holds(query, "team", "none"),
    }  # fmt: skip


def _grouped(request: PageRequest, query: search.Query, group: str, *, at: datetime) -> dict[str, Any]:
    """What fits, put together, and the filters beside it."""
    asked: dict[str, Any] = {"at": at, "user": request.user.pk, "teams": queries.own_teams(request.user)}
    field = "team" if group == "owner" else group
    with queries.patience(SECONDS):
        found = grouping.groups(query, by=group, **asked)
        counted = facets.facets(query, page=found.page, **asked)
    rows = []
    for each in found.items:
        text = switched(query, field, each.value).text()
        rows.append({"group": each, "q": text, "href": link(text), "rows": f"{reverse('queue-rows')}?{urlencode({'q': text})}"})
    return {
        "found": found, "groups": rows, "chips": [(chip.label, link(chip.without, group=group)) for chip in chips(query)],
        "facets": [panel(name, counted[name], query, link=lambda other: link(other.text(), group=group)) for name in PANELS],
        "nothing_yet": not found.items and not Finding.objects.exists(),
    }  # fmt: skip


@require_POST
@needs(Right.VIEW)
def view_keep(request: PageRequest) -> HttpResponse:
    """Fields: `name`, `q`, `order`, `group`, `shared`; or `forget`, the number of a view."""
    said = request.POST
    try:
        number = said.get("forget", "")
        if number.isdecimal() and len(number) < 19:
            views.forget(view=int(number), user=request.user, actor=request.actor)
            return redirect(back_to(request, reverse("queue")))
        kept = views.keep(
            user=request.user, name=said.get("name", ""), query=said.get("q", ""), order=said.get("order", ""), group=said.get("group", ""),
            shared="shared" in said, actor=request.actor, at=localtime(),
        )  # fmt: skip
    except (TriageError, search.QueryError) as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
        return redirect(back_to(request, reverse("queue")))
    messages.success(request, gettext("The view “%(name)s” is saved.") % {"name": kept})
    return redirect(link(kept.query, order=kept.order, group=kept.group))


@require_safe
@needs(Right.VIEW)
def queue_rows(request: PageRequest) -> HttpResponse:
    """The first rows of a group, for the place where it is opened. `q`."""
    at = localtime()
    asked: dict[str, Any] = {"at": at, "user": request.user.pk, "teams": queries.own_teams(request.user)}
    text = request.GET.get("q", DEFAULT)
    with queries.patience(SECONDS):
        page = pages.page(search.findings(search.parse(text), **asked), size=GROUP_ROWS)
    shown = {"page": page, "at": at, "href": link(text), "may_act": request.actor.teams_with(Right.CLAIM) != frozenset()}
    return render(request, "triage/findings/_rows.html", shown)


def pointed(text: str, error: search.QueryError, *, link: Callable[[str], str] = link) -> dict[str, Any]:
    """Where the query stops making sense, and what would make sense there."""
    start, end = error.position, error.position + error.length
    return {
        "error": error.text,
        "pointed": (text[:start], text[start:end] or " ", text[end:]),
        "suggestions": [(word, link(text[:start] + word + text[end:])) for word in error.suggestions],
    }
