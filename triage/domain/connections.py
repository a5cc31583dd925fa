"""Configured outside systems: what they are called with, how they are set up and tested, and how well they are.

One of them is there from the start: tickets as files. The breaker: after `BREAKS_AT` failures in a row nothing is sent for a while,
and then one message at a time, until one arrives. An alarm is raised once an episode.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Case, F, QuerySet, When
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import vault
from triage.domain.access import Actor, Right, worker
from triage.domain.audit import Recording, recording
from triage.domain.errors import Invalid, NotFound
from triage.models import Account, Alarm, Connection, Disclosure, OutboxMessage, Team
from triage.ports import DeliveryError, Limited, Options, Probe, Refused, Setting, Text

KINDS = ("tickets", "notifiers", "sources", "witnesses")
DISCLOSING = ("tickets", "notifiers")  # what these say of findings is chosen; witnesses are told nothing of them
State = Connection.State
SENDING = (State.READY, State.BROKEN)  # a broken one is tried, one message at a time
BREAKS_AT = 5
SHORTEST_BREAK, LONGEST_BREAK = timedelta(seconds=60), timedelta(minutes=15)
ASKED_AGAIN = timedelta(minutes=15)  # whether a refused sign-in holds again
LONGEST_VALUE = 4000
GROUPS = ("owner check account", "owner check", "owner asset", "finding")
GROUP_LABELS = (
    _("same owner, check and account"),
    _("same owner and check"),
    _("same owner and asset"),
    _("none: a ticket for each"),
)
LANGUAGE = Setting("language", _("Language of the texts"), choices=("fr", "en"), labels=("Français", "English"))
EVERY = (_("always"), _("hourly"), _("daily"))
INTERVALS = FIVE_MINUTES, HOURLY, DAILY, WEEKLY = (_("every 5 minutes"), _("hourly"), _("daily"), _("weekly"))
# What each connection of a kind has beside its plugin's own settings.
COMMON = {
    "tickets": (
        replace(LANGUAGE, team=True),
        Setting("group", _("Findings that share a ticket"), default=GROUPS[0], choices=GROUPS, labels=GROUP_LABELS),
    ),
    "notifiers": (LANGUAGE,),
    "sources": (
        Setting("every", _("How often"), default=FIVE_MINUTES, choices=INTERVALS),
        Setting("hour", _("At what time"), _("Of a day, as 02:30; for daily and weekly ones."), default="02:00", seldom=True),
        Setting("silence", _("Alarm after"), _("Hours without a report; 0 for never."), default="48"),
        Setting("account", _("Account"), _("Where the reports name none."), seldom=True),
        Setting(
            "repository",
            _("Repository"),
            _("Of reports on code; what is found there can be verified by a new run."),
            seldom=True,
        ),
        Setting("branch", _("Branch"), seldom=True),
        Setting("category", _("Category"), _("Parts runs of one tool over one repository, such as “backend”."), seldom=True),
        Setting("zone", _("Time zone"), _("Of times without one, such as Europe/Paris."), seldom=True),
    ),
    "witnesses": (
        Setting("every", _("How often"), _("“always”: each signed head of the ledger."), default="hourly", choices=EVERY),
    ),
}


def default_tickets(at: datetime) -> Connection:
    """The first ticket system that was configured; until one is, files in CSPM_HOME, made the first time that they are needed."""
    are_files = Case(When(plugin="files", then=1), default=0)
    configured = Connection.objects.filter(kind="tickets").exclude(state=State.OFF).order_by(are_files, "pk").first()
    if configured is not None:
        return configured
    connection, _made = Connection.objects.get_or_create(
        name="files", defaults={"kind": "tickets", "plugin": "files", "created_at": at}
    )
    return connection


# --- what a plugin is called with ---------------------------------------------------------------------------------------------


def plugin_of(connection: Connection) -> Any:
    """The module. Raises Invalid when it is not installed any more."""
    try:
        return plugins.get(connection.kind, connection.plugin)
    except KeyError:
        raise Invalid(_("There is no plugin “%(name)s” for %(kind)s."), name=connection.plugin, kind=connection.kind) from None


def settings_of(connection: Connection) -> tuple[Setting, ...]:
    return (*plugin_of(connection).SETTINGS, *COMMON[connection.kind])


def options(connection: Connection, team: str = "") -> Options:
    """Settings by name, secrets opened, with what the team has of its own. The folder of files is not stored: CSPM_HOME may move.

    Raises Invalid for a secret that cannot be opened.
    """
    own = connection.options.get("teams", {}).get(team, {}) if team else {}
    given = {name: value for name, value in {**connection.options, **own}.items() if name != "teams"}
    opened = {name: vault.opened(kept, name=name) for name, kept in connection.secrets.items()}
    defaults = {setting.name: {} if setting.many else setting.default for setting in settings_of(connection)}
    return {**defaults, "folder": str(settings.TICKETS_DIR), **given, **opened, **_of_the_server(connection)}


def _of_the_server(connection: Connection) -> Options:
    """What a source needs and nobody can configure: what the server alone says, and how accounts are reached."""
    if connection.kind != "sources":
        return {}
    reach: dict[str, dict[str, Any]] = {}
    for provider, uid, reached in (
        Account.objects.exclude(options={}).filter(in_scope=True).values_list("provider", "uid", "options")
    ):
        reach.setdefault(provider, {})[uid] = reached
    server = {"folders": settings.SOURCE_FOLDERS, "commands": settings.SCAN_COMMANDS, "prowler": settings.PROWLER}
    return {"server": server, "reach": reach}


def hidden(connection: Connection, text: str) -> str:
    """The text without the connection's secrets."""
    known = []
    for name, kept in connection.secrets.items():
        try:
            known.append(vault.opened(kept, name=name))
        except Invalid:  # what cannot be opened cannot have been sent, and so not repeated
            continue
    return vault.hidden(text, known)


