"""Reads that are longer than a queryset: a finding with its whole story, a scan with its diff. Tests count their statements."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Count, Q, Sum
from django.utils.translation import gettext_noop as _

from triage.domain.errors import NotFound, TriageError
from triage.models import (
    ApiToken,
    CheckCounter,
    ClockEntry,
    Comment,
    Event,
    Finding,
    FindingAlias,
    RoleGrant,
    Scan,
    ScanScope,
    ScanState,
    ScanWarning,
    Team,
    Ticket,
    User,
    Verification,
)

EVENTS_SHOWN = 100
SCANS_SHOWN = 8
RELATED_SHOWN = 5
DIFF_SHOWN = 50
WARNINGS_SHOWN = 200
# From so many new findings on, the worst of them are found sooner along the queue than among those that the scan brought.
DENSE = 2000

ROW = ("check_ref", "asset", "account", "team")  # what a row of a list shows besides the finding


@dataclass(frozen=True, slots=True)
class Who:
    """Who did something. `name` is empty for the service itself, the command line and people who are erased."""

    kind: str
    name: str = ""


def who(actors: Iterable[str]) -> dict[str, Who]:
    """Typed pseudonyms as people: two statements, whatever their number."""
    parted = {actor: actor.partition(":") for actor in actors}
    users = {int(number) for kind, _colon, number in parted.values() if kind == "user" and number.isdecimal()}
    tokens = {int(number) for kind, _colon, number in parted.values() if kind == "token" and number.isdecimal()}
    names = {f"user:{user.pk}": str(user) for user in User.objects.filter(pk__in=users, erased_at=None)} if users else {}
    if tokens:
        names |= {f"token:{token.pk}": str(token) for token in ApiToken.objects.filter(pk__in=tokens)}
    return {actor: Who(kind, names.get(actor, "")) for actor, (kind, _colon, _number) in parted.items()}


class TooLong(TriageError):
    """The question takes longer to answer than anybody waits."""


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Statements within take so long at most. Raises TooLong."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "57014":
            raise
        raise TooLong(_("This search takes too long. Narrow it down, by an account or a team for example.")) from error


def own_teams(user: User) -> frozenset[int]:
    """Teams that the person is a member of, known by number or by e-mail address, or contributes to."""
    of_members = Team.objects.filter(Q(members__user=user) | Q(members__email__iexact=user.email)).values_list("pk")
    return frozenset(
        of_members.union(RoleGrant.objects.filter(user=user, team__isnull=False).values_list("team")).values_list("pk", flat=True)
    )


# --- a finding ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moment:
    """An event, with its numbers resolved. `before`, `after`: teams and people instead of ids, times instead of strings.

    `comment`: what somebody said, as it stands now; '' for anything else, and when it was taken away.
    `held`: for a regression, how long the fix had held; `fixed_by`: who had claimed it.
    """

    kind: str
    at: datetime
    who: Who
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str
    scan: int | None
    evidence: str
    held: timedelta | None = None
    fixed_by: Who | None = None
    comment: str = ""

    @property
    def moved(self) -> bool:
        """Whether the due date moved beside what the event is about."""
        return bool(self.kind not in ("opened", "due") and self.before.get("due_at") and self.after.get("due_at"))


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A scan that looked at the finding's place, and what it said: reported, fixed, unreported …"""

    scan: Scan
    at: datetime
    said: str


@dataclass(slots=True)
class FindingStory:
    """Everything that the page of a finding shows."""

    finding: Finding
    last_seen: datetime
    timeline: list[Moment]
    occurrences: list[Occurrence]
    tickets: list[Ticket]
    verifications: list[Verification]
    clock: list[ClockEntry]
    same_asset: list[Finding]
    open_on_asset: int
    open_of_check: int
    earlier: bool = False  # older events than those shown exist
    people: dict[str, Who] = field(default_factory=dict)

    @property
    def has_evidence(self) -> bool:
        return any(run.evidence_id and run.outcome in ("failing", "fixed", "gone") for run in self.verifications)


def finding(number: int) -> Finding:
    """The finding of that number, or the one that it was merged into. Raises NotFound."""
    rows = Finding.objects.select_related(
        *ROW, "asset__tag_set", "asset__application", "trail__team", "assignee", "sla__policy", "first_scan", "place"
    )
    found = rows.filter(pk=number).first()
    if found is None:
        alias = FindingAlias.objects.filter(name=f"F-{number:06d}").first()
        found = rows.get(pk=alias.finding_id) if alias else None
    if found is None:
        raise NotFound(_("There is no finding F-%(number)s."), number=f"{number:06d}")
    return found


