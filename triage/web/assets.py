"""Assets: the inventory, whose address is its state; and one of them."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import localtime
from django.views.decorators.http import require_safe

from triage.domain import assets, queries, search
from triage.domain.access import Right
from triage.domain.errors import TriageError
from triage.domain.exceptions import registering
from triage.domain.search import facets
from triage.models import Asset, Team
from triage.web.charts import burndown
from triage.web.days import end_of
from triage.web.filters import chips, open_of, panel
from triage.web.middleware import status_code
from triage.web.queue import SECONDS, pointed
from triage.web.requests import PageRequest, needs

PANELS = ("account", "team", "env")
ROUGHLY = 1_000  # findings, by which the filters beside all assets are chosen; no numbers are shown there


@require_safe
@needs(Right.VIEW)
def asset_list(request: PageRequest) -> HttpResponse:
    """Query: `q`; `all`, for those without open findings, too; `before`, the number of an asset."""
    at, text, every = localtime(), request.GET.get("q", ""), bool(request.GET.get("all"))
    asked: dict[str, Any] = {"at": at, "user": request.user.pk, "teams": queries.own_teams(request.user)}
    shown: dict[str, Any] = {"q": text, "at": at, "all": every, "here": reverse("assets"), "error": None, "default": not text}
    status = 200
    try:
        query = search.parse(text)
        before = request.GET.get("before", "")
        with queries.patience(SECONDS):
            if every:
                after = int(before) if before.isdecimal() and len(before) < 19 else None
                page = assets.newest(query, actor=request.actor, before=after, **asked)
            else:
                page = assets.gravest(query, actor=request.actor, **asked)
            counted = facets.facets(search.parse(f"is:open {text}"), page=page.found, count_to=ROUGHLY, **asked)
        shown |= {
            "page": page, "nothing_yet": not page.rows and not Asset.objects.exists(),
            "chips": [(chip.label, _link(chip.without, every)) for chip in chips(query)],
            "facets": [panel(name, counted[name], query, link=lambda other: _link(other.text(), every)) for name in PANELS],
            "following": _link(text, every, before=str(page.following)) if page.following else "",
        }  # fmt: skip
    except search.QueryError as error:
        shown |= pointed(text, error, link=lambda other: _link(other, every))
        status = 400
    except TriageError as error:
        shown["problem"], status = error.text, status_code(error)
    shown["choices"] = [("gravest", _link(text, every=False), not every), ("all", _link(text, every=True), every)]
    return render(request, "triage/assets/list.html", shown, status=status)


def _link(text: str, every: bool, before: str = "") -> str:  # noqa: FBT001 - of this page alone
    said = {"q": text, "all": "1" if every else "", "before": before}
    kept = {name: value for name, value in said.items() if value}
    return reverse("assets") + (f"?{urlencode(kept)}" if kept else "")


@require_safe
@needs(Right.VIEW)
def asset_page(request: PageRequest, number: int) -> HttpResponse:
    """Query: `on`, a day: who owned it at its end."""
    found = assets.asset(number)
    on, problem, as_of = request.GET.get("on", ""), None, None
    try:
        as_of = end_of(on) if on else None
        story = assets.story(found, actor=request.actor, as_of=as_of)
    except TriageError as error:
        problem, as_of = error.text, None
        story = assets.story(found, actor=request.actor)
    at = localtime()
    weeks = assets.weeks(found, open_now=story.open, at=at)
    shown = {
        "weeks": weeks, "burndown": burndown(weeks) if weeks else None,
        "asset": found, "story": story, "team": Team.objects.filter(slug=story.owner.team or "").first(), "at": at, "on": on,
        "as_of": as_of, "problem": problem, "queue": open_of(asset=found.uid),
        "exceptions": registering.of_asset(found.pk), "facts": sorted(story.facts.facts.items()) if story.facts else [],
    }  # fmt: skip
    return render(request, "triage/assets/asset.html", shown, status=200)
