"""Connections to the outside, and the log of what goes through them."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from triage import plugins
from triage.domain import connections, deliveries, outbox
from triage.domain.access import Right
from triage.domain.connections import KINDS, Wanted
from triage.domain.errors import NotFound, TriageError
from triage.models import Connection, Disclosure, OutboxMessage
from triage.ports import Setting
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs, nudge

STATES = {
    "waiting": deliveries.WAITING, "dead": (OutboxMessage.State.DEAD,), "unknown": (OutboxMessage.State.UNKNOWN,),
    "parked": (OutboxMessage.State.PARKED,), "sent": (OutboxMessage.State.SENT,),
}  # fmt: skip


@require_safe
@needs(Right.VIEW)
def connection_list(request: PageRequest) -> HttpResponse:
    kinds = [(kind, [(name, plugins.get(kind, name).LABEL) for name in plugins.names(kind)]) for kind in KINDS]
    shown = {
        "traffic": [(each, connections.plugin_of(each.connection).LABEL) for each in deliveries.traffic(actor=request.actor)],
        "alarms": connections.alarms(), "kinds": kinds, "at": now(),
    }  # fmt: skip
    return render(request, "triage/connections/list.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.ADMINISTER)
def connection_new(request: PageRequest, kind: str, plugin: str) -> HttpResponse:
    """Fields: `name` and the settings of the plugin."""
    if kind not in KINDS or plugin not in plugins.names(kind):
        raise NotFound("There is no such page.")
    return _form(request, Connection(kind=kind, plugin=plugin, name=request.POST.get("name", plugin)[:80]))


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def connection_page(request: PageRequest, name: str) -> HttpResponse:
    """Fields: the settings of the plugin. Secrets that are left empty stay as they are."""
    return _form(request, connections.named(name))


@require_POST
@needs(Right.ADMINISTER)
def connection_do(request: PageRequest, name: str) -> HttpResponse:
    """Fields: one of `test`, `off`, `on`."""
    found = connections.named(name)
    if "test" in request.POST:
        Connection.objects.filter(pk=found.pk).update(tested_at=None)
        nudge("test_connection", found.pk)
        messages.info(request, gettext("%(name)s is being tested.") % {"name": name})
    else:
        connections.switch(name=name, on="on" in request.POST, actor=request.actor, at=now())
        nudge("drain_outbox")
    return redirect("connection", name)


@require_safe
@needs(Right.VIEW)
def delivery_list(request: PageRequest) -> HttpResponse:
    """Query: `state`, one of STATES; `connection`; `before`, a message's number."""
    chosen, name = request.GET.get("state", ""), request.GET.get("connection", "")
    before = request.GET.get("before", "")
    rows = deliveries.log(
        actor=request.actor, states=STATES.get(chosen, ()), connection=name,
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
    )  # fmt: skip
    for row in rows:
        row.again = outbox.can_retry(row)  # type: ignore[attr-defined]
    shown = {
        "rows": rows, "state": chosen, "states": list(STATES), "connection": name, "counts": outbox.counts(),
        "names": Connection.objects.order_by("name").values_list("name", flat=True),
        "older": rows[-1].pk if len(rows) == deliveries.SHOWN else None,
    }  # fmt: skip
    return render(request, "triage/connections/deliveries.html", shown)


@require_POST
@needs(Right.ADMINISTER)
def delivery_retry(request: PageRequest, number: int) -> HttpResponse:
    try:
        outbox.retry(message=number, actor=request.actor, at=now())
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        messages.success(request, gettext("Retrying."))
        nudge("drain_outbox")
    return redirect(back_to(request, reverse("deliveries")))


def _form(request: PageRequest, found: Connection) -> HttpResponse:
    shown: dict[str, Any] = {"error": None}
    status = 200
    if request.method == "POST":
        try:
            wanted = _wanted(request.POST, found)
            kept = connections.put(wanted, actor=request.actor, at=now())
        except TriageError as error:
            shown["error"], status = error.text, status_code(error)
        else:
            nudge("test_connection", kept.pk)
            messages.success(request, gettext("%(name)s is saved and is being tested.") % {"name": kept.name})
            return redirect("connection", kept.name)
    plugin = connections.plugin_of(found)
    fields = [_field(setting, found, request.POST) for setting in connections.settings_of(found)]
    seldom = [field for field in fields if field["setting"].seldom]
    shown |= {
        "connection": found, "label": plugin.LABEL, "host": deliveries.host_of(found) if found.pk else "",
        "fields": fields, "seldom": seldom,
        "seldom_used": any(field["team"] or field["kept"] or found.options.get(field["setting"].name) for field in seldom),
        "disclosures": Disclosure.choices if found.kind in connections.DISCLOSING else [], "hears": hasattr(plugin, "hear"),
        "may_change": request.actor.may(Right.ADMINISTER),
        "hook": request.build_absolute_uri(reverse("hook", args=[found.name])) if found.pk else "",
        "alarms": connections.alarms().filter(connection=found) if found.pk else [],
        "testing": bool(found.pk) and found.tested_at is None and not found.probes,
    }  # fmt: skip
    return render(request, "triage/connections/form.html", shown, status=status)


def _field(setting: Setting, found: Connection, said: QueryDict) -> dict[str, Any]:
    """A setting with what stands there now, or was just typed. A secret never stands there."""
    value = found.options.get(setting.name, "")
    text = "\n".join(f"{key}={each}" for key, each in value.items()) if isinstance(value, dict) else value
    teams = found.options.get("teams", {})
    own = "\n".join(
        f"{slug}={given[setting.name]}" for slug, given in teams.items() if setting.name in given and not setting.many
    )
    kept = found.secrets.get(setting.name, "")
    return {
        "setting": setting, "value": said.get(setting.name, text or (setting.default if not found.pk else "")),
        "team": said.get(f"team:{setting.name}", own), "kept": (kept.startswith("env:") and kept) or bool(kept),
    }  # fmt: skip


def _wanted(said: QueryDict, found: Connection) -> Wanted:
    known = connections.settings_of(found)
    given: dict[str, Any] = {}
    # A team's settings that a form has no room for (many lines) stay as a file said them.
    stay = {setting.name for setting in known if setting.team and setting.many}
    teams = {
        slug: {name: value for name, value in own.items() if name in stay} for slug, own in found.options.get("teams", {}).items()
    }
    for setting in known:
        typed = said.get(setting.name, "")
        if not setting.secret or typed.strip():
            given[setting.name] = typed
        elif f"forget:{setting.name}" in said:
            given[setting.name] = ""
        if setting.team and not setting.many:
            for slug, value in connections.pairs(setting.name, said.get(f"team:{setting.name}", "")).items():
                teams.setdefault(slug, {})[setting.name] = value
    rate = said.get("per_second", "").replace(",", ".")
    return Wanted(
        name=said.get("name", found.name) if not found.pk else found.name, kind=found.kind, plugin=found.plugin, given=given,
        teams={slug: own for slug, own in teams.items() if own}, disclosure=said.get("disclosure", Disclosure.FULL),
        per_second=float(rate) if rate.replace(".", "", 1).isdecimal() else None, off=found.state == Connection.State.OFF,
    )  # fmt: skip
