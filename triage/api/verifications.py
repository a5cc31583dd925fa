"""Verifications: ask for one or for all that a query means, and look at what became of them."""

from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.timezone import now
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
from triage.domain import queries, verification
from triage.domain.access import Right
from triage.domain.rows import written
from triage.domain.verification import runs
from triage.models import Verification, VerificationRun
from triage.ports import Text

POLL_SECONDS = 2
FIELDS = ("query", "limit")


class FindingVerifications(ApiView):
    """POST: run a finding's check again."""

    # The right to verify is the finding's team's, which the domain asks for.
    needs = {"POST": Need("verifications:write", Right.VIEW)}

    @extend_schema(**schema.VERIFY_FINDING)
    def post(self, request: TokenRequest, number: int) -> Response:
        """One that is on its way already is answered as it is."""
        parameters(request, ())
        at = now()

        def act() -> idempotency.Answer:
            found = verification.request(
                finding=queries.finding(number).pk, trigger=Verification.Trigger.PERSON, actor=request.caller, at=at
            )
            transaction.on_commit(lambda: async_task("triage.tasks.verify", found.pk), robust=True)
            return 202, one(found, request), {"Location": reverse("api-verification", args=[found.pk])}

        return idempotency.once(request, key=idempotency.key_of(request), parts={}, at=at, act=act)


class Verifications(ApiView):
    """POST: run the checks again of all findings that a query means."""

    needs = {"POST": Need("verifications:write", Right.VIEW)}
    parser_classes = (JSONParser,)

    @extend_schema(**schema.VERIFY_FINDINGS)
    def post(self, request: TokenRequest) -> Response:
        """Asks for them as one run, and answers at once."""
        parameters(request, ())
        key, wanted = idempotency.key_of(request), _wanted(request)
        # “Today” begins where the token's person is.
        at = timezone.localtime(timezone=zone_of(request.user))

        def act() -> idempotency.Answer:
            with queries_pointed():
                run = verification.request_all(
                    **wanted, trigger=Verification.Trigger.PERSON, actor=request.caller, at=at
                )  # fmt: skip
            transaction.on_commit(lambda: async_task("triage.tasks.verify_waiting"), robust=True)
            return (
                202,
                many(run, runs.progress(run, at=at), request),
                {"Location": reverse("api-verification-run", args=[run.pk])},
            )

        return idempotency.once(request, key=key, parts=wanted, at=at, act=act)


class OneVerification(ApiView):
    """GET one verification."""

    needs = {"GET": Need("verifications:read", Right.VIEW)}

    @extend_schema(**schema.READ_VERIFICATION)
    def get(self, request: TokenRequest, number: int) -> Response:
        """While it waits or runs, Retry-After says when to ask again."""
        parameters(request, ())
        found = runs.verification(number)
        headers = {"Retry-After": str(POLL_SECONDS)} if found.state in runs.UNFINISHED else None
        return Response(one(found, request), headers=headers)


class OneVerificationRun(ApiView):
    """GET a run of many."""

    needs = {"GET": Need("verifications:read", Right.VIEW)}

    @extend_schema(**schema.READ_VERIFICATION_RUN)
    def get(self, request: TokenRequest, number: int) -> Response:
        """While something of it waits or runs, Retry-After says when to ask again."""
        parameters(request, ())
        found = runs.named(number)
        progress = runs.progress(found, at=now())
        headers = None if progress.finished else {"Retry-After": str(POLL_SECONDS)}
        return Response(many(found, progress, request), headers=headers)


class Cancellation(ApiView):
    """POST: withdraw what of a run still waits."""

    needs = {"POST": Need("verifications:write", Right.VIEW)}

    @extend_schema(**schema.CANCEL_VERIFICATION_RUN)
    def post(self, request: TokenRequest, number: int) -> Response:
        """What runs already is finished."""
        parameters(request, ())
        at = now()

        def act() -> idempotency.Answer:
            run = runs.named(number)
            runs.cancel(run, actor=request.caller, at=at)
            return 200, many(run, runs.progress(run, at=at), request), {}

        return idempotency.once(request, key=idempotency.key_of(request), parts={}, at=at, act=act)


def _wanted(request: TokenRequest) -> dict[str, Any]:
    """The body's fields. Raises Problem."""
    body = fields(request, FIELDS)
    query, limit = body.get("query"), body.get("limit")
    if not isinstance(query, str) or not query.strip() or "\0" in query:
        raise invalid_field("query", Text(_("Say which findings: a query, or their numbers.")))
    if limit is not None and (type(limit) is not int or not 0 < limit < 2**31):
        raise invalid_field("limit", Text(_("“limit” has to be a number of at least 1.")))
    return {"query": query, "limit": limit}


def one(found: Verification, request: TokenRequest) -> dict[str, Any]:
    """A verification as it is answered."""
    return {
        "id": str(found),
        "finding": str(found.finding),
        "run": f"R-{found.run_id}" if found.run_id else None,
        "trigger": found.trigger,
        "state": found.state,
        "outcome": found.outcome or None,
        "summary": said(found.summary) if found.summary else None,
        "missing": found.missing or None,
        "principal": found.principal or None,
        "verifier": found.verifier or None,
        "evidence": bytes(found.evidence_id).hex() if found.evidence_id else None,
        "requested_at": written(found.requested_at),
        "started_at": written(found.started_at),
        "finished_at": written(found.finished_at),
        "links": {
            "self": request.build_absolute_uri(reverse("api-verification", args=[found.pk])),
            "page": request.build_absolute_uri(reverse("finding", args=[found.finding_id])),
        },
    }


def many(run: VerificationRun, progress: runs.Progress, request: TokenRequest) -> dict[str, Any]:
    """A run as it is answered."""
    return {
        "id": str(run),
        "query": run.query,
        "trigger": run.trigger,
        "state": "running" if not progress.finished else "cancelled" if run.cancelled_at else "done",
        "total": run.total,
        "barred": run.barred,
        "unanswered": run.unanswered,
        "joined": run.joined,
        "waiting": progress.waiting,
        "running": progress.running,
        "withdrawn": progress.withdrawn,
        "outcomes": dict(progress.outcomes),
        "percent": progress.percent,
        "seconds_left": int(progress.left.total_seconds()) if progress.left is not None else None,
        "requested_at": written(run.requested_at),
        "cancelled_at": written(run.cancelled_at),
        "links": {"self": request.build_absolute_uri(reverse("api-verification-run", args=[run.pk]))},
    }
