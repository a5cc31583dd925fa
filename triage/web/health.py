"""Whether the service can do its work: for load balancers and supervisors."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.utils.timezone import now

from triage.domain import archiving, deliveries, ledger


@login_not_required
def health(_request: HttpRequest) -> JsonResponse:
    """200 when the database answers, 503 when it does not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"database": False}, status=503)
    return JsonResponse({"database": True})


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Numbers for Prometheus, for whoever has CSPM_METRICS_TOKEN; without one configured there is no such page."""
    given = request.headers.get("Authorization", "")
    if not settings.METRICS_TOKEN or not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse(status=404)
    told = deliveries.metrics() + ledger.metrics(at=now()) + archiving.metrics(at=now())
    return HttpResponse(told, content_type="text/plain; version=0.0.4; charset=utf-8")
