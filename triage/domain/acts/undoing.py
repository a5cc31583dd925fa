"""Taking back what was done, as long as nobody has changed it since."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.acts.doing import CHUNK, State, conclude, explain_changes, write_items
from triage.domain.acts.verbs import NO_RIGHT, Verb, prepared, put_back, right_of
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.models import Act, ActItem, Finding

WITHIN = timedelta(days=1)


def can_undo(act: Act, *, actor: Actor, at: datetime) -> bool:
    """Whether it is this person's, or this person triages, and there is something to take back yet."""
    mine = actor.user is not None and act.user_id == actor.user
    return (
        (mine or actor.may(Right.TRIAGE)) and act.verb != Verb.UNDO and act.state == State.DONE and act.done > 0
        and at - act.at <= WITHIN and not hasattr(act, "undone_by")
    )  # fmt: skip


def undo(*, act: int, actor: Actor, at: datetime) -> Act:
    """Put back what stood before, of all that nobody has changed since; the act that says so. Raises NotFound, NotAllowed, Invalid."""
    found = Act.objects.select_related("undone_by").filter(pk=act).first()
    if found is None:
        raise NotFound(_("There is nothing to undo under this number."))
    if found.user_id != actor.user and not actor.may(Right.TRIAGE):
        raise NotAllowed(_("Only whoever did it, or who triages, takes it back."))
    if not can_undo(found, actor=actor, at=at):
        raise Invalid(_("This was already undone, is older than a day, or changed nothing."))
    try:
        with recording(actor=actor.name, at=at, door=actor.door, reason=f"↩ {found}"):
            back = Act.objects.create(
                verb=Verb.UNDO, params={"verb": found.verb}, reason=f"{found}", actor=actor.name, user_id=actor.user, door=actor.door,
                at=at, state=State.RUNNING, total=found.done, undoes=found,
            )  # fmt: skip
            undone = ActItem.objects.filter(act=found, done=True)
            write_items(back, dict(undone.values_list("finding", "after")))
            while _chunk(back, found, actor, at):
                pass
            Act.objects.filter(pk=back.pk).update(state=State.DONE, finished_at=at)
    except IntegrityError:  # two took it back at the same moment
        raise Invalid(_("This was already undone, is older than a day, or changed nothing.")) from None
    back.refresh_from_db()
    return back


def _chunk(back: Act, act: Act, actor: Actor, at: datetime) -> int:
    items = {item.finding_id: item for item in ActItem.objects.filter(act=back, done=None).order_by("finding")[:CHUNK]}
    if not items:
        return 0
    before = dict(ActItem.objects.filter(act=act, finding__in=items).values_list("finding", "before"))
    right = right_of(act.verb)
    fit: list[tuple[Finding, dict[str, Any]]] = []
    changed = []
    for row in Finding.objects.select_for_update().filter(pk__in=items).order_by("pk"):
        item = items[row.pk]
        if item.seen != row.version:
            changed.append(item)
        elif not actor.may(right, team=row.team_id) and not actor.may(right, team=before[row.pk].get("team")):
            item.why = {"message": NO_RIGHT, "params": {}}
        else:
            fit.append((row, _read(before[row.pk])))
    explain_changes(changed)
    for item in items.values():
        item.done = item.why is None
    put_back(fit, prepared(act.verb, act.params).keeps, at)
    conclude(back, list(items.values()), [row.pk for row, _before in fit])
    return len(items)


def _read(before: dict[str, Any]) -> dict[str, Any]:
    return {name: parse_datetime(value) if name.endswith("_at") and value else value for name, value in before.items()}
