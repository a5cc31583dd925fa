"""Deadlines: what the policies in force ask, how many dates were kept, and the change of a policy with its consequences shown."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from triage.domain.access import Right
from triage.domain.configuration.applying import apply_duty, compare, exported_duty, planned_policies, written
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.errors import Invalid, TriageError
from triage.domain.sla import policies, reporting
from triage.domain.sla.drafts import Applies
from triage.domain.sla.presets import PRESETS
from triage.models import CalendarVersion, SlaVersion
from triage.web.days import beginning_of, end_of
from triage.web.requests import PageRequest, needs

PERIODS = {"30": 30, "90": 90, "365": 365}
SHOWN = 20
DUTY = ("calendars", "sla")


@require_safe
@needs(Right.VIEW)
def sla(request: PageRequest) -> HttpResponse:
    """Query: `days`, one of PERIODS; or `since` and `until`, days that count whole."""
    at, problem = now(), None
    days: int | None = PERIODS.get(request.GET.get("days", ""), 30)
    since, until = at - timedelta(days=days or 0), at
    try:
        if request.GET.get("since") and request.GET.get("until"):
            since, until, days = beginning_of(request.GET["since"]), end_of(request.GET["until"]), None
    except Invalid as error:
        problem = error.text
    said: dict[str, Any] = {"since": since, "until": until, "actor": request.actor, "at": at}
    missed = reporting.breaches(**said, limit=SHOWN + 1)
    newest = CalendarVersion.objects.order_by("calendar", "-number").distinct("calendar").select_related("calendar")
    shown = {
        "at": at,
        "days": days,
        "problem": problem,
        "since": request.GET.get("since", ""),
        "until": request.GET.get("until", ""),
        "periods": list(PERIODS.values()),
        "versions": [(version, _targets(version)) for version in policies.in_force()],
        "calendars": newest,
        "kept": reporting.attainment(**said),
        "missed": missed[:SHOWN],
        "more": len(missed) > SHOWN,
    }
    return render(request, "triage/sla/page.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.CONFIGURE)
def sla_edit(request: PageRequest) -> HttpResponse:
    """Fields: `text` (YAML), `applies` (new or open), `reason`; `publish` does it, without it the consequences are shown.

    Query: `preset`, the slug of a policy to begin with.
    """
    if request.method == "GET":
        return _form(request, _beginning(request.GET.get("preset", "")))
    text = request.POST.get("text", "")
    applies = Applies.OPEN if request.POST.get("applies") == Applies.OPEN else Applies.NEW
    try:
        if "publish" in request.POST:
            changes = apply_duty(
                text=text, applies=applies, actor=request.actor, at=now(), reason=request.POST.get("reason", "")[:500]
            )
            names = ", ".join(change.key for change in changes)
            messages.success(
                request, gettext("Published: %(names)s.") % {"names": names} if names else gettext("Nothing was different.")
            )
            return redirect("sla")
        changes = [change for change in compare(text=text, actor=request.actor) if change.section in DUTY]
        plan = planned_policies(text=text, sections=DUTY)
        effect = policies.preview(plan, actor=request.actor, at=now()) if changes else None
        return _form(request, text, applies=applies, changes=changes, effect=effect, previewed=True)
    except WrongConfiguration as error:
        return _form(request, text, applies=applies, problems=[problem.text for problem in error.problems], status=400)
    except TriageError as error:
        return _form(request, text, applies=applies, problems=[error.text], status=400)


def _beginning(preset: str) -> str:
    return written(PRESETS[preset]) if preset in PRESETS else exported_duty()


def _form(request: PageRequest, text: str, *, status: int = 200, **shown: Any) -> HttpResponse:
    defaults: dict[str, Any] = {"applies": Applies.NEW, "changes": [], "effect": None, "problems": [], "previewed": False}
    presets = [(slug, draft.name) for slug, draft in PRESETS.items()]
    return render(request, "triage/sla/edit.html", {**defaults, **shown, "text": text, "presets": presets}, status=status)


def _targets(version: SlaVersion) -> Any:
    return version.targets.select_related("calendar__calendar").order_by("clock", "-severity", "pk")
