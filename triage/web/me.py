"""A person's own page: what waits, and what there is to know."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import localtime, now
from django.views.decorators.http import require_http_methods, require_safe

from triage.domain import bell, desk, queries
from triage.domain.access import Right
from triage.web.filters import link
from triage.web.requests import PageRequest, needs


@require_safe
@needs(Right.VIEW)
def me(request: PageRequest) -> HttpResponse:
    at = localtime()
    found = desk.of(request.user, actor=request.actor, at=at)
    names = queries.who({each.actor for each in found.mentions})
    shown = {
        "desk": found, "mentions": [(each, names[each.actor]) for each in found.mentions], "at": at,
        "piles": [(pile, link(pile.query)) for pile in found.piles],
        "may_act": request.actor.teams_with(Right.CLAIM) != frozenset(), "q": "", "page": None,
    }  # fmt: skip
    return render(request, "triage/me/me.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def inbox(request: PageRequest) -> HttpResponse:
    """Fields: `read`, the number of a notification; without it all are read."""
    if request.method == "POST":
        number = request.POST.get("read", "")
        bell.read(user=request.user, at=now(), notification=int(number) if number.isdecimal() and len(number) < 19 else None)
        return redirect("inbox")
    found = bell.told(request.user)
    names = queries.who({each.actor for each in found})
    shown: dict[str, Any] = {"rows": [(each, names[each.actor]) for each in found], "at": now()}
    return render(request, "triage/me/inbox.html", shown)
