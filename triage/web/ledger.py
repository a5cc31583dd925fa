"""The sealed audit trail: whether it holds, its head, and who has seen it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from triage.domain import ledger
from triage.domain.access import Right
from triage.domain.errors import NotFound
from triage.web.requests import PageRequest, needs, nudge


@require_safe
@needs(Right.AUDIT)
def ledger_page(request: PageRequest) -> HttpResponse:
    shown = {
        "standing": ledger.standing(actor=request.actor, at=now()), "keys": ledger.keys_on_record(actor=request.actor),
        "checks": ledger.checks(actor=request.actor), "at": now(),
    }  # fmt: skip
    return render(request, "triage/audit/ledger.html", shown)


@require_POST
@needs(Right.AUDIT)
def ledger_verify(request: PageRequest) -> HttpResponse:
    nudge("verify_ledger")
    messages.info(request, gettext("The ledger is being recomputed; a million events take about half a minute."))
    return redirect("ledger")


@require_safe
@needs(Right.AUDIT)
def ledger_head(request: PageRequest) -> HttpResponse:
    """The newest head, as a file to keep."""
    head = ledger.standing(actor=request.actor, at=now()).head
    if head is None:
        raise NotFound("Nothing is sealed yet.")
    named = {"Content-Disposition": f'attachment; filename="head-{head.size}.txt"'}
    return HttpResponse(head.note, content_type="text/plain; charset=utf-8", headers=named)
