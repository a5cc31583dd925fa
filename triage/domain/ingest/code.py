"""Code results against what is known: one stream (tool, category, repository, branch), matched one to one at the end of its run."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, cast

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain import estate, lifecycle
from triage.domain.applications import highest
from triage.domain.audit import Recording
from triage.domain.ingest import copying, identity, known
from triage.domain.ingest.catalogue import Catalogue, KnownAccount
from triage.domain.ingest.changes import Changes, Sink
from triage.domain.ingest.cleaning import one_line, prose
from triage.domain.ingest.code_matcher import Traits, match
from triage.domain.ingest.settlement import Settled, sight, write
from triage.domain.ingest.writing import Facts, Writer, looks
from triage.domain.ownership.trails import trail_ids
from triage.domain.sets import chunks
from triage.models import CodePlace, CodeStream, Grade, ScanScope
from triage.ports import AccountInfo, Observation, Place, Run, Text, Unchanged, Verdict

PLACE_COLUMNS = (
    "finding_id", "stream_id", "path", "start_line", "end_line", "start_column", "end_column", "address", "snippet", "context", "text_hash",
    "context_hash", "fingerprints", "trusted", "ordinal", "others",
)  # fmt: skip
SNIPPET = 4_000
NO_PLACE = Place(path="")
UNDECLARED = _(
    "The report does not say which repository it is about, so a result that is missing proves nothing. Declare it at import "
    "(--scope repository:NAME) to have fixed results recognised."
)


# Up to here a run is held in memory and matched as a whole. A larger one is sifted as it is read: what stands where it stood and
# says what it said is the same, and the matcher sees the rest alone.
WHOLE = 20_000
MOST_HELD = 60_000


@dataclass(slots=True, eq=False)
class Held:
    """A known finding of the stream, with what it is recognised by."""

    traits: Traits
    asset: int


@dataclass(slots=True, eq=False)
class Stream:
    """One repository's results of this run. `left`: number -> packed state of known findings that no result was found to be yet."""

    pk: int
    account: KnownAccount
    late: bool
    left: dict[int, int]
    results: list[tuple[int, Observation]] = field(default_factory=list)  # not matched yet, with their ordinal
    count: int = 0
    exact: dict[bytes, list[int]] | None = None


