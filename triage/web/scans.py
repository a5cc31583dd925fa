"""Reports that were taken in: the list, one with its diff, how far it is, and its bytes."""

from typing import Any

from django.http import FileResponse, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from triage.domain import evidence, queries
from triage.domain.access import Right
from triage.models import Scan, ScanProgress, ScanState
from triage.web.requests import PageRequest, needs

PAGE = 50
# What the progress bar says of each stage of an import; what is not named here is being read.
WRITING = ("settling", "writing")


@require_safe
@needs(Right.VIEW)
def scans(request: PageRequest) -> HttpResponse:
    before = request.GET.get("before", "")
    rows, following = queries.scans(before=int(before) if before.isdecimal() and len(before) < 19 else None, size=PAGE)
    return render(request, "triage/scans/list.html", {"scans": rows, "following": following, "first": bool(before), "at": now()})


@require_safe
@needs(Right.VIEW)
def scan(request: PageRequest, number: int) -> HttpResponse:
    found = queries.scan(number)
    shown = {"scan": found, "story": queries.scan_story(found), "at": now(), **_progress(found)}
    return render(request, "triage/scans/detail.html", shown)


@require_safe
@needs(Right.VIEW)
def scan_progress(request: PageRequest, number: int) -> HttpResponse:
    """The moving part of the page. When there is nothing to wait for any more, the whole page is asked for."""
    found = queries.scan(number)
    shown = {"scan": found, **_progress(found)}
    if not shown["running"]:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "triage/scans/_progress.html", shown)


@require_safe
@needs(Right.VIEW)
def scan_original(request: PageRequest, number: int) -> FileResponse:  # noqa: ARG001
    """The report as it was received: saved, never shown, whatever it holds."""
    found = queries.scan(number)
    stream = evidence.open_stored(bytes(found.sha256))
    return FileResponse(
        stream,
        as_attachment=True,
        filename=found.file_name or str(found),
        content_type="application/octet-stream",
        headers={"Content-Encoding": "identity"},  # a report of 900 MB is not packed while somebody waits
    )


def _progress(found: Scan) -> dict[str, Any]:
    running = found.state in (ScanState.RECEIVED, ScanState.RUNNING)
    progress: ScanProgress | None = getattr(found, "progress", None) if running else None
    step = 0 if progress is None else 2 if progress.stage in WRITING else 1
    # An archive is read to its end, which its size does not tell.
    share = min(progress.bytes * 100 // found.size, 99) if progress and found.size else None
    return {"running": running, "progress": progress, "step": step, "share": share}
