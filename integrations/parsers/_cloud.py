"""What the cloud reports of all producers have in common: a run for each scanner that wrote into a report; names, times."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, BinaryIO

from django.utils.translation import gettext_noop as _

from integrations.parsers import _json, _prowler
from triage.ports import CheckInfo, Observation, Run, Skipped, Text

EMPTY = _("The report is an empty list, so it says nothing about what was fixed.")
NOTHING_READ = _("None of the report's records could be read, so it says nothing about what was fixed.")

CHECKS_KEPT = 16 << 20

Outcome = Observation | Skipped

_NO_SLUG = re.compile(r"[^a-z0-9]+")
_VENDOR = re.compile(r"^(?:aws|amazon|microsoft|google)-(?=.)|-(?:cspm|v2)$")
_PROVIDERS = {
    "amazon": "aws",
    "amazon web services": "aws",
    "microsoft": "azure",
    "microsoft azure": "azure",
    "google": "gcp",
    "google cloud": "gcp",
    "google cloud platform": "gcp",
}
_ALSO_AT_MOST = 20

# Numbers beyond these are milliseconds, microseconds and nanoseconds since 1970: as seconds they would be after the year 5000.
_TICKS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


class Checks:
    """One CheckInfo for each key, as its first record describes it; when they hold more than 16 MiB of text, all are let go."""

    def __init__(self) -> None:
        self._held: dict[str, CheckInfo] = {}
        self._room = CHECKS_KEPT

    def __call__(self, key: str, make: Callable[[], CheckInfo]) -> CheckInfo:
        """The check held for `key`, or what `make` gives."""
        known = self._held.get(key)
        if known is None:
            known = make()
            texts = (known.title, known.description, known.risk, known.remediation, known.remediation_other, *known.references)
            size = 1000 + sum(map(len, texts)) + 200 * len(known.controls)
            if size > self._room:
                self._held.clear()
                self._room = CHECKS_KEPT
            self._room -= size
            self._held[key] = known
        return known


@dataclass(frozen=True)
class Reports:
    """How the records of one family of formats are read.

    `record`: all that is read of one; `origin`: as much as `scanner`, `can_pass` and `time` look at. `scanner`: who wrote it, ''
    for what is no finding, of which `reject` says why. `can_pass`: its kind of finding can say PASS. `reader`: makes, for a
    scanner, what turns (position, record) into observations.
    """

    wrappers: tuple[str, ...]
    record: type[Any]
    origin: type[Any]
    scanner: Callable[[Any], str]
    version: Callable[[Any], str]
    can_pass: Callable[[Any], bool]
    time: Callable[[Any], datetime | None]
    reject: Callable[[int, Any], Skipped]
    reader: Callable[[str], Callable[[int, Any], tuple[Outcome, ...]]]


@dataclass
class _Scanner:
    can_pass: bool = False
    newest: datetime | None = None


def runs(stream: BinaryIO, reports: Reports) -> Iterator[Run | Outcome]:
    """Yield for each scanner that wrote into the report a Run and what came of its records.

    The stream is read once for a report of Prowler, whose first record tells the time of all. Of others it is looked through
    before: each record has a time of its own, and the newest is the report's.
    """
    scanners = _survey(stream, reports)
    if not scanners:
        stream.seek(0)
        yield from _nothing(stream, reports)
    done: set[str] = set()
    while waiting := [scanner for scanner in scanners if scanner not in done]:
        stream.seek(0)
        yield from _run(stream, reports, waiting[0], scanners, first=not done)
        done.add(waiting[0])


def _survey(stream: BinaryIO, reports: Reports) -> dict[str, _Scanner]:
    """The scanners in the report's order. If the first is Prowler the others are left for the first run to find."""
    scanners: dict[str, _Scanner] = {}
    for _position, record in _json.records(stream, reports.origin, *reports.wrappers):
        if not isinstance(record, Skipped) and reports.scanner(record):
            _note(scanners, record, reports)
            if _prowler.SCANNER in scanners and len(scanners) == 1:
                break
    return scanners


def _note(scanners: dict[str, _Scanner], record: Any, reports: Reports) -> None:
    scanner = scanners.setdefault(reports.scanner(record), _Scanner())
    scanner.can_pass = scanner.can_pass or reports.can_pass(record)
    at = reports.time(record)
    if at and (scanner.newest is None or at > scanner.newest):
        scanner.newest = at


