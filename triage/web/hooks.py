"""Where the outside tells us something: signed, stored, answered at once."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from triage.domain import inbox
from triage.domain.errors import NotFound
from triage.ports import Forged
from triage.web.requests import nudge

logger = logging.getLogger(__name__)


@csrf_exempt  # its signature says who sends it
@login_not_required
@require_POST
def hook(request: HttpRequest, name: str) -> HttpResponse:
    """200 for what is stored, also for what was before; 401 for what is not signed as it should be, of which nothing is kept."""
    try:
        body = request.body
    except RequestDataTooBig:
        return HttpResponse(status=413)
    try:
        received = inbox.receive(name=name, headers=request.headers, body=body, at=now())
    except NotFound:
        return HttpResponse(status=404)
    except Forged as reason:
        logger.warning("refused a delivery to %s: %s", name, reason)
        return HttpResponse(status=401)
    if received.fresh:
        nudge("read_inbox")
    return HttpResponse(received.reply, content_type="text/plain", status=200)
