"""What can be done to many findings: with which right, to which of them, and how it is written, set by set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.functions import Coalesce
from django.utils.translation import gettext_noop as _

from triage.domain import bell, lifecycle, queries, sla
from triage.domain.access import Actor, Right, of_user
from triage.domain.audit import current_actor
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.ownership import assigning
from triage.domain.ownership.chain import Chain
from triage.domain.ownership.steps import from_json
from triage.domain.ownership.trails import trail_ids
from triage.domain.sla import clocks
from triage.models import Act, Finding, Notification, OwnerTrail, Role, Status, Team, User
from triage.ports import Text

Verb = Act.Verb
NOBODY = "-"  # of the parameter `team`

NO_RIGHT = _("You may not change findings of this team.")
ALREADY = _("It is so already.")
NO_EDGE = _("From “%(before)s” nobody gets there.")
NOT_PINNED = _("The rules decide already.")
NOT_OF_TEAM = _("%(person)s is not of its team.")
TOLD_AT_MOST = 50  # of one act; whoever is given a thousand is told of the first
NO_CLOCK = _("It has been acknowledged, or has no deadline.")


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether something may be done to a finding. Few of them stand for many findings."""

    team: int | None
    status: str
    pinned: bool
    acknowledged: bool


COLUMNS = ("team", "status", "pinned", "acknowledged")


def standing(row: Finding) -> Standing:
    return Standing(row.team_id, row.status, row.pinned, row.acknowledged_at is not None or row.clock_from is None)


@dataclass(frozen=True, slots=True)
class Doing:
    """A verb with its parameters, ready to be done. `keeps`: the columns that it changes.

    `refusal` answers why it may not be done to a finding that stands so, None if it may; `write` does it to findings that are locked,
    inside a recording.
    """

    keeps: tuple[str, ...]
    refusal: Callable[[Standing, Actor], Text | None]
    write: Callable[[Sequence[Finding], datetime], None]


def prepared(verb: str, params: Mapping[str, Any]) -> Doing:
    """Raises Invalid, NotFound for parameters that mean nothing."""
    if verb == Verb.ASSIGN:
        return _assign(_team(params))
    if verb == Verb.RELEASE:
        return _RELEASE
    if verb == Verb.MOVE:
        return _move(str(params.get("to", "")))
    if verb == Verb.PERSON:
        return _person(str(params.get("person", "")))
    if verb == Verb.DISOWN:
        return _DISOWN
    if verb == Verb.ACKNOWLEDGE:
        return _ACKNOWLEDGE
    raise Invalid(_("“%(verb)s” is nothing that can be done to findings."), verb=str(verb)[:40])


def demand_reason(verb: str, reason: str) -> None:
    """Raises Invalid where the verb asks for one and there is none."""
    if verb == Verb.DISOWN and not reason.strip():
        raise Invalid(_("Say why it is not yours: whoever triages reads it."))


def _team(params: Mapping[str, Any]) -> Team | None:
    slug = str(params.get("team", "")).strip()
    if not slug:
        raise Invalid(_("Say which team."))
    team = None if slug == NOBODY else assigning.team_named(slug)
    if team is not None and team.archived_at is not None:
        raise Invalid(_("The team “%(team)s” is archived. Choose another one."), team=team.slug)
    return team


def _assign(team: Team | None) -> Doing:
    wanted = team.pk if team else None

    def refusal(now: Standing, actor: Actor) -> Text | None:
        if not actor.may(Right.TRIAGE, team=now.team):
            return Text(NO_RIGHT)
        return Text(ALREADY) if now.pinned and now.team == wanted else None

    def write(rows: Sequence[Finding], at: datetime) -> None:
        ids = [row.pk for row in rows]
        clocks.seen(ids, at=at)
        answer = assigning.by_hand(team)
        trail = trail_ids([answer])[answer.digest]
        Finding.objects.filter(pk__in=ids).update(team_id=answer.team_id, trail_id=trail, pinned=True, changed_at=at)

    return Doing(("team", "trail", "pinned"), refusal, write)


def _release(rows: Sequence[Finding], at: datetime) -> None:
    clocks.seen([row.pk for row in rows], at=at)
    chain = Chain.load(hold=True)
    loaded = Finding.objects.filter(pk__in=[row.pk for row in rows]).select_related("asset__account", "asset__tag_set")
    answers = {row.pk: assigning.resolved(row.asset, chain) for row in loaded}
    trails = trail_ids(answers.values())
    same: dict[bytes, list[int]] = {}
    for number, answer in answers.items():
        same.setdefault(answer.digest, []).append(number)
    for answer in {answer.digest: answer for answer in answers.values()}.values():
        rows_of = Finding.objects.filter(pk__in=same[answer.digest])
        rows_of.update(team_id=answer.team_id, trail_id=trails[answer.digest], pinned=False, changed_at=at)


def _release_refusal(now: Standing, actor: Actor) -> Text | None:
    if not actor.may(Right.TRIAGE, team=now.team):
        return Text(NO_RIGHT)
    return None if now.pinned else Text(NOT_PINNED)


_RELEASE = Doing(("team", "trail", "pinned"), _release_refusal, _release)


def _disown_refusal(now: Standing, actor: Actor) -> Text | None:
    if now.team is None:
        return Text(ALREADY)
    return None if actor.may(Right.CLAIM, team=now.team) else Text(NO_RIGHT)


