"""Reports in: bring one, ask how far its import is, list what came."""

from typing import Any

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext_noop as _
from django_q.tasks import async_task
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from triage.api import idempotency, schema, uploads
from triage.api.permissions import Need
from triage.api.problems import invalid_field
from triage.api.requests import TokenRequest
from triage.api.texts import said
from triage.api.views import ApiView, page_size, paged, parameters
from triage.domain import ingest, queries
from triage.domain.access import Right
from triage.domain.rows import written
from triage.models import Scan, ScanProgress, ScanState
from triage.ports import Text

RUNNING = (ScanState.RECEIVED, ScanState.RUNNING)
POLL_SECONDS = 2


class Imports(ApiView):
    """POST a report, GET what was brought."""

    needs = {"GET": Need("imports:read", Right.VIEW), "POST": Need("imports:write", Right.IMPORT)}
    parser_classes = (MultiPartParser, uploads.RawReport)

    @extend_schema(**schema.IMPORT_REPORT)
    def post(self, request: TokenRequest) -> Response:
        """Keeps the bytes and answers at once; a worker does the rest."""
        key = idempotency.key_of(request)
        upload = uploads.read(request)
        at = now()

        def act() -> idempotency.Answer:
            scan = ingest.receive(
                stream=upload.path, name=upload.name, declared=upload.declared, actor=request.caller, at=at, upload=True
            )  # fmt: skip
            # Robust: without a queue the report waits for the next sweep, which is no reason to refuse it.
            transaction.on_commit(lambda: async_task("triage.tasks.run_import", scan.pk), robust=True)
            return 202, job(scan, request), {"Location": reverse("api-import", args=[scan.pk])}

        parts = {"name": upload.name, "declared": upload.declared, "sha256": upload.sha256() if key else ""}
        return idempotency.once(request, key=key, parts=parts, at=at, act=act)

    @extend_schema(**schema.LIST_IMPORTS)
    def get(self, request: TokenRequest) -> Response:
        """Newest first."""
        asked = parameters(request, ("cursor", "limit"))
        cursor = asked.get("cursor", "")
        if cursor and not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
            raise invalid_field("cursor", Text(_("This cursor was not made here. Begin with the first page.")), in_address=True)
        found, following = queries.scans(before=int(cursor) if cursor else None, size=page_size(asked))
        scans = [scan for scan, _who in found]
        prefetch_related_objects(scans, "progress")
        return paged(request, [job(scan, request) for scan in scans], more={}, next=str(following) if following else None)


class Import(ApiView):
    """One report: the job to poll."""

    needs = {"GET": Need("imports:read", Right.VIEW)}

    @extend_schema(**schema.READ_IMPORT)
    def get(self, request: TokenRequest, number: int) -> Response:
        """While it waits or runs, Retry-After says when to ask again."""
        parameters(request, ())
        scan = queries.scan(number)
        headers = {"Retry-After": str(POLL_SECONDS)} if scan.state in RUNNING else None
        return Response(job(scan, request), headers=headers)


def job(scan: Scan, request: TokenRequest) -> dict[str, Any]:
    """An import as the API shows it."""
    return {
        "id": str(scan),
        "state": scan.state,
        "file_name": scan.file_name,
        "size": scan.size,
        "sha256": bytes(scan.sha256).hex(),
        "declared": scan.declared,
        "scanner": scan.scanner,
        "format": scan.format,
        "version": scan.version,
        "scanned_at": written(scan.at),
        "received_at": written(scan.received_at),
        "started_at": written(scan.started_at),
        "finished_at": written(scan.finished_at),
        "progress": _progress(scan),
        "counts": scan.counts,
        "notes": [said(note) for note in scan.notes],
        "problem": said(scan.problem) if scan.problem else None,
        "duplicate_of": f"S-{scan.duplicate_of_id}" if scan.duplicate_of_id else None,
        "links": {
            "self": request.build_absolute_uri(reverse("api-import", args=[scan.pk])),
            "page": request.build_absolute_uri(reverse("scan", args=[scan.pk])),
        },
    }


def _progress(scan: Scan) -> dict[str, Any] | None:
    """How far it is; None where nothing moves."""
    progress: ScanProgress | None = getattr(scan, "progress", None) if scan.state in RUNNING else None
    if progress is None:
        return None
    # An archive is read to its end, which its size does not tell.
    share = min(progress.bytes * 100 // scan.size, 99) if scan.size else 0
    return {"stage": progress.stage, "rows": progress.rows, "bytes": progress.bytes, "percent": share}
