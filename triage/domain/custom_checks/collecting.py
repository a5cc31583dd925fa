"""Enumerate accounts, judge what was found by one's own checks, and take the result in as any report: `cspm collect`.

The outside is asked before any transaction begins. What comes of it is a report of the scanner `cspm` (integrations/parsers/
cspm_collection.py), which is kept as evidence and imported by the same door as all others: so owners, deadlines, absence and
regression need no second way.
"""

import json
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext_noop as _

from triage.domain import ingest
from triage.domain.access import Actor, Right
from triage.domain.custom_checks import changes, truth
from triage.domain.custom_checks.files import CustomCheck
from triage.domain.custom_checks.kinds import collector_for
from triage.domain.errors import NotFound
from triage.models import Account, Scan
from triage.ports import AssetKind, Collected, Listed, Target, Text, Uncollected, Verdict

SCANNER = "cspm"
FORMAT = "cspm-collection/1"
DAILY = "daily"  # the option `collect` of an account that asks for it

UNLISTED = _("%(kind)s: the list could not be read (%(where)s): %(why)s")
UNREAD = _("%(kind)s: %(facts)s of %(count)s could not be read: %(why)s")
UNDECIDED = _("The check %(check)s could not judge %(count)s, as something is not known: %(facts)s.")
BUG = _("The collector failed: %(error)s. The service's log says more.")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """An account to enumerate. It need not be known yet."""

    provider: str
    uid: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Harvest:
    """What came of an account. `assets`: how many by kind. `results`: how many by verdict. `notes`: what could not be read or judged.

    `scan` None: nobody could look, `notes` say why.
    """

    place: Place
    assets: Counter[str] = field(default_factory=Counter)
    results: Counter[Verdict] = field(default_factory=Counter)
    missing: set[str] = field(default_factory=set)
    notes: list[Text] = field(default_factory=list)
    scan: Scan | None = None


def places(*, names: Sequence[str] = (), actor: Actor) -> list[Place]:
    """The accounts of these numbers or names (`123456789012`, `aws:123456789012`, `acme-production`); all in scope for none.

    One that is not known yet can be named by provider and number. Raises NotFound, NotAllowed.
    """
    actor.demand(Right.IMPORT)
    rows = Account.objects.order_by("provider", "uid")
    if not names:
        return [_place(row) for row in rows.filter(in_scope=True) if collector_for(row.provider)]
    found: dict[tuple[str, str], Place] = {}
    for name in names:
        provider, colon, uid = name.partition(":")
        by_uid = rows.filter(provider=provider, uid=uid) if colon else rows.filter(uid=name)
        named = list(by_uid[:2]) or list(rows.filter(name=name)[:2])
        if len(named) == 1 and collector_for(named[0].provider):
            place = _place(named[0])
        elif not named and colon and uid and collector_for(provider):
            place = Place(provider, uid)
        else:
            raise NotFound(
                _("“%(name)s” matches no account that can be collected, or more than one. Write it as aws:123456789012."),
                name=name[:100],
            )
        found[place.provider, place.uid] = place
    return list(found.values())


def asked_for() -> list[Place]:
    """The accounts in scope that ask to be collected each day."""
    return [_place(row) for row in Account.objects.filter(in_scope=True, options__collect=DAILY) if collector_for(row.provider)]


def collect(*, place: Place, checks: Collection[CustomCheck], actor: Actor, clock: Callable[[], datetime]) -> Harvest:
    """Enumerate an account, and import what was found. Outside of a transaction. Raises NotAllowed; nothing for what the outside does."""
    actor.demand(Right.IMPORT)
    done, at = Harvest(place), clock()
    changes.note(checks, actor=actor, at=at)
    with tempfile.NamedTemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR, prefix="collection-", delete=False) as report:
        path = Path(report.name)
        try:
            written = _write(report, done, checks, at)
        except Exception as error:  # a collector's bug costs its account alone, and is no news of its assets
            logger.exception("collecting %s:%s", place.provider, place.uid)
            written = False
            done.notes.append(Text(BUG, {"error": type(error).__name__}))
    if written:
        name = f"{place.provider}-{place.uid}.jsonl"
        received = ingest.receive(stream=path, name=name, declared={}, actor=actor, at=clock(), upload=True)
        done.scan = ingest.run(received.pk, clock=clock)
    path.unlink(missing_ok=True)
    return done


def _place(row: Account) -> Place:
    options = {str(name): str(value) for name, value in row.options.items()}
    return Place(row.provider, row.uid, row.name, options)