class CodeMerge:
    """One run's merge: `take` the results, then `close` matches what is not matched yet, and writes."""

    def __init__(self, run: Run, *, scan: int, at: datetime, catalogue: Catalogue, sink: Sink | None = None) -> None:
        self.run, self.scan, self.at, self.catalogue, self.sink = run, scan, at, catalogue, sink
        self.changes = Changes()
        self.tally = self.changes.tally
        self._streams: dict[KnownAccount, Stream] = {}
        self._writer = Writer(scan=scan, at=at)
        self._places = copying.Copier("triage_codeplace", PLACE_COLUMNS)
        self._assets: dict[bytes, int] = {}
        self._facts: dict[tuple[int, str], Facts] = {}
        self._trails: dict[bytes, int] = {}

    def take(self, chunk: list[Observation], _unchanged: list[Unchanged]) -> None:
        """Gather results; a PASS says nothing that their absence does not."""
        self.catalogue.meet_accounts({observation.account for observation in chunk})
        self.catalogue.meet_checks({observation.check: observation.severity for observation in chunk})
        for observation in chunk:
            if observation.verdict is Verdict.PASS:
                self.tally.passed += 1
                if self.sink:
                    self.sink(observation, None, "passed", "")
                continue
            self.tally.fail += 1
            self.tally.muted += observation.muted
            stream = self._stream(self.catalogue.accounts[observation.account])
            if stream.late:
                self.tally.late += 1
                continue
            stream.results.append((stream.count, observation))
            stream.count += 1
        for stream in self._streams.values():
            if not stream.left:
                self._open_all(stream)
            elif len(stream.results) > WHOLE:
                self._sift(stream)

    def close(self, log: Recording, *, complete: bool | None) -> Settled:
        """Match what is left and write. `complete`: as the importer declared, None if not."""
        if not self._streams:
            repository = AccountInfo("code", self.run.repository)
            self.catalogue.meet_accounts([repository])
            self._stream(self.catalogue.accounts[repository])
        done = Settled()
        for stream in self._streams.values():
            if not stream.late:
                self._match(stream, log)
                self._conclude(stream, done, log=log, complete=complete)
        written = write(self.changes, log=log, scan=self.scan, at=self.at)
        done.regressed, done.back = written.regressed, written.back
        return done

    def _stream(self, account: KnownAccount) -> Stream:
        stream = self._streams.get(account)
        if stream is None:
            row, _made = CodeStream.objects.get_or_create(
                scanner=self.run.scanner, account_id=account.id, category=self.run.category[:300], branch=self.run.branch[:300]
            )
            late = ScanScope.objects.filter(stream=row, complete=True, at__gt=self.at).exists()
            left = known.states(CodePlace.objects.filter(stream=row).values("finding_id"))
            stream = self._streams[account] = Stream(row.pk, account, late, left)
        return stream

    def _sift(self, stream: Stream) -> None:
        """Take out the results that stand where they stood and say what they said."""
        if stream.exact is None:
            stream.exact = _exact(stream.pk)
        rest = []
        for ordinal, observation in stream.results:
            numbers = stream.exact.get(_exact_key(observation.check.key, observation.message, observation.place or NO_PLACE))
            if numbers:
                self._again(stream, observation, numbers.pop(), "same")
            else:
                rest.append((ordinal, observation))
        stream.results = rest
        if len(rest) > MOST_HELD:
            self._match(stream, None)

    def _match(self, stream: Stream, log: Recording | None) -> None:
        """Match what is gathered with what is left, one to one; the rest is new."""
        results, stream.results = stream.results, []
        held = _held(stream) if results and stream.left else {}
        fates = match(
            [(number, finding.traits) for number, finding in held.items()],
            [Traits(o.check.key, o.message, o.place or NO_PLACE, ordinal) for ordinal, o in results],
        )
        self._meet_assets(stream, results)
        moved: list[tuple[int, Observation, int, int]] = []
        for (ordinal, observation), (number, stage) in zip(results, fates, strict=True):
            asset = self._asset(stream.account, observation)
            if number is None:
                self._open(stream, observation, asset, ordinal)
                continue
            old = held[number]
            if (asset, observation.place or NO_PLACE, ordinal) != (old.asset, old.traits.place, old.traits.ordinal):
                moved.append((number, observation, asset, ordinal))
            self._again(stream, observation, number, stage)
        self._flush()
        if log:
            log.because("moved in the code")
        _move(moved, stream=stream.pk)
        if log:
            log.because()

    def _again(self, stream: Stream, observation: Observation, number: int, stage: str) -> None:
        change = self.changes.fails_again(observation, stream.left.pop(number))
        if self.sink:
            self.sink(observation, number, change, stage)

    def _open_all(self, stream: Stream) -> None:
        """Nothing is known that they could be."""
        results, stream.results = stream.results, []
        self._meet_assets(stream, results)
        for ordinal, observation in results:
            self._open(stream, observation, self._asset(stream.account, observation), ordinal)
        self._flush()

    def _conclude(self, stream: Stream, done: Settled, *, log: Recording, complete: bool | None) -> None:
        """What a whole, successful run of a declared repository does not name is fixed."""
        conclusive = self.run.conclusive and complete is not False
        covering = conclusive and bool(self.run.repository or complete)
        if covering:
            log.because("not in a complete run of the same tool, category, repository and branch")
            absent = [number for number, state in stream.left.items() if state & known.STATUS_MASK != known.VERIFIED]
            done.fixed += len(lifecycle.settle(absent, at=self.at, grade=Grade.ABSENCE))
            log.because()
        else:
            if stream.left and conclusive:
                done.notes.append(Text(UNDECLARED))
            sight(self.changes.sighted, at=self.at)
        ScanScope.objects.create(
            scan_id=self.scan,
            scanner=self.run.scanner,
            account_id=stream.account.id,
            stream_id=stream.pk,
            complete=covering,
            at=self.at,
        )

    def _meet_assets(self, stream: Stream, results: list[tuple[int, Observation]]) -> None:
        prefix = identity.prefix(stream.account.provider, stream.account.uid)
        keys = {identity.asset_key(prefix, observation.asset) for _ordinal, observation in results}
        for chunk in chunks(keys - self._assets.keys()):
            self._assets |= known.assets(chunk)

    def _flush(self) -> None:
        self._writer.flush()
        self._places.flush()

    def _asset(self, account: KnownAccount, observation: Observation) -> int:
        """The file's number, added when new. Its owner follows from its path."""
        key = identity.asset_key(identity.prefix(account.provider, account.uid), observation.asset)
        held = self._assets.get(key)
        if held is not None:
            return held >> 64
        appearance = looks(observation)
        check, facts = self.catalogue.checks[observation.check], self._facts_of(account, observation)
        number = self._writer.asset(observation, check, facts, key, appearance)
        self._assets[key] = number << 64 | facts.tag_set << 32 | appearance
        return number

    def _facts_of(self, account: KnownAccount, observation: Observation) -> Facts:
        chain = self.catalogue.chain
        path = observation.asset
        key = (account.id, path if chain.reads_path or chain.reads_asset else "")
        if key not in self._facts:
            answer = chain.resolve(account=account.facts, tags=observation.tags, asset=path, path=path)
            if answer.digest not in self._trails:  # many paths, few answers
                self._trails |= trail_ids([answer])
            application = self.catalogue.applications.of(account.provider, account.uid, observation.tags)
            self._facts[key] = Facts(
                account=account.id,
                tag_set=self.catalogue.tag_set(observation.tags),
                team=answer.team_id,
                trail=self._trails[answer.digest],
                environment=account.environment,
                criticality=highest(estate.criticality_of(observation.tags, account.criticality), application),
                application=application,
            )
        return self._facts[key]

    def _open(self, stream: Stream, observation: Observation, asset: int, ordinal: int) -> None:
        """A new finding. What it is recognised by may all change, so its identity is the place of its first report."""
        check = self.catalogue.checks[observation.check]
        first = blake2b(f"{stream.pk}\x1f{self.scan}\x1f{observation.position}".encode(), digest_size=16).digest()
        facts = self._facts_of(stream.account, observation)
        number = self._writer.finding(observation, check, facts, identity=first, asset=asset, qualifier="", region="")
        self.tally.new += 1
        self.tally.open += 1
        columns = b"".join(_ENCODERS[kind](value) for kind, value in _columns(observation, ordinal))
        self._places.rows.append(copying.big(number) + copying.big(stream.pk) + columns)
        if self.sink:
            self.sink(observation, number, "new", "")


