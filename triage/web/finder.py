"""Search everywhere: the palette's list, and the same as a page for whoever has no script."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from triage.domain import finder, search
from triage.domain.access import Right
from triage.domain.finder import Found
from triage.domain.search.fields import folded
from triage.web.filters import link
from triage.web.places import places
from triage.web.queue import VIEWS
from triage.web.requests import PageRequest, needs

LONGEST = 2000  # characters of a query that are looked at


@require_safe
@needs(Right.VIEW)
def search_everything(request: PageRequest) -> HttpResponse:
    """Query: `q`. Places and views come first, then what is found, then the text as a search of the queue."""
    text = request.GET.get("q", "").strip()[:200]
    wanted = folded(text)
    rows: list[dict[str, Any]] = [
        {"icon": each["place"].icon, "label": each["place"].label, "href": each["href"], "kind": gettext("Go to")}
        for each in places(request)["places"]
        if wanted in folded(str(each["place"].label))
    ]
    for label, query in VIEWS:
        if text and wanted in folded(gettext(label)):
            rows.append({"icon": "list-filter", "label": gettext(label), "href": link(query), "kind": gettext("View")})
    rows += [_row(each) for each in finder.find(text, actor=request.actor)]
    if text:
        rows.append({"icon": "search", "label": text, "href": link(text), "kind": gettext("Search the queue")})
    shown = {"q": text, "rows": rows}
    return render(request, "triage/finder/_found.html" if request.htmx else "triage/finder/page.html", shown)


@require_safe
@needs(Right.VIEW)
def completion(request: PageRequest) -> HttpResponse:
    """What may follow in the search box of findings or assets. Query: `q`, the text; `at`, where the cursor stands in it."""
    text, at = request.GET.get("q", "")[:LONGEST], request.GET.get("at", "")
    found = search.complete(text, int(at) if at.isdecimal() and len(at) < 5 else len(text))
    # What stands there already as it is suggests nothing.
    rows = [row for row in found if row.text != text[row.start : row.end]]
    return render(request, "triage/finder/_completion.html", {"rows": rows})


def _row(found: Found) -> dict[str, Any]:
    of = found.of
    match found.kind:
        case "finding":
            note = f"{of} · {of.asset.name or of.asset.uid}"
            said = ("circle-alert", of.check_ref, note, reverse("finding", args=[of.pk]), gettext("Finding"))
        case "scan":
            said = ("radar", of.file_name or of, str(of), reverse("scan", args=[of.pk]), gettext("Scan"))
        case "exception":
            said = ("shield-off", of, "", reverse("exception", args=[of.pk]), gettext("Exception"))
        case "team":
            said = ("users-round", of, "", reverse("owner-team", args=[of.slug]), gettext("Team"))
        case "account":
            said = ("layers", of, of.uid, reverse("account", args=[of.pk]), gettext("Account"))
        case "check":
            said = ("list-checks", of, of.key, reverse("check", args=[of.pk]), gettext("Check"))
        case _:
            said = (
                "box",
                of.name or of.uid,
                " · ".join(filter(None, (str(of.account), of.type))),
                reverse("asset", args=[of.pk]),
                gettext("Asset"),
            )
    icon, label, note, href, kind = said
    language = {"finding": lambda: of.check_ref.language, "check": lambda: of.language}.get(found.kind, str)()
    return {"icon": icon, "label": str(label), "note": note, "href": href, "kind": kind, "lang": language}
