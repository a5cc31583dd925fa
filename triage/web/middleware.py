"""What holds for every page: the person's choices and rights before it, and a page for each expected failure after it."""

import zoneinfo
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_noop as _

from triage.domain import access
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale, TriageError
from triage.domain.evidence import Unreachable
from triage.domain.sign_in import TooManyAttempts
from triage.templatetags.triage import said
from triage.web.requests import PageRequest

THEMES = ("light", "dark")
STATUS_CODES: dict[type[TriageError], int] = {
    NotAllowed: 403, NotFound: 404, Stale: 409, Invalid: 400, TooManyAttempts: 429, Unreachable: 503,
}  # fmt: skip


class Preferences:
    """Language, theme, time zone: the person's own, or the browser's and the cookies' before sign-in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: PageRequest) -> HttpResponse:
        user = request.user
        theme = request.COOKIES.get("theme", "")
        request.actor = SimpleLazyObject(lambda: access.of_user(user, door="page"))  # type: ignore[assignment]
        if user.is_authenticated:
            theme = user.theme
            if user.language:
                translation.activate(user.language)
                request.LANGUAGE_CODE = user.language
            if user.time_zone:
                timezone.activate(zoneinfo.ZoneInfo(user.time_zone))
        request.theme = theme if theme in THEMES else ""
        request.shortcuts = request.COOKIES.get("shortcuts") != "off"
        try:
            response = self.get_response(request)
            # One address answers with a page or with a part of it: a cache must not mix them up.
            patch_vary_headers(response, ("HX-Request",))
            if user.is_authenticated and not response.has_header("Cache-Control"):
                response["Cache-Control"] = "private, no-cache"
            return response
        finally:
            timezone.deactivate()


UNTYPED = _("The form contains a character that cannot be typed (U+0000). Type the text instead of pasting it.")


class ExpectedFailures:
    """A TriageError is shown as its sentence: a page, or a message where htmx asked for a part of one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: PageRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """PostgreSQL keeps no U+0000 in a text: a page that is sent one says so, whichever of its fields it is in."""
        if not view.__module__.startswith("triage.web."):
            return None
        texts = (text for sent in (request.GET, request.POST) for values in sent.lists() for text in (values[0], *values[1]))
        return self.process_exception(request, Invalid(UNTYPED)) if any("\0" in text for text in texts) else None

    def process_exception(self, request: PageRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, TriageError):
            return None
        code = status_code(error)
        if request.htmx:
            messages.error(request, said(error.text))
            answer = render(request, "triage/parts/_toasts.html", status=code)
            answer["HX-Retarget"], answer["HX-Reswap"] = "#toasts", "beforeend"
            return answer
        return render(request, "triage/error.html", {"error": error.text, "code": code}, status=code)


def status_code(error: TriageError) -> int:
    """What HTTP says for it."""
    return next((code for kind, code in STATUS_CODES.items() if isinstance(error, kind)), 400)
