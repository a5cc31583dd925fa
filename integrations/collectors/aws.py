"""AWS: roles, users, policies, buckets, machines, databases, keys, queues … of one account, in all of its regions.

Options of an account, beside those that reach it (`integrations.verifiers._aws`): `regions`, names parted by commas or spaces;
without them, all regions that the account has enabled.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.utils.translation import gettext_noop as _

from integrations.collectors._aws_iam import ACCOUNT, POLICY, ROLE, USER
from integrations.collectors._aws_network import EBS_VOLUME, INSTANCE, SECURITY_GROUP, VPC
from integrations.collectors._aws_source import Item, Source, Tags
from integrations.collectors._aws_storage import BUCKET, DATABASE, KEY, QUEUE, TOPIC, TRAIL
from integrations.verifiers._aws import Account, Reach, Stop, tools
from triage.ports import AssetKind, Collected, FactValue, Judgement, Listed, Looked, Outcome, Target, Text, Uncollected

LABEL = "AWS"
PROVIDER = "aws"

SOURCES = {
    source.name: source
    for source in (
        ACCOUNT, ROLE, USER, POLICY, BUCKET, DATABASE, KEY, TRAIL, QUEUE, TOPIC, INSTANCE, EBS_VOLUME, SECURITY_GROUP, VPC,
    )
}  # fmt: skip
KINDS: Mapping[str, AssetKind] = {name: source.kind for name, source in SOURCES.items()}
RENEWED = 600.0  # seconds: a role is assumed for 900
READ_ON = frozenset({Outcome.DENIED, Outcome.ERROR, Outcome.CANNOT})


class Visit:
    """An account while it is enumerated: the way in, taken again before it closes."""

    def __init__(self, target: Target, at: datetime) -> None:
        self._target, self._at = target, at
        self.chosen = tuple(dict.fromkeys(target.options.get("regions", "").replace(",", " ").split()))
        self._reach, self._since = Reach(target), time.monotonic()

    def account(self, *, region: str = "", asset: str = "", name: str = "") -> Account:
        """The account, entered, as it is seen from a region or by one of its assets. Raises Stop."""
        if time.monotonic() - self._since > RENEWED:
            self._reach, self._since = Reach(self._target), time.monotonic()
        account = Account(replace(self._target, region=region, asset=asset, asset_name=name), self._at, self._reach)
        account.enter()
        return account

    def forget(self) -> None:
        """Let go of what was answered: a large account's answers would fill the memory."""
        self._reach.answers.clear()


def collect(target: Target, at: datetime, /) -> Iterator[Collected | Uncollected | Listed]:
    visit = Visit(target, at)
    try:
        visit.account()
    except Stop as stop:
        yield Uncollected("", "", stop.summary, stop.missing)
        return
    regions = visit.chosen
    if not regions:
        try:
            regions = _enabled(visit.account())
        except Stop as stop:
            regions = (visit.account().region,)
            told = Text(_("The account's regions could not be listed: only %(region)s was looked at."), {"region": regions[0]})
            yield Uncollected("", "", told, stop.missing)
    for source in SOURCES.values():
        for region in regions if source.regional else ("",):
            yield from _enumerated(source, visit, region, regions)
            visit.forget()


def look(targets: Sequence[tuple[str, Target]], at: datetime, /) -> Iterator[Looked]:
    reach: Reach | None = None
    for kind, target in targets:
        if reach is None or (reach.account, reach.options) != (target.account, target.options):
            reach = Reach(target)
        yield _looked(SOURCES[kind], Account(target, at, reach))


def _enabled(account: Account) -> tuple[str, ...]:
    return tuple(sorted(region["RegionName"] for region in account.ask("ec2", "describe_regions")["Regions"]))


def _enumerated(
    source: Source, visit: Visit, region: str, regions: tuple[str, ...]
) -> Iterator[Collected | Uncollected | Listed]:
    """The assets of a kind in a region. What is not of a region but lies in one (buckets) counts where the regions are."""
    try:
        items = list(source.listed(visit.account(region=region)))
    except Stop as stop:
        yield Uncollected(source.name, region, stop.summary, stop.missing)
        return
    lying = source is BUCKET
    if lying and visit.chosen:
        items = [item for item in items if item.region in regions]
    for item in items:
        try:
            account = visit.account(region=item.region, asset=item.uid, name=item.name)
        except Stop as stop:
            yield Uncollected(source.name, region, stop.summary, stop.missing)
            return
        yield from _read(source, account, item)
    yield Listed(source.name, tuple(sorted({*regions, *(item.region for item in items)})) if lying else (region,))


def _read(source: Source, account: Account, item: Item) -> Iterator[Collected | Uncollected]:
    """The asset, and what could not be read of it; nothing for one that is gone by now."""
    try:
        facts, tags, unread = _facts(source, account, item)
    except Stop:
        return
    yield from unread
    yield Collected(source.name, item.uid, item.name, item.region, tags, facts)


def _facts(source: Source, account: Account, item: Item) -> tuple[dict[str, FactValue], Tags | None, list[Uncollected]]:
    """Raises Stop when the asset is gone."""
    facts: dict[str, FactValue] = {}
    unread: list[Uncollected] = []
    for part in source.parts:
        try:
            facts |= part.read(account, item.raw)
        except Stop as stop:
            unread.append(_unread(source, item, stop, tuple(fact.name for fact in part.facts)))
    tags: Tags | None = None
    try:
        tags = source.tags(account, item.raw)
    except Stop as stop:
        unread.append(_unread(source, item, stop, ("tags",)))
    return facts, tags, unread


def _unread(source: Source, item: Item, stop: Stop, facts: tuple[str, ...]) -> Uncollected:
    if stop.outcome not in READ_ON:
        raise stop
    return Uncollected(source.name, item.region, stop.summary, stop.missing, item.uid, facts)


def _looked(source: Source, account: Account) -> Looked:
    collected: Collected | None = None
    unread: list[Uncollected] = []
    outcome, summary, missing = Outcome.CANNOT, Text(_("Nobody has judged the facts yet.")), ""
    try:
        account.enter()
        item = source.found(account)
        account.target = replace(account.target, asset_name=item.name)
        facts, tags, unread = _facts(source, account, item)
        collected = Collected(source.name, item.uid, item.name, item.region, tags, facts)
    except Stop as stop:
        outcome, summary, missing = stop.outcome, stop.summary, stop.missing
    judgement = Judgement(outcome, summary, tuple(account.exchanges), account.principal, missing, tools())
    return Looked(collected, judgement, tuple(unread))
