"""New assets and findings on their way into the database: numbered here, encoded, and copied in chunks."""

from dataclasses import dataclass
from datetime import datetime
from struct import Struct
from typing import Any
from zlib import crc32

from triage.domain import risk, sla
from triage.domain.applications import KnownApplication
from triage.domain.ingest import copying, known
from triage.domain.ingest.checks import KnownCheck
from triage.domain.ingest.cleaning import UID_LIMIT, one_line, prose
from triage.domain.ingest.identity import KEY_VERSION
from triage.models import ClockKind, Presence, Status
from triage.ports import Observation, Severity, Verdict

ASSET_COLUMNS = (
    "id", "key", "uid", "name", "type", "service", "region", "looks", "exposure",
    "account_id", "tag_set_id", "environment", "criticality", "application_id", "team_id", "trail_id",
    "tags_since", "first_seen", "first_scan_id",
)  # fmt: skip
FINDING_COLUMNS = (
    "id", "identity", "asset_id", "check_id", "qualifier", "region", "message", "muted", "review", "stand_in", "status",
    "account_id", "environment", "team_id", "trail_id",
    "severity", "scanner_severity", "score", "first_seen", "last_seen", "clock_from", "due_at", "due_original", "sla_id",
    "acknowledge_due", "contain_due", "notice_at",
    "key_version", "presence", "pinned", "grade", "regressions", "first_scan_id", "changed_at", "event_seq", "version",
)  # fmt: skip
MEMO_LIMIT = 50_000
_STARTED = (ClockKind.REMEDIATE.value, ClockKind.ACKNOWLEDGE.value, ClockKind.CONTAIN.value)  # with a finding

_ASSET = Struct(">iqi16s").pack  # id, key
_LOOKS = Struct(">iqih").pack  # looks, exposure
_length = Struct(">i").pack
_FINDING = Struct(">iqi16siqiq").pack  # id, identity, asset, check


@dataclass(slots=True, eq=False)
class Facts:
    """What follows from an account and a set of tags: owner, environment and application, and their columns, encoded once."""

    account: int
    tag_set: int
    team: int | None
    trail: int
    environment: str
    criticality: int
    application: KnownApplication | None = None
    asset_columns: bytes = b""
    finding_columns: bytes = b""

    def __post_init__(self) -> None:
        owner = copying.big(self.team) + copying.big(self.trail)
        account, environment = copying.big(self.account), copying.text(self.environment)
        standing = environment + copying.small(self.criticality) + copying.big(self.application.id if self.application else None)
        self.asset_columns = account + copying.big(self.tag_set) + standing + owner
        self.finding_columns = account + environment + owner


def looks(observation: Observation) -> int:
    """CRC-32 of what an asset is shown as, to see that it changed."""
    return crc32(f"{observation.asset_name}\x1f{observation.asset_type}\x1f{observation.region}".encode("utf-8", "replace"))


def fit(text: str, limit: int) -> str:
    """A name as it is kept: one line, and no longer than its column."""
    return one_line(text) if len(text) <= limit else one_line(text[:limit])


def _name(value: str) -> bytes:
    """A uid or name as a text field: `fit` and `copying.text` in one call, as there are two to each new asset."""
    data = (value if len(value) <= UID_LIMIT and value.isprintable() else one_line(value[:UID_LIMIT])).encode()
    return _length(len(data)) + data


def _remember(memo: dict[Any, bytes], key: Any, encoded: bytes) -> bytes:
    if len(memo) > MEMO_LIMIT:
        memo.clear()
    memo[key] = encoded
    return encoded


def appearance(observation: Observation) -> tuple[str, str, str]:
    """Name, type and region of an asset, as they are kept."""
    return (
        one_line(observation.asset_name)[:UID_LIMIT], one_line(observation.asset_type)[:200], one_line(observation.region)[:200],
    )  # fmt: skip


