"""Findings out: a page of those that a query means, and one."""

from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from triage.api import schema
from triage.api.permissions import Need
from triage.api.requests import TokenRequest
from triage.api.views import ApiView, page_size, paged, parameters
from triage.domain import queries, search
from triage.domain.access import Right
from triage.domain.rows import rows
from triage.domain.search import pages
from triage.models import User


class Findings(ApiView):
    """GET the findings that a query means."""

    needs = {"GET": Need("findings:read", Right.VIEW)}

    @extend_schema(**schema.LIST_FINDINGS)
    def get(self, request: TokenRequest) -> Response:
        """The worst first, unless `order` says otherwise."""
        asked = parameters(request, ("q", "order", "cursor", "limit"))
        actor = request.caller
        # “Today” begins where the token's person is.
        at = timezone.localtime(timezone=zone_of(request.user))
        found = search.findings(search.parse(asked.get("q", "")), at=at, user=actor.user, teams=actor.teams)
        page = pages.page(found, asked.get("order", "score"), asked.get("cursor") or None, page_size(asked))
        more = {"total": page.total, "total_is_capped": page.capped}
        return paged(request, list(rows(page.items, at=at)), more=more, next=page.next, previous=page.previous)


class OneFinding(ApiView):
    """GET one finding."""

    needs = {"GET": Need("findings:read", Right.VIEW)}

    @extend_schema(**schema.READ_FINDING)
    def get(self, request: TokenRequest, number: int) -> Response:
        """A finding that was merged into another is still found under its old id."""
        parameters(request, ())
        found = queries.finding(number)
        (row,) = rows([found], at=timezone.now())
        return Response(row, headers={"Content-Location": reverse("api-finding", args=[found.pk])})


def zone_of(user: User) -> ZoneInfo | None:
    """Where the person's days begin, if they said so."""
    return ZoneInfo(user.time_zone) if user.time_zone else None
