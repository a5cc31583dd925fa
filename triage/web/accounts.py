"""Accounts: which are scanned, by what, how lately; and accounts taken in from where they are kept."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from triage.domain import coverage, directories, reach, search
from triage.domain.access import Right
from triage.domain.coverage import Coverage
from triage.domain.errors import Invalid, TriageError
from triage.domain.search import facets, pages
from triage.models import Account, Asset, Severity, Team
from triage.ports import UnreadableReport
from triage.web.days import end_of
from triage.web.filters import link
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs

PERIODS = {"1": 1, "7": 7, "30": 30}


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def accounts(request: PageRequest) -> HttpResponse:
    """Query: `days`, one of PERIODS; `on`, a day: as it was at its end.

    Fields: `list`, a file; `apply`, without which only its consequences are shown.
    """
    at = now()
    days = PERIODS.get(request.GET.get("days", ""), 7)
    shown: dict[str, Any] = {"at": at, "days": days, "periods": list(PERIODS.values()), "done": None, "error": None}
    status = 200
    if request.method == "POST" and (uploaded := request.FILES.get("list")) is not None:
        try:
            shown["applied"] = "apply" in request.POST
            shown["done"] = directories.take_in(
                uploaded.read(directories.LARGEST + 1), actor=request.actor, at=at, name=uploaded.name or "",
                dry_run=not shown["applied"],
            )  # fmt: skip
        except (TriageError, UnreadableReport) as error:
            shown["error"] = error.text
            status = status_code(error) if isinstance(error, TriageError) else 400
    on = at
    try:
        on = end_of(request.GET["on"]) if request.GET.get("on") else at
    except Invalid as wrong:
        shown["error"] = wrong.text
    shown["on"] = request.GET.get("on", "")
    rows = coverage.survey(actor=request.actor, at=on, lately=timedelta(days=days))
    shown["rows"] = [(row, reverse("account", args=[row.account.pk])) for row in rows]
    shown["gaps"] = sum(row.state in (Coverage.NEVER, Coverage.STALE) for row in rows)
    return render(request, "triage/accounts/list.html", shown, status=status)


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def account_page(request: PageRequest, number: int) -> HttpResponse:
    """Fields: the settings of how verifications reach it, by name."""
    account = get_object_or_404(Account.objects.select_related("team"), pk=number)
    at, error, status = localtime(), None, 200
    known = reach.settings_of(account.provider)
    if request.method == "POST":
        try:
            given = {setting.name: request.POST.get(setting.name, "") for setting in known}
            reach.reach(account=number, given=given, actor=request.actor, at=now())
        except TriageError as problem:
            error, status = problem.text, status_code(problem)
        else:
            messages.success(request, gettext("Saved. Verifications use this access from now on."))
            return redirect("account", number)
    query = f"is:open account:{account.asked}"
    counted = facets.facets(search.parse(query), at=at)
    [row] = [each for each in coverage.survey(actor=request.actor, at=at) if each.account == account]
    slugs = Team.objects.in_bulk([each.value for each in counted["team"].values], field_name="slug")
    shown = {
        "account": account, "row": row, "at": at, "error": error, "queue": link(query),
        "worst": pages.page(search.findings(search.parse(query), at=at), size=8),
        "levels": [
            (Severity[each.value.upper()], each.n, link(f"{query} severity:{each.value}"))
            for each in sorted(counted["severity"].values, key=lambda each: -Severity[each.value.upper()])
        ],
        "teams": [(slugs.get(each.value), each.n, link(f"{query} team:{each.value}")) for each in counted["team"].values],
        "count": Asset.objects.filter(account=account).count(),
        "assets": reverse("assets") + "?" + urlencode({"q": f"account:{account.asked}", "all": 1}),
        "settings": [(setting, account.options.get(setting.name, "")) for setting in known],
    }  # fmt: skip
    return render(request, "triage/accounts/account.html", shown, status=status)


@require_POST
@needs(Right.CONFIGURE)
def account_scope(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `reason`, and one of `out`, `in`."""
    try:
        row = coverage.scope(
            account=number, in_scope="in" in request.POST, reason=request.POST.get("reason", ""), actor=request.actor, at=now()
        )
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        said = gettext("%(account)s is in scope.") if row.in_scope else gettext("%(account)s is out of scope.")
        messages.success(request, said % {"account": row})
    return redirect(back_to(request, reverse("accounts")))
