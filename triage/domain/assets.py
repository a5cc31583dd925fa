"""Assets as an inventory: found by the one query language, with what is open on each; and one of them with all that is known."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Count
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotFound
from triage.domain.overview import Week, first_week, week_of, weeks_back
from triage.domain.ownership import explaining
from triage.domain.ownership.explaining import Explanation
from triage.domain.search import groups as grouping
from triage.domain.search import pages
from triage.domain.search.asking import NotCounted, Viewer
from triage.domain.search.compiler import condition
from triage.domain.search.tree import And, Clause, Operator, Query, Value
from triage.domain.tags import of_json
from triage.models import TO_FIX, Asset, AssetFacts, AssetTags, Event, Finding, Presence, Severity

SIZE = 50
COUNTED = 10_000
WORDS_COUNTED = 2_000  # of free text, which no index counts
SHOWN = 50
LEVELS = tuple(sorted(Severity, reverse=True))
OPEN = Clause("is", Operator.IS, (Value("open"),))
NOT_OF_ASSETS = _(
    "Assets know nothing of this. Ask for account, team, env, type, region, tag, exposure, criticality or application, or for words."
)
MOST_REPLAYED = 2_000  # findings of an asset


@dataclass(frozen=True, slots=True)
class Row:
    """`open`: how many findings of each severity are to be fixed."""

    asset: Asset
    open: Sequence[tuple[Severity, int]]

    @property
    def n(self) -> int:
        return sum(n for _level, n in self.open)


@dataclass(frozen=True, slots=True)
class Page:
    """`following`: after which asset the next page begins, None for no more. `complete`: nothing was left out of the count. `found`: the
    findings that were looked at.
    """

    rows: Sequence[Row]
    total: int
    complete: bool
    following: int | None = None
    found: pages.Page | None = None


def gravest(query: Query, *, actor: Actor, at: datetime, user: int | None = None, teams: Collection[int] = frozenset()) -> Page:
    """The assets whose open findings are gravest, at most SIZE; `total` of what was looked at. Raises NotAllowed, QueryError."""
    actor.demand(Right.VIEW)
    asked = Query(OPEN if query.root is None else And((OPEN, query.root)))
    found = grouping.groups(asked, by="asset", at=at, user=user, teams=teams)
    assets = Asset.objects.select_related("account", "team").in_bulk([group.of.pk for group in found.items if group.of])
    rows = [Row(assets[group.of.pk], group.severities) for group in found.items if group.of]
    return Page(rows, len(rows), found.complete and not found.more, found=found.page)


def newest(
    query: Query,
    *,
    actor: Actor,
    at: datetime,
    user: int | None = None,
    teams: Collection[int] = frozenset(),
    before: int | None = None,
) -> Page:
    """All assets that fit, the latest known first. Four statements. Raises NotAllowed, QueryError, Invalid for what no asset knows."""
    actor.demand(Right.VIEW)
    try:
        rows = Asset.objects.filter(condition(query, Viewer(at=at, user=user, teams=frozenset(teams)), table=Asset))
    except NotCounted:
        raise Invalid(NOT_OF_ASSETS) from None
    limit = WORDS_COUNTED if query.has_words else COUNTED
    counted = rows.order_by().values("pk")[: limit + 1].count()
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.select_related("account", "team").order_by("-pk")[: SIZE + 1])
    open_on = _open_on([asset.pk for asset in found])
    page = [Row(asset, open_on.get(asset.pk, [])) for asset in found[:SIZE]]
    return Page(page, min(counted, limit), counted <= limit, found[SIZE - 1].pk if len(found) > SIZE else None)


def _open_on(assets: Sequence[int]) -> dict[int, list[tuple[Severity, int]]]:
    rows = (
        Finding.objects.filter(asset__in=assets, is_open=True).order_by().values_list("asset", "severity").annotate(n=Count("pk"))
    )
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for asset, severity, n in rows:
        found[asset][severity] = n
    return {asset: [(level, by[level]) for level in LEVELS if level in by] for asset, by in found.items()}


@dataclass(frozen=True, slots=True)
class TagsThen:
    """What it carried in a time that is over, and since when."""

    tags: Sequence[tuple[str, str]]
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """An asset with what stands around it. `findings`: to be fixed, gravest first; `past`: all others, the latest change first.

    `owner`: who owns it and why, then or now. `facts`: what a collector read, None where none did.
    """

    asset: Asset
    findings: Sequence[Finding]
    open: int
    past: Sequence[Finding]
    tags: Sequence[tuple[str, str]]
    before: Sequence[TagsThen]
    owner: Explanation
    facts: AssetFacts | None


def asset(number: int) -> Asset:
    """Raises NotFound."""
    found = Asset.objects.select_related("account", "team", "application", "tag_set", "trail").filter(pk=number).first()
    if found is None:
        raise NotFound(_("There is no such asset."))
    return found


def story(current: Asset, *, actor: Actor, as_of: datetime | None = None) -> Story:
    """Raises NotAllowed, and NotFound for an owner at a time before it was known. A fixed number of statements."""
    actor.demand(Right.VIEW)
    rows = Finding.objects.filter(asset=current).select_related("check_ref", "asset", "account", "team")
    to_fix = rows.filter(is_open=True)
    history = AssetTags.objects.filter(asset=current).select_related("tag_set").order_by("-until", "-id")[:SHOWN]
    return Story(
        asset=current,
        findings=list(to_fix.order_by("-score", "pk")[:SHOWN]),
        open=to_fix.count(),
        past=list(rows.filter(is_open=False).order_by("-changed_at", "pk")[:SHOWN]),
        tags=of_json(current.tag_set.tags),
        before=[TagsThen(of_json(row.tag_set.tags), row.since, row.until) for row in history],
        owner=explaining.of_asset(current, actor=actor, as_of=as_of),
        facts=AssetFacts.objects.filter(asset=current).first(),
    )


def weeks(current: Asset, *, open_now: int, at: datetime) -> list[Week]:
    """What was to be fixed on an asset in the last twelve weeks, from the events of its findings; [] for one that has too many."""
    numbers = list(Finding.objects.filter(asset=current).values_list("pk", flat=True)[: MOST_REPLAYED + 1])
    if len(numbers) > MOST_REPLAYED:
        return []
    told = Event.objects.filter(subject="finding", subject_id__in=numbers, after__has_any_keys=["status", "presence"])
    opened: dict[date, int] = defaultdict(int)
    closed: dict[date, int] = defaultdict(int)
    now: dict[int, tuple[str, str]] = {}
    for number, after, moment in told.order_by("subject_id", "seq").values_list("subject_id", "after", "at"):
        status, presence = now.get(number, ("", ""))
        was = _is_open(status, presence)
        columns = after or {}
        now[number] = columns.get("status", status), columns.get("presence", presence)
        day = moment.astimezone(at.tzinfo).date()
        if _is_open(*now[number]) != was and day >= first_week(at):
            (closed if was else opened)[week_of(day, at)] += 1
    return weeks_back(opened, closed, open_now, at)


def _is_open(status: str, presence: str) -> bool:
    """As `Finding.is_open` is computed."""
    return status in TO_FIX and presence != Presence.GONE
