"""Deadlines: what the policies in force ask, how many dates were kept, and the change of a policy with its consequences shown."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dates import WEEKDAYS
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_safe

from triage.domain.access import Right
from triage.domain.calendars import WEEK
from triage.domain.configuration.applying import apply_duty, compare, exported_duty, planned_policies, written
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.configuration.duty_fields import (
    TOLD,
    CalendarFields,
    Ladder,
    Rung,
    calendar_fields,
    ladders,
    with_calendar,
    with_ladder,
    with_new_calendar,
)
from triage.domain.configuration.sla_table import ENVIRONMENTS, SEVERITIES, Place, calendars_of, filled, tables
from triage.domain.errors import Invalid, TriageError
from triage.domain.sla import policies, reporting, simulating
from triage.domain.sla.drafts import Applies, measured
from triage.domain.sla.presets import PRESETS
from triage.domain.sla.wording import spoken
from triage.models import CalendarVersion, Environment, Finding, Severity, SlaVersion
from triage.web.days import beginning_of, end_of
from triage.web.requests import PageRequest, needs

PERIODS = {"30": 30, "90": 90, "365": 365}
SHOWN = 20
MOST_TRIED = 50_000  # clocks that run; 20,000 were judged in 5 s
DUTY = ("calendars", "sla")
MOST_RUNGS = 9
TOLD_AS = {"owner": _("owner"), "lead": _("lead"), "security": _("security")}


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
    name = f"{days}" if days else f"{since.isoformat()}-{until.isoformat()}"
    kept, missed = reporting.remembered(
        f"duty:{name}", lambda: (reporting.attainment(**said), reporting.breaches(**said, limit=SHOWN + 1)), at=at
    )
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
        "kept": kept,
        "missed": missed[:SHOWN],
        "more": len(missed) > SHOWN,
    }
    return render(request, "triage/sla/page.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.CONFIGURE)
def sla_edit(request: PageRequest) -> HttpResponse:
    """Fields: `text` (YAML), `applies` (new or open), `reason`; `publish` does it, without it the consequences are shown, with
    `simulate` also what it would have meant for the last 90 days.

    `cell:policy:severity:environment` and the same with `was` are the table: a cell that differs from what it was is put into the
    text, whose consequences are shown first, whichever button was pressed. `calendar` is for its days and business hours.
    So are the fields of calendars, `field:calendar:name`, and of ladders, `rung:policy:0` with `told:policy:0`, as often as people
    are told, and `was:rungs:policy`. `add` makes a calendar, called `slug`.
    Query: `preset`, the slug of a policy to begin with.
    """
    if request.method == "GET":
        return _form(request, _beginning(request.GET.get("preset", "")))
    text = request.POST.get("text", "")
    applies = Applies.OPEN if request.POST.get("applies") == Applies.OPEN else Applies.NEW
    try:
        before = text
        if cells := _changed_cells(request):
            text = filled(text, cells, request.POST.get("calendar", ""))
        text = _with_fields(request, text)
        if "publish" in request.POST and text == before:
            changes = apply_duty(
                text=text, applies=applies, actor=request.actor, at=now(), reason=request.POST.get("reason", "")[:500]
            )
            names = ", ".join(change.key for change in changes)
            messages.success(
                request, gettext("Published: %(names)s.") % {"names": names} if names else gettext("Nothing has changed.")
            )
            return redirect("sla")
        changes = [change for change in compare(text=text, actor=request.actor) if change.section in DUTY]
        plan = planned_policies(text=text, sections=DUTY)
        tried = simulating.simulate(plan, actor=request.actor, at=now()) if _is_tried(request) else None
        effect = tried.effect if tried else policies.preview(plan, actor=request.actor, at=now()) if changes else None
        return _form(
            request, text, applies=applies, changes=changes, effect=effect, previewed=True, moved=text != before, tried=tried,
            tallies=sorted(tried.tallies.items(), reverse=True) if tried else [],
        )  # fmt: skip
    except WrongConfiguration as error:
        return _form(request, text, applies=applies, problems=[problem.text for problem in error.problems], status=400)
    except TriageError as error:
        return _form(request, text, applies=applies, problems=[error.text], status=400)


def _is_tried(request: PageRequest) -> bool:
    """Raises Invalid for an estate that is judged clock by clock for longer than a page may take."""
    if "simulate" not in request.POST:
        return False
    if Finding.objects.filter(settled_at=None, clock_from__isnull=False)[: MOST_TRIED + 1].count() > MOST_TRIED:
        raise Invalid(_("There are too many clocks to simulate in a page. Use `cspm sla simulate FILE`."))
    return True


def _beginning(preset: str) -> str:
    return written(PRESETS[preset]) if preset in PRESETS else exported_duty()


def _form(request: PageRequest, text: str, *, status: int = 200, **shown: Any) -> HttpResponse:
    defaults: dict[str, Any] = {"applies": Applies.NEW, "changes": [], "effect": None, "problems": [], "previewed": False}
    typed = _changed_cells(request) if shown.get("problems") else {}
    lines = [(table, _lines(table.cells, typed)) for table in tables(text)]
    stored = CalendarVersion.objects.values_list("calendar__slug", flat=True).distinct()
    page = {
        "text": text,
        "presets": [(slug, draft.name) for slug, draft in PRESETS.items()],
        "tables": lines,
        "calendar_fields": [_calendar(each) for each in calendar_fields(text)],
        "ladders": [(each, _places(each)) for each in ladders(text)],
        "told": [(whom, gettext(TOLD_AS[whom])) for whom in TOLD],
        "environments": [_environment(value) for value in ENVIRONMENTS],
        "calendars": sorted({*calendars_of(text), *stored}),
        "calendar": request.POST.get("calendar", "") or next((slug for table, _lines in lines for slug in table.calendars), ""),
    }
    return render(request, "triage/sla/edit.html", {**defaults, **shown, **page}, status=status)


def _lines(cells: Mapping[Place, str], typed: Mapping[Place, str]) -> list[tuple[Severity, list[tuple[Place, str, str, str]]]]:
    """By severity: each place with the name of its environment, what the file has and what stands in the field."""
    return [
        (
            Severity[severity.upper()],
            [
                (place, _environment(place.environment), _spoken(was), typed.get(place, _spoken(was)))
                for place, was in cells.items()
                if place.severity == severity
            ],
        )
        for severity in SEVERITIES
    ]


def _spoken(within: str) -> str:
    """As the file has it, in the person's language; as it stands where it cannot be read."""
    try:
        return spoken(*measured(within))
    except Invalid:
        return within


