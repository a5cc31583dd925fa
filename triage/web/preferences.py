"""Language, theme, time zone, shortcuts."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, override
from django.views.decorators.http import require_http_methods

from triage.domain import people
from triage.web.requests import PageRequest, back_to, signed_in

YEAR = 365 * 24 * 3600


@login_not_required
@require_http_methods(["GET", "POST"])
def preferences(request: PageRequest) -> HttpResponse:
    """POST keeps whatever it names, on the person and in cookies: the sign-in page looks the same afterwards."""
    person = signed_in(request)
    if request.method == "GET":
        if person is None:
            return redirect("sign-in")
        return render(request, "triage/preferences.html", {"zones": sorted(people.zones()), "default_zone": settings.TIME_ZONE})
    language = request.POST.get("language")
    theme = request.POST.get("theme", "").replace("system", "") if "theme" in request.POST else None
    people.prefer(user=person, language=language, theme=theme, time_zone=request.POST.get("time_zone"))
    answer = redirect(back_to(request, "preferences" if person else "sign-in"))
    if "next" not in request.POST:
        with override(language or request.LANGUAGE_CODE):
            messages.success(request, gettext("Saved."))
    for name, value in (
        (settings.LANGUAGE_COOKIE_NAME, language),
        ("theme", theme),
        ("shortcuts", request.POST.get("shortcuts")),
    ):
        if value:
            answer.set_cookie(name, value, max_age=YEAR, samesite="Lax", secure=request.is_secure(), httponly=True)
        elif value == "":
            answer.delete_cookie(name)
    return answer
