"""Evidence of a finding: before and after, and as a file."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from triage.domain import proofs, queries
from triage.domain.access import Right
from triage.web.requests import PageRequest, needs


@require_safe
@needs(Right.VIEW)
def before_after(request: PageRequest, number: int) -> HttpResponse:
    found = queries.finding(number)
    shown = {"finding": found, "told": proofs.compared(finding=found, actor=request.actor, at=now()), "at": now()}
    return render(request, "triage/findings/evidence.html", shown)


@require_POST
@needs(Right.VIEW)
def proof_file(request: PageRequest, number: int) -> HttpResponse:
    """By POST: that somebody fetched it is an event. Saved, never shown, whatever it holds."""
    run, data = proofs.fetched(verification=number, actor=request.actor, at=now())
    name = f"{run.finding}-{run.outcome}-{str(run.evidence)[:16]}.json"
    return HttpResponse(
        data, content_type="application/octet-stream", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
