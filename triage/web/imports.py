"""Bringing a report."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods

from triage.domain import ingest, people
from triage.domain.access import Right
from triage.domain.errors import Invalid
from triage.web.requests import PageRequest, needs, nudge

SAID = ("zone", "account", "repository", "branch", "category")


@require_http_methods(["GET", "POST"])
@needs(Right.IMPORT)
def import_report(request: PageRequest) -> HttpResponse:
    """Keeps the bytes and answers at once with the page of the scan; a worker does the rest."""
    if request.method == "GET":
        return _form(request)
    try:
        declared = _declared(request)
        report = _report(request)
        with transaction.atomic():
            path = Path(report.temporary_file_path())
            scan = ingest.receive(
                stream=path, name=report.name or "", declared=declared, actor=request.actor, at=now(), upload=True
            )
            nudge("run_import", scan.pk)
    except Invalid as error:
        return _form(request, error=error, status=400)
    return redirect("scan", scan.pk)


def _form(request: PageRequest, *, error: Invalid | None = None, status: int = 200) -> HttpResponse:
    said = {name: request.POST[name] for name in SAID if request.POST.get(name)}
    whole = {"yes": True, "no": False}.get(request.POST.get("complete", ""))
    shown = {
        "declared": {**said, "complete": whole} if said or whole is not None else {},
        "mapping": request.POST.get("mapping", ""),
        "error": error.text if error else None,
        "zones": sorted(people.zones()),
        "default_zone": settings.TIME_ZONE,
        "limit": settings.REPORT_MAX_BYTES,
    }
    return render(request, "triage/imports/form.html", shown, status=status)


def _report(request: PageRequest) -> TemporaryUploadedFile:
    report = request.FILES.get("report")
    if not isinstance(report, TemporaryUploadedFile):
        raise Invalid(_("No file came with the form. Choose a report first."))
    return report


def _declared(request: PageRequest) -> dict[str, Any]:
    """What the form says of the scope, without what was left empty. Raises Invalid for a mapping that is no JSON object."""
    declared: dict[str, Any] = {name: request.POST[name].strip() for name in SAID if request.POST.get(name, "").strip()}
    whole = request.POST.get("complete", "")
    if whole in ("yes", "no"):
        declared["complete"] = whole == "yes"
    if written := request.POST.get("mapping", "").strip():
        try:
            declared["mapping"] = json.loads(written)
        except (ValueError, RecursionError) as error:
            raise Invalid(_("The mapping is not valid JSON: %(reason)s."), reason=str(error)[:200]) from error
        if not isinstance(declared["mapping"], dict):
            raise Invalid(_('The mapping has to be a JSON object: {"check": "column", …}.'))
    return declared
