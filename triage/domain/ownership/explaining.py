"""Who owns it and how that was found: now or on a date, as stored; for what no report has named, by the rules of today."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.errors import NotFound
from triage.domain.ingest.identity import asset_key, prefix
from triage.domain.locking import NO_FINDING
from triage.domain.ownership.assigning import resolved
from triage.domain.ownership.chain import Chain, account_facts
from triage.domain.ownership.rules import AccountFacts
from triage.domain.ownership.steps import Step, from_json
from triage.domain.tags import Tags, of_json
from triage.models import Account, Asset, AssetTags, Event, Finding, FindingAlias, OwnerTrail, Team
from triage.ports import Text

FINDING = re.compile(r"[Ff]-0*(\d{1,18})")
SHOWN = 20  # assets of one name

UNKNOWN_THING = _("Nothing here is called “%(name)s”. Give an asset's identifier or name, a path, or a finding such as F-12.")
NOT_YET = _("%(name)s was not known on %(date)s; it was first seen on %(first)s.")
NOT_REPORTED = _(
    "No report has named it yet, so its tags are not known. This is what the rules say of a thing without tags there."
)
OTHERWISE = _("By the rules of today its owner would be %(team)s. `cspm owner apply` makes it so.")
OTHERWISE_NOBODY = _("By the rules of today nobody would own it. `cspm owner apply` makes it so.")
PINNED = _("Assigned by hand by %(actor)s on %(date)s.")
PINNED_BECAUSE = _("Assigned by hand by %(actor)s on %(date)s: %(reason)s")
MORE = _("There are more of this name than the %(shown)s shown. Give the whole identifier.")


@dataclass(frozen=True, slots=True)
class Explanation:
    """An owner and how it was found.

    `name`: F-id or the asset's identifier. `team`: its slug, None for nobody. `stored`: as it was written when it was decided;
    otherwise asked just now. `tags`: what it carried (then). `since`: since when it carried them. `as_of`: the date asked about.
    """

    name: str
    asset: str
    account: AccountFacts
    team: str | None
    steps: tuple[Step, ...]
    tags: Tags
    stored: bool
    since: datetime | None = None
    as_of: datetime | None = None
    notes: tuple[Text, ...] = ()


def explain(*, name: str, actor: Actor, as_of: datetime | None = None) -> list[Explanation]:
    """Explanations of everything of that name: a finding (F-12), an asset by identifier or name, or a path in a repository.

    `as_of`: then, instead of now. An identifier that no report has named is asked about live. Raises NotFound.
    """
    actor.demand(Right.VIEW)
    if number := FINDING.fullmatch(name.strip()):
        return [_of_finding(int(number[1]), as_of)]
    assets = _assets_called(name.strip())
    if assets:
        chain = Chain.load() if as_of is None else None
        found = [_of_asset(asset, as_of, chain) for asset in assets[:SHOWN]]
        if len(assets) > SHOWN:
            found[-1] = replace(found[-1], notes=(*found[-1].notes, Text(MORE, {"shown": SHOWN})))
        return found
    return [_of_stranger(name.strip(), Chain.load())]


def of_asset(asset: Asset, *, actor: Actor, as_of: datetime | None = None) -> Explanation:
    """Who owns this asset and how that was found, now or then. Raises NotFound for a time before it was known."""
    actor.demand(Right.VIEW)
    return _of_asset(asset, as_of, Chain.load() if as_of is None else None)


def explain_live(*, name: str, actor: Actor, chain: Chain | None = None) -> list[Explanation]:
    """As `explain`, by these rules whatever was decided before; by those that hold at this moment, if none are given. Raises NotFound."""
    actor.demand(Right.VIEW)
    name, chain = name.strip(), chain or Chain.load()
    if number := FINDING.fullmatch(name):
        finding = _finding(int(number[1]))
        told = _by(chain, finding.asset, str(finding))
        return [replace(told, notes=_pins(finding, None)) if finding.pinned else told]
    assets = _assets_called(name)
    found = [_by(chain, asset, asset.uid) for asset in assets[:SHOWN]]
    if len(assets) > SHOWN:
        found[-1] = replace(found[-1], notes=(Text(MORE, {"shown": SHOWN}),))
    return found or [_of_stranger(name, chain)]


def _by(chain: Chain, asset: Asset, name: str) -> Explanation:
    answer = resolved(asset, chain)
    return Explanation(
        name=name, asset=asset.uid, account=account_facts(asset.account), team=_slug(answer.team_id), steps=answer.steps,
        tags=of_json(asset.tag_set.tags), stored=False,
    )  # fmt: skip


def _finding(number: int) -> Finding:
    """By its number, or one that a merge retired. Raises NotFound."""
    rows = Finding.objects.select_related("asset__tag_set", "asset__account", "trail")
    finding = rows.filter(pk=number).first()
    if finding is None:
        alias = FindingAlias.objects.filter(name=f"F-{number:06d}").first()
        finding = rows.get(pk=alias.finding_id) if alias else None
    if finding is None:
        raise NotFound(NO_FINDING, number=f"{number:06d}")
    return finding


def _of_finding(number: int, as_of: datetime | None) -> Explanation:
    finding = _finding(number)
    if as_of is None:
        team, trail, pinned = finding.team_id, finding.trail, finding.pinned
    else:
        team, trail, pinned = _then(finding, as_of)
    period = _period(finding.asset, as_of if as_of is None else max(as_of, finding.asset.first_seen))
    notes = _pins(finding, as_of) if pinned else () if as_of else _otherwise(finding.asset, team, Chain.load())
    return Explanation(
        name=str(finding), asset=finding.asset.uid, account=account_facts(finding.asset.account), team=_slug(team),
        steps=from_json(trail.steps), tags=period.tags, stored=True, since=period.since, as_of=as_of, notes=notes,
    )  # fmt: skip


def _then(finding: Finding, as_of: datetime) -> tuple[int | None, OwnerTrail, bool]:
    """Team, trail and whether a hand held it, replayed from the finding's events."""
    events = Event.objects.filter(subject="finding", subject_id=finding.pk, seq__isnull=False, at__lte=as_of).order_by("seq")
    state: dict[str, Any] = {}
    for after in events.values_list("after", flat=True):
        state |= {name: value for name, value in (after or {}).items() if name in ("team_id", "trail_id", "pinned")}
    if not state:
        raise NotFound(NOT_YET, name=str(finding), date=f"{as_of:%F}", first=f"{finding.first_seen:%F}")
    return state.get("team_id"), OwnerTrail.objects.get(pk=state["trail_id"]), state.get("pinned", False)


