"""The whole estate asked again: what the rules as they are, or other ones, would change.

Read as combinations of account and tags, a few thousand for a million assets, and asset by asset only where rules look at
identifiers or paths. What follows from tags and account besides the owner (environment, criticality) is derived anew with it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from triage.domain import estate
from triage.domain.access import Actor, Right
from triage.domain.applications import Applications, highest
from triage.domain.ownership.chain import AccountFacts, Chain, account_facts, team_facts
from triage.domain.ownership.steps import Resolution, from_json
from triage.domain.tags import Tags, of_json
from triage.models import Account, Asset, OwnerRule, OwnerTrail, TagSet, Team

BATCH = 5_000  # combinations looked at together
SAMPLES = 5
KEPT = 50_000  # tag sets and trails remembered
Way = tuple[int | None, int | None]  # from team, to team


@dataclass(frozen=True, slots=True)
class OwnerMove:
    """So many assets would go from one owner to another (slugs; None is nobody). `samples`: uids of some."""

    before: str | None
    after: str | None
    assets: int
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """A dry run over `assets` assets. `moves`: most assets first."""

    assets: int
    moves: tuple[OwnerMove, ...]

    @property
    def changed(self) -> int:
        """How many assets change their owner."""
        return sum(move.assets for move in self.moves)


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


def preview(*, actor: Actor, rules: Sequence[OwnerRule] | None = None) -> Diff:
    """What the rules as configured, or these instead (enabled ones, in order, saved or not), would change. Writes nothing."""
    actor.demand(Right.CONFIGURE)
    survey = Survey(Chain.load() if rules is None else Chain(rules, team_facts()))
    assets: Counter[Way] = Counter()
    samples: dict[Way, list[int]] = {}
    for changed in survey.changed_assets():
        for new in changed:
            way = (new.held.team, new.answer.team_id)
            if way[0] != way[1]:
                assets[way] += new.held.n
                if len(some := samples.setdefault(way, [])) < SAMPLES:
                    some.append(new.held.sample)
    return Diff(survey.assets, _moves(assets, samples))


def _moves(assets: Counter[Way], samples: dict[Way, list[int]]) -> tuple[OwnerMove, ...]:
    slugs: dict[int | None, str | None] = {None: None, **dict(Team.objects.values_list("pk", "slug"))}
    uids = dict(Asset.objects.filter(pk__in=[pk for some in samples.values() for pk in some]).values_list("pk", "uid"))
    moves = [
        OwnerMove(before=slugs[way[0]], after=slugs[way[1]], assets=n, samples=tuple(uids[pk] for pk in samples[way]))
        for way, n in assets.items()
    ]
    return tuple(sorted(moves, key=lambda move: (-move.assets, move.before or "", move.after or "")))
