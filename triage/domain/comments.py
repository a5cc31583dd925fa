"""Comments on findings. Who may do something with a finding may comment on it; `@name` tells somebody.

The audit trail tells that something was said, by the SHA-256 of the text: what people wrote can be withdrawn, and the log still holds.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_noop as _

from triage.domain import bell
from triage.domain.access import Actor, Right
from triage.domain.audit import Recording, recording
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.locking import NO_FINDING
from triage.models import Comment, Finding, Notification, User

LONGEST = 5_000
EDITABLE = timedelta(minutes=15)
MENTION = re.compile(r"(?<![\w@.])@([\w.+-]+(?:@[\w.-]+\w)?)")
MENTIONED_AT_MOST = 20
ERASED = "@…"  # instead of the name of somebody who was erased


def of_finding(finding: int) -> list[Comment]:
    """Oldest first, without those that were withdrawn."""
    return list(Comment.objects.filter(finding=finding, withdrawn_at=None).select_related("user").order_by("pk"))


def say(*, finding: int, text: str, actor: Actor, at: datetime) -> Comment:
    """Raises NotFound, NotAllowed, Invalid for an empty or a long text."""
    row = Finding.objects.filter(pk=finding).first()
    if row is None:
        raise NotFound(NO_FINDING, number=f"{finding:06d}")
    author = _demand(actor, row)
    said = _checked(text)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        comment = Comment.objects.create(finding=row, user_id=author, text=said, at=at)
        log.note([row.pk], "commented", after=_sealed(comment))
        told: dict[int, str] = {row.assignee_id: Notification.Kind.COMMENT} if row.assignee_id else {}
        told |= dict.fromkeys(named(said), Notification.Kind.MENTION)
        bell.ring_all(
            Notification(user_id=number, kind=kind, finding=row, comment=comment, actor=actor.name, at=at)
            for number, kind in told.items()
        )
    return comment


def edit(*, comment: int, text: str, actor: Actor, at: datetime) -> Comment:
    """One's own, for a quarter of an hour. Whoever is mentioned now and was not before is told. Raises as `say`."""
    said = _checked(text)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        row = _own(comment, actor)
        if at - row.at > EDITABLE:
            raise Invalid(
                _("A comment can be changed for %(minutes)s minutes. Write another one."), minutes=EDITABLE.seconds // 60
            )
        if said == row.text:
            return row
        fresh = set(named(said)) - set(named(row.text))
        row.text, row.edited_at = said, at
        row.save(update_fields=["text", "edited_at"])
        log.note([row.finding_id], "comment changed", after=_sealed(row))
        bell.ring(fresh, Notification.Kind.MENTION, actor=actor.name, at=at, finding=row.finding_id, comment=row)
    return row


def withdraw(*, comment: int, actor: Actor, at: datetime) -> Comment:
    """The text is gone; that there was one stays. One's own, or any for an administrator. Raises NotFound, NotAllowed."""
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        row = Comment.objects.select_for_update().filter(pk=comment).first()
        if row is None or (row.user_id != actor.user and not actor.may(Right.ADMINISTER)):
            raise NotFound(_("There is no such comment of yours."))
        if row.withdrawn_at is None:
            row.text, row.withdrawn_at = "", at
            row.save(update_fields=["text", "withdrawn_at"])
            log.note([row.finding_id], "comment withdrawn", after={"comment": row.pk})
    return row


def erase(user: User, *, log: Recording, at: datetime) -> None:
    """What the person said is gone, and the name where others mention it. Inside a recording with a reason, before the name goes.

    The hashes of what was said go too: a short text can be guessed from its own.
    """
    own = Comment.objects.filter(user=user, withdrawn_at=None).order_by("pk").select_for_update()
    gone: dict[int, list[int]] = {}
    for number, finding in own.values_list("pk", "finding"):
        gone.setdefault(finding, []).append(number)
    log.note_each({finding: {"comments": numbers} for finding, numbers in gone.items()}, "comment withdrawn")
    mine = Comment.objects.filter(user=user)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cspm_erase(e.id) FROM triage_event e JOIN triage_comment c ON c.finding_id = e.subject_id"
            " AND e.after ->> 'comment' = c.id::text WHERE e.subject = 'finding' AND e.kind IN ('commented', 'comment changed')"
            " AND c.user_id = %s",
            [user.pk],
        )
    mine.update(text="", withdrawn_at=Coalesce("withdrawn_at", at))
    _unname(user, log)


def _unname(user: User, log: Recording) -> None:
    """A name that somebody else answers to as well stays: nobody knows whom it meant."""
    names = _names_of(user.email, user.name)
    names = names.difference(*(others for number, others in _names().items() if number != user.pk))
    spelled = Q()
    for name in names:
        spelled |= Q(text__icontains=f"@{name}")
    if not spelled:
        return
    changed: dict[int, list[Comment]] = {}
    for row in Comment.objects.filter(spelled, withdrawn_at=None).exclude(user=user).order_by("pk").select_for_update():
        text = MENTION.sub(lambda found: _without(names, found), row.text)
        if text != row.text:
            row.text = text
            changed.setdefault(row.finding_id, []).append(row)
    Comment.objects.bulk_update([row for rows in changed.values() for row in rows], ["text"], batch_size=1_000)
    log.note_each({finding: {"comments": [_sealed(row) for row in rows]} for finding, rows in changed.items()}, "comment changed")


def _without(names: set[str], found: re.Match[str]) -> str:
    name = found[1].rstrip(".")
    return ERASED + found[1][len(name) :] if name.casefold() in names else found[0]


def named(text: str) -> list[int]:
    """People whom the text mentions: by address, by what stands before its @, or by name with dots for blanks."""
    words = {word.rstrip(".").casefold() for word in MENTION.findall(text)[:MENTIONED_AT_MOST]}
    if not words:
        return []
    return [pk for pk, names in _names().items() if words & names]


def _names() -> Mapping[int, set[str]]:
    rows = User.objects.filter(is_active=True).values_list("pk", "email", "name")
    return {pk: _names_of(email, name) for pk, email, name in rows}


def _names_of(email: str, name: str) -> set[str]:
    return {email, email.partition("@")[0], ".".join(name.casefold().split())} - {""}


def _demand(actor: Actor, row: Finding) -> int:
    """The person's number. Raises NotAllowed."""
    if actor.user is None:
        raise NotAllowed(_("Only people comment."))
    if not actor.may(Right.TRIAGE, team=row.team_id):
        actor.demand(Right.CLAIM, team=row.team_id)
    return actor.user


def _own(comment: int, actor: Actor) -> Comment:
    """Under its row lock: what is withdrawn meanwhile does not come back."""
    rows = Comment.objects.select_related("finding").select_for_update(of=("self",))
    row = rows.filter(pk=comment, withdrawn_at=None, user=actor.user).first()
    if row is None or actor.user is None:
        raise NotFound(_("There is no such comment of yours."))
    _demand(actor, row.finding)
    return row


def _checked(text: str) -> str:
    said = text.replace("\r\n", "\n").strip()
    if not said:
        raise Invalid(_("The comment is empty."))
    if len(said) > LONGEST or "\x00" in said:
        raise Invalid(_("A comment has at most %(limit)s characters."), limit=LONGEST)
    return said


def _sealed(comment: Comment) -> dict[str, object]:
    return {"comment": comment.pk, "sha256": hashlib.sha256(comment.text.encode()).hexdigest()}
