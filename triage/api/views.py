"""What all doors of the API have in common."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import Need, TokenMay
from triage.api.problems import invalid_field
from triage.ports import Text

LARGEST_PAGE = 200
PAGE = 50


class JsonAlone(DefaultContentNegotiation):
    """The answer is JSON whatever the caller would rather have: a refusal helps nobody."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class ApiView(APIView):
    """`needs`: scope and right by method; a method that is not named is none of the view's."""

    permission_classes: Sequence[type[BasePermission]] = (TokenMay,)
    content_negotiation_class = JsonAlone
    parser_classes: Sequence[type[BaseParser]] = ()
    needs: ClassVar[dict[str, Need]] = {}

    @property
    def allowed_methods(self) -> list[str]:
        return sorted(self.needs)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """What a token may see is nobody else's to keep."""
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


class Nothing(ApiView):
    """Every address that there is not, so that a wrong one is a problem document, too."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        raise NotFound


def parameters(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """What the address says after “?”. Raises for a name that is not known, a repeated one and for characters nobody types."""
    known = ", ".join(sorted(allowed))
    for name, values in request.query_params.lists():
        if name not in allowed:
            text = Text(_("There is no parameter “%(name)s” here. There are: %(names)s."), {"name": name[:80], "names": known})
            raise invalid_field(name[:80], text, in_address=True)
        if len(values) > 1 or "\0" in values[0]:
            raise invalid_field(name, Text(_("“%(name)s” has to be one text."), {"name": name}), in_address=True)
    return {name: values[0] for name, values in request.query_params.lists()}


def fields(request: Request, allowed: Collection[str], *, texts: Collection[str] = ()) -> dict[str, Any]:
    """What the body says. Raises for a body that is no object, a name that is not known, and for one of `texts` that is none."""
    body = request.data
    if not isinstance(body, dict):
        raise invalid_field("", Text(_("The body has to be a JSON object.")))
    for name in body:
        if name not in allowed:
            known = {"name": str(name)[:80], "names": ", ".join(allowed)}
            raise invalid_field(str(name)[:80], Text(_("There is no field “%(name)s” here. There are: %(names)s."), known))
    for name in texts:
        value = body.get(name, "")
        if not isinstance(value, str) or "\0" in value:
            raise invalid_field(name, Text(_("“%(name)s” has to be a text."), {"name": name}))
    return body


def page_size(said: dict[str, str]) -> int:
    """`limit`, from 1 to LARGEST_PAGE."""
    limit = said.get("limit", str(PAGE))
    if not (limit.isdecimal() and limit.isascii() and len(limit) < 5 and 1 <= int(limit) <= LARGEST_PAGE):
        text = Text(_("“limit” has to be a number from 1 to %(largest)s."), {"largest": LARGEST_PAGE})
        raise invalid_field("limit", text, in_address=True)
    return int(limit)


def paged(request: Request, results: list[dict[str, Any]], *, more: dict[str, Any], **cursors: str | None) -> Response:
    """A page: `results`, the addresses of its neighbours in body and Link header, and `more`."""
    said = {name: value for name, value in request.query_params.items() if name != "cursor"}
    found = {
        name: request.build_absolute_uri(f"{request.path}?{urlencode({**said, 'cursor': cursor})}") if cursor else None
        for name, cursor in cursors.items()
    }
    names = {"next": "next", "previous": "prev"}
    link = ", ".join(f'<{address}>; rel="{names[name]}"' for name, address in found.items() if address)
    return Response({"results": results, **found, **more}, headers={"Link": link} if link else None)
