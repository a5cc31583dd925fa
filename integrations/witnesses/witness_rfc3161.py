"""A time stamp authority (RFC 3161): it signs that a head was there at a moment, by a clock that is not ours."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from django.utils.translation import gettext_noop as _
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from integrations.notifiers import _http
from triage.ports import DeliveryError, Options, Probe, SealedHead, Setting, Text

LABEL = _("Timestamp authority (RFC 3161)")
SETTINGS = (
    Setting("url", _("Address"), _("Where the authority takes requests, such as http://timestamp.example/tsr."), required=True),
    Setting("certificates", _("Its root certificates"), _("Path of a PEM file on the server. Without it, nobody checks who signed.")),
    Setting("allow_private", _("Internal addresses"), default="no", choices=("no", "yes"), seldom=True),
)  # fmt: skip
STAMP = "data:application/timestamp-reply;base64,"
GRANTED = (0, 1)  # PKIStatus: granted, granted with modifications


def probe(options: Options, /) -> Iterator[Probe]:
    what = Text(_("It stamps what we send"))
    try:
        _stamped(b"cspm-triage probe", options)
    except DeliveryError as error:
        yield Probe(what, passed=False, said=Text("%(error)s", {"error": str(error)}))
    else:
        yield Probe(what, passed=True)


def publish(head: SealedHead, options: Options, /) -> str:
    """The authority's whole answer, as a data: URI."""
    return STAMP + base64.b64encode(_stamped(head.note.encode(), options)).decode()


def _stamped(data: bytes, options: Options) -> bytes:
    """The authority's whole answer, as `openssl ts -verify` takes it. Raises DeliveryError."""
    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    answer = _http.post(
        str(options["url"]),
        request.as_bytes(),
        {"Content-Type": "application/timestamp-query"},
        private=options.get("allow_private") == "yes",
    )
    try:
        response = decode_timestamp_response(answer.content)
    except ValueError as error:
        raise DeliveryError(f"the answer is no time stamp: {error}") from None
    if response.status not in GRANTED:
        raise DeliveryError(f"the authority refused: status {response.status} {' '.join(response.status_string)}", permanent=True)
    _check(response, request, data, str(options.get("certificates") or ""))
    return answer.content


def _check(response: TimeStampResponse, request: TimeStampRequest, data: bytes, certificates: str) -> None:
    """It is about what we sent, now, and signed by whom we trust. Raises DeliveryError."""
    said = response.tst_info
    if said.message_imprint.message != hashlib.sha256(data).digest() or said.nonce != request.nonce:
        raise DeliveryError("the time stamp is about something else", permanent=True)
    if not certificates:
        return
    try:
        roots = x509.load_pem_x509_certificates(Path(certificates).read_bytes())
    except (OSError, ValueError) as error:
        raise DeliveryError(f"{certificates}: {error}", permanent=True) from None
    builder = VerifierBuilder()
    for root in roots:
        builder = builder.add_root_certificate(root)
    try:
        builder.build().verify_message(response, data)
    except (VerificationError, ValueError) as error:
        raise DeliveryError(f"the time stamp is not signed as it should be: {error}", permanent=True) from None
