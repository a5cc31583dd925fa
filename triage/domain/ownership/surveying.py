"""The whole estate asked again: what the rules as they are, or other ones, would change.

Read as combinations of account and tags, a few thousand for a million assets, and asset by asset only where rules look at
identifiers or paths. What follows from tags and account besides the owner (environment, criticality) is derived anew with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from triage.domain import estate
from triage.domain.access import Actor, Right
from triage.domain.applications import Applications, highest
from triage.domain.ownership.chain import AccountFacts, Chain, account_facts, team_facts
from triage.domain.ownership.steps import Resolution, from_json
from triage.domain.tags import Tags, of_json
from triage.models import Account, Asset, Finding, OwnerRule, OwnerTrail, TagSet, Team

BATCH = 5_000  # combinations looked at together
SAMPLES = 5
WORST = 3  # findings that are shown of a way
WAYS_SHOWN = 20  # with their worst findings
KEPT = 50_000  # tag sets and trails remembered
Way = tuple[int | None, int | None]  # from team, to team


@dataclass(frozen=True, slots=True)
class OwnerMove:
    """So many assets would go from one owner to another (slugs; None is nobody). `samples`: uids of some.

    `findings`: how many that are to be fixed would follow; `worst`: some of them. Neither where nobody asked for them.
    """

    before: str | None
    after: str | None
    assets: int
    samples: tuple[str, ...] = ()
    findings: int = 0
    worst: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """A dry run over `assets` assets. `moves`: most assets first."""

    assets: int
    moves: tuple[OwnerMove, ...]

    @property
    def changed(self) -> int:
        """How many assets change their owner."""
        return sum(move.assets for move in self.moves)

    @property
    def findings(self) -> int:
        """How many findings that are to be fixed follow, where they were asked for."""
        return sum(move.findings for move in self.moves)


class Held(NamedTuple):
    """What is stored of `n` assets alike. `sample`: the id of one. `uid`, `path`: '' where nobody asks for them."""

    account: int
    tag_set: int
    team: int | None
    trail: int
    environment: str
    criticality: int
    application: int | None
    n: int
    sample: int
    uid: str
    path: str


class Changed(NamedTuple):
    """What is stored and what should be."""

    held: Held
    answer: Resolution
    environment: str
    criticality: int
    application: int | None


class Survey:
    """A reader of the estate under one chain. Remembers tag sets and trails, in bounded memory.

    `assets`: how many it has read so far.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.applications = Applications.load()
        self.assets = 0
        self._facts: dict[int, AccountFacts] = {}
        self._inherited: dict[int, tuple[str, int]] = {}
        self._tags: dict[int, Tags] = {}
        self._trails: dict[int, tuple[bytes, object]] = {}

    @property
    def together(self) -> bool:
        """Whether assets of one account with the same tags are read as one."""
        return not (self.chain.reads_asset or self.chain.reads_path)

    def changed_assets(self) -> Iterator[list[Changed]]:
        """Assets that should change: of each batch those that differ from what is stored."""
        for batch in _stream(_TOGETHER if self.together else _ONE_BY_ONE):
            self.assets += sum(held.n for held in batch)
            yield self._changed(batch)

    def _changed(self, batch: list[Held]) -> list[Changed]:
        self._learn(batch)
        changed = []
        for held in batch:
            tags = self._tags[held.tag_set]
            environment, criticality = self._inherited[held.account]
            account = self._facts[held.account]
            application = self.applications.of(account.provider, account.uid, tags)
            new = Changed(
                held,
                self.chain.resolve(account=self._facts[held.account], tags=tags, asset=held.uid, path=held.path),
                estate.environment_of(tags, environment),
                highest(estate.criticality_of(tags, criticality), application),
                application.id if application else None,
            )
            standing = (new.environment, new.criticality, new.application)
            if standing != (held.environment, held.criticality, held.application) or self._is_news(new):
                changed.append(new)
        return changed

    def _is_news(self, new: Changed) -> bool:
        """Another owner or another reason. A rule that was asked after the one that decided, or before it in vain, is no news."""
        digest, reason = self._trails[new.held.trail]
        if new.answer.team_id != new.held.team:
            return True
        return new.answer.digest != digest and (reason is None or reason != _reason(new.answer))

    def _learn(self, batch: list[Held]) -> None:
        if len(self._tags) > KEPT:
            self._tags.clear()
        if len(self._trails) > KEPT:
            self._trails.clear()
        for account in Account.objects.filter(pk__in={held.account for held in batch} - self._facts.keys()):
            self._facts[account.pk] = account_facts(account)
            self._inherited[account.pk] = (account.environment, account.criticality)
        tag_sets = {held.tag_set for held in batch} - self._tags.keys()
        for pk, stored in TagSet.objects.filter(pk__in=tag_sets).values_list("pk", "tags"):
            self._tags[pk] = of_json(stored)
        trails = {held.trail for held in batch} - self._trails.keys()
        for trail in OwnerTrail.objects.filter(pk__in=trails):
            digest = bytes(trail.digest)
            self._trails[trail.pk] = digest, _reason(Resolution(trail.team_id, from_json(trail.steps), digest))


def _reason(answer: Resolution) -> object:
    """What decided, without the number of the rule."""
    step = answer.decisive
    return step and (step.kind, step.name, step.why.message, dict(step.why.params))


