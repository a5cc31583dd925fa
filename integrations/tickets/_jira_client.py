"""Calls to Jira by the `jira` package, which signs in and never retries; and what each failure means.

What a write may have done is told apart: refused before it left, surely not taken, or not known. Facts on the package's own retries
(it repeats a POST whose answer was dropped) are why `max_retries=0`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from jira import JIRA, JIRAError

from triage.ports import DeliveryError, Limited, Options, Refused

CONNECT, READ = 5.0, 30.0  # seconds
SAID = 500  # characters of an answer that are quoted
NEVER_LEFT = (
    requests.exceptions.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema,
)  # fmt: skip


class Rejected(Exception):
    """Jira answered that this can't be: `status`, its sentences, and sentences by field."""

    def __init__(self, status: int, messages: list[str], fields: Mapping[str, str]) -> None:
        self.status, self.messages, self.fields = status, messages, fields
        sentences = [*messages, *(f"{name}: {text}" for name, text in fields.items())]
        super().__init__(f"{status} " + "; ".join(sentences)[:SAID])


class Client:
    """One connection's Jira, for one call of the plugin: a requests.Session is nobody's promise to threads."""

    def __init__(self, options: Options) -> None:
        self.server = str(options["server"]).rstrip("/")
        self.cloud = options.get("deployment", "cloud") == "cloud"
        token = str(options.get("token", ""))
        sign_in: dict[str, Any] = (
            {"basic_auth": (str(options.get("email", "")), token)}
            if self.cloud or options.get("email")
            else {"token_auth": token}
        )
        self._jira = JIRA(
            self.server, options={"rest_api_version": "2", "check_update": False}, max_retries=0, timeout=(CONNECT, READ),
            get_server_info=False, **sign_in,
        )  # fmt: skip
        self._jira.deploymentType = "Cloud" if self.cloud else "Server"

    def get(self, path: str, **params: Any) -> Any:
        """Raises DeliveryError, Rejected."""
        return self._call("GET", path, writes=False, params={name: str(value) for name, value in params.items()})

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST that changes nothing over there. Raises as `get`."""
        return self._call("POST", path, writes=False, json=body)

    def write(self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Raises as `get`; unknown when it may have been taken."""
        return self._call(method, path, writes=True, **({"json": body} if body is not None else {}), **more)

    def signed_in(self) -> dict[str, Any]:
        """Who we are over there. Raises Refused when nobody, and as `get`."""
        try:
            found: dict[str, Any] = self.get("myself")
        except Rejected as error:
            raise Refused(f"the sign-in does not hold: {error}") from None
        return found

    def _call(self, method: str, path: str, *, writes: bool, **more: Any) -> Any:
        url = f"{self.server}/rest/api/2/{path}"
        try:
            answer = self._jira._session.request(method, url, allow_redirects=False, **more)  # noqa: SLF001 - the package's calls hide what was answered
            if answer.status_code >= 300:
                raise DeliveryError(f"{answer.status_code}: it leads elsewhere. Is the address of the server right?")
            return answer.json() if answer.content else None
        except JIRAError as error:
            raise _meaning(error, writes=writes) from None
        except NEVER_LEFT as error:
            raise DeliveryError(f"it cannot be reached: {_plain(error)}") from None
        except requests.exceptions.ConnectionError as error:
            raise DeliveryError(f"the connection broke: {_plain(error)}", unknown=writes and not _never_left(error)) from None
        except requests.exceptions.JSONDecodeError:
            raise DeliveryError("what it answered is not JSON", unknown=writes) from None
        except (requests.exceptions.RequestException, ValueError) as error:
            raise DeliveryError(f"no answer: {_plain(error)}", unknown=writes) from None


def _meaning(error: JIRAError, *, writes: bool) -> Exception:
    status, answer = error.status_code or 0, error.response
    headers: Mapping[str, str] = answer.headers if answer is not None else {}
    wait = _asked(headers)
    said = _said(answer)
    if status == 429:
        return Limited(f"429 {headers.get('RateLimit-Reason', '')}".strip(), retry_after=wait)
    if status == 401 or "AUTHENTICATION_DENIED" in headers.get("X-Seraph-LoginReason", ""):
        return Refused(f"{status}: the sign-in does not hold")
    if status == 408 or status >= 500:
        return DeliveryError(f"{status} {said[0][0] if said[0] else ''}".strip(), unknown=writes, retry_after=wait)
    if status in (409, 423, 425):
        return DeliveryError(f"{status} {said[0][0] if said[0] else ''}".strip(), retry_after=wait)
    if 400 <= status < 500:
        return Rejected(status, *said)
    return DeliveryError(f"{status}: an answer that nobody expects", unknown=writes)


def _said(answer: requests.Response | None) -> tuple[list[str], dict[str, str]]:
    """Its sentences, and sentences by field."""
    try:
        told = answer.json() if answer is not None else {}
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        return [], {}
    fields = told.get("errors") if isinstance(told.get("errors"), dict) else {}
    messages = [str(each)[:SAID] for each in told.get("errorMessages") or ([told["message"]] if told.get("message") else [])]
    return messages, {str(name): str(text)[:SAID] for name, text in (fields or {}).items()}


def _asked(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: Retry-After as a number or a date (RFC 9110, 10.2.3), else until X-RateLimit-Reset (ISO 8601)."""
    value = headers.get("Retry-After", "").strip()
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    for moment in (_date(value), _iso(headers.get("X-RateLimit-Reset", ""))):
        if moment is not None:
            return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _iso(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _never_left(error: Exception) -> bool:
    """No connection came about: nothing was sent."""
    return any(
        name in repr(error) for name in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "MaxRetryError('SSL")
    )


def _plain(error: Exception) -> str:
    """What went wrong without addresses of objects, and without what an address may hold."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    return type(reason).__name__ if not isinstance(reason, str) else reason[:100]
