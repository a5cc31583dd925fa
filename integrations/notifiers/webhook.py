"""Signed webhooks, as https://www.standardwebhooks.com says: whoever gets one twice knows it by its id."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from django.utils.translation import gettext_noop as _

from integrations.notifiers import _http
from triage.ports import DeliveryError, Notice, Options, Probe, Setting, Text

LABEL = _("Webhook")
PER_SECOND = 10.0
REPEATABLE = True
SETTINGS = (
    Setting("url", _("Address"), _("Where messages are POSTed."), required=True),
    Setting("secret", _("Secret"), _("whsec_ and base64, shared with whoever checks the signature."), required=True, secret=True),
    Setting("secret_old", _("Previous secret"), _("Signs as well while it is being changed."), secret=True, seldom=True),
    Setting("allow_private", _("Internal addresses"), default="no", choices=("no", "yes"), seldom=True),
    Setting("headers", _("More headers"), _("Lines of name=value."), many=True, seldom=True),
)
VERSION = 1


def send(notice: Notice, options: Options, /) -> str:
    at = int((notice.at or datetime.now(UTC)).timestamp())
    body = json.dumps(_told(notice), ensure_ascii=False, separators=(",", ":")).encode()
    signed = [_signature(str(options[name]), notice.key, at, body) for name in ("secret", "secret_old") if options.get(name)]
    headers = {str(name): str(value) for name, value in (options.get("headers") or {}).items()}
    headers |= {
        "Content-Type": "application/json", "User-Agent": "cspm-triage", "webhook-id": notice.key, "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signed),
    }  # fmt: skip
    _http.post(str(options["url"]), body, headers, private=options.get("allow_private") == "yes")
    return notice.key


def find(_notice: Notice, _options: Options, /) -> str | None:
    return None


def probe(options: Options, /) -> Iterator[Probe]:
    """The address and the secret; nothing is sent."""
    try:
        _http.checked(str(options.get("url", "")), private=options.get("allow_private") == "yes")
        yield Probe(Text(_("The address is allowed")), True)
    except DeliveryError as error:
        yield Probe(Text(_("The address is allowed")), False, Text("%(said)s", {"said": str(error)}))
    try:
        _key(str(options.get("secret", "")))
        yield Probe(Text(_("The secret signs")), True)
    except DeliveryError as error:
        yield Probe(Text(_("The secret signs")), False, Text("%(said)s", {"said": str(error)}))


def _told(notice: Notice) -> dict[str, object]:
    plain = asdict(notice)
    about = {name: plain[name] for name in ("title", "text", "more", "url", "about", "resolves", "facts")}
    rows = [dict(row) for row in plain["rows"]]
    at = (notice.at or datetime.now(UTC)).isoformat()
    data = {**about, "rows": rows, "severity": notice.severity.name.lower(), "to": notice.to}
    return {"type": str(notice.facts.get("type", "notice")), "version": VERSION, "id": notice.key, "timestamp": at, "data": data}


def _signature(secret: str, number: str, at: int, body: bytes) -> str:
    signed = hmac.new(_key(secret), f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise DeliveryError("the secret is not whsec_ and base64", permanent=True) from None
    if len(key) < 24:
        raise DeliveryError("the secret is shorter than the 24 bytes that the standard asks for", permanent=True)
    return key