def _pins(finding: Finding, as_of: datetime | None) -> tuple[Text, ...]:
    """Who assigned it by hand, when and why."""
    events = Event.objects.filter(subject="finding", subject_id=finding.pk, kind="owner", after__pinned=True)
    event = (events.filter(at__lte=as_of) if as_of else events).order_by("-seq").first()
    if event is None:
        return ()
    params = {"actor": event.actor, "date": f"{event.at:%F}"}
    return (Text(PINNED_BECAUSE, {**params, "reason": event.reason}) if event.reason else Text(PINNED, params),)


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which an asset's tags and owner stayed the same."""

    tags: Tags
    since: datetime
    team: int | None
    trail: OwnerTrail


def _of_asset(asset: Asset, as_of: datetime | None, chain: Chain | None) -> Explanation:
    if as_of is not None and as_of < asset.first_seen:
        raise NotFound(NOT_YET, name=asset.uid, date=f"{as_of:%F}", first=f"{asset.first_seen:%F}")
    period = _period(asset, as_of)
    return Explanation(
        name=asset.uid, asset=asset.uid, account=account_facts(asset.account), team=_slug(period.team),
        steps=from_json(period.trail.steps), tags=period.tags, stored=True, since=period.since, as_of=as_of,
        notes=_otherwise(asset, period.team, chain) if chain else (),
    )  # fmt: skip


def _period(asset: Asset, as_of: datetime | None) -> Period:
    """What the asset carried then and who owned it: the first period that ended after the date, else the present one."""
    ended = AssetTags.objects.filter(asset=asset, until__gt=as_of).order_by("until", "id") if as_of else AssetTags.objects.none()
    past = ended.select_related("tag_set", "trail").first()
    row: Asset | AssetTags = past or asset
    since = past.since if past else asset.tags_since
    return Period(of_json(row.tag_set.tags), since, row.team_id, row.trail)


def _otherwise(asset: Asset, team: int | None, chain: Chain) -> tuple[Text, ...]:
    """A word when the rules of today would say something else than what is stored."""
    answer = resolved(asset, chain)
    if answer.team_id == team:
        return ()
    slug = _slug(answer.team_id)
    return (Text(OTHERWISE, {"team": slug}) if slug else Text(OTHERWISE_NOBODY),)


def _slug(team: int | None) -> str | None:
    return None if team is None else Team.objects.values_list("slug", flat=True).get(pk=team)


def _assets_called(name: str) -> list[Asset]:
    """By identifier through the unique key; by name or path only then, as that reads all assets."""
    rows = Asset.objects.select_related("account", "tag_set", "trail").order_by("id")
    keys = set()
    for provider, uid in Account.objects.values_list("provider", "uid"):
        keys |= {asset_key(prefix(provider, uid), spelling) for spelling in (name, name.lower())}
        if provider == "code" and uid and name.startswith(f"{uid}:"):
            keys.add(asset_key(prefix(provider, uid), name.removeprefix(f"{uid}:")))
    found = list(rows.filter(key__in=keys)[: SHOWN + 1])
    return found or list(rows.filter(uid=name)[: SHOWN + 1]) or list(rows.filter(name=name)[: SHOWN + 1])


def _of_stranger(name: str, chain: Chain) -> Explanation:
    """What the rules say of an identifier in a known account, or a path in a known repository (`repository:path`)."""
    parts = set(re.split(r"[:/]", name)) - {""}
    for account in Account.objects.exclude(uid="").order_by("id"):
        if account.provider == "code" and name.startswith(f"{account.uid}:"):
            path = name.removeprefix(f"{account.uid}:")
            return _live(name, account, chain, asset=path, path=path)
        if account.provider != "code" and account.uid in parts:
            return _live(name, account, chain, asset=name, path="")
    raise NotFound(UNKNOWN_THING, name=name)


def _live(name: str, account: Account, chain: Chain, *, asset: str, path: str) -> Explanation:
    facts = account_facts(account)
    answer = chain.resolve(account=facts, tags=(), asset=asset, path=path)
    return Explanation(
        name=name, asset=asset, account=facts, team=_slug(answer.team_id), steps=answer.steps, tags=(), stored=False,
        notes=(Text(NOT_REPORTED),),
    )  # fmt: skip