def _nothing(stream: BinaryIO, reports: Reports) -> Iterator[Run | Skipped]:
    """What a report without a single finding gives."""
    any_record = False
    for position, record in _json.records(stream, reports.record, *reports.wrappers):
        if not any_record:
            any_record = True
            yield Run(_prowler.SCANNER, "cloud", conclusive=False, inconclusive_because=Text(NOTHING_READ))
        yield record if isinstance(record, Skipped) else reports.reject(position, record)
    if not any_record:
        yield Run(_prowler.SCANNER, "cloud", conclusive=False, inconclusive_because=Text(EMPTY))


def _run(
    stream: BinaryIO, reports: Reports, scanner: str, scanners: dict[str, _Scanner], *, first: bool
) -> Iterator[Run | Outcome]:
    """The records of one scanner; in the first run through the report also what is of none, and who else wrote into it."""
    observe, known = reports.reader(scanner), scanners[scanner]
    begun = False
    for position, record in _json.records(stream, reports.record, *reports.wrappers):
        outcomes: tuple[Outcome, ...] = ()
        if isinstance(record, Skipped):
            outcomes = (record,) if first else ()
        else:
            written_by = reports.scanner(record)
            if written_by == scanner:
                outcomes = observe(position, record)
            elif not first:
                continue
            elif written_by:
                _note(scanners, record, reports)
            else:
                outcomes = (reports.reject(position, record),)
        for outcome in outcomes:
            if not begun and isinstance(outcome, Observation):
                begun = True
                at = outcome.seen_at if scanner == _prowler.SCANNER else known.newest
                yield Run(scanner, "cloud", version=reports.version(record), reports_passes=known.can_pass, at=at)
            yield outcome
    if not begun:
        because = Text(NOTHING_READ)
        yield Run(scanner, "cloud", reports_passes=known.can_pass, conclusive=False, inconclusive_because=because)


@lru_cache(1000)
def slug(name: str) -> str:
    """The scanner's name of a product, the same however its vendor prefixes it: "AWS Security Hub CSPM" is `security-hub`."""
    return _VENDOR.sub("", _NO_SLUG.sub("-", name.lower()).strip("-"))


def provider_of(word: str, asset: str) -> str:
    """`aws`, `azure`, `gcp` … from a producer's word, else from the look of a resource's id, else `other`."""
    word = word.strip().lower()
    if word:
        return _PROVIDERS.get(word, word)
    if asset.startswith("arn:"):
        return "aws"
    if asset.lower().startswith("/subscriptions/"):
        return "azure"
    return "gcp" if asset.startswith(("//", "projects/")) else "other"


def account_of(asset: str) -> str:
    """The account that a resource's id names (ARN, Azure subscription, GCP project), '' if it names none."""
    if asset.startswith("arn:"):
        account = asset.split(":", 5)[4:5]
        return account[0] if account and account[0].isdecimal() else ""
    parts = asset.split("/")
    for word in ("subscriptions", "projects"):
        if word in parts[:-1]:
            return parts[parts.index(word) + 1]
    return ""


def time_of(value: str | float | None, zone: tzinfo) -> datetime | None:
    """An aware time of ISO text or of seconds, milli-, micro- or nanoseconds since 1970; None if it is neither."""
    if isinstance(value, str):
        value = value.strip()
        if not value.replace(".", "", 1).isdecimal():
            return _iso_time(value, zone)
        value = float(value)
    if value is None:
        return None
    seconds = next((value / ticks for limit, ticks in _TICKS if value > limit), value)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _iso_time(text: str, zone: tzinfo) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def requirement_controls(requirements: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(framework, control) of `NIST.800-53.r5 AC-4`, `CIS AWS Foundations Benchmark v1.4.0/2.1.1`; a bare text is a framework."""
    pairs: dict[tuple[str, str], None] = {}
    for requirement in requirements:
        framework, _slash, control = requirement.strip().rpartition("/" if "/" in requirement else " ")
        pairs[(framework, control) if framework else (control, "")] = None
    return tuple(pairs)


def with_others(message: str, others: Sequence[str]) -> str:
    """The message and the further resources that the finding names, as one finding has one asset."""
    if not others:
        return message
    more = f" (+{len(others) - _ALSO_AT_MOST})" if len(others) > _ALSO_AT_MOST else ""
    return f"{message}\n+ {', '.join(others[:_ALSO_AT_MOST])}{more}".lstrip()


def tail_of(asset: str) -> str:
    """The name in an ARN or a resource id: what is behind the type, as the provider's console shows it."""
    resource = asset.split(":", 5)[-1] if asset.startswith("arn:") else asset
    if resource.startswith(("user/", "role/", "group/", "policy/", "/")) or not asset.startswith("arn:"):
        return re.split("[/:]", resource)[-1] or resource
    return re.split("[/:]", resource, maxsplit=1)[-1]
