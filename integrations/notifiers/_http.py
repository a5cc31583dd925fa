"""POSTs to addresses that people configure: to public ones alone unless allowed, without redirects, and with each failure's meaning."""

import ipaddress
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from triage.ports import DeliveryError, Limited, Refused, Withdrawn

TIMEOUT = (5.0, 10.0)  # seconds, to connect and to read
NEVER_LEFT = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "SSLError", "ProxyError")


class _Pinned(HTTPAdapter):
    """To the address that was checked, under the name that was asked for: a name that resolves otherwise a moment later misleads nobody."""

    def __init__(self, host: str) -> None:
        self._host = host
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, server_hostname=self._host, assert_hostname=self._host)


def checked(url: str, *, private: bool) -> tuple[SplitResult, str]:
    """The parts of the address, and the one IP address to connect to ('' where any is allowed).

    Raises DeliveryError (permanent) for what is not allowed, DeliveryError for a name that does not resolve.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        raise DeliveryError("the address is neither https:// nor http://", permanent=True)
    if parts.username or parts.password:
        raise DeliveryError("the address holds a name or a password", permanent=True)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise DeliveryError("the port of the address is none", permanent=True) from None
    if private:
        return parts, ""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise DeliveryError(f"the name {host} does not resolve") from None
    for each in sorted(found):
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(each.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
        if not address.is_global or address.is_multicast or (mapped is not None and not mapped.is_global):
            raise DeliveryError(f"{host} is an address of the inside, which is not allowed", permanent=True)
    return parts, min(found)


def post(url: str, data: bytes, headers: Mapping[str, str], *, private: bool) -> requests.Response:
    """The answer, if it is of the 200s. Raises DeliveryError, Limited, Refused."""
    parts, address = checked(url, private=private)
    with requests.Session() as session:
        given = dict(headers)
        if address:
            session.trust_env = False
            session.mount(f"{parts.scheme}://", _Pinned(parts.hostname or ""))
            given["Host"] = parts.netloc
            place = f"[{address}]" if ":" in address else address
            url = urlunsplit(parts._replace(netloc=f"{place}:{parts.port}" if parts.port else place, fragment=""))
        try:
            answer = session.post(url, data=data, headers=given, timeout=TIMEOUT, allow_redirects=False)
        except (requests.exceptions.RequestException, ValueError) as error:
            left = not any(name in repr(error) for name in NEVER_LEFT) and not isinstance(
                error, requests.exceptions.ConnectTimeout
            )
            raise DeliveryError(f"no answer: {type(error).__name__}", unknown=left) from None
    raise_for(answer.status_code, answer.headers)
    return answer


def raise_for(status: int, headers: Mapping[str, str]) -> None:
    """What a status means, unless it is of the 200s."""
    wait = asked(headers.get("Retry-After", ""))
    if 200 <= status < 300:
        return
    if status == 429:
        raise Limited("429", retry_after=wait)
    if status in (401, 403):
        raise Refused(f"{status}: it does not take this from us")
    if status == 408 or status >= 500:
        raise DeliveryError(str(status), unknown=True, retry_after=wait)
    if status == 410:
        raise Withdrawn("410: it takes no messages any more")
    raise DeliveryError(f"{status}: it leads elsewhere" if status < 400 else str(status), permanent=True)


def asked(value: str) -> float | None:
    """Seconds of Retry-After, a number or a date (RFC 9110, 10.2.3)."""
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
