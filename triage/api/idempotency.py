"""The same POST twice is done once: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

The lock, what is done and its answer are one transaction: whatever dies in between, the key is free again and nothing was done.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext_noop as _
from rest_framework.response import Response

from triage.api.problems import Problem
from triage.api.requests import TokenRequest
from triage.models import ApiToken, IdempotencyKey
from triage.ports import Text

HEADER = "Idempotency-Key"
LONGEST = 255
KEPT = timedelta(days=7)
Answer = tuple[int, dict[str, Any], dict[str, str]]  # status, body, headers


def key_of(request: TokenRequest) -> str:
    """The key, '' without one. A structured-field string ("…") and the bare text are the same key. Raises Problem for others."""
    said = request.headers.get(HEADER, "").strip()
    key = said[1:-1] if len(said) > 1 and said[0] == said[-1] == '"' else said
    if (said and not key) or len(key) > LONGEST or not (key.isascii() and key.isprintable()):
        raise Problem(
            "invalid", Text(_("The Idempotency-Key has to be 1 to %(length)s printable ASCII characters."), {"length": LONGEST})
        )
    return key


def once(request: TokenRequest, *, key: str, parts: Mapping[str, Any], at: datetime, act: Callable[[], Answer]) -> Response:
    """The answer of `act`, or the one that the key's first request was given.

    `parts`: what makes a request the same one, beside method and path. Raises Problem when the key belongs to another request, or to
    one that is still being worked on.
    """
    if not key:
        with transaction.atomic():
            status, body, headers = act()
        return Response(body, status=status, headers=headers)
    token = request.auth
    fingerprint = _digest([request.method, request.path, dict(parts)])
    with transaction.atomic():
        if not _locked(token, key):
            raise Problem(
                "in-flight", Text(_("The request with this Idempotency-Key is being worked on. Repeat it in a second.")),
                headers={"Retry-After": "1"},
            )  # fmt: skip
        IdempotencyKey.objects.filter(token=token, created_at__lt=at - KEPT).delete()
        known = IdempotencyKey.objects.filter(token=token, key=key).first()
        if known is not None:
            return _again(known, fingerprint)
        status, body, headers = act()
        IdempotencyKey.objects.create(
            token=token, key=key, request=fingerprint, status=status, response={"body": body, "headers": headers}, created_at=at
        )
    return Response(body, status=status, headers=headers)


def _again(known: IdempotencyKey, fingerprint: bytes) -> Response:
    if bytes(known.request) != fingerprint:
        raise Problem("key-reused", Text(_("This Idempotency-Key was used for another request. Use a new one.")))
    stored: dict[str, Any] = known.response or {}
    return Response(stored["body"], status=known.status, headers={**stored["headers"], "Idempotency-Replayed": "true"})


def _locked(token: ApiToken, key: str) -> bool:
    """Whether no other transaction works under this key. The lock goes with the transaction, however that ends."""
    number = int.from_bytes(_digest([token.pk, key])[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        row = cursor.fetchone()
    return bool(row and row[0])


def _digest(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