# --- setting up ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A connection as a person or a file describes it. `given`: settings as text, secrets among them; what is absent stays.

    `teams`: settings of teams, by slug. A secret given as '' is forgotten.
    """

    name: str
    kind: str
    plugin: str
    given: Mapping[str, Any]
    teams: Mapping[str, Mapping[str, Any]] | None = None
    disclosure: str = Disclosure.FULL
    per_second: float | None = None
    off: bool = False


def put(wanted: Wanted, *, actor: Actor, at: datetime) -> Connection:
    """Make it, or change the one of that name; what waited for configuration waits no longer. Raises Invalid, NotAllowed."""
    actor.demand(Right.ADMINISTER)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        return write(wanted, log=log, at=at)


def write(wanted: Wanted, *, log: Recording, at: datetime) -> Connection:
    """As `put`, inside of a recording."""
    known = _settings(wanted.kind, wanted.plugin)
    found = Connection.objects.select_for_update().filter(name=wanted.name).first()
    if found is not None and (found.kind, found.plugin) != (wanted.kind, wanted.plugin):
        raise Invalid(_("“%(name)s” is a connection to something else. Choose another name."), name=wanted.name)
    connection = found or Connection(name=wanted.name, kind=wanted.kind, plugin=wanted.plugin, created_at=at)
    before = described(connection) if found else None
    plain, kept = _checked(wanted.given, known)
    kept_teams = connection.options.get("teams", {})
    connection.options = {**{k: v for k, v in connection.options.items() if k != "teams"}, **plain}
    connection.options = {name: value for name, value in connection.options.items() if value not in ("", {})}
    teams = wanted.teams if wanted.teams is not None else kept_teams
    if teams:
        connection.options["teams"] = {slug: _of_team(slug, given, known) for slug, given in teams.items()}
    connection.secrets = {name: value for name, value in {**connection.secrets, **kept}.items() if value}
    missing = [
        f"{gettext(setting.label)} ({setting.name})"
        for setting in known
        if setting.required
        and not (connection.options.get(setting.name) or connection.secrets.get(setting.name) or setting.default)
    ]
    if missing:
        raise Invalid(_("The connection “%(name)s” lacks: %(missing)s."), name=wanted.name, missing=", ".join(missing))
    if wanted.disclosure not in Disclosure.values:
        raise Invalid(
            _("“%(word)s” is none of: %(words)s."), word=str(wanted.disclosure)[:40], words=", ".join(Disclosure.values)
        )
    connection.disclosure = wanted.disclosure
    if wanted.per_second is not None:
        connection.per_second = min(max(wanted.per_second, 0.01), 100.0)
    elif found is None:
        connection.per_second = getattr(plugin_of(connection), "PER_SECOND", connection.per_second)
    connection.state, connection.state_reason = State.OFF if wanted.off else State.READY, ""
    connection.failures, connection.paused_until = 0, None
    if found is not None and described(connection) == before and not kept:
        return found
    connection.save()
    resume(connection, at=at)
    after = described(connection) | ({"secrets": sorted(kept)} if kept else {})
    log.tell("connection", connection.pk, "changed" if found else "made", before=before, after=after)
    return connection


def check(wanted: Wanted) -> None:
    """Raises Invalid for a plugin, settings or teams that cannot be."""
    known = _settings(wanted.kind, wanted.plugin)
    _checked(wanted.given, known)
    for slug, given in (wanted.teams or {}).items():
        _of_team(slug, given, known)


def _settings(kind: str, plugin: str) -> tuple[Setting, ...]:
    if kind not in KINDS:
        raise Invalid(_("“%(word)s” is none of: %(words)s."), word=kind[:40], words=", ".join(KINDS))
    try:
        return (*plugins.get(kind, plugin).SETTINGS, *COMMON[kind])
    except KeyError:
        raise Invalid(
            _("There is no plugin “%(name)s”. There are: %(names)s."), name=plugin[:60], names=", ".join(plugins.names(kind))
        ) from None


def _checked(given: Mapping[str, Any], known: Sequence[Setting]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings as they are stored, and secrets as they are kept ('' for one to forget)."""
    by_name = {setting.name: setting for setting in known}
    unknown = sorted(given.keys() - by_name.keys())
    if unknown:
        raise Invalid(
            _("Unknown settings: %(unknown)s. There are: %(known)s."),
            unknown=", ".join(unknown)[:300], known=", ".join(sorted(by_name)),
        )  # fmt: skip
    plain: dict[str, Any] = {}
    kept: dict[str, str] = {}
    for name, value in given.items():
        setting = by_name[name]
        if setting.secret:
            kept[name] = vault.seal(str(value).strip()) if str(value).strip() else ""
        else:
            plain[name] = _value(setting, value)
    return plain, kept


