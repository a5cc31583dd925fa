"""Every failure as one document: RFC 9457, `application/problem+json`, its words in the caller's language."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, UnreadablePostError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from triage.api.texts import said
from triage.domain.errors import NotAllowed, NotFound, Stale, TriageError
from triage.domain.search import QueryError
from triage.domain.sign_in import TooManyAttempts
from triage.ports import Text

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
HELP = "/api/docs#problem-"
CHALLENGE = 'Bearer realm="CSPM Triage"'


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its title, and what somebody who meets it should do."""

    status: int
    title: str
    advice: str


# By the stable code that programs compare.
KINDS: Mapping[str, Kind] = {
    "invalid": Kind(
        400,
        _("The request does not say what it should"),
        _("Correct what `detail` and `errors` name. `pointer` names a field of the body, `parameter` one of the address."),
    ),
    "unreadable": Kind(
        400,
        _("The request cannot be read"),
        _("The body is not what its Content-Type says, or was cut off on its way. Send it again whole."),
    ),
    "not-authenticated": Kind(
        401,
        _("A valid token is needed"),
        _("Send `Authorization: Bearer cspm_…`. An administrator makes tokens with `cspm token create`."),
    ),
    "not-allowed": Kind(
        403,
        _("This token may not do that"),
        _("The token needs the scope, and its person a role with the right, that `detail` names."),
    ),
    "not-found": Kind(
        404,
        _("There is no such thing"),
        _("Look at the address, and whether the id is one of this installation."),
    ),
    "method-not-allowed": Kind(
        405,
        _("This address does not know the method"),
        _("The header Allow names the methods that it knows."),
    ),
    "stale": Kind(
        409,
        _("Somebody changed it in the meantime"),
        _("Read it again and decide anew."),
    ),
    "in-flight": Kind(
        409,
        _("The same request is being worked on"),
        _("A request with this Idempotency-Key has no answer yet. Wait a moment and repeat it."),
    ),
    "length-required": Kind(
        411,
        _("The length of the body is missing"),
        _("Send Content-Length instead of Transfer-Encoding: chunked."),
    ),
    "too-large": Kind(
        413,
        _("The body is too large"),
        _("Pack the report (.gz, .zip), or let an administrator raise CSPM_REPORT_MAX_BYTES."),
    ),
    "unsupported-media-type": Kind(
        415,
        _("This kind of body is not read here"),
        _("The documentation of the operation names the kinds of body that it reads."),
    ),
    "key-reused": Kind(
        422,
        _("The Idempotency-Key belongs to another request"),
        _("Use a new key for each new request; repeat a request unchanged."),
    ),
    "too-many-requests": Kind(
        429,
        _("Too many requests"),
        _("Wait as many seconds as the header Retry-After says."),
    ),
    "failed": Kind(
        500,
        _("The service failed"),
        _("It was not your fault. Tell an administrator the `trace_id`: the log knows more under it."),
    ),
}


class Problem(Exception):
    """A failure with its code. `detail`: a Text, or a sentence in the caller's language. `errors`: as the document has them."""

    def __init__(
        self,
        code: str,
        detail: Text | str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


@contextmanager
def queries_pointed() -> Iterator[None]:
    """Within it, a query with a mistake is a Problem that points at it."""
    try:
        yield
    except QueryError as error:
        place = {"pointer": "#/query", "position": error.position, "length": error.length}
        suggested = {"detail": said(error.text), **place, "suggestions": list(error.suggestions)}
        raise Problem("invalid", error.text, errors=[suggested]) from error


def invalid_field(name: str, text: Text, *, in_address: bool = False) -> Problem:
    """One field of the body, or parameter of the address, is not what it should be."""
    place = {"parameter": name} if in_address else {"pointer": f"#/{name}"}
    return Problem("invalid", text, errors=[{"detail": said(text), **place}])


def handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """The answer to any exception. What nobody expected is logged under a number, and nothing of it is told."""
    set_rollback()
    request = context["request"]
    trace = None
    problem = exc if isinstance(exc, Problem) else _of_domain(exc) or _of_framework(exc)
    if problem is None:
        trace = secrets.token_hex(8)
        log.error("%s %s failed (trace_id %s)", request.method, request.path, trace, exc_info=exc)
        problem = Problem(
            "failed", Text(_("Something failed that should not have. An administrator finds more under the trace_id."))
        )
    return answer(problem, instance=request.path, trace=trace)


def answer(problem: Problem, *, instance: str, trace: str | None = None) -> Response:
    """The document. `instance`: the path that was asked for."""
    kind = KINDS[problem.code]
    body = {
        "type": HELP + problem.code,
        "title": gettext(kind.title),
        "status": kind.status,
        "detail": said(problem.detail) if isinstance(problem.detail, Text) else problem.detail,
        "instance": instance,
        "code": problem.code,
        "errors": problem.errors,
    }
    if trace is not None:
        body["trace_id"] = trace
    headers = {"WWW-Authenticate": CHALLENGE, **problem.headers} if kind.status == 401 else problem.headers
    return Response(body, status=kind.status, headers=headers, content_type=MEDIA_TYPE)


def _of_domain(exc: Exception) -> Problem | None:
    if not isinstance(exc, TriageError):
        return None
    if isinstance(exc, QueryError):
        place = {"parameter": "q", "position": exc.position, "length": exc.length, "suggestions": list(exc.suggestions)}
        return Problem("invalid", exc.text, errors=[{"detail": said(exc.text), **place}])
    if isinstance(exc, TooManyAttempts):
        return Problem("too-many-requests", exc.text, headers={"Retry-After": "60"})
    codes = {NotAllowed: "not-allowed", NotFound: "not-found", Stale: "stale"}
    return Problem(next((code for kind, code in codes.items() if isinstance(exc, kind)), "invalid"), exc.text)


def _of_framework(exc: Exception) -> Problem | None:
    detail = str(getattr(exc, "detail", ""))
    for kinds, code, text in _FRAMEWORK:
        if isinstance(exc, kinds):
            problem = Problem(code, text or detail or Text(KINDS[code].advice))
            if isinstance(exc, exceptions.AuthenticationFailed):
                problem.headers = {"WWW-Authenticate": CHALLENGE + ', error="invalid_token"'}
            return problem
    return None


# Whose own words will do has no Text here.
_FRAMEWORK: tuple[tuple[tuple[type[Exception], ...], str, Text | None], ...] = (
    (
        (exceptions.NotAuthenticated,), "not-authenticated",
        Text(_("No token came with the request. Send it as Authorization: Bearer cspm_…")),
    ),
    ((exceptions.AuthenticationFailed,), "not-authenticated", None),
    ((exceptions.PermissionDenied, PermissionDenied), "not-allowed", Text(_("Nobody may do this."))),
    (
        (exceptions.NotFound, Http404), "not-found",
        Text(_("There is nothing at this address. The documentation lists what there is: /api/docs")),
    ),
    ((exceptions.MethodNotAllowed,), "method-not-allowed", None),
    ((exceptions.UnsupportedMediaType,), "unsupported-media-type", None),
    ((exceptions.Throttled,), "too-many-requests", None),
    ((RequestDataTooBig,), "too-large", Text(_("The fields beside the file are larger than allowed."))),
    ((exceptions.ParseError, SuspiciousOperation, UnreadablePostError), "unreadable", None),
)  # fmt: skip
