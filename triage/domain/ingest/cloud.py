"""Cloud observations against what is known: one pass over the report.

The pass asks dictionaries only. It writes new assets and findings chunk by chunk and remembers what else changes, which
`absence.settle` writes when the whole report has been read, as a later row can overrule an earlier one: FAIL wins over MANUAL,
MANUAL over PASS. An unchanged row writes nothing, and where the parser has fingerprints it is not even read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from triage.domain import estate
from triage.domain.applications import highest
from triage.domain.ingest import asset_facts, identity, known, records
from triage.domain.ingest.catalogue import Catalogue, KnownAccount, Tags
from triage.domain.ingest.changes import Changes, Sink
from triage.domain.ingest.checks import KnownCheck
from triage.domain.ingest.cleaning import one_line
from triage.domain.ingest.records import Records
from triage.domain.ingest.writing import MEMO_LIMIT, Facts, Writer, looks
from triage.domain.ownership.trails import trail_ids
from triage.domain.search.lookups import among
from triage.domain.sets import chunks
from triage.models import Finding, Status
from triage.ports import AccountInfo, Observation, Run, Unchanged, Verdict

FAIL, PASS, UNKNOWN = Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN
WORTH_A_COPY = 10_000  # rows: each COPY runs the audit triggers, and on most days there is little new


@dataclass(slots=True, eq=False)
class Ground:
    """An account in this import: what is known of it, and what this report says about it."""

    account: KnownAccount
    prefix: str
    rule: Callable[[Observation], tuple[str, str, str]]
    newer: list[known.Covered]  # what later scans covered: of that this report is history only
    fresh: bool  # has no assets yet
    stand_ins: set[int]  # checks with an open stand-in here
    facts: dict[Tags | tuple[Tags, str], Facts] = field(default_factory=dict)
    regions: set[str] = field(default_factory=set)
    settled: set[tuple[int, str]] = field(default_factory=set)  # (check, region) where a PASS row settles a stand-in
    records: Records = field(default_factory=Records)


@dataclass(slots=True)
class Row:
    """An observation with what follows from it."""

    observation: Observation
    ground: Ground
    check: KnownCheck
    facts: Facts
    asset_key: bytes
    qualifier: str
    home: str
    asset: int = 0
    met: bool = False  # the asset was known before, or another row has named it
    identity: bytes = b""

    def identify(self) -> bytes:
        """The identity of the finding that the row tells of."""
        self.identity = identity.finding_key(self.check.path, self.asset_key, self.qualifier)
        return self.identity


def is_covered(scopes: Iterable[known.Covered], check: int, region: str) -> bool:
    """Whether one of these scans looked at the check in the region."""
    return any(check in checks and region in regions for checks, regions in scopes)


class CloudMerge:
    """One run's merge: `take` the report's observations in chunks, then let `absence.settle` write the rest."""

    def __init__(
        self, run: Run, *, scan: int, at: datetime, catalogue: Catalogue, unchanged: dict[bytes, int], sink: Sink | None = None
    ) -> None:
        """`unchanged`: the parser's, to be filled with the fingerprints of each account that comes up."""
        self.run, self.scan, self.at, self.catalogue, self.sink = run, scan, at, catalogue, sink
        self.changes = Changes()
        self.tally = self.changes.tally
        self.grounds: dict[AccountInfo, Ground] = {}
        self.known: dict[bytes, int] = {}  # findings that no row has named yet
        self.passing: dict[bytes, int] = {}  # known findings whose rows all pass
        self.seen: set[int] = set()  # numbers of findings whose failure (or MANUAL) came again unchanged
        self.checks_seen: set[int] = set()
        self.exposed: list[int] = []  # assets known before that a new finding exposes
        self.single_asset = True
        self._unchanged = unchanged
        self._by_number: dict[int, Ground] = {}
        self._bare: dict[int, int] = {}  # assets that rows without tags told of; tag set and looks before, −1 of new ones
        self._untold: list[tuple[int, int]] = []  # findings opened by rows without tags, and their assets
        self._failing: set[bytes] = set()
        self._asked: dict[bytes, int] = {}  # findings that a MANUAL row of this report named
        self._assets: dict[bytes, int] = {}  # as `known.assets` has them; −number once a row said what the asset looks like
        self.undecided: set[int] = set()  # numbers of findings that the run could not judge
        self.collected: dict[int, set[int]] = {}  # assets by account whose facts the report has
        self._untagged: set[int] = set()  # assets whose tags the collector could not read
        self._writer = Writer(scan=scan, at=at)

    def take(self, chunk: list[Observation], unchanged: list[Unchanged]) -> None:
        """Merge some thousands of records, in the report's order, and write what is new once it is much."""
        declared = {covered.account for covered in self.run.covered or ()}
        self._prepare(chunk, {record[3] for record in unchanged} | declared)
        self._again(unchanged)
        rows = self._rows(chunk)
        self._meet_assets(rows)
        for row in rows:
            self.checks_seen.add(row.check.id)
            row.ground.regions.add(row.home)
            verdict = row.observation.verdict
            if verdict is PASS:
                number, said = self._pass(row), records.PASSES
            elif verdict is FAIL:
                number, said = self._fail(row), records.FAILS
            elif verdict is UNKNOWN:
                self._undecided(row)
                continue
            else:
                number, said = self._manual(row), records.ASKS
            if number is not None and row.observation.fingerprint:
                self._record(row, number, said)
        self._keep_facts(rows)
        self._writer.flush(least=WORTH_A_COPY)
        self.single_asset = self.single_asset and not unchanged and len({row.observation.asset for row in rows}) < 2

    def close(self) -> None:
        """Write what is left, and let go of what only reading needs: the report has been read."""
        self._writer.flush()
        self._keep_tags()
        self._unchanged.clear()
        self._assets.clear()
        self._failing.clear()

    def _record(self, row: Row, number: int, said: int) -> None:
        observation, kept = row.observation, row.ground.records
        said |= (records.MUTED if observation.muted else 0) | (records.TAGGED if observation.tags else 0)
        if not number:
            number, said = row.asset, said | records.CLEAN
        kept.add(observation.fingerprint, number, said, check=row.check.id, region=row.home)

    def _again(self, unchanged: list[Unchanged]) -> None:
        """Records that say what they said the last time: they are counted, and what they cover is noted."""
        by_account: dict[AccountInfo, list[Unchanged]] = {}
        for record in unchanged:
            by_account.setdefault(record[3], []).append(record)
        for account, again in by_account.items():
            ground, kept = self.grounds[account], self.grounds[account].records
            values = [record[1] for record in again]
            numbered = {check: self.catalogue.checks[check].id for check in {record[2] for record in again}}
            checks = [numbered[record[2]] for record in again]
            self.checks_seen.update(numbered.values())
            kept.extend(b"".join([record[0] for record in again]), values, checks)
            ground.regions |= kept.regions(values)
            if ground.stand_ins:
                ground.settled |= {
                    (check, kept.region(value))
                    for check, value in zip(checks, values, strict=True)
                    if value & records.VERDICT == records.PASSES and check in ground.stand_ins
                }
            numbers = [value >> records.NUMBER_SHIFT for value in values if value & records.VERDICT != records.PASSES]
            before = len(self.seen)
            self.seen.update(numbers)
            self.tally.repeated += len(numbers) - (len(self.seen) - before)
            flags = [value & (records.MUTED | records.VERDICT) for value in values]
            for flag in set(flags):
                self.tally.count(flag & records.VERDICT, flags.count(flag), muted=bool(flag & records.MUTED))

    # --- what the chunk names -----------------------------------------------------------------------------------------------

    def _prepare(self, chunk: list[Observation], accounts: set[AccountInfo]) -> None:
        """Know the chunk's accounts with all that is held of them, its checks, and its tag sets with their owners."""
        infos = ({observation.account for observation in chunk} | accounts) - self.grounds.keys()
        if infos:
            self._enter(infos)
        checks = {observation.check: observation.severity for observation in chunk}
        self.catalogue.meet_checks(
            checks | {check: severity for covered in self.run.covered or () for check, severity in covered.checks}
        )
        wanted: set[tuple[Ground, Tags, str]] = set()
        reads_asset = self.catalogue.chain.reads_asset
        for observation in chunk:
            ground = self.grounds[observation.account]
            if reads_asset:
                if (observation.tags, observation.asset) not in ground.facts:
                    wanted.add((ground, observation.tags, observation.asset))
            elif observation.tags not in ground.facts:
                wanted.add((ground, observation.tags, ""))
        if wanted:
            self._learn(wanted)

    def _enter(self, infos: Iterable[AccountInfo]) -> None:
        self.catalogue.meet_accounts(infos)
        accounts = {info: self.catalogue.accounts[info] for info in infos}
        unmet = {account.id: account for account in accounts.values() if account.id not in self._by_number}
        inhabited = known.inhabited(unmet)
        newer = known.newer(self.run.scanner, inhabited, self.at)
        held = known.findings(self.run.scanner, inhabited)
        self.known = self.known | held if self.known else held  # in nearly all reports all accounts come at once
        # Who wants to know why each record matched has each record read.
        last = {} if self.sink else records.last(self.run.scanner, inhabited - newer.keys(), held, into=self._unchanged)
        stand_ins = known.stand_ins(self.run.scanner, inhabited)
        for number, account in unmet.items():
            self._by_number[number] = Ground(
                account=account,
                prefix=identity.prefix(account.provider, account.uid),
                rule=identity.RULES.get(account.provider, identity.other),
                newer=newer.get(number, []),
                fresh=number not in inhabited,
                stand_ins=stand_ins.get(number, set()),
            )
            if number in last:
                self._by_number[number].records.begin(last[number])
        for info, account in accounts.items():
            self.grounds[info] = self._by_number[account.id]

    def _learn(self, wanted: set[tuple[Ground, Tags, str]]) -> None:
        """Tag sets, owners and environments of these: four statements at most."""
        tag_sets = self.catalogue.tag_sets({tags for _ground, tags, _asset in wanted})
        resolve = self.catalogue.chain.resolve
        answers = {
            (ground, tags, asset): resolve(account=ground.account.facts, tags=tags, asset=asset) for ground, tags, asset in wanted
        }
        trails = trail_ids(answers.values())
        environments = {tags: estate.environment_of(tags) for tags in tag_sets}
        criticalities = {tags: estate.criticality_of(tags) for tags in tag_sets}
        applications = self.catalogue.applications
        for (ground, tags, asset), answer in answers.items():
            account = ground.account
            application = applications.of(account.provider, account.uid, tags)
            ground.facts[(tags, asset) if asset else tags] = Facts(
                account=account.id,
                tag_set=tag_sets[tags],
                team=answer.team_id,
                trail=trails[answer.digest],
                environment=environments[tags] or account.environment,
                criticality=highest(criticalities[tags] or account.criticality, application),
                application=application,
            )

    def _rows(self, chunk: list[Observation]) -> list[Row]:
        """The chunk with keys and facts; records of a late report are counted and left out."""
        grounds, checks, reads_asset = self.grounds, self.catalogue.checks, self.catalogue.chain.reads_asset
        asset_key = identity.asset_key
        rows = []
        for observation in chunk:
            ground = grounds[observation.account]
            check = checks[observation.check]
            uid, qualifier, home = ground.rule(observation)
            if home not in ground.regions:  # what is there has been cleaned
                home = one_line(home)[:200]
            if ground.newer and is_covered(ground.newer, check.id, home):
                self._late(observation)
                continue
            facts = ground.facts[(observation.tags, observation.asset) if reads_asset else observation.tags]
            rows.append(Row(observation, ground, check, facts, asset_key(ground.prefix, uid), qualifier, home))
        for ground in self._by_number.values():
            if len(ground.facts) > MEMO_LIMIT:
                ground.facts = {}
        return rows

    def _meet_assets(self, rows: list[Row]) -> None:
        wanted = {row.asset_key for row in rows if not row.ground.fresh and row.asset_key not in self._assets}
        if wanted:
            self._assets |= known.assets(list(wanted))

    # --- one observation ----------------------------------------------------------------------------------------------------

    def _asset(self, row: Row) -> None:
        """Find the row's asset, or add it. One whose tags or looks changed is remembered.

        The first row of a report that names an asset says what it looks like; others may disagree, and each day's report then
        would change it there and back. But some checks report no tags: the first row that has any says more.
        """
        held = self._assets.get(row.asset_key)
        row.met = held is not None
        if held is not None:
            if held < 0:
                row.asset = -held
                if row.observation.tags and row.asset in self._bare:
                    self._tell(row, self._bare.pop(row.asset), looks(row.observation))
                return
            row.asset = held >> 64
        appearance = looks(row.observation)
        if held is None:
            row.asset = self._writer.asset(row.observation, row.check, row.facts, row.asset_key, appearance)
        else:
            self._tell(row, held & known.LOOKS_MASK, appearance)
        told = row.observation.collected
        if not row.observation.tags and (told is None or told.tags is None):
            self._bare[row.asset] = -1 if held is None else held & known.LOOKS_MASK
        self._assets[row.asset_key] = -row.asset

    def _tell(self, row: Row, before: int, appearance: int) -> None:
        """What the asset looks like by this row. `before`: tag set and looks as they are stored, as `known.assets` has them."""
        if before == row.facts.tag_set << 32 | appearance:
            self.changes.assets.pop(row.asset, None)
        else:
            self.changes.assets[row.asset] = (row.facts, row.observation, appearance)

    def _keep_tags(self) -> None:
        """An asset whose rows that were read have no tags keeps them, if a record that has tags came again as it was.

        So it does if a collector has read its tags, which reports leave out, or could not read them now.
        """
        bare = [number for number in self._bare if number in self.changes.assets]
        for number in self._untagged.intersection(bare) | asset_facts.tagged(bare):
            self.changes.assets.pop(number)
            self._bare.pop(number)
        bare = [number for number in bare if number in self._bare]
        for chunk in chunks(bare):
            asked = {-number: number for number in chunk}
            asked |= dict(Finding.objects.filter(among("asset", chunk)).order_by().values_list("pk", "asset"))
            for ground in self._by_number.values():
                for number in ground.records.still_tagged(asked):
                    self.changes.assets.pop(number, None)
                    self._bare.pop(number, None)
        self.changes.followers += [finding for finding, asset in self._untold if asset not in self._bare]

    def _fail(self, row: Row) -> int | None:
        """The finding's number; None when another row of the report said it already."""
        observation = row.observation
        self.tally.fail += 1
        self.tally.muted += observation.muted
        self._asset(row)
        key = row.identify()
        if key in self._failing:
            self._repeat(observation)
            return None
        self._failing.add(key)
        held = self.known.pop(key, None) or self.passing.pop(key, None)
        if held is not None and held >> known.ID_SHIFT in self.seen:
            # Another row of the key came again as it was. Which of them is first is not known, and what it says stands.
            self.known[key] = held
            self._repeat(observation)
            return None
        if held is not None:
            number, change = held >> known.ID_SHIFT, self.changes.fails_again(observation, held)
        elif key in self._asked:
            number, change = self._asked[key], "new"
            self.changes.judged.append(number)
            self.tally.open += 1
        else:
            number, change = self._open(row, Status.OPEN), "new"
            self.tally.open += 1
        self._say(observation, number, change)
        return number

    def _pass(self, row: Row) -> int | None:
        """The number of the finding that this fixes or keeps fixed, 0 when there is none."""
        self.tally.passed += 1
        if row.check.id in row.ground.stand_ins:
            row.ground.settled.add((row.check.id, row.home))
        self._asset(row)
        # An asset that no row has named before has no findings to look for.
        held = (self.known.pop(row.identify(), None) or self.passing.get(row.identity)) if row.met else None
        if held is None:
            self._say(row.observation, None, "passed")
            # Another row of this report may fail under the same key: the fingerprint must not say that all is well.
            return None if row.identity in self._failing or row.identity in self._asked else 0
        self.passing[row.identity] = held
        self._say(row.observation, held >> known.ID_SHIFT, "passed" if held & known.STATUS_MASK == known.VERIFIED else "fixed")
        return held >> known.ID_SHIFT

    def _undecided(self, row: Row) -> None:
        """Nobody knows now: what was known of it stays, and that it is not named as failing says nothing."""
        self._asset(row)
        held = self.known.get(row.identify()) if row.met else None
        if held is not None:
            self.undecided.add(held >> known.ID_SHIFT)
        self._say(row.observation, held >> known.ID_SHIFT if held is not None else None, "unknown")

    def _keep_facts(self, rows: Iterable[Row]) -> None:
        """The facts of assets that the chunk names first; each row of an asset carries them."""
        kept = []
        for row in rows:
            read = row.observation.collected
            if read is None:
                continue
            seen = self.collected.setdefault(row.facts.account, set())
            if row.asset not in seen:
                seen.add(row.asset)
                kept.append((row.asset, row.facts.account, row.home, read))
                if read.tags is None:
                    self._untagged.add(row.asset)
        asset_facts.keep(kept, at=self.at)

    def _manual(self, row: Row) -> int | None:
        observation = row.observation
        self.tally.manual += 1
        self.tally.muted += observation.muted
        self._asset(row)
        key = row.identify()
        if key in self._failing or key in self._asked:
            self._repeat(observation)
            return None
        held = self.known.pop(key, None) or self.passing.pop(key, None)
        if held is None:
            number = self._open(row, Status.MANUAL)
        else:
            # The check cannot judge now: that proves nothing, and a verified finding stays verified.
            number = held >> known.ID_SHIFT
            if held & known.GONE_OR_UNREPORTED:
                self.changes.back.append(number)
            else:
                self.changes.sighted.append(number)
            self.tally.unchanged += 1
        self._asked[key] = number
        self._say(observation, number, "manual")
        return number

    def _open(self, row: Row, status: Status) -> int:
        number = self._writer.finding(
            row.observation, row.check, row.facts, identity=row.identity, asset=row.asset, qualifier=row.qualifier, region=row.home,
            status=status,
        )  # fmt: skip
        self.tally.new += 1
        if row.met:
            if not row.observation.tags:
                self._untold.append((number, row.asset))
            if row.check.exposes:
                self.exposed.append(row.asset)
            row.ground.records.opened(number, check=row.check.id, asset=row.asset)
        self._alias(row, number)
        return number

    def _late(self, observation: Observation) -> None:
        self.tally.late += 1
        if observation.verdict is not UNKNOWN:
            self.tally.count(records.CODES[observation.verdict], 1, muted=observation.muted)
        self._say(observation, None, "late")

    def _repeat(self, observation: Observation) -> None:
        self.tally.repeated += 1
        self._say(observation, None, "repeated")

    def _alias(self, row: Row, number: int) -> None:
        """Prowler's own id is composed of facts that are stored; an id that is not is kept as an alias."""
        observation = row.observation
        composed = f"-{row.check.key}-{row.ground.account.uid}-{observation.region}-{observation.asset_name}"
        if observation.alias and not observation.alias.endswith(composed):
            self.changes.aliases.append((number, observation.alias))

    def _say(self, observation: Observation, number: int | None, change: str) -> None:
        if self.sink:
            self.sink(observation, number, change, "key")
