"""Who is told what, where and when; and what was told last week."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from triage.domain.access import Right
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.domain.notifications import preferring, quieting
from triage.domain.notifications.preferring import Wish
from triage.domain.notifications.recipients import named_ways
from triage.models import Connection, Subject, Team
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, needs


@require_safe
@needs(Right.VIEW)
def notification_list(request: PageRequest) -> HttpResponse:
    names = {f"team:{team.pk}": team.name for team in Team.objects.all()}
    names |= {f"lead:{team.pk}": gettext("Lead of %(team)s") % {"team": team.name} for team in Team.objects.all()}
    names |= {"role:security": gettext("Security"), "role:admin": gettext("Administrators")}
    names |= {f"sink:{way.pk}": way.name for way in Connection.objects.filter(kind="notifiers")}
    told = [(names.get(name, name), rows) for name, rows in preferring.lately(at=now()).items()]
    rows = [(team, reached, _may(request, team)) for team, reached in preferring.reached()]
    return render(
        request,
        "triage/notifications/list.html",
        {"rows": rows, "told": told, "deaf": not any(reached.connection for _team, reached, _may_change in rows)},
    )


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def notification_form(request: PageRequest, slug: str) -> HttpResponse:
    """`slug`: of a team, `everybody`, or `me`. Fields: those of a Wish."""
    team = Team.objects.filter(slug=slug).first()
    user = request.user if team is None and slug == "me" else None
    if team is None and slug not in ("everybody", "me"):
        raise NotFound("There is no such page.")
    shown: dict[str, Any] = {"error": None}
    status = 200
    wish = preferring.wish_of(team, user)
    if request.method == "POST":
        wish = _wish(request.POST)
        try:
            preferring.put(team=team, user=user, wish=wish, actor=request.actor, at=now())
        except TriageError as error:
            shown["error"], status = error.text, status_code(error)
        else:
            messages.success(request, gettext("Saved."))
            return redirect("notifications")
    shown |= {
        "team": team, "slug": slug, "wish": wish, "ways": named_ways(), "mine": user is not None,
        "may_change": user is not None or _may(request, team),
        "subjects": [(value, label, wish.subjects is None or value in wish.subjects) for value, label in Subject.choices],
        "languages": (("fr", "Français"), ("en", "English")),
    }  # fmt: skip
    return render(request, "triage/notifications/form.html", shown, status=status)


def _may(request: PageRequest, team: Team | None) -> bool:
    return request.actor.may(Right.CLAIM, team=team.pk) if team else request.actor.may(Right.ADMINISTER)


def _wish(said: QueryDict) -> Wish:
    def hour(name: str) -> int | None:
        typed = said.get(name, "")
        return int(typed) if typed.isdecimal() and len(typed) < 4 else None

    chosen = tuple(value for value in Subject.values if value in said.getlist("subjects"))
    return Wish(
        connection=said.get("connection", "")[:80], address=said.get("address", "").strip()[:200],
        subjects=None if len(chosen) == len(Subject.values) else chosen, language=said.get("language", "")[:5],
        time_zone=said.get("time_zone", "").strip()[:60], digest_hour=hour("digest_hour"), quiet_from=hour("quiet_from"),
        quiet_until=hour("quiet_until"), weekends={"yes": True, "no": False}.get(said.get("weekends", "")), hourly=hour("hourly"),
    )  # fmt: skip


@csrf_exempt  # the link is signed, and a mail program has no cookie of ours
@login_not_required
@require_http_methods(["GET", "POST"])
def quieter(request: HttpRequest, token: str) -> HttpResponse:
    """What the link in an e-mail leads to: a page that asks, and by POST, which mail programs send by one click, does it."""
    shown: dict[str, Any] = {"error": None, "done": request.method == "POST", "team": None}
    status = 200
    try:
        shown["team"] = quieting.quiet(token, at=now()) if request.method == "POST" else quieting.of(token)
    except Invalid as error:
        shown["error"], status = error.text, 400
    return render(request, "triage/notifications/quieter.html", shown, status=status)