def story(current: Finding) -> FindingStory:
    """All that happened to it and stands around it. The number of statements does not depend on how much that is."""
    events = list(Event.objects.filter(subject="finding", subject_id=current.pk).order_by("-seq")[: EVENTS_SHOWN + 1])
    tickets = list(Ticket.objects.filter(items__finding=current).select_related("connection").order_by("-id"))
    verifications = list(Verification.objects.filter(finding=current).select_related("evidence").order_by("-id")[:10])
    clock = list(ClockEntry.objects.filter(finding=current).order_by("-at")[:20])
    names = who({event.actor for event in events} | {run.actor for run in verifications} | {entry.actor for entry in clock})
    scopes = covering(current)
    related = Finding.objects.filter(asset_id=current.asset_id, is_open=True).exclude(pk=current.pk)
    same_asset = list(related.select_related("check_ref").order_by("-score", "id")[: RELATED_SHOWN + 1])
    of_check = CheckCounter.objects.filter(check_ref=current.check_ref_id, is_open=True).aggregate(n=Sum("n"))["n"] or 0
    return FindingStory(
        finding=current,
        last_seen=last_seen(current, scopes),
        timeline=_timeline(events[:EVENTS_SHOWN], names),
        occurrences=_occurrences(events, scopes),
        tickets=tickets,
        verifications=verifications,
        clock=clock,
        same_asset=same_asset[:RELATED_SHOWN],
        open_on_asset=related.count() if len(same_asset) > RELATED_SHOWN else len(same_asset),
        open_of_check=max(of_check - current.is_open, 0),
        earlier=len(events) > EVENTS_SHOWN,
        people=names,
    )


def covering(current: Finding) -> list[ScanScope]:
    """The newest complete scopes that looked at the finding's check, account and region (global services ignore the region)."""
    return list(
        ScanScope.objects.filter(
            Q(check_set=None) | Q(check_set__checks__contains=[current.check_ref_id]),
            Q() if current.region == "" else Q(regions=[]) | Q(regions__contains=[current.region]),
            Q(stream__places=current.pk) if current.account.provider == "code" else Q(stream=None),
            account=current.account_id,
            scanner=current.check_ref.scanner,
            complete=True,
            at__gte=current.first_seen,
        )
        .select_related("scan")
        .order_by("-at")[:SCANS_SHOWN]
    )


def last_seen(current: Finding, scopes: list[ScanScope]) -> datetime:
    """While it is reported, the newest complete scan that covers it saw it too: unchanged rows are not written."""
    if current.presence == "reported" and current.status != "verified" and scopes:
        return max(current.last_seen, scopes[0].at)
    return current.last_seen


_SAID = {
    "opened": "new",
    "verified": "fixed",
    "regressed": "regressed",
    "unreported": "unreported",
    "reported": "reported",
    "gone": "gone",
}


def _occurrences(events: list[Event], scopes: list[ScanScope]) -> list[Occurrence]:
    """What each scan said, told from the events: a scan without one saw what was there before."""
    turns = {event.scan: _SAID[event.kind] for event in events if event.scan and event.kind in _SAID}
    seen: list[Occurrence] = []
    standing = "reported"
    for scope in reversed(scopes):
        standing = turns.get(scope.scan_id, standing)
        seen.append(Occurrence(scope.scan, scope.at, standing))
        standing = {"new": "reported", "regressed": "reported"}.get(standing, standing)
    return seen[::-1]


def _timeline(events: list[Event], names: Mapping[str, Who]) -> list[Moment]:
    """Newest first. `events` come so."""
    values = [side for event in events for side in (event.before or {}, event.after or {})]
    teams = Team.objects.in_bulk({side["team_id"] for side in values if side.get("team_id")})
    people = User.objects.in_bulk({side["assignee_id"] for side in values if side.get("assignee_id")})
    numbers = {event.after["comment"] for event in events if event.kind == "commented" and event.after}
    said = dict(Comment.objects.filter(pk__in=numbers).values_list("pk", "text")) if numbers else {}
    moments: list[Moment] = []
    fixed_at: datetime | None = None
    claimed_by: Who | None = None
    for event in reversed(events):
        after = _resolved(event.after or {}, teams, people)
        if after.get("status") == "fix_claimed":
            claimed_by = names[event.actor]
        if event.kind == "verified":
            fixed_at = event.at
        regressed = event.kind == "regressed"
        moments.append(
            Moment(
                kind=event.kind,
                at=event.at,
                who=names[event.actor],
                before=_resolved(event.before or {}, teams, people),
                after=after,
                reason=event.reason,
                scan=event.scan,
                evidence=bytes(event.evidence).hex() if event.evidence else "",
                held=event.at - fixed_at if regressed and fixed_at else None,
                fixed_by=claimed_by if regressed else None,
                comment=said.get((event.after or {}).get("comment", 0), "") if event.kind == "commented" else "",
            )
        )
        if regressed:
            claimed_by = None
    return moments[::-1]


