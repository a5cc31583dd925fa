"""Accounts from where they are kept: an organisation's listing, a table, a catalogue. What a scanner does not know of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import estate
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid
from triage.domain.ingest.cleaning import one_line
from triage.domain.ingest.identity import account_uid
from triage.domain.ownership.chain import keep_imports_out, team_facts
from triage.domain.ownership.names import Names
from triage.domain.ownership.resolving import Summary, resolve_all
from triage.models import Account
from triage.ports import AccountInfo, DirectoryAccount, Skipped

LARGEST = 50 * 2**20
FIELDS = ("name", "email", "organization", "unit", "environment", "criticality", "team_id", "tags")


@dataclass(slots=True)
class TakenIn:
    """What a list of accounts changed. `unknown`: owners that name no team here, with the accounts they are written for."""

    format: str = ""
    read: int = 0
    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    owners: Summary | None = None


def take_in(content: bytes, *, actor: Actor, at: datetime, name: str = "", dry_run: bool = False) -> TakenIn:
    """Know the accounts of the list: new ones are made, known ones get what the list says; what it leaves open stays as it is.

    Then the owners of the estate are resolved anew. Raises NotAllowed, Invalid for a file of no known kind, UnreadableReport.
    """
    actor.demand(Right.CONFIGURE)
    text = _text(content)
    label, entries = _read(text)
    done = TakenIn(label)
    names = Names(team_facts())
    wanted = _merged(entries, names, done)
    with recording(actor=actor.name, at=at, door=actor.door, reason=f"{label}: {name}"[:500]) as log:
        keep_imports_out()  # they make accounts, too
        known = {(account.provider, account.uid): account for account in Account.objects.select_for_update()}
        new = [
            Account(provider=key[0], uid=key[1], created_at=at, **values) for key, values in wanted.items() if key not in known
        ]
        done.created = [f"{account.provider}:{account.uid}" for account in new]
        changed: dict[int, tuple[Account, dict[str, object], dict[str, object]]] = {}
        for key, values in wanted.items():
            account = known.get(key)
            after = {field_: value for field_, value in values.items() if account and getattr(account, field_) != value}
            if account is not None and after:
                changed[account.pk] = (account, {field_: getattr(account, field_) for field_ in after}, after)
                done.changed.append(f"{key[0]}:{key[1]}")
        if dry_run:
            return done
        Account.objects.bulk_create(new, batch_size=1000)
        for account, _before, after in changed.values():
            for field_, value in after.items():
                setattr(account, field_, value)
        Account.objects.bulk_update([account for account, _before, _after in changed.values()], list(FIELDS), batch_size=1000)
        told: list[tuple[int, str, dict[str, object], dict[str, object]]] = [
            (
                account.pk,
                "created",
                {},
                {"provider": account.provider, "uid": account.uid, **wanted[account.provider, account.uid]},
            )
            for account in new
        ]
        log.tell_all("account", told + [(number, "changed", before, after) for number, (_a, before, after) in changed.items()])
    # Also when nothing changed: the run before this one may have died in between.
    done.owners = resolve_all(actor=actor, at=at, reason=f"accounts taken in from {label}")
    return done


def _merged(entries: Iterator[DirectoryAccount | Skipped], names: Names, done: TakenIn) -> dict[tuple[str, str], dict[str, Any]]:
    """What is said of each account: of several entries about one, the first that says something of a field counts."""
    wanted: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if isinstance(entry, Skipped):
            done.skipped.append(entry)
            continue
        done.read += 1
        uid = one_line(account_uid(AccountInfo(entry.provider, entry.uid)))[:500]
        key = (one_line(entry.provider)[:40], uid)
        wanted[key] = _values(entry, names, done, f"{key[0]}:{uid}") | wanted.get(key, {})
    return wanted


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise Invalid(_("The file is larger than %(limit)s MB."), limit=LARGEST // 2**20)
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid(_("The file is not text."))


def _read(text: str) -> tuple[str, Iterator[DirectoryAccount | Skipped]]:
    for plugin in plugins.names("directories"):
        directory = plugins.get("directories", plugin)
        if label := directory.sniff(text):
            return label, iter(list(directory.read(text)))  # a broken list is refused before anything is held
    raise Invalid(
        _("This is not a list of accounts that we know: an AWS Organizations listing (JSON), a Backstage "
          "catalogue (YAML), or a CSV with a header that names the account.")
    )  # fmt: skip


def _values(entry: DirectoryAccount, names: Names, done: TakenIn, account: str) -> dict[str, Any]:
    """What the entry says: fields that it leaves empty are left out."""
    said: dict[str, Any] = {
        "name": one_line(entry.name)[:300],
        "email": one_line(entry.email)[:300],
        "organization": one_line(entry.organization)[:200],
        "unit": one_line(entry.unit)[:300],
        "environment": estate.environment_named(entry.environment) if entry.environment else "",
        "criticality": estate.criticality_named(entry.criticality, key="criticality") if entry.criticality else 0,
        "tags": {one_line(key): one_line(value) for key, value in entry.tags},
    }
    if entry.owner:
        team = names.find(entry.owner).team
        if team is None:
            done.unknown.setdefault(one_line(entry.owner)[:200], []).append(account)
        else:
            said["team_id"] = team.id
    return {name: value for name, value in said.items() if value}
