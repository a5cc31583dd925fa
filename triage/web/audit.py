"""The auditor's questions, answered for a day: who owned this, which roles did this person have; and where the others are answered."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from triage.domain import access, queries, users
from triage.domain.access import Right
from triage.domain.errors import TriageError
from triage.domain.ownership.explaining import explain
from triage.web.days import end_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, needs


@require_safe
@needs(Right.AUDIT)
def audit(request: PageRequest) -> HttpResponse:
    """Query: `on`, a day; `asset`, an identifier, a name or a finding; `person`, an e-mail address."""
    said = {name: request.GET.get(name, "").strip()[:500] for name in ("on", "asset", "person")}
    shown: dict[str, Any] = {"said": said, "owners": None, "roles": None, "error": None}
    status = 200
    try:
        on = end_of(said["on"]) if said["on"] else now()
        if said["asset"]:
            shown["owners"] = explain(name=said["asset"], actor=request.actor, as_of=on if said["on"] else None)
        if said["person"]:
            held = access.roles_on(user=users.named(said["person"]), on=on, actor=request.actor)
            names = queries.who({role.given_by for role in held})
            shown["roles"] = [(role, names[role.given_by]) for role in held]
    except TriageError as error:
        shown["error"], status = error.text, status_code(error)
    return render(request, "triage/audit/page.html", shown, status=status)