def squeezed(text: str) -> bytes:
    """BLAKE2b-128 of a text without white space: what a reformatting leaves alone."""
    return blake2b("".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "text": copying.text,
    "int": copying.integer,
    "blob": copying.blob,
    "json": copying.json,
}


def _columns(observation: Observation, ordinal: int) -> list[tuple[str, Any]]:
    """Kinds and values of PLACE_COLUMNS after finding and stream."""
    place = observation.place or NO_PLACE
    return [
        ("text", one_line(place.path)), ("int", _line(place.start_line)), ("int", _line(place.end_line)),
        ("int", _line(place.start_column)), ("int", _line(place.end_column)), ("text", one_line(place.address)),
        ("text", prose(place.snippet, SNIPPET)), ("text", prose(place.context, SNIPPET)),
        ("blob", squeezed(place.snippet)), ("blob", squeezed(place.context)),
        ("json", [[one_line(name), one_line(value)] for name, value in place.fingerprints]), ("text", one_line(place.trusted)[:200]),
        ("int", ordinal),
        ("json", [[one_line(other.path), other.start_line, other.end_line] for other in observation.places[1:50]]),
    ]  # fmt: skip


def _line(number: int) -> int:
    return min(max(number, 0), 2**31 - 1)


def _held(stream: Stream) -> dict[int, Held]:
    """The findings of a stream that are left, with what they are recognised by."""
    rows = CodePlace.objects.filter(stream=stream.pk).values_list(
        "finding_id", "finding__check_ref__key", "finding__message", "path", "start_line", "end_line", "start_column", "address",
        "snippet", "context", "fingerprints", "trusted", "end_column", "ordinal", "finding__asset_id",
    )  # fmt: skip
    held = {}
    for row in rows.iterator(5_000):
        number, rule, message, *where, prints, trusted, end_column, ordinal, asset = cast("tuple[Any, ...]", row)
        if number in stream.left:
            fingerprints = tuple((name, value) for name, value in prints)
            place = Place(*where, fingerprints, trusted, end_column)  # type: ignore[call-arg]
            gone = stream.left[number] & known.STATUS_MASK == known.VERIFIED
            held[number] = Held(Traits(rule, message, place, ordinal, gone), asset)
    return held


