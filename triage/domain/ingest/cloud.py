"""Cloud observations against what is known: one pass over the report.

The pass asks dictionaries only. It writes new assets and findings chunk by chunk and remembers what else changes, which
`settlement` writes when the whole report has been read, as a later row can overrule an earlier one: FAIL wins over MANUAL, MANUAL
over PASS. An unchanged row writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from triage.domain import estate
from triage.domain.ingest import identity, known
from triage.domain.ingest.catalogue import Catalogue, KnownAccount, KnownCheck, Tags
from triage.domain.ingest.changes import Changes, Sink
from triage.domain.ingest.writing import MEMO_LIMIT, Facts, Writer, looks
from triage.models import Status
from triage.ports import AccountInfo, Observation, Run, Verdict

FAIL, PASS = Verdict.FAIL, Verdict.PASS


@dataclass(slots=True, eq=False)
class Ground:
    """An account in this import: what is known of it, and what this report says about it."""

    account: KnownAccount
    prefix: str
    rule: Callable[[Observation], tuple[str, str, str]]
    late: bool
    stand_ins: set[int]  # checks with an open stand-in here
    facts: dict[Tags | tuple[Tags, str], Facts] = field(default_factory=dict)
    regions: set[str] = field(default_factory=set)
    settled: set[tuple[int, str]] = field(default_factory=set)  # (check, region) where a PASS row settles a stand-in


class CloudMerge:
    """One run's merge: `take` the report's observations in chunks, then let `settlement` write the rest."""

    def __init__(self, run: Run, *, scan: int, at: datetime, catalogue: Catalogue, sink: Sink | None = None) -> None:
        self.run, self.scan, self.at, self.catalogue, self.sink = run, scan, at, catalogue, sink
        self.changes = Changes()
        self.tally = self.changes.tally
        self.grounds: dict[AccountInfo, Ground] = {}
        self.known: dict[bytes, int] = {}  # findings that no row has named yet
        self.passing: dict[bytes, int] = {}  # known findings whose rows all pass
        self.checks_seen: set[int] = set()
        self.single_asset = True
        self._by_number: dict[int, Ground] = {}
        self._failing: set[bytes] = set()
        self._asked: dict[bytes, int] = {}  # findings that a MANUAL row of this report opened
        self._assets: dict[bytes, int] = {}
        self._writer = Writer(scan=scan, at=at)

    def take(self, chunk: list[Observation]) -> None:
        """Merge some thousands of observations, in the report's order, and write what is new."""
        self._prepare(chunk)
        grounds, checks, seen = self.grounds, self.catalogue.checks, self.checks_seen
        asset_key, finding_key = identity.asset_key, identity.finding_key
        for observation in chunk:
            ground = grounds[observation.account]
            if ground.late:
                self._late(observation)
                continue
            check = checks[observation.check]
            uid, qualifier, home = ground.rule(observation)
            key = asset_key(ground.prefix, uid)
            asset = self._asset(observation, ground, check, key)
            finding = finding_key(check.path, key, qualifier)
            seen.add(check.id)
            ground.regions.add(home)
            if observation.verdict is PASS:
                self._pass(observation, ground, check, finding, home)
            elif observation.verdict is FAIL:
                self._fail(observation, ground, check, finding, (asset, qualifier, home))
            else:
                self._manual(observation, ground, check, finding, (asset, qualifier, home))
        self._writer.flush()
        self.single_asset = self.single_asset and len({observation.asset for observation in chunk}) < 2

    # --- what the chunk names -----------------------------------------------------------------------------------------------

    def _prepare(self, chunk: list[Observation]) -> None:
        """Know the chunk's accounts with all that is held of them, its checks, and its tag sets with their owners."""
        infos = {observation.account for observation in chunk} - self.grounds.keys()
        if infos:
            self._enter(infos)
        self.catalogue.meet_checks({observation.check: observation.severity for observation in chunk})
        wanted: set[tuple[Ground, Tags, str]] = set()
        by_asset = self.catalogue.chain.reads_asset
        for observation in chunk:
            ground = self.grounds[observation.account]
            if by_asset:
                if (observation.tags, observation.asset) not in ground.facts:
                    wanted.add((ground, observation.tags, observation.asset))
            elif observation.tags not in ground.facts:
                wanted.add((ground, observation.tags, ""))
        if wanted:
            self._learn(wanted)

    def _enter(self, infos: set[AccountInfo]) -> None:
        self.catalogue.meet_accounts(infos)
        accounts = {info: self.catalogue.accounts[info] for info in infos}
        fresh = {account.id: account for account in accounts.values() if account.id not in self._by_number}
        if fresh:
            newest = known.newest(self.run.scanner, fresh)
            stand_ins = known.stand_ins(self.run.scanner, fresh)
            self.known |= known.findings(self.run.scanner, fresh)
            self._assets |= known.assets(fresh)
            for number, account in fresh.items():
                self._by_number[number] = Ground(
                    account=account,
                    prefix=identity.prefix(account.provider, account.uid),
                    rule=identity.RULES.get(account.provider, identity.other),
                    late=number in newest and newest[number] > self.at,
                    stand_ins=stand_ins.get(number, set()),
                )
        for info, account in accounts.items():
            self.grounds[info] = self._by_number[account.id]

    def _learn(self, wanted: set[tuple[Ground, Tags, str]]) -> None:
        """Tag sets, owners and environments of these: four statements at most."""
        tag_sets = self.catalogue.tag_sets({tags for _ground, tags, _asset in wanted})
        resolve = self.catalogue.chain.resolve
        answers = {
            (ground, tags, asset): resolve(account=ground.account.facts, tags=tags, asset=asset) for ground, tags, asset in wanted
        }
        trails = self.catalogue.trails(answers.values())
        for (ground, tags, asset), answer in answers.items():
            if len(ground.facts) > MEMO_LIMIT:
                ground.facts = {}
            account = ground.account
            ground.facts[(tags, asset) if asset else tags] = Facts(
                account=account.id,
                tag_set=tag_sets[tags],
                team=answer.team_id,
                trail=trails[answer.digest],
                environment=estate.environment_of(tags, account.environment),
                criticality=estate.criticality_of(tags, account.criticality),
            )

    # --- one observation ----------------------------------------------------------------------------------------------------

    def _facts(self, observation: Observation, ground: Ground) -> Facts:
        return ground.facts[(observation.tags, observation.asset) if self.catalogue.chain.reads_asset else observation.tags]

    def _asset(self, observation: Observation, ground: Ground, check: KnownCheck, key: bytes) -> int:
        """The asset's number; it is added when new, and remembered when its tags or its looks changed."""
        facts = self._facts(observation, ground)
        held = self._assets.get(key)
        state = facts.tag_set << 32 | looks(observation)
        if held is None:
            number = self._writer.asset(observation, check, facts, key, state & 0xFFFFFFFF)
            self._assets[key] = number << 64 | state
            return number
        number = held >> 64
        if held & known.LOOKS_MASK != state and number not in self.changes.assets:
            self.changes.assets[number] = (facts, observation, state & 0xFFFFFFFF)
        return number

    def _fail(
        self, observation: Observation, ground: Ground, check: KnownCheck, finding: bytes, parts: tuple[int, str, str]
    ) -> None:
        self.tally.fail += 1
        self.tally.muted += observation.muted
        if finding in self._failing:
            self._repeat(observation)
            return
        self._failing.add(finding)
        held = self.known.pop(finding, None) or self.passing.pop(finding, None)
        if held is None and finding in self._asked:
            self.changes.judged.append(self._asked[finding])
            self.tally.open += 1
            self._say(observation, self._asked[finding], "new")
        elif held is None:
            asset, qualifier, home = parts
            number = self._writer.finding(
                observation, check, self._facts(observation, ground), identity=finding, asset=asset, qualifier=qualifier, region=home
            )
            self.tally.new += 1
            self.tally.open += 1
            self._alias(observation, ground, check, number)
            self._say(observation, number, "new")
        else:
            self._say(observation, held >> known.ID_SHIFT, self.changes.fails_again(observation, held))

    def _pass(self, observation: Observation, ground: Ground, check: KnownCheck, finding: bytes, home: str) -> None:
        self.tally.passed += 1
        if check.id in ground.stand_ins:
            ground.settled.add((check.id, home))
        held = self.known.pop(finding, None)
        if held is not None:
            self.passing[finding] = held
        if self.sink:
            fixed = held is not None and held & known.STATUS_MASK != known.VERIFIED
            self._say(observation, held >> known.ID_SHIFT if held else None, "fixed" if fixed else "passed")

    def _manual(
        self, observation: Observation, ground: Ground, check: KnownCheck, finding: bytes, parts: tuple[int, str, str]
    ) -> None:
        self.tally.manual += 1
        self.tally.muted += observation.muted
        if finding in self._failing or finding in self._asked:
            self._repeat(observation)
            return
        held = self.known.pop(finding, None) or self.passing.pop(finding, None)
        if held is None:
            asset, qualifier, home = parts
            number = self._writer.finding(
                observation, check, self._facts(observation, ground), identity=finding, asset=asset, qualifier=qualifier, region=home,
                status=Status.MANUAL,
            )  # fmt: skip
            self.tally.new += 1
        else:
            number = held >> known.ID_SHIFT
            # The check cannot judge now: that proves nothing, and a verified finding stays verified.
            if held & known.GONE_OR_UNREPORTED:
                self.changes.back.append(number)
        self._asked[finding] = number
        self._say(observation, number, "manual")

    def _late(self, observation: Observation) -> None:
        self.tally.late += 1
        if observation.verdict is PASS:
            self.tally.passed += 1
        elif observation.verdict is FAIL:
            self.tally.fail += 1
        else:
            self.tally.manual += 1
        self._say(observation, None, "late")

    def _repeat(self, observation: Observation) -> None:
        self.tally.repeated += 1
        self._say(observation, None, "repeated")

    def _alias(self, observation: Observation, ground: Ground, check: KnownCheck, number: int) -> None:
        """Prowler's own id is composed of facts that are stored; an id that is not is kept as an alias."""
        account = ground.account
        composed = f"-{check.key}-{account.uid}-{observation.region}-{observation.asset_name}"
        if observation.alias and not observation.alias.endswith(composed):
            self.changes.aliases.append((number, observation.alias))

    def _say(self, observation: Observation, number: int | None, change: str) -> None:
        if self.sink:
            self.sink(observation, number, change, "key")
