"""Acts: do something to all findings that a query means, look what came of it, take it back."""

from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
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
from triage.domain import acts
from triage.domain.access import Right
from triage.domain.rows import written
from triage.models import Act
from triage.ports import Text

TEXTS = ("verb", "query", "team", "to", "reason")


class Acts(ApiView):
    """POST: do something to all findings that a query means."""

    needs = {"POST": Need("findings:write", Right.VIEW)}
    parser_classes = (JSONParser,)

    @extend_schema(**schema.ACT)
    def post(self, request: TokenRequest) -> Response:
        """With `dry_run` only what would follow is answered."""
        parameters(request, ())
        key, wanted = idempotency.key_of(request), _wanted(request)
        at = timezone.localtime(timezone=zone_of(request.user))
        asked = {"verb": wanted["verb"], "params": wanted["params"], "query": wanted["query"], "actor": request.caller, "at": at}
        if wanted["dry_run"]:
            with queries_pointed():
                return Response(_plan(acts.plan(**asked)))

        def act() -> idempotency.Answer:
            with queries_pointed():
                made = acts.ask(**asked, reason=wanted["reason"])
            transaction.on_commit(lambda: async_task("triage.tasks.do_act", made.pk), robust=True)
            return 202, one(made, request), {"Location": reverse("api-act", args=[made.pk])}

        return idempotency.once(request, key=key, parts=wanted, at=at, act=act)


class OneAct(ApiView):
    """GET an act."""

    needs = {"GET": Need("findings:write", Right.VIEW)}

    @extend_schema(**schema.READ_ACT)
    def get(self, request: TokenRequest, number: int) -> Response:
        """While it waits or runs, Retry-After says when to ask again."""
        parameters(request, ())
        found = _mine(request, number)
        return Response(one(found, request), headers={"Retry-After": "2"} if found.state != Act.State.DONE else None)


class ActUndo(ApiView):
    """POST: take an act back."""

    needs = {"POST": Need("findings:write", Right.VIEW)}

    @extend_schema(**schema.UNDO_ACT)
    def post(self, request: TokenRequest, number: int) -> Response:
        """What somebody has changed since is left as it is."""
        parameters(request, ())
        return Response(one(acts.undo(act=number, actor=request.caller, at=now()), request))


def _mine(request: TokenRequest, number: int) -> Act:
    found = get_object_or_404(Act, pk=number)
    if found.user_id != request.user.pk:
        request.caller.demand(Right.TRIAGE)
    return found


def _wanted(request: TokenRequest) -> dict[str, Any]:
    body = fields(request, (*TEXTS, "dry_run"), texts=TEXTS)
    dry_run = body.get("dry_run", False)
    if type(dry_run) is not bool:  # "false" is a text, and would be true
        raise invalid_field("dry_run", Text(_("“%(name)s” has to be true or false."), {"name": "dry_run"}))
    if not body.get("query", "").strip():
        raise invalid_field("query", Text(_("Say which findings: a query, or their numbers.")))
    params = {name: body[name] for name in ("team", "to") if body.get(name)}
    return {
        "verb": body.get("verb", ""),
        "params": params,
        "query": body["query"],
        "reason": body.get("reason", ""),
        "dry_run": dry_run,
    }


def one(act: Act, request: TokenRequest) -> dict[str, Any]:
    """An act as it is answered."""
    return {
        "id": str(act), "verb": act.verb, "params": act.params, "query": act.query, "reason": act.reason, "state": act.state,
        "total": act.total, "done": act.done, "skipped": act.skipped, "at": written(act.at), "finished_at": written(act.finished_at),
        "links": {
            "self": request.build_absolute_uri(reverse("api-act", args=[act.pk])),
            "page": request.build_absolute_uri(reverse("act", args=[act.pk])),
        },
    }  # fmt: skip


def _plan(plan: acts.Plan) -> dict[str, Any]:
    return {
        "total": plan.total, "changes": plan.changes, "tickets": plan.tickets,
        "skipped": [{"why": said(why), "n": n} for why, n in plan.skipped],
        "teams": [{"team": team.slug if team else None, "n": n} for team, n in plan.teams],
    }  # fmt: skip
