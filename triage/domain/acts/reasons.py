"""Why an act left a finding as it is, in the reader's words. Kept is who and what by their names in the trail: names can be erased."""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain import queries
from triage.models import ActItem
from triage.ports import Text

CHANGED = _("It was changed since you looked at it (%(what)s, %(who)s).")
# What an event is called, for whoever has not seen it.
WHAT: Mapping[str, str] = {
    "status": _("status"), "owner": _("owner"), "severity": _("severity"), "due": _("due date"), "verified": _("fix proven"),
    "regressed": _("it came back"), "gone": _("it is gone"), "commented": _("a comment"),
}  # fmt: skip
WHO: Mapping[str, str] = {"os": _("command line"), "token": _("an API token"), "user": _("somebody")}


def reasons(items: Iterable[ActItem]) -> dict[int, Text]:
    """By the item's number; none for what was done or waits. Two statements, whatever their number."""
    left = {item.pk: item.why for item in items if item.why}
    people = queries.who({why["params"]["who"] for why in left.values() if "who" in why["params"]})
    found = {}
    for number, why in left.items():
        params = dict(why["params"])
        if why["message"] == CHANGED:
            who = people.get(params.get("who", ""))
            params["who"] = who.name or gettext(WHO.get(who.kind, _("the service"))) if who else "–"
            params["what"] = gettext(WHAT.get(params.get("what", ""), _("something else")))
        found[number] = Text(why["message"], params)
    return found
