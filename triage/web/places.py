"""The places of the navigation: what stands in the rail, what behind “More”, and which of them a page belongs to."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from triage.domain.access import Actor, Right


@dataclass(frozen=True, slots=True)
class Place:
    """`name`: of its first page; `icon`: by lucide; `pages`: what else belongs there. `right`: what whoever sees it has.

    `key`: what follows `g` to go there. `main`: in the rail; `thumb`: also on a phone.
    """

    name: str
    label: Any
    icon: str
    pages: tuple[str, ...] = ()
    right: Right = Right.VIEW
    key: str = ""
    main: bool = False
    thumb: bool = False


PLACES = (
    Place("home", _("Overview"), "layout-dashboard", ("home-token",), key="d", main=True, thumb=True),
    Place(
        "queue", _("Triage"), "list-todo", ("finding", "before-after", "act-new", "acts", "act", "search"), key="t", main=True,
        thumb=True,
    ),
    Place("me", _("My work"), "circle-user-round", ("inbox",), key="m", main=True, thumb=True),
    Place("assets", _("Assets"), "boxes", ("asset",), key="a", main=True),
    Place("accounts", _("Accounts"), "layers", ("account",), key="c", main=True),
    Place("owners", _("Owners"), "users-round", ("owner-team", "owner-rules", "unowned"), key="o", main=True),
    Place("scans", _("Scans"), "radar", ("scan", "sources", "import"), key="s", main=True, thumb=True),
    Place("exceptions", _("Exceptions"), "shield-off", ("exception", "exception-request"), key="e", main=True),
    Place("sla", _("Deadlines"), "timer", ("sla-edit",), key="l", main=True),
    Place("audit", _("Audit"), "scale", ("bundles", "ledger"), Right.AUDIT, key="u", main=True),
    Place("verifications", _("Verifications"), "shield-check", ("verification-run",), key="v"),
    Place("checks", _("Checks"), "list-checks", ("check",), key="k"),
    Place("import", _("Import"), "upload", (), Right.IMPORT, key="i"),
    Place(
        "connections", _("Connections"), "plug", ("connection", "connection-new", "deliveries", "notifications", "notification"), key="n"
    ),
    Place("people", _("People"), "contact-round", (), Right.ADMINISTER, key="p"),
)  # fmt: skip


def places(request: HttpRequest) -> dict[str, Any]:
    """For templates: `places`, each with its address and whether one is there. What this person may not see is not there."""
    user = getattr(request, "user", None)  # a page of an error may have none
    if user is None or not user.is_authenticated:
        return {}
    actor: Actor = request.actor  # type: ignore[attr-defined]  # Preferences puts it there
    at = request.resolver_match.url_name if request.resolver_match else ""  # an address that there is not
    shown = [
        {"place": place, "href": reverse(place.name), "here": at == place.name or at in place.pages}
        for place in PLACES
        if actor.may(place.right)
    ]
    return {"places": shown}