def _value(setting: Setting, value: Any) -> Any:
    if setting.many:
        return pairs(setting.name, value)
    if isinstance(value, bool):  # as YAML reads a bare yes or no
        value = "yes" if value else "no"
    if isinstance(value, Mapping | list):
        raise Invalid(_("“%(name)s” is a line of text."), name=setting.name)
    text = "" if value is None else str(value).strip()
    if setting.choices and text and text not in setting.choices:
        raise Invalid(_("“%(name)s” is none of: %(words)s."), name=setting.name, words=", ".join(setting.choices))
    if len(text) > LONGEST_VALUE or "\x00" in text:
        raise Invalid(_("“%(name)s” is too long, or contains characters that text cannot contain."), name=setting.name)
    return text


def pairs(name: str, value: Any) -> dict[str, str]:
    """Lines of `name=value`, or a mapping. Raises Invalid naming the line."""
    if isinstance(value, Mapping):
        return {str(key): str(each) for key, each in value.items()}
    found: dict[str, str] = {}
    for number, line in enumerate(str(value or "").splitlines(), start=1):
        if not line.strip():
            continue
        key, equals, rest = line.partition("=")
        if not equals or not key.strip():
            raise Invalid(_("Line %(line)s of “%(name)s” is not name=value."), line=number, name=name)
        found[key.strip()] = rest.strip()
    return found


def _of_team(slug: str, given: Mapping[str, Any], known: Sequence[Setting]) -> dict[str, Any]:
    if not Team.objects.filter(slug=slug).exists():
        raise Invalid(_("There is no team “%(team)s”."), team=slug[:80])
    own = [setting for setting in known if setting.team]
    plain, _kept = _checked(given, own)
    return plain


def described(connection: Connection) -> dict[str, Any]:
    """For events, exports and pages: everything but the secrets."""
    return {
        "name": connection.name, "kind": connection.kind, "plugin": connection.plugin, "options": connection.options,
        "secrets": vault.described(connection.secrets), "disclosure": str(connection.disclosure),
        "per_second": connection.per_second, "off": connection.state == State.OFF,
    }  # fmt: skip


