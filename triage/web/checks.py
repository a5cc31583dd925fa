"""Checks: their findings and noise, and what this house says of them."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from triage.domain import check_catalogue
from triage.domain.access import Right
from triage.domain.check_catalogue import Saying
from triage.domain.errors import TriageError
from triage.models import Severity
from triage.web.filters import open_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, needs, nudge

LEVELS = frozenset(str(level.value) for level in Severity)


@require_safe
@needs(Right.VIEW)
def checks(request: PageRequest) -> HttpResponse:
    """Query: `q`, words of key or title."""
    text = request.GET.get("q", "")[:200]
    rows = check_catalogue.catalogue(actor=request.actor, text=text)
    return render(request, "triage/checks/list.html", {"q": text, "rows": rows})


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def check(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `override` (1 to 5, or nothing), `override_reason`, `runbook`, `guard`."""
    error, status = None, 200
    if request.method == "POST":
        said = {name: request.POST.get(name, "").strip() for name in ("override_reason", "runbook", "guard")}
        override = request.POST.get("override", "")
        try:
            saying = Saying(
                int(override) if override in LEVELS else None, said["override_reason"][:500], said["runbook"], said["guard"]
            )
            check_catalogue.say(check=number, saying=saying, actor=request.actor, at=now())
            nudge("follow_overrides")
            messages.success(request, gettext("Saved; the findings of the check follow."))
            return redirect("check", number)
        except TriageError as failure:
            error, status = failure.text, status_code(failure)
    row = check_catalogue.described(number, actor=request.actor)
    shown = {
        "row": row,
        "said": request.POST if error else None,
        "severities": [(level.value, level.label) for level in sorted(Severity, reverse=True)],
        "controls": check_catalogue.controls_of(number),
        "findings": open_of(check=row.check.key),
        "error": error,
    }
    return render(request, "triage/checks/detail.html", shown, status=status)
