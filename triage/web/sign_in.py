"""Signing in and out."""

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from triage.domain import sign_in as domain
from triage.domain.errors import Invalid, TriageError
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, signed_in


@login_not_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: PageRequest) -> HttpResponse:
    if request.htmx:  # a part of a page was asked for after the session ended: the whole page has to say so
        return HttpResponse(headers={"HX-Refresh": "true"})
    if request.method == "GET":
        if signed_in(request):
            return redirect("home")
        return render(request, "triage/sign_in/form.html", {"next": request.GET.get("next", "")})
    email = request.POST.get("email", "")
    try:
        user = domain.password(email=email, password=request.POST.get("password", ""), address=_address(request), at=now())
    except TriageError as error:
        shown = {"error": error.text, "email": email, "next": request.POST.get("next", "")}
        return render(request, "triage/sign_in/form.html", shown, status=status_code(error))
    login(request, user)
    return redirect(back_to(request, "home"))


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_link(request: PageRequest, token: str) -> HttpResponse:
    """GET looks and POST uses: programs that open the links of a mail must not use them up."""
    if request.method == "GET":
        return render(request, "triage/sign_in/link.html", {"token": token, "holds": domain.link_holds(token=token, at=now())})
    try:
        user = domain.use_link(token=token, at=now())
    except Invalid:
        return render(request, "triage/sign_in/link.html", {"token": token, "holds": False}, status=400)
    login(request, user)
    return redirect("home")


@require_POST
def sign_out(request: PageRequest) -> HttpResponse:
    domain.leave(user=request.user, at=now())
    logout(request)
    return redirect("sign-in")


def _address(request: PageRequest) -> str:
    """Where the attempt comes from. Only our own proxy, the last in the list, is believed."""
    nearest = str(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return forwarded.rpartition(",")[2].strip() or nearest