def switch(*, name: str, on: bool, actor: Actor, at: datetime) -> Connection:
    """Nothing leaves through one that is off; what waits, waits. Raises NotFound, NotAllowed."""
    actor.demand(Right.ADMINISTER)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        connection = _locked(name)
        wanted = State.READY if on else State.OFF
        if (connection.state == State.OFF) == on:
            connection.state, connection.state_reason, connection.failures, connection.paused_until = wanted, "", 0, None
            connection.save()
            log.tell("connection", connection.pk, "switched on" if on else "switched off")
        return connection


def rotate(*, actor: Actor, at: datetime) -> int:
    """Seal all secrets under the first key; how many connections. Raises Invalid when one cannot be opened, and changes none."""
    actor.demand(Right.ADMINISTER)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        rows = list(Connection.objects.select_for_update().exclude(secrets={}).order_by("pk"))
        for connection in rows:
            connection.secrets = {name: vault.sealed_anew(kept) for name, kept in connection.secrets.items()}
            connection.save(update_fields=["secrets"])
            log.tell("connection", connection.pk, "secrets sealed anew")
    return len(rows)


def named(name: str) -> Connection:
    """Raises NotFound."""
    found = Connection.objects.filter(name=name).first()
    if found is None:
        raise NotFound(_("There is no connection “%(name)s”."), name=name[:80])
    return found


def _locked(name: str) -> Connection:
    return Connection.objects.select_for_update().get(pk=named(name).pk)


# --- testing ------------------------------------------------------------------------------------------------------------------


def test(connection: Connection, *, actor: Actor, at: datetime) -> list[Probe]:
    """Ask the outside for each right that is needed; writes nothing there. A connection that passes is ready again.

    Outside of a transaction. Raises NotAllowed.
    """
    actor.demand(Right.ADMINISTER)
    return probed(connection, at=at)


def probed(connection: Connection, *, at: datetime) -> list[Probe]:
    """As `test`, for the worker."""
    found = list(_probes(connection))
    passed = all(probe.passed for probe in found)
    kept = [{"what": _plain(probe.what), "passed": probe.passed, "said": _plain(probe.said)} for probe in found]
    Connection.objects.filter(pk=connection.pk).update(tested_at=at, probes=kept)
    if passed:
        recovered(connection, at=at)
    return found


def _plain(text: Text | None) -> dict[str, Any] | None:
    return {"message": text.message, "params": dict(text.params)} if text else None


def _probes(connection: Connection) -> Iterator[Probe]:
    try:
        yield from plugin_of(connection).probe(options(connection))
        for slug in connection.options.get("teams", {}):
            for probe in plugin_of(connection).probe(options(connection, slug)):
                if not probe.passed:
                    yield Probe(Text(_("Team %(team)s"), {"team": slug}), False, probe.said or probe.what)
    except Invalid as error:
        yield Probe(Text(_("Settings")), False, error.text)
    except DeliveryError as error:
        yield Probe(Text(_("An answer")), False, Text("%(said)s", {"said": hidden(connection, str(error))[:500]}))


def test_all(*, at: datetime) -> int:
    """What changed over there since it was configured (a field that is required now, a right that is gone), before a message meets it.

    One alarm for each connection that fails; how many do.
    """
    failing = 0
    for connection in list(Connection.objects.filter(state__in=SENDING).order_by("pk")):
        missing = [probe for probe in probed(connection, at=at) if not probe.passed]
        if missing:
            failing += 1
            said = "; ".join(str(probe.said or probe.what) for probe in missing)
            raise_alarm(connection, Alarm.Kind.UNCONFIGURED, said, subject="test", at=at)
    return failing


def look(*, at: datetime) -> int:
    """Whether refused sign-ins hold again; how many were asked."""
    asked = Connection.objects.filter(state=State.REFUSED).exclude(paused_until__gt=at).order_by("pk")
    for connection in list(asked):
        Connection.objects.filter(pk=connection.pk).update(paused_until=at + ASKED_AGAIN)
        probed(connection, at=at)
    return len(asked)


# --- health -------------------------------------------------------------------------------------------------------------------


def arrived(connection: Connection, *, at: datetime) -> None:
    """Something was taken over there: whatever was wrong is over."""
    if connection.state == State.BROKEN or connection.failures:
        recovered(connection, at=at)
    if connection.last_success_at is None or at - connection.last_success_at > timedelta(seconds=10):
        Connection.objects.filter(pk=connection.pk).update(last_success_at=at)