def _exact(stream: int) -> dict[bytes, list[int]]:
    """All that a result says and where -> the findings that say and stand so."""
    rows = CodePlace.objects.filter(stream=stream).values_list(
        "finding_id", "finding__check_ref__key", "finding__message", "path", "start_line", "end_line", "start_column", "address",
        "snippet", "context", "end_column",
    )  # fmt: skip
    found: dict[bytes, list[int]] = {}
    for row in rows.iterator(5_000):
        number, rule, message, *where, end_column = cast("tuple[Any, ...]", row)
        place = Place(*where, (), "", end_column)  # type: ignore[call-arg]
        found.setdefault(_exact_key(rule, message, place), []).append(number)
    return found


def _exact_key(rule: str, message: str, place: Place) -> bytes:
    parts = (
        rule, prose(message), one_line(place.path), str(place.start_line), str(place.end_line), str(place.start_column),
        str(place.end_column), one_line(place.address), prose(place.snippet, SNIPPET), prose(place.context, SNIPPET),
    )  # fmt: skip
    return blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def _move(moved: list[tuple[int, Observation, int, int]], *, stream: int) -> None:
    """Known findings stand elsewhere now. That is no event in itself; a file that belongs to others changes their owner."""
    for chunk in chunks(moved):
        rows = [
            (number, asset, prose(observation.message), *(_plain(kind, value) for kind, value in _columns(observation, ordinal)))
            for number, observation, asset, ordinal in chunk
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH now AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::int[], %s::int[], %s::int[],"
                " %s::int[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::bytea[], %s::jsonb[], %s::text[], %s::int[], %s::jsonb[])"
                " AS n(id, asset_id, message, path, start_line, end_line, start_column, end_column, address, snippet, context, text_hash,"
                " context_hash, fingerprints, trusted, ordinal, others)),"
                " shifted AS (UPDATE triage_finding f SET asset_id = n.asset_id, message = n.message,"
                " team_id = CASE WHEN f.pinned THEN f.team_id ELSE a.team_id END,"
                " trail_id = CASE WHEN f.pinned THEN f.trail_id ELSE a.trail_id END"
                " FROM now n JOIN triage_asset a ON a.id = n.asset_id WHERE f.id = n.id"
                " AND (f.asset_id, f.message) IS DISTINCT FROM (n.asset_id, n.message))"
                " UPDATE triage_codeplace p SET path = n.path, start_line = n.start_line, end_line = n.end_line,"
                " start_column = n.start_column, end_column = n.end_column, address = n.address, snippet = n.snippet, context = n.context,"
                " text_hash = n.text_hash, context_hash = n.context_hash, fingerprints = n.fingerprints, trusted = n.trusted,"
                " ordinal = n.ordinal, others = n.others FROM now n WHERE p.finding_id = n.id AND p.stream_id = %s",
                [*columns, stream],
            )


def _plain(kind: str, value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if kind == "json" else value
