"""For who audits: how the sealed log stands, bundles, and the evidence of a verification as it was kept."""

from datetime import datetime, time, timedelta, tzinfo
from typing import Any

from django.db import transaction
from django.http import FileResponse, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.timezone import get_current_timezone, now
from django.utils.translation import get_language
from django.utils.translation import gettext_noop as _
from django_q.tasks import async_task
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import JSONParser
from rest_framework.response import Response

from triage.api import idempotency, schema
from triage.api.findings import zone_of
from triage.api.permissions import Need
from triage.api.problems import invalid_field, queries_pointed
from triage.api.requests import TokenRequest
from triage.api.texts import said
from triage.api.views import ApiView, fields, parameters
from triage.domain import bundles, ledger, proofs
from triage.domain.access import Right
from triage.domain.rows import written
from triage.models import Bundle
from triage.ports import Text

TEXTS = ("since", "until", "query", "framework", "seed", "head")
LARGEST_SAMPLE = 999_999
EARLIEST, LATEST = 1900, 2200  # years of a period
NOT_DONE = (Bundle.State.WAITING, Bundle.State.RUNNING)


class Ledger(ApiView):
    """GET: the newest head of the log, and whether the log holds."""

    needs = {"GET": Need("audit:read", Right.AUDIT)}

    @extend_schema(**schema.READ_LEDGER)
    def get(self, request: TokenRequest) -> Response:
        """`head` is the signed note, as witnesses have it."""
        parameters(request, ())
        found = ledger.standing(actor=request.caller, at=now())
        check = found.check
        return Response({
            "size": found.head.size if found.head else 0,
            "head": found.head.note if found.head else None,
            "waiting": found.waiting,
            "stalled_since": written(found.stalled),
            "checked_at": written(check.at) if check else None,
            "fault": said(check.fault) if check and check.fault else None,
            "keys": [line for _key, line in ledger.keys_on_record(actor=request.caller)],
        })  # fmt: skip


class Bundles(ApiView):
    """GET: the newest bundles. POST: order one."""

    needs = {"GET": Need("audit:read", Right.AUDIT), "POST": Need("audit:write", Right.AUDIT)}
    parser_classes = (JSONParser,)

    @extend_schema(**schema.LIST_BUNDLES)
    def get(self, request: TokenRequest) -> Response:
        """The newest first."""
        parameters(request, ())
        return Response({"bundles": [one(row, request) for row in bundles.listed(actor=request.caller)]})

    @extend_schema(**schema.ORDER_BUNDLE)
    def post(self, request: TokenRequest) -> Response:
        """A worker makes it."""
        parameters(request, ())
        key, wanted, at = idempotency.key_of(request), _body(request), now()
        zone = zone_of(request.user) or get_current_timezone()
        since, until = (_day(wanted, name, zone) for name in ("since", "until"))

        def act() -> idempotency.Answer:
            period = bundles.Wanted(since, until + timedelta(days=1), wanted["query"], wanted["framework"])
            with queries_pointed():
                row = bundles.order(
                    wanted=period, sample=wanted["sample"], seed=wanted["seed"], head=wanted["head"],
                    language=get_language() or "en", actor=request.caller, at=at,
                )  # fmt: skip
            transaction.on_commit(lambda: async_task("triage.tasks.make_bundle", row.pk), robust=True)
            return 202, one(row, request), {"Location": reverse("api-bundle", args=[row.pk])}

        return idempotency.once(request, key=key, parts=wanted, at=at, act=act)


class OneBundle(ApiView):
    """GET one bundle."""

    needs = {"GET": Need("audit:read", Right.AUDIT)}

    @extend_schema(**schema.READ_BUNDLE)
    def get(self, request: TokenRequest, number: int) -> Response:
        """While it is being made, Retry-After says when to ask again."""
        parameters(request, ())
        row = get_object_or_404(Bundle, pk=number)
        return Response(one(row, request), headers={"Retry-After": "2"} if row.state in NOT_DONE else None)


class BundleFile(ApiView):
    """GET the ZIP of a bundle."""

    needs = {"GET": Need("audit:read", Right.AUDIT)}

    @extend_schema(**schema.FETCH_BUNDLE)
    def get(self, request: TokenRequest, number: int) -> FileResponse:
        """That it was fetched is an event."""
        parameters(request, ())
        row, stream = bundles.fetch(bundle=number, actor=request.caller, at=now())
        return FileResponse(stream, as_attachment=True, filename=f"{row}.zip", content_type="application/zip")


class VerificationEvidence(ApiView):
    """GET what a verification was answered by."""

    needs = {"GET": Need("verifications:read", Right.VIEW)}

    @extend_schema(**schema.READ_EVIDENCE)
    def get(self, request: TokenRequest, number: int) -> HttpResponse:
        """The bytes as they were kept: their SHA-256 is the one in the audit trail. That they were read is an event."""
        parameters(request, ())
        run, data = proofs.fetched(verification=number, actor=request.caller, at=now())
        return HttpResponse(data, content_type="application/octet-stream", headers={"ETag": f'"{run.evidence}"'})


def one(row: Bundle, request: TokenRequest) -> dict[str, Any]:
    """A bundle as it is answered."""

    def link(name: str) -> str:
        return request.build_absolute_uri(reverse(name, args=[row.pk]))

    return {
        "id": str(row), "state": row.state, "since": written(row.since), "to": written(row.to), "query": row.query,
        "framework": row.framework, "sample": row.sample, "requested_at": written(row.requested_at),
        "finished_at": written(row.finished_at), "findings": row.findings, "events": row.events, "size": row.size,
        "sha256": bytes(row.sha256).hex() if row.sha256 else None, "problem": said(row.problem) if row.problem else None,
        "links": {"self": link("api-bundle"), "file": link("api-bundle-file") if row.state == Bundle.State.DONE else None},
    }  # fmt: skip


def _body(request: TokenRequest) -> dict[str, Any]:
    body = fields(request, (*TEXTS, "sample"), texts=TEXTS)
    sample = body.get("sample", bundles.SAMPLE)
    if type(sample) is not int or not 0 <= sample <= LARGEST_SAMPLE:
        raise invalid_field("sample", Text(_("“%(text)s” is not a number."), {"text": str(sample)[:20]}))
    return {name: body.get(name, "") for name in TEXTS} | {"sample": sample}


def _day(wanted: dict[str, Any], name: str, zone: tzinfo) -> datetime:
    """Its first moment where the token's person is."""
    try:
        day = datetime.strptime(wanted[name], "%Y-%m-%d").date()  # noqa: DTZ007 - the zone follows
    except ValueError:
        day = None
    if day is None or not EARLIEST <= day.year < LATEST:
        raise invalid_field(name, Text(_("“%(text)s” is not a date. Write it as 2026-03-31."), {"text": wanted[name][:40]}))
    return datetime.combine(day, time.min, zone)