def recovered(connection: Connection, *, at: datetime) -> None:
    """The episode is over. One that was switched off stays so."""
    mended = Connection.objects.filter(pk=connection.pk)
    mended.update(failures=0, last_success_at=at)
    if mended.filter(state__in=(State.BROKEN, State.REFUSED)).update(state=State.READY, state_reason="", paused_until=None):
        resolve(connection, Alarm.Kind.DOWN, Alarm.Kind.REFUSED, at=at)
    resume(connection, at=at)


def failed(connection: Connection, said: str, *, at: datetime) -> None:
    """One more failure in a row; the breaker opens at the fifth, for longer each time."""
    row = Connection.objects.filter(pk=connection.pk)
    row.update(failures=F("failures") + 1)
    failures = row.values_list("failures", flat=True).get()
    if failures >= BREAKS_AT:
        pause = min(SHORTEST_BREAK * 2 ** min(failures - BREAKS_AT, 10), LONGEST_BREAK) * random.uniform(0.75, 1.0)
        row.filter(state__in=SENDING).update(state=State.BROKEN, state_reason=said[:500], paused_until=at + pause)
        raise_alarm(connection, Alarm.Kind.DOWN, said, at=at)


def refused(connection: Connection, said: str, *, at: datetime) -> None:
    """The sign-in does not hold: nothing is sent until it does."""
    row = Connection.objects.filter(pk=connection.pk).exclude(state=State.OFF)
    row.update(state=State.REFUSED, state_reason=said[:500], paused_until=at + ASKED_AGAIN)
    raise_alarm(connection, Alarm.Kind.REFUSED, said, at=at)


def withdrawn(connection: Connection, said: str, *, at: datetime) -> None:
    """It does not want to be told any more: off, until somebody switches it on."""
    row = Connection.objects.filter(pk=connection.pk).exclude(state=State.OFF)
    if row.update(state=State.OFF, state_reason=said[:500], failures=0, paused_until=None):
        raise_alarm(connection, Alarm.Kind.REFUSED, said, at=at)
        with recording(actor=worker().name, at=at, door=worker().door, reason=said) as log:
            log.tell("connection", connection.pk, "switched off")


def limited(connection: Connection, wait: timedelta, *, at: datetime) -> None:
    """The outside's wish holds for all that goes there."""
    Connection.objects.filter(pk=connection.pk).update(paused_until=at + wait)


def resume(connection: Connection, *, at: datetime) -> None:
    """What waited for another configuration is tried again."""
    OutboxMessage.objects.filter(connection=connection, state=OutboxMessage.State.PARKED).update(
        state=OutboxMessage.State.PENDING, due_at=at, subject=""
    )
    resolve(connection, Alarm.Kind.UNCONFIGURED, at=at)


def unread(connection: Connection, error: DeliveryError | Invalid, *, at: datetime) -> None:
    """It could not be read over there, and what that says of the connection."""
    said = hidden(connection, str(error))
    if isinstance(error, Limited):
        limited(connection, timedelta(seconds=error.retry_after or 60), at=at)
    elif isinstance(error, Refused | Invalid):
        refused(connection, said, at=at)
    else:
        failed(connection, said, at=at)


def raise_alarm(connection: Connection, kind: Alarm.Kind, detail: str, *, at: datetime, subject: str = "") -> None:
    """Once an episode: a second one is counted on the first."""
    known = Alarm.objects.filter(connection=connection, kind=kind, subject=subject[:200], resolved_at=None)
    if not known.update(times=F("times") + 1):
        Alarm.objects.bulk_create(
            [Alarm(connection=connection, kind=kind, subject=subject[:200], detail=detail[:2000], raised_at=at)],
            ignore_conflicts=True,
        )


def resolve(connection: Connection, *kinds: Alarm.Kind, at: datetime) -> None:
    """The episodes are over."""
    Alarm.objects.filter(connection=connection, kind__in=kinds, resolved_at=None).update(resolved_at=at)


def alarms() -> QuerySet[Alarm]:
    """Those that stand, the newest first."""
    return Alarm.objects.filter(resolved_at=None).select_related("connection").order_by("-raised_at", "-pk")
