"""Exceptions: the register, the request, the decision."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from triage.domain import queries
from triage.domain.access import Right
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.domain.exceptions import deciding, registering
from triage.domain.exceptions.requesting import LONGEST, About, preview
from triage.domain.exceptions.requesting import request as ask
from triage.domain.search import QueryError
from triage.models import Asset, Check, ExceptionKind, ExceptionState, Status
from triage.web.days import end_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, attachment, back_to, needs

DECISIONS = {"approve": deciding.approve, "refuse": deciding.refuse, "revoke": deciding.revoke}


@require_safe
@needs(Right.VIEW)
def exceptions(request: PageRequest) -> HttpResponse:
    """Query: `all` for those that are over, too; `on`, a day: what was in force at its end."""
    on, wrong = None, None
    try:
        on = end_of(request.GET["on"]) if request.GET.get("on") else None
    except Invalid as error:
        wrong = error.text
    living = "all" not in request.GET and on is None
    entries = registering.register(actor=request.actor, on=on, living=living)
    waiting = [entry for entry in entries if entry.exception.state == ExceptionState.REQUESTED]
    shown = {
        "at": now(),
        "on": request.GET.get("on", ""),
        "living": living,
        "problem": wrong,
        "waiting": waiting if on is None else [],
        "entries": [entry for entry in entries if on is not None or entry not in waiting],
    }
    return render(request, "triage/exceptions/list.html", shown)


@require_safe
@needs(Right.VIEW)
def exception(request: PageRequest, number: int) -> HttpResponse:
    return _page(request, number)


@require_POST
@needs(Right.VIEW)
def exception_decide(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `reason` and one of `approve`, `refuse`, `revoke`."""
    chosen = next((name for name in DECISIONS if name in request.POST), "")
    try:
        if not chosen:
            raise Invalid(_("The form does not say what to do. Reload the page."))
        done = DECISIONS[chosen](exception=number, actor=request.actor, at=now(), reason=request.POST.get("reason", "")[:500])
        messages.success(request, gettext("%(exception)s: %(state)s") % {"exception": done, "state": done.get_state_display()})
    except TriageError as error:
        return _page(request, number, error=error)
    return redirect("exception", number)


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def exception_request(request: PageRequest) -> HttpResponse:
    """Query and fields: one of `finding`, `check`, `asset` (numbers) and `q`. Fields: `kind`, `reason`, `compensation`, `until`,
    `failed`; without `request`, what it would hide is shown.
    """
    said = request.POST if request.method == "POST" else request.GET
    shown: dict[str, Any] = {"said": said, "kinds": _kinds({}), "longest": _limits(), "error": None}
    status = 200
    try:
        about = _about(said)
        named = _named(about)
        shown |= {"about": named, "kinds": _kinds(named), "seen": preview(about=about, actor=request.actor, at=now())}
        if "request" in request.POST:
            asked = ask(
                kind=said.get("kind", ""), about=about, reason=said.get("reason", ""), until=end_of(said.get("until", "")),
                compensation=said.get("compensation", ""), attachment=attachment(request, "evidence"), passed="failed" not in said,
                actor=request.actor, at=now(),
            )  # fmt: skip
            messages.success(request, gettext("%(exception)s is requested; somebody else has to decide.") % {"exception": asked})
            return redirect(back_to(request, reverse("exception", args=[asked.pk])))
    except (TriageError, QueryError) as error:
        shown["error"] = error.text
        status = status_code(error) if isinstance(error, TriageError) else 400
    return render(request, "triage/exceptions/request.html", shown, status=status)


def _page(request: PageRequest, number: int, *, error: TriageError | None = None) -> HttpResponse:
    story = registering.story(number, actor=request.actor)
    of = story.entry.exception
    decider = of.state == ExceptionState.REQUESTED and request.actor.may(Right.APPROVE)
    own = request.actor.name == of.requested_by or request.actor.user == of.requested_user
    shown = {
        "at": now(),
        "story": story,
        "entry": story.entry,
        "about": _named(About(of.finding_id, of.check_ref_id, of.asset_id, of.query)),
        "may_decide": decider and not own,
        "own": own,
        "may_end": of.state in registering.LIVING and (own or request.actor.may(Right.APPROVE)),
        "error": error.text if error else None,
    }
    return render(request, "triage/exceptions/detail.html", shown, status=status_code(error) if error else 200)


def _about(said: Any) -> About:
    """Raises Invalid."""
    numbers = {name: said.get(name, "") for name in ("finding", "check", "asset")}
    if wrong := [text for text in numbers.values() if text and not (text.isdecimal() and len(text) <= 18)]:
        raise Invalid(_("“%(text)s” is not a number."), text=wrong[0][:40])
    given = {name: int(text) for name, text in numbers.items() if text}
    if given:
        return About(
            given.get("finding"),
            None if "finding" in given else given.get("check"),
            given.get("asset") if len(given) == 1 else None,
        )
    return About(query=said.get("q", ""))


def _named(about: About) -> dict[str, Any]:
    """What it is about, as a page shows it. Raises NotFound."""
    if about.finding:
        return {"finding": queries.finding(about.finding), "about": about}
    if not about.check and not about.asset:
        return {"query": about.query, "about": about}
    found = Check.objects.filter(pk=about.check or 0).first() or Asset.objects.filter(pk=about.asset or 0).first()
    if found is None:
        raise NotFound(_("There is no such check or asset."))
    return {"check" if about.check else "asset": found, "about": about}


def _kinds(named: dict[str, Any]) -> list[tuple[str, Any]]:
    """What can be asked for: what has to be looked at by a person is attested, anything else excepted."""
    manual = "finding" in named and named["finding"].status in (Status.MANUAL, Status.ATTESTED)
    return [(kind.value, kind.label) for kind in ExceptionKind if (kind == ExceptionKind.ATTESTED) == manual]


def _limits() -> list[tuple[Any, int]]:
    return [(severity.label, days) for severity, days in sorted(LONGEST.items(), reverse=True)]