def _environment(value: str) -> str:
    return str(Environment(value).label) if value else gettext("Any environment")


def _changed_cells(request: PageRequest) -> dict[Place, str]:
    """What was typed into the table, where it differs from what the table showed."""
    changed = {}
    for name in request.POST:
        kind, *place = name.split(":")
        value = request.POST.get(name, "")
        if kind == "cell" and len(place) == 3 and value.strip() != request.POST.get(f"was:{':'.join(place)}", ""):
            changed[Place(*place)] = value
    return changed


def _with_fields(request: PageRequest, text: str) -> str:
    """The text with what differs in the fields of calendars and ladders. Raises Invalid."""
    changed: dict[str, dict[str, str]] = defaultdict(dict)
    for name, value in request.POST.items():
        kind, *place = name.split(":")
        if kind == "field" and len(place) == 2 and str(value).strip() != request.POST.get(f"was:{':'.join(place)}", ""):
            changed[place[0]][place[1]] = str(value)
    for slug, fields in changed.items():
        text = with_calendar(text, slug, fields)
    for name, was in request.POST.items():
        kind, *place = name.split(":")
        if kind == "was" and place[:1] == ["rungs"] and len(place) == 2:
            rungs = _posted_rungs(request, place[1])
            if _as_one(rungs) != was:
                text = with_ladder(text, place[1], rungs)
    if "add" in request.POST:
        text = with_new_calendar(text, request.POST.get("slug", "").strip())
    return text


def _posted_rungs(request: PageRequest, policy: str) -> list[Rung]:
    return [
        Rung(request.POST.get(f"rung:{policy}:{number}", "").strip(), tuple(request.POST.getlist(f"told:{policy}:{number}")))
        for number in range(MOST_RUNGS)
        if f"rung:{policy}:{number}" in request.POST
    ]


def _as_one(rungs: Iterable[Rung]) -> str:
    """To see whether a ladder was touched."""
    return ";".join(f"{rung.percent}:{','.join(sorted(rung.tell))}" for rung in rungs if rung.percent)


def _places(ladder: Ladder) -> dict[str, Any]:
    """A ladder's rungs with room for one more, and what it was."""
    rungs = [*ladder.rungs, Rung("", ())][:MOST_RUNGS]
    return {"rungs": list(enumerate(rungs)), "was": _as_one(ladder.rungs)}


def _calendar(fields: CalendarFields) -> dict[str, Any]:
    """A calendar with the names of its days."""
    return {"of": fields, "days": [(day, WEEKDAYS[number], fields.hours[day]) for number, day in enumerate(WEEK)]}


def _targets(version: SlaVersion) -> Any:
    return version.targets.select_related("calendar__calendar").order_by("clock", "-severity", "pk")
