"""Verifications: what waits, what came of them, which permissions are missing; and runs of many."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import verification
from triage.domain.access import Right
from triage.domain.errors import TriageError
from triage.domain.queries import who
from triage.domain.search import QueryError
from triage.domain.verification import runs
from triage.domain.verification.requesting import answers
from triage.domain.verification.runs import Wanted
from triage.models import Finding, Verification
from triage.ports import Outcome
from triage.web.filters import link
from triage.web.requests import PageRequest, back_to, needs, nudge

RUNS_SHOWN = 5
OUTCOMES = {
    "": _("Any"), Verification.State.QUEUED: _("Waiting"), Verification.State.RUNNING: _("Running"), Outcome.FIXED: _("Fixed"),
    Outcome.FAILING: _("Still failing"), Outcome.GONE: _("Asset gone"), Outcome.DENIED: _("Access denied"), Outcome.ERROR: _("No answer"),
    Outcome.CANNOT: _("Cannot be checked directly"), Verification.State.WITHDRAWN: _("Withdrawn"),
}  # fmt: skip


@require_safe
@needs(Right.VIEW)
def verification_list(request: PageRequest) -> HttpResponse:
    """Query: `outcome`, one of OUTCOMES; `account`, its identifier; `verifier`; `before`, a verification's number."""
    shown = _found(request, None)
    at = now()
    narrowed = any(request.GET.get(name) for name in ("outcome", "account", "verifier", "before"))
    shown |= {
        "at": at,
        "runs": [] if narrowed else runs.newest(size=RUNS_SHOWN),
        "narrowed": narrowed,
        "claimed": link("status:fix_claimed"),
        "findings": bool(shown["rows"]) or Finding.objects.exists(),
    }
    return render(request, "triage/verifications/list.html", shown)


@require_POST
@needs(Right.VIEW)
def verification_ask(request: PageRequest) -> HttpResponse:
    """Fields: `q`, a query of the queue, for all that it means; or `missing` and `account`, for what was denied there."""
    missing = request.POST.get("missing", "")
    again = runs.lacking(missing, account=request.POST.get("account", "")) if missing else []
    try:
        run = verification.request_all(
            query=request.POST.get("q", ""),
            findings=again,
            trigger=Verification.Trigger.PERSON,
            actor=request.actor,
            at=localtime(),
        )
    except (TriageError, QueryError) as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
        return redirect(back_to(request, reverse("queue")))
    nudge("verify_waiting")
    return redirect("verification-run", run.pk)


@require_safe
@needs(Right.VIEW)
def verification_run(request: PageRequest, number: int) -> HttpResponse:
    """Query: as the list's."""
    run = runs.named(number)
    shown = _found(request, number) | _progress(request, number)
    shown |= {"at": now(), "asked_by": who([run.actor])[run.actor], "meant": link(run.query) if run.query else None}
    return render(request, "triage/verifications/run.html", shown)


@require_safe
@needs(Right.VIEW)
def verification_run_progress(request: PageRequest, number: int) -> HttpResponse:
    """The moving part of the page. When there is nothing to wait for any more, the whole page is asked for."""
    shown = _progress(request, number)
    if shown["progress"].finished:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "triage/verifications/_progress.html", shown)


@require_POST
@needs(Right.VIEW)
def verification_run_cancel(request: PageRequest, number: int) -> HttpResponse:
    try:
        withdrawn = runs.cancel(runs.named(number), actor=request.actor, at=now())
        messages.success(request, gettext("Withdrawn: %(n)s. Verifications already running will finish.") % {"n": withdrawn})
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    return redirect("verification-run", number)


def _progress(request: PageRequest, number: int) -> dict[str, Any]:
    run = runs.named(number)
    progress = runs.progress(run, at=now())
    counted = [(name, OUTCOMES[name], progress.outcomes[name]) for name in Outcome if progress.outcomes.get(name)]
    return {"run": run, "progress": progress, "counted": counted, "may_cancel": runs.may_cancel(run, request.actor)}


def _found(request: PageRequest, run: int | None) -> dict[str, Any]:
    """The verifications that the address asks for, and what they lacked."""
    said = {name: request.GET.get(name, "")[:200] for name in ("outcome", "account", "verifier")}
    outcome = said["outcome"] if said["outcome"] in OUTCOMES else ""
    wanted = Wanted(outcome, said["account"].strip(), said["verifier"], run)
    before = request.GET.get("before", "")
    rows, following = runs.verifications(wanted, before=int(before) if before.isdecimal() and len(before) < 19 else None)
    denied = outcome in ("", Outcome.DENIED)
    return {
        "rows": rows,
        "following": following,
        "wanted": wanted,
        "outcomes": list(OUTCOMES.items()),
        "verifiers": sorted(set(answers().values())),
        "lacks": runs.lacks(wanted) if denied else [],
        "may_verify": request.actor.teams_with(Right.VERIFY) != frozenset(),
    }