def _resolved(side: Mapping[str, Any], teams: Mapping[int, Team], people: Mapping[int, User]) -> dict[str, Any]:
    resolved = dict(side)
    if "team_id" in side:
        resolved["team"] = teams.get(side["team_id"])
    if "assignee_id" in side:
        resolved["assignee"] = people.get(side["assignee_id"])
    for name in ("due_at", "paused_at"):
        if side.get(name):
            resolved[name] = datetime.fromisoformat(side[name])
    return resolved


# --- scans --------------------------------------------------------------------------------------------------------------------

# Which events make which column of a diff.
DIFF = {"new": "opened", "fixed": "verified", "regressed": "regressed", "unreported": "unreported"}
ALSO = {"reported": "reported", "severity": "severity", "owner": "owner", "due": "due", "status": "status", "muted": "muted"}


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of change of a scan: how many, and the first of them."""

    name: str
    count: int
    findings: list[Finding]

    @property
    def rest(self) -> int:
        return max(self.count - len(self.findings), 0)


@dataclass(slots=True)
class ScanStory:
    """Everything that the page of a scan shows."""

    scan: Scan
    importer: Who
    columns: list[Column] = field(default_factory=list)
    also: list[Column] = field(default_factory=list)
    warnings: list[ScanWarning] = field(default_factory=list)
    scopes: list[ScanScope] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(warning.lost for warning in self.warnings)


def scan(number: int) -> Scan:
    """Raises NotFound."""
    found = Scan.objects.select_related("progress", "duplicate_of").filter(pk=number).first()
    if found is None:
        raise NotFound(_("There is no scan %(number)s."), number=number)
    return found


def scan_story(current: Scan) -> ScanStory:
    """The scan and its diff. The number of statements does not depend on how much changed."""
    told = ScanStory(scan=current, importer=who([current.actor])[current.actor])
    if current.state != ScanState.DONE:
        return told
    wanted = {**DIFF, **ALSO}
    dense = int(current.counts.get("new", 0)) > DENSE
    ids: dict[str, list[int]] = {kind: [] for kind in wanted.values()}
    # Named so that the index of what is no opening serves; what was opened is found by the findings' first scan.
    events = Event.objects.filter(~Q(kind="opened"), scan=current.pk, subject="finding").order_by()
    parts = [
        events.filter(kind=kind).order_by("id").values_list("kind", "subject_id")[:DIFF_SHOWN]
        for kind in wanted.values()
        if kind != "opened"
    ]
    for kind, number in parts[0].union(*parts[1:], all=True):
        ids[kind].append(number)
    counts = {name: int(current.counts.get(name, 0)) for name in DIFF}
    also = dict(events.filter(kind__in=ALSO.values()).values_list("kind").annotate(n=Count("pk")))
    opened = Finding.objects.filter(first_scan=current.pk)
    if dense:
        ids["opened"] = list(opened.filter(is_open=True).order_by("-score", "id").values_list("pk", flat=True)[:DIFF_SHOWN])
    if not ids["opened"] and current.counts.get("new"):
        scores = sorted((-score, number) for number, score in opened.order_by().values_list("pk", "score")[:DENSE])
        ids["opened"] = [number for _score, number in scores[:DIFF_SHOWN]]
    rows = Finding.objects.select_related(*ROW).in_bulk({number for numbers in ids.values() for number in numbers})
    told.columns = [Column(name, counts[name], _ranked(rows, ids[kind])) for name, kind in DIFF.items()]
    told.also = [Column(name, also[kind], _ranked(rows, ids[kind])) for name, kind in ALSO.items() if also.get(kind)]
    told.warnings = list(ScanWarning.objects.filter(scan=current.pk).order_by("line", "id")[:WARNINGS_SHOWN])
    told.scopes = list(
        ScanScope.objects.filter(scan=current.pk).select_related("account", "check_set", "stream").order_by("id")[:20]
    )
    return told


def _ranked(rows: Mapping[int, Finding], numbers: Iterable[int]) -> list[Finding]:
    return sorted((rows[number] for number in numbers if number in rows), key=lambda row: (-row.score, row.pk))


def scans(*, before: int | None, size: int) -> tuple[list[tuple[Scan, Who]], int | None]:
    """The newest scans, from below `before`, with who brought them; and where the next page begins."""
    rows = Scan.objects.order_by("-id")
    found = list((rows.filter(pk__lt=before) if before else rows)[: size + 1])
    names = who({row.actor for row in found})
    return [(row, names[row.actor]) for row in found[:size]], found[size - 1].pk if len(found) > size else None