_ASSET_COLUMNS = "a.account_id, a.tag_set_id, a.team_id, a.trail_id, a.environment, a.criticality, a.application_id"
_PATH = "CASE WHEN c.provider = 'code' THEN a.uid ELSE '' END"  # a file is an asset of its repository
_TOGETHER = f"SELECT {_ASSET_COLUMNS}, count(*), min(a.id), '', '' FROM triage_asset a GROUP BY 1, 2, 3, 4, 5, 6, 7"
_ONE_BY_ONE = f"SELECT {_ASSET_COLUMNS}, 1, a.id, a.uid, {_PATH} FROM triage_asset a JOIN triage_account c ON c.id = a.account_id"


def _stream(query: str) -> Iterator[list[Held]]:
    for rows in batches(query, [], BATCH):
        yield [Held(*row) for row in rows]


def batches(query: str, params: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """The rows, by a cursor in the server: memory does not grow with the estate."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, params)
        while rows := cursor.fetchmany(size):
            yield rows


def preview(*, actor: Actor, rules: Sequence[OwnerRule] | None = None, findings: bool = False) -> Diff:
    """What the rules as configured, or these instead (enabled ones, in order, saved or not), would change. Writes nothing.

    `findings`: count those that would follow as well.
    """
    actor.demand(Right.CONFIGURE)
    survey = Survey(Chain.load() if rules is None else Chain(rules, team_facts()))
    assets: Counter[Way] = Counter()
    samples: dict[Way, list[int]] = {}
    following = _Following(together=survey.together)
    for changed in survey.changed_assets():
        moved = [new for new in changed if new.held.team != new.answer.team_id]
        for new in moved:
            way = (new.held.team, new.answer.team_id)
            assets[way] += new.held.n
            if len(some := samples.setdefault(way, [])) < SAMPLES:
                some.append(new.held.sample)
        if findings and moved:
            following.count(moved)
    return Diff(survey.assets, _moves(assets, samples, following))


class _Following:
    """Findings that would follow their assets: how many by way, and the worst of them as (score, id)."""

    def __init__(self, *, together: bool) -> None:
        self._query = _FOLLOWING_ALIKE if together else _FOLLOWING_ONE_BY_ONE
        self._together = together
        self.counts: Counter[Way] = Counter()
        self.worst: dict[Way, list[tuple[int, int]]] = {}

    def count(self, moved: list[Changed]) -> None:
        ways = list(dict.fromkeys((new.held.team, new.answer.team_id) for new in moved))
        number = {way: n for n, way in enumerate(ways)}
        numbers = [number[new.held.team, new.answer.team_id] for new in moved]
        columns = alike(moved, numbers) if self._together else [numbers, [new.held.sample for new in moved]]
        with connection.cursor() as cursor:
            cursor.execute(self._query, columns)
            for n, count, worst in cursor.fetchall():
                self.counts[ways[n]] += count
                known = self.worst.setdefault(ways[n], [])
                known += [(score, finding) for score, finding in worst]
                known.sort(key=lambda each: (-each[0], each[1]))
                del known[WORST:]


def alike(changed: Sequence[Changed], numbers: Iterable[int]) -> list[list[Any]]:
    """The parameters of ALIKE: each combination under its number."""
    rows = [
        (
            n,
            new.held.account,
            new.held.tag_set,
            new.held.team,
            new.held.trail,
            new.held.environment,
            new.held.criticality,
            new.held.application,
        )
        for n, new in zip(numbers, changed, strict=True)
    ]
    return [*map(list, zip(*rows, strict=True))]


ALIKE = """
FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::smallint[], %s::bigint[])
    AS w(n, account_id, tag_set_id, team_id, trail_id, environment, criticality, application_id)
JOIN triage_asset a ON a.account_id = w.account_id AND a.tag_set_id = w.tag_set_id AND a.trail_id = w.trail_id
    AND a.team_id IS NOT DISTINCT FROM w.team_id AND a.environment = w.environment AND a.criticality = w.criticality
    AND a.application_id IS NOT DISTINCT FROM w.application_id
"""
_COUNTED = f"SELECT w.n, count(*), (array_agg(ARRAY[f.score, f.id] ORDER BY f.score DESC, f.id))[1:{WORST}]"
_TO_FOLLOW = "WHERE f.is_open AND NOT f.pinned GROUP BY 1"
_FOLLOWING_ALIKE = f"{_COUNTED} {ALIKE} JOIN triage_finding f ON f.asset_id = a.id {_TO_FOLLOW}"
_FOLLOWING_ONE_BY_ONE = (
    f"{_COUNTED} FROM unnest(%s::int[], %s::bigint[]) AS w(n, id) JOIN triage_finding f ON f.asset_id = w.id {_TO_FOLLOW}"
)


def _moves(assets: Counter[Way], samples: dict[Way, list[int]], following: _Following) -> tuple[OwnerMove, ...]:
    slugs: dict[int | None, str | None] = {None: None, **dict(Team.objects.values_list("pk", "slug"))}
    uids = dict(Asset.objects.filter(pk__in=[pk for some in samples.values() for pk in some]).values_list("pk", "uid"))
    shown = [finding for way, _n in following.counts.most_common(WAYS_SHOWN) for _score, finding in following.worst[way]]
    worst = Finding.objects.select_related("check_ref", "asset").in_bulk(shown)
    moves = [
        OwnerMove(
            before=slugs[way[0]], after=slugs[way[1]], assets=n, samples=tuple(uids[pk] for pk in samples[way]),
            findings=following.counts[way],
            worst=tuple(worst[finding] for _score, finding in following.worst.get(way, ()) if finding in worst),
        )
        for way, n in assets.items()
    ]  # fmt: skip
    return tuple(sorted(moves, key=lambda move: (-move.findings, -move.assets, move.before or "", move.after or "")))