def _write(report: IO[bytes], done: Harvest, checks: Collection[CustomCheck], at: datetime) -> bool:
    """Write the report; whether anybody could look at all. Its head is known last and comes first, so assets wait in a file."""
    place = done.place
    collector = collector_for(place.provider)
    if collector is None:
        raise LookupError(place.provider)
    target = Target(SCANNER, "", place.provider, place.uid, "", "", "", place.options)
    judge = _Judge(checks, place.uid, at)
    unread = _Unread()
    listed: dict[str, set[str]] = {}
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as assets:
        for found in collector.collect(target, at):
            match found:
                case Collected():
                    done.assets[found.kind] += 1
                    assets.write(_line(judge(found)))
                case Listed(kind, regions):
                    listed.setdefault(kind, set()).update(regions)
                case Uncollected():
                    unread.add(found)
        done.results, done.missing = judge.results, unread.missing
        done.notes += [*unread.notes(), *judge.notes()]
        if not listed and not done.assets:
            return False
        report.write(_line(_head(done, collector.KINDS, checks, listed, at)))
        assets.seek(0)
        shutil.copyfileobj(assets, report)
    report.flush()
    return True


def _head(
    done: Harvest,
    kinds: Mapping[str, AssetKind],
    checks: Collection[CustomCheck],
    listed: Mapping[str, Collection[str]],
    at: datetime,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "at": at.isoformat(),
        "provider": done.place.provider,
        "account": done.place.uid,
        "kinds": {name: {"type": kind.type, "service": kind.service} for name, kind in kinds.items()},
        "checks": [_described(check, kinds[check.kind].service) for check in checks if check.kind in kinds],
        "covered": [
            {"kind": kind, "regions": sorted(regions), "checks": [check.id for check in checks if check.kind == kind]}
            for kind, regions in listed.items()
        ],
        "notes": [{"message": note.message, "params": dict(note.params)} for note in done.notes],
    }


def _described(check: CustomCheck, service: str) -> dict[str, Any]:
    return {
        "key": check.id, "severity": check.severity.name.lower(), "title": check.said("title"), "service": service,
        "description": check.said("description"), "risk": check.said("risk"), "remediation": check.said("remediation"),
        "remediation_url": check.url, "controls": check.controls, "exposes": check.exposes,
        "translations": {code: dict(texts) for code, texts in check.texts.items() if code},
        "fails_when": f"{check.kind}: {check.written}",
    }  # fmt: skip


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


class _Judge:
    """Judges assets as they come, and counts."""

    def __init__(self, checks: Collection[CustomCheck], account: str, at: datetime) -> None:
        self.results: Counter[Verdict] = Counter()
        self._account, self._at = account, at
        self._of_kind: dict[str, list[CustomCheck]] = {}
        for check in checks:
            self._of_kind.setdefault(check.kind, []).append(check)
        self._unknown: dict[str, tuple[int, set[str]]] = {}

    def __call__(self, read: Collected) -> dict[str, Any]:
        """The asset's line in the report."""
        subject = truth.subject(read, self._account)
        results, messages = {}, {}
        for check in self._of_kind.get(read.kind, ()):
            verdict = judged(check, subject, self._at)
            self.results[verdict] += 1
            results[check.id] = verdict.value
            if verdict is Verdict.FAIL:
                messages[check.id] = truth.said(check.condition, subject, self._at)
            elif verdict is Verdict.UNKNOWN:
                count, names = self._unknown.get(check.id, (0, set()))
                self._unknown[check.id] = count + 1, names | set(truth.missing(check.condition, subject))
        return {
            "kind": read.kind, "uid": read.uid, "name": read.name, "region": read.region, "tags": read.tags, "facts": dict(read.facts),
            "results": results, "messages": messages,
        }  # fmt: skip

    def notes(self) -> Iterator[Text]:
        for check, (count, names) in self._unknown.items():
            yield Text(UNDECIDED, {"check": check, "count": count, "facts": ", ".join(sorted(names))})


def judged(check: CustomCheck, subject: truth.Subject, at: datetime) -> Verdict:
    """What the check says of an asset."""
    return {True: Verdict.FAIL, False: Verdict.PASS, None: Verdict.UNKNOWN}[truth.holds(check.condition, subject, at)]


class _Unread:
    """What could not be read, put together: a permission that is missing for a thousand assets is one note."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self._general: list[Text] = []
        self._lists: dict[tuple[str, str], list[str]] = {}
        self._facts: Counter[tuple[str, tuple[str, ...], str]] = Counter()

    def add(self, found: Uncollected) -> None:
        if found.missing:
            self.missing.add(found.missing)
        why = found.missing or str(found.why)
        if found.facts:
            self._facts[found.kind, found.facts, why] += 1
        elif found.kind:
            self._lists.setdefault((found.kind, why), []).append(found.region or "*")
        else:
            self._general.append(found.why)

    def notes(self) -> Iterator[Text]:
        yield from self._general
        for (kind, why), regions in self._lists.items():
            yield Text(UNLISTED, {"kind": kind, "where": ", ".join(regions), "why": why})
        for (kind, facts, why), count in self._facts.items():
            yield Text(UNREAD, {"kind": kind, "facts": ", ".join(facts), "count": count, "why": why})
