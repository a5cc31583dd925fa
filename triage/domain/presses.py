"""What people do in a chat: buttons, forms, commands. Each acts once, with the rights that the person has when it is pressed.

A press names a finding by number and nothing else; what it says of itself is never trusted. One whose finding has moved on changes
nothing and says so.
"""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from triage.domain import access, connections, verification
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.domain.exceptions import requesting
from triage.domain.sla import clocks
from triage.models import Connection, ExceptionKind, Finding, InboxDelivery, Press, Severity, Told, User, Verification
from triage.ports import DeliveryError

logger = logging.getLogger(__name__)

DOOR = "chat"
SNOOZED = timedelta(days=3)
SHOWN = 5


def at_once(connection: Connection, body: bytes) -> str | None:
    """What has to be answered before the request ends: a challenge is answered, a form opened. None: nothing, a worker goes on."""
    plugin = connections.plugin_of(connection)
    said = plugin.parse(body)
    if said.kind == "challenge":
        return str(said.text)
    if said.kind == "press" and said.action == "except" and said.trigger:
        _open_form(connection, plugin, said)
    return None


def _open_form(connection: Connection, plugin: Any, said: Any) -> None:
    """Within the three seconds that the trigger lives. Whoever may not ask gets the reason from the worker instead."""
    options = connections.options(connection)
    try:
        actor, user = _who(plugin, said, options)
        finding = _named(said.value)
        actor.demand(Right.CLAIM, team=finding.team_id)
        with translation.override(_language(connection, user)):
            fields = (
                ("reason", _("Why"), "text"),
                ("compensation", _("Compensating control"), "text"),
                ("until", _("Until"), "date"),
            )
            form = plugin.Form(
                _("Exception %(finding)s") % {"finding": finding}, fields, "except", str(finding.pk), _("Send request")
            )
        plugin.ask(said.trigger, form, options)
    except (TriageError, DeliveryError) as error:
        logger.warning("no form could be opened in %s: %s", connection.name, connections.hidden(connection, str(error)))


def handle(delivery: InboxDelivery, *, clock: Callable[[], datetime]) -> str:
    """Do what was pressed, tell the person, and say what came of it."""
    connection = delivery.connection
    plugin = connections.plugin_of(connection)
    said = plugin.parse(bytes(delivery.body))
    if said.kind not in ("press", "submit", "command"):
        return str(said.kind)
    options = connections.options(connection)
    press = Press(
        connection=connection, press_id=delivery.delivery_id, action=said.action[:60], value=said.value[:2000], who=said.who, at=clock()
    )  # fmt: skip
    user: User | None = None
    try:
        actor, user = _who(plugin, said, options)
        with translation.override(_language(connection, user)):
            told = _done(said, actor, clock())
    except TriageError as error:
        with translation.override(_language(connection, user)):
            told = _(error.text.message) % error.text.params if error.text.params else _(error.text.message)
    except DeliveryError as error:
        told = ""
        press.outcome = str(error)[:300]
    press.user, press.outcome = user, press.outcome or told[:300]
    Press.objects.bulk_create([press], ignore_conflicts=True)
    if told and said.response_url:
        try:
            plugin.answer(said.response_url, told, options)
        except DeliveryError as error:
            logger.warning("the answer to a press was not taken: %s", connections.hidden(connection, str(error)))
    return press.outcome


def _who(plugin: Any, said: Any, options: Any) -> tuple[Actor, User]:
    email = plugin.person(said.who, options)
    user = User.objects.filter(email__iexact=email, is_active=True).first() if email else None
    if user is None:
        raise NotFound(gettext_noop("You have no account here under this e-mail address. Nothing was changed."))
    return access.of_user(user, door=DOOR), user


def _language(connection: Connection, user: User | None) -> str:
    return (user.language if user else "") or str(connection.options.get("language") or "en")


def _named(value: str) -> Finding:
    number = value.partition(":")[0]
    found = Finding.objects.filter(pk=int(number)).first() if number.isdecimal() and len(number) < 19 else None
    if found is None:
        raise NotFound(gettext_noop("There is no such finding any more."))
    return found


def _done(said: Any, actor: Actor, at: datetime) -> str:
    if said.kind == "command":
        return _command(said.text, actor)
    finding = _named(said.value)
    if not finding.is_open:
        state = finding.get_status_display()
        return _("%(finding)s is “%(state)s” by now. Nothing was changed.") % {"finding": finding, "state": state}
    if said.kind == "submit":
        return _asked(said, finding, actor, at)
    does = {"acknowledge": _acknowledge, "verify": _verify, "snooze": _snooze, "except": _form_was_opened}.get(said.action)
    if does is None:
        raise Invalid(gettext_noop("This button is not known here."))
    return does(finding, actor, at)


def _acknowledge(finding: Finding, actor: Actor, at: datetime) -> str:
    clocks.acknowledge(finding=finding.pk, actor=actor, at=at)
    return _("Noted: you have seen %(finding)s.") % {"finding": finding}


def _verify(finding: Finding, actor: Actor, at: datetime) -> str:
    verification.request(finding=finding.pk, trigger=Verification.Trigger.PERSON, actor=actor, at=at)
    return _("The check of %(finding)s is run again.") % {"finding": finding}


def _snooze(finding: Finding, actor: Actor, at: datetime) -> str:
    """Reminders wait, never longer than the deadline, which runs on."""
    actor.demand(Right.CLAIM, team=finding.team_id)
    until = min(at + SNOOZED, finding.due_at or at + SNOOZED)
    Told.objects.filter(finding=finding.pk, state=Told.State.WAITING, message="", due_at__lt=until).update(due_at=until)
    return _("Quiet about %(finding)s for three days, at most until it is due. Its deadline runs on.") % {"finding": finding}


def _form_was_opened(finding: Finding, actor: Actor, at: datetime) -> str:
    """At once, or the reason why not is said now. Raises NotAllowed."""
    del at
    actor.demand(Right.CLAIM, team=finding.team_id)
    return ""


def _asked(said: Any, finding: Finding, actor: Actor, at: datetime) -> str:
    try:
        day = date.fromisoformat(str(said.fields.get("until", "")))
    except ValueError:
        day = (at + timedelta(days=requesting.LONGEST[Severity(finding.severity)])).date()
    until = datetime.combine(day, datetime.max.time(), at.tzinfo).replace(microsecond=0)
    asked = requesting.request(
        kind=ExceptionKind.ACCEPTED, about=requesting.About(finding=finding.pk), reason=str(said.fields.get("reason", "")),
        compensation=str(said.fields.get("compensation", "")), until=until, actor=actor, at=at,
    )  # fmt: skip
    return _("%(exception)s is requested. Somebody else decides.") % {"exception": asked}


def _command(text: str, actor: Actor) -> str:
    """`mine`, `team`, or a finding's number: the worst of them, with their addresses."""
    actor.demand(Right.VIEW)
    word = text.strip().casefold()
    rows = Finding.objects.filter(is_open=True).select_related("check_ref", "asset").order_by("-score", "pk")
    if word in ("", "mine"):
        rows = rows.filter(team__members__user=actor.user)
    elif word.removeprefix("f-").isdecimal():
        rows = Finding.objects.filter(pk=int(word.removeprefix("f-")[:18])).select_related("check_ref", "asset")
    else:
        rows = rows.filter(team__slug=word)
    lines = [
        f"{row} {row.check_ref} – {row.asset.name or row.asset.uid} {settings.BASE_URL.rstrip('/')}/findings/{row}"
        for row in rows[:SHOWN]
    ]
    return "\n".join(lines) or _("Nothing is open there.")