def _disown(rows: Sequence[Finding], at: datetime) -> None:
    """Its team says that it is not theirs: nobody's, whatever the rules say, until somebody who triages has looked."""
    clocks.seen([row.pk for row in rows], at=at)
    same: dict[tuple[int | None, int], list[int]] = {}
    for row in rows:
        same.setdefault((row.team_id, row.trail_id), []).append(row.pk)
    teams = Team.objects.in_bulk([team for team, _trail in same if team])
    trails = OwnerTrail.objects.in_bulk([trail for _team, trail in same])
    answers = {
        (team, trail): assigning.disowned(teams[team], from_json(trails[trail].steps)) for team, trail in same if team is not None
    }
    numbers = trail_ids(answers.values())
    for way, answer in answers.items():
        Finding.objects.filter(pk__in=same[way]).update(
            team_id=None, trail_id=numbers[answer.digest], pinned=True, assignee=None, changed_at=at
        )
    triagers = User.objects.filter(grants__role=Role.TRIAGER, is_active=True).values_list("pk", flat=True)[:TOLD_AT_MOST]
    _ring(triagers, Notification.Kind.DISOWNED, [row.pk for row in rows], at)


def _ring(people: Iterable[int], kind: str, findings: Sequence[int], at: datetime) -> None:
    by = current_actor()
    told = [(person, finding) for person in people for finding in findings[:TOLD_AT_MOST]]
    bell.ring_all(Notification(user_id=person, kind=kind, finding_id=finding, actor=by, at=at) for person, finding in told)


_DISOWN = Doing(("team", "trail", "pinned", "assignee"), _disown_refusal, _disown)


def _person(text: str) -> Doing:
    """`-` takes it from whoever has it."""
    person = None if text == NOBODY else _named_person(text)
    teams = queries.own_teams(person) if person else frozenset()
    everywhere = person is not None and of_user(person, door="page").may(Right.TRIAGE)

    def refusal(now: Standing, actor: Actor) -> Text | None:
        if not actor.may(Right.TRIAGE, team=now.team) and not actor.may(Right.CLAIM, team=now.team):
            return Text(NO_RIGHT)
        return None if person is None or everywhere or now.team in teams else Text(NOT_OF_TEAM, {"person": str(person)})

    def write(rows: Sequence[Finding], at: datetime) -> None:
        changed = [row.pk for row in rows if row.assignee_id != (person.pk if person else None)]
        Finding.objects.filter(pk__in=changed).update(assignee=person, changed_at=at)
        if person:
            _ring([person.pk], Notification.Kind.ASSIGNED, changed, at)

    return Doing(("assignee",), refusal, write)


def _named_person(text: str) -> User:
    found = User.objects.filter(pk=int(text)).first() if text.isdecimal() and len(text) < 19 else None
    if found is None or not found.is_active:
        raise NotFound(_("There is no such person, or they have no access."))
    return found


def _move(to: str) -> Doing:
    before = {status: edges[to] for status, edges in lifecycle.BY_PEOPLE.items() if to in edges}
    if not before:
        raise NotAllowed(_("Nobody moves a finding to “%(status)s” by hand."), status=to[:40])

    def refusal(now: Standing, actor: Actor) -> Text | None:
        if now.status == to:
            return Text(ALREADY)
        if now.status not in before:
            return Text(NO_EDGE, {"before": Status(now.status).label.__str__()})
        return None if actor.may(before[now.status], team=now.team) else Text(NO_RIGHT)

    def write(rows: Sequence[Finding], at: datetime) -> None:
        ids = [row.pk for row in rows]
        claimed = at if to == Status.FIX_CLAIMED else None
        Finding.objects.filter(pk__in=ids).update(
            status=to, claimed_at=claimed, acknowledged_at=Coalesce("acknowledged_at", at), changed_at=at
        )
        # The clock to verify starts with a claim.
        sla.recompute([row.pk for row in rows if Status.FIX_CLAIMED in (to, row.status)], at=at)

    return Doing(("status", "claimed_at"), refusal, write)


def _acknowledge(rows: Sequence[Finding], at: datetime) -> None:
    clocks.seen([row.pk for row in rows], at=at)


def _acknowledge_refusal(now: Standing, actor: Actor) -> Text | None:
    if not actor.may(Right.CLAIM, team=now.team):
        return Text(NO_RIGHT)
    return Text(NO_CLOCK) if now.acknowledged else None


_ACKNOWLEDGE = Doing(("acknowledged_at",), _acknowledge_refusal, _acknowledge)


def right_of(verb: str) -> Right:
    """What taking it back asks for, in the finding's team."""
    return Right.TRIAGE if verb in (Verb.ASSIGN, Verb.RELEASE) else Right.CLAIM


def put_back(rows: Sequence[tuple[Finding, Mapping[str, Any]]], keeps: Sequence[str], at: datetime) -> None:
    """Findings as they stood before, by what was kept of them: a statement for each way of standing. Inside a recording."""
    same: dict[tuple[Any, ...], list[int]] = {}
    for row, before in rows:
        same.setdefault(tuple(before.get(name) for name in keeps), []).append(row.pk)
    columns = {"team": "team_id", "trail": "trail_id", "assignee": "assignee_id"}
    for values, ids in same.items():
        kept = {columns.get(name, name): value for name, value in zip(keeps, values, strict=True)}
        Finding.objects.filter(pk__in=ids).update(**kept, changed_at=at)
    if "claimed_at" in keeps:
        sla.recompute([row.pk for row, before in rows if Status.FIX_CLAIMED in (row.status, before.get("status"))], at=at)


def kept(row: Finding, keeps: Sequence[str]) -> dict[str, Any]:
    """What stands in these columns, as JSON."""
    found = {name: getattr(row, f"{name}_id" if name in ("team", "trail", "assignee") else name) for name in keeps}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
