"""Acts are written down first, then done: at once when there are few, by a worker when there are many."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_noop as _

from triage.domain import lifecycle, queries, search
from triage.domain.access import Actor, Right, of_user
from triage.domain.acts.reasons import CHANGED
from triage.domain.acts.verbs import Doing, Verb, demand_reason, kept, prepared, standing
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed
from triage.domain.locking import locked
from triage.domain.ownership import assigning
from triage.domain.sets import chunks
from triage.domain.sla import clocks
from triage.models import Act, ActItem, Event, Finding, User
from triage.ports import Text

State = Act.State
AT_ONCE = 500  # so many are done while the person waits
CHUNK = 5_000
LEASE = timedelta(minutes=5)
ITEMS = """
INSERT INTO triage_actitem (act_id, finding_id, seen, before)
SELECT %s, id, seen, '{}' FROM unnest(%s::bigint[], %s::int[]) AS f(id, seen) ORDER BY id ON CONFLICT DO NOTHING
"""


def ask(
    *,
    verb: str,
    params: Mapping[str, Any],
    actor: Actor,
    at: datetime,
    query: str = "",
    findings: Mapping[int, int | None] | None = None,
    reason: str = "",
) -> Act:
    """Write down what is to be done, to all that the query means or to these findings, by the version that was looked at.

    `run` does it. Days of the query begin in the time zone of `at`. Raises Invalid, NotFound, NotAllowed, QueryError.
    """
    prepared(verb, params)
    demand_reason(verb, reason)
    if actor.teams_with(Right.CLAIM) == frozenset():
        actor.demand(Right.CLAIM)
    chosen = meant(query, findings, actor, at)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason) as log:
        act = Act.objects.create(
            verb=verb, params=dict(params), query=query.strip(), reason=reason[:500], actor=actor.name, user_id=actor.user, door=actor.door,
            at=at, total=len(chosen),
        )  # fmt: skip
        write_items(act, chosen)
        if len(chosen) > 1:
            log.tell("act", act.pk, "asked", after={"verb": verb, "params": dict(params), "query": act.query, "total": act.total})
    return act


def write_items(act: Act, chosen: Mapping[int, int | None]) -> None:
    for part in chunks(chosen.items()):
        with connection.cursor() as cursor:
            cursor.execute(ITEMS, [act.pk, [number for number, _seen in part], [seen for _number, seen in part]])


def meant(query: str, findings: Mapping[int, int | None] | None, actor: Actor, at: datetime) -> dict[int, int | None]:
    """Numbers of the findings, each with the version that was looked at, or None. Raises Invalid, QueryError."""
    if findings:
        known = Finding.objects.filter(pk__in=findings).values_list("pk", flat=True)
        return {number: findings[number] for number in known}
    if not query.strip():
        raise Invalid(_("Say which findings: a query, or their numbers."))
    return dict.fromkeys(matching(query, actor, at).order_by().values_list("pk", flat=True).iterator())


def matching(query: str, actor: Actor, at: datetime) -> Any:
    """The findings that the query means for this actor."""
    person = User.objects.filter(pk=actor.user).first() if actor.user else None
    own = queries.own_teams(person) if person else frozenset()
    return search.findings(search.parse(query), at=at, user=actor.user, teams=own | actor.teams)


def waiting(*, at: datetime) -> list[int]:
    """Numbers of the acts that nobody is doing."""
    return list(Act.objects.filter(_free(at)).order_by("pk").values_list("pk", flat=True))


def _free(at: datetime) -> Q:
    return Q(state=State.WAITING) | Q(state=State.RUNNING, lease_until__lt=at)


def run(act: int, *, clock: Callable[[], datetime], actor: Actor | None = None) -> Act:
    """Do what is left of it, chunk by chunk, each in one transaction. Whatever dies, the next `run` goes on.

    `actor`: with whose rights; by default the person's, as they are now.
    """
    mine = Act.objects.filter(_free(clock()), pk=act).update(state=State.RUNNING, lease_until=clock() + LEASE)
    found = Act.objects.select_related("user", "undoes").get(pk=act)
    if not mine:
        return found
    by = actor or (of_user(found.user, door=found.door) if found.user else None)
    while _chunk(found, by, clock()):
        Act.objects.filter(pk=act).update(lease_until=clock() + LEASE)
    Act.objects.filter(pk=act).update(state=State.DONE, lease_until=None, finished_at=clock())
    found.refresh_from_db()
    return found


def _chunk(act: Act, actor: Actor | None, at: datetime) -> int:
    """How many items were looked at. One transaction."""
    with recording(actor=act.actor, at=at, door=act.door, reason=act.reason):
        items = {item.finding_id: item for item in ActItem.objects.filter(act=act, done=None).order_by("finding")[:CHUNK]}
        if not items:
            return 0
        rows = list(Finding.objects.select_for_update().filter(pk__in=items).order_by("pk"))
        doing = prepared(act.verb, act.params)
        fit, changed = [], []
        for row in rows:
            item = items[row.pk]
            why = Text(NOBODY_ASKS) if actor is None else doing.refusal(standing(row), actor)
            if item.seen is not None and item.seen != row.version:
                changed.append(item)
            elif why is not None:
                item.why = {"message": why.message, "params": dict(why.params)}
            else:
                item.before = kept(row, doing.keeps)
                fit.append(row)
        explain_changes(changed)
        for item in items.values():
            item.done = item.why is None
        if fit:
            doing.write(fit, at)
        conclude(act, list(items.values()), [row.pk for row in fit])
        return len(items)


NOBODY_ASKS = _("The person who asked no longer has access.")


def conclude(act: Act, items: list[ActItem], changed: list[int]) -> None:
    """Write what became of the items, with the versions that they have now."""
    versions = dict(Finding.objects.filter(pk__in=changed).values_list("pk", "version"))
    for item in items:
        item.after = versions.get(item.finding_id)
    ActItem.objects.bulk_update(items, ["done", "why", "before", "after"], batch_size=1_000)
    done = sum(1 for item in items if item.done)
    Act.objects.filter(pk=act.pk).update(done=F("done") + done, skipped=F("skipped") + len(items) - done)


def explain_changes(items: Iterable[ActItem]) -> None:
    """Say of each what was done to it since, and by whom: the last event of its sequence."""
    wanted = {item.finding_id: item for item in items}
    last = Event.objects.filter(subject="finding", subject_id__in=wanted).order_by("subject_id", "-seq").distinct("subject_id")
    done = {event.subject_id: {"what": event.kind, "who": event.actor} for event in last}
    for number, item in wanted.items():
        item.why = {"message": CHANGED, "params": done.get(number, {})}


def one(
    *,
    verb: str,
    params: Mapping[str, Any],
    finding: int,
    actor: Actor,
    at: datetime,
    version: int | None = None,
    reason: str = "",
) -> Act:
    """As a person does it to the finding that is looked at: refused as a whole where it may not be. The act can be taken back.

    Raises what the verb's own function raises: NotFound, NotAllowed, Stale, Invalid.
    """
    doing = prepared(verb, params)
    demand_reason(verb, reason)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason), transaction.atomic():
        before = kept(locked(finding, version=version), doing.keeps)
        said: dict[str, Any] = {"finding": finding, "actor": actor, "at": at, "version": version}
        if verb == Verb.MOVE:
            after = lifecycle.move(to=str(params["to"]), reason=reason, **said)
        elif verb in (Verb.PERSON, Verb.DISOWN):
            after = _written(doing, finding, actor, at)
        elif verb == Verb.ACKNOWLEDGE:
            after = clocks.acknowledge(**said)
        elif verb == Verb.RELEASE:
            after = assigning.release(reason=reason, **said)
        else:
            slug = str(params["team"])
            after = assigning.assign(team=None if slug == "-" else assigning.team_named(slug), reason=reason, **said)
        act = Act.objects.create(
            verb=verb, params=dict(params), reason=reason[:500], actor=actor.name, user_id=actor.user, door=actor.door, at=at,
            state=State.DONE, total=1, done=1, finished_at=at,
        )  # fmt: skip
        ActItem.objects.create(act=act, finding=after, seen=version, done=True, before=before, after=after.version)
    return act


def _written(doing: Doing, finding: int, actor: Actor, at: datetime) -> Finding:
    """Raises NotAllowed with what stands in its way."""
    row = locked(finding)
    why = doing.refusal(standing(row), actor)
    if why is not None:
        raise NotAllowed(why.message, **why.params)
    doing.write([row], at)
    row.refresh_from_db()
    return row
