"""Comments on findings. Who may do something with a finding may comment on it; `@name` tells somebody.

The audit trail tells that something was said, by the SHA-256 of the text: what people wrote can be withdrawn, and the log still holds.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.utils.translation import gettext_noop as _

from triage.domain import bell
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.locking import NO_FINDING
from triage.models import Comment, Finding, Notification, User

LONGEST = 5_000
EDITABLE = timedelta(minutes=15)
MENTION = re.compile(r"(?<![\w@.])@([\w.+-]+(?:@[\w.-]+\w)?)")
MENTIONED_AT_MOST = 20


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
        mentioned = named(said)
        bell.ring(mentioned, Notification.Kind.MENTION, actor=actor.name, at=at, finding=row.pk, comment=comment)
        if row.assignee_id and row.assignee_id not in mentioned:
            bell.ring([row.assignee_id], Notification.Kind.COMMENT, actor=actor.name, at=at, finding=row.pk, comment=comment)
    return comment


def edit(*, comment: int, text: str, actor: Actor, at: datetime) -> Comment:
    """One's own, for a quarter of an hour. Whoever is mentioned now and was not before is told. Raises as `say`."""
    row = _own(comment, actor)
    if at - row.at > EDITABLE:
        raise Invalid(_("A comment can be changed for %(minutes)s minutes. Write another one."), minutes=EDITABLE.seconds // 60)
    said = _checked(text)
    if said == row.text:
        return row
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        fresh = set(named(said)) - set(named(row.text))
        row.text, row.edited_at = said, at
        row.save(update_fields=["text", "edited_at"])
        log.note([row.finding_id], "comment changed", after=_sealed(row))
        bell.ring(fresh, Notification.Kind.MENTION, actor=actor.name, at=at, finding=row.finding_id, comment=row)
    return row


def withdraw(*, comment: int, actor: Actor, at: datetime) -> Comment:
    """The text is gone; that there was one stays. One's own, or any for an administrator. Raises NotFound, NotAllowed."""
    row = Comment.objects.filter(pk=comment).first()
    if row is None or (row.user_id != actor.user and not actor.may(Right.ADMINISTER)):
        raise NotFound(_("There is no such comment of yours."))
    if row.withdrawn_at is None:
        with recording(actor=actor.name, at=at, door=actor.door) as log:
            row.text, row.withdrawn_at = "", at
            row.save(update_fields=["text", "withdrawn_at"])
            log.note([row.finding_id], "comment withdrawn", after={"comment": row.pk})
    return row


def named(text: str) -> list[int]:
    """People whom the text mentions: by address, by what stands before its @, or by name with dots for blanks."""
    words = {word.rstrip(".").casefold() for word in MENTION.findall(text)[:MENTIONED_AT_MOST]}
    if not words:
        return []
    return [pk for pk, names in _names().items() if words & names]


def _names() -> Mapping[int, set[str]]:
    rows = User.objects.filter(is_active=True).values_list("pk", "email", "name")
    return {pk: {email, email.partition("@")[0], ".".join(name.casefold().split())} - {""} for pk, email, name in rows}


def mentionable(people: Iterable[User]) -> list[str]:
    """What to write behind the @ for each of them."""
    return [person.email.partition("@")[0] for person in people]


def _demand(actor: Actor, row: Finding) -> int:
    """The person's number. Raises NotAllowed."""
    if actor.user is None:
        raise NotAllowed(_("Only people comment."))
    if not actor.may(Right.TRIAGE, team=row.team_id):
        actor.demand(Right.CLAIM, team=row.team_id)
    return actor.user


def _own(comment: int, actor: Actor) -> Comment:
    row = Comment.objects.select_related("finding").filter(pk=comment, withdrawn_at=None, user=actor.user).first()
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
