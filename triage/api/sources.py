"""Sources: how they are, and another look now."""

from typing import Any

from django.urls import reverse
from django.utils.timezone import now
from django_q.tasks import async_task
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from triage.api import schema
from triage.api.permissions import Need
from triage.api.requests import TokenRequest
from triage.api.texts import said
from triage.api.views import ApiView, parameters
from triage.domain import connections, sources
from triage.domain.access import Right
from triage.domain.rows import written
from triage.domain.sources import Standing
from triage.models import SourceReport


class Sources(ApiView):
    """GET: all sources, with their newest reports."""

    needs = {"GET": Need("imports:read", Right.VIEW)}

    @extend_schema(**schema.LIST_SOURCES)
    def get(self, request: TokenRequest) -> Response:
        """By name."""
        parameters(request, ())
        return Response({"sources": [_one(each, request) for each in sources.standings(at=now())]})


class SourceLooks(ApiView):
    """POST: look at a source now."""

    needs = {"POST": Need("imports:write", Right.IMPORT)}

    @extend_schema(**schema.LOOK_AT_SOURCE)
    def post(self, request: TokenRequest, name: str) -> Response:
        """One that makes reports makes one. They are fetched and imported afterwards."""
        parameters(request, ())
        at = now()
        found = sources.ask(name=name, actor=request.caller, at=at)
        for report in sources.waiting(at=at)[:found]:
            async_task("triage.tasks.fetch_report", report)
        [standing] = [each for each in sources.standings(at=at) if each.connection.name == name]
        return Response(_one(standing, request) | {"found": found}, status=202)


def _one(each: Standing, request: TokenRequest) -> dict[str, Any]:
    return {
        "name": each.connection.name,
        "plugin": each.connection.plugin,
        "state": each.connection.state,
        "last_report": written(each.last_report),
        "next": written(each.next_at),
        "waiting": each.waiting,
        "alarms": [str(alarm.get_kind_display()) for alarm in connections.alarms().filter(connection=each.connection)],
        "reports": [_report(report, request) for report in each.reports],
    }


def _report(report: SourceReport, request: TokenRequest) -> dict[str, Any]:
    return {
        "name": report.name,
        "version": report.version,
        "state": report.state,
        "found_at": written(report.found_at),
        "taken_at": written(report.taken_at),
        "said": [said(text) for text in [*report.notes, *([report.said] if report.said else [])]],
        "import": request.build_absolute_uri(reverse("api-import", args=[report.scan_id])) if report.scan_id else None,
    }