class Writer:
    """Adds rows; `flush` copies them: one statement a table and chunk.

    A row is the concatenation of encoded pieces. What many rows share is encoded once and remembered by what it is made of.
    """

    def __init__(self, *, scan: int, at: datetime) -> None:
        self.at = at
        self._targets = sla.Targets.load(at)
        self._ladders = sla.Ladders()
        self._frameworks: dict[tuple[int, int], frozenset[str]] = {}  # of check and application
        self._assets = copying.Copier("triage_asset", ASSET_COLUMNS)
        self._findings = copying.Copier("triage_finding", FINDING_COLUMNS)
        self._asset_numbers = known.numbering("triage_asset")
        self._finding_numbers = known.numbering("triage_finding")
        self._of_asset = copying.moment(at) + copying.moment(at) + copying.big(scan)
        self._of_finding = (
            copying.small(KEY_VERSION) + copying.text(Presence.REPORTED) + copying.boolean(False) + copying.text("")
            + copying.small(0) + copying.big(scan) + copying.moment(at) + copying.integer(1) + copying.integer(1)
        )  # fmt: skip
        self._kinds: dict[tuple[str, str, str], bytes] = {}
        self._texts: dict[str, bytes] = {}
        # An enumeration's hash is computed in Python: these keys hold none.
        self._flags: dict[tuple[bool, bool, bool, bool], bytes] = {}
        self._clocks: list[dict[tuple[object, ...], bytes]] = [{} for _severity in (0, *Severity)]

    def asset(self, observation: Observation, check: KnownCheck, facts: Facts, key: bytes, state: int) -> int:
        """Add an asset; its number. `state`: what `looks` says of it."""
        number = next(self._asset_numbers)
        kind = (observation.asset_type, check.service, observation.region)
        exposed = check.exposes and observation.verdict is Verdict.FAIL
        self._assets.rows.append(
            _ASSET(8, number, 16, key)
            + _name(observation.asset)
            + _name(observation.asset_name)
            + (self._kinds.get(kind) or self._kind(kind))
            + _LOOKS(8, state, 2, exposed)
            + facts.asset_columns
            + self._of_asset
        )
        return number

    def finding(
        self,
        observation: Observation,
        check: KnownCheck,
        facts: Facts,
        *,
        identity: bytes,
        asset: int,
        qualifier: str,
        region: str,
        status: Status = Status.OPEN,
    ) -> int:
        """Add a finding; its number."""
        number = next(self._finding_numbers)
        running = status is Status.OPEN
        flags = (observation.muted, observation.review, observation.stand_in, running)
        self._findings.rows.append(
            _FINDING(8, number, 16, identity, 8, asset, 8, check.id)
            + copying.text(qualifier)
            + (self._texts.get(region) or self._text(region))
            + copying.text(prose(observation.message))
            + (self._flags.get(flags) or self._flag(flags, status))
            + facts.finding_columns
            + self._clock(observation, check, facts, running=running)
            + self._of_finding
        )
        return number

    def _kind(self, kind: tuple[str, str, str]) -> bytes:
        """Type, service and region of an asset."""
        kind_, service, region = kind
        encoded = copying.text(fit(kind_, 200)) + copying.text(service) + copying.text(fit(region, 200))
        return _remember(self._kinds, kind, encoded)

    def _text(self, text: str) -> bytes:
        return _remember(self._texts, text, copying.text(text))

    def _flag(self, flags: tuple[bool, bool, bool, bool], status: Status) -> bytes:
        """Muted, review, stand-in and status."""
        encoded = b"".join(map(copying.boolean, flags[:3])) + copying.text(status)
        return _remember(self._flags, flags, encoded)

    def _clock(self, observation: Observation, check: KnownCheck, facts: Facts, *, running: bool) -> bytes:
        severity = check.override or observation.severity
        memo, application = self._clocks[observation.severity], facts.application
        served = (check.id, application.id if application else 0)
        frameworks = self._frameworks.get(served)
        if frameworks is None:
            frameworks = self._targets.frameworks_of(check.id, application.frameworks if application else ())
            self._frameworks[served] = frameworks
        data = application.data if application else ""
        key = (
            severity,
            facts.environment,
            facts.criticality,
            check.exposes,
            check.threat,
            data,
            frameworks,
            observation.seen_at,
            running,
        )
        encoded = memo.get(key)
        if encoded is None:
            # A report from the future would make everything that follows late; the scan's own time is bounded already.
            first = min(observation.seen_at or self.at, self.at)
            told = sla.Circumstances(severity, facts.environment, facts.criticality, int(check.exposes), frameworks)
            remediate, acknowledge, contain = (
                self._targets.strictest(clock, told, first) if running else None for clock in _STARTED
            )
            contain = contain if check.exposes else None
            notice = self._ladders.first([(remediate, first), (acknowledge, first), (contain, first)])
            due = copying.moment(remediate.at if remediate else None)
            score = risk.score(
                risk.Facts(severity, facts.environment, check.exposes, facts.criticality, data, check.threat),
                seen=first,
                at=self.at,
            )
            encoded = _remember(memo, key, (
                copying.small(severity) + copying.small(observation.severity) + copying.integer(score) + copying.moment(first)
                + copying.moment(self.at) + copying.moment(first if running else None) + due + due
                + copying.big(remediate.rule.version if remediate else None)
                + copying.moment(acknowledge.at if acknowledge else None) + copying.moment(contain.at if contain else None)
                + copying.moment(notice)
            ))  # fmt: skip
        return encoded

    def flush(self, *, least: int = 1) -> None:
        """Copy what is gathered, assets before the findings that point at them, if it is `least` rows."""
        if len(self._assets.rows) + len(self._findings.rows) >= least:
            self._assets.flush()
            self._findings.flush()
