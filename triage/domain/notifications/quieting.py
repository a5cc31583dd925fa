"""The link in an e-mail that makes it quieter: what can wait is not told any more, by one click and without signing in (RFC 8058)."""

from datetime import datetime

from django.core import signing
from django.utils.translation import gettext_noop as _

from triage.domain.audit import recording
from triage.domain.errors import Invalid
from triage.models import Preference, Subject, Team

SALT = "cspm.quieter"
URGENT = (Subject.NEW, Subject.BREACH)


def token(recipient: str) -> str:
    """For a link; nobody can make one for another recipient."""
    return signing.dumps(recipient, salt=SALT)


def of(token: str) -> Team:
    """Whose messages the link is about. Raises Invalid for a link that is none, and for recipients that have no own preference."""
    try:
        recipient = str(signing.loads(token, salt=SALT))
    except signing.BadSignature:
        raise Invalid(_("This link is not right. Copy the whole of it.")) from None
    kind, _colon, number = recipient.partition(":")
    team = Team.objects.filter(pk=int(number)).first() if kind in ("team", "lead") and number.isdecimal() else None
    if team is None:
        raise Invalid(_("These messages are for everybody. An administrator says on the page Notifications which ones are sent."))
    return team


def quiet(token: str, *, at: datetime) -> Team:
    """From now on the team is told only what is urgent. Raises Invalid as `of` does."""
    team = of(token)
    with recording(actor=f"team:{team.pk}", at=at, door="mail", reason="the link in an e-mail") as log:
        row, _made = Preference.objects.select_for_update().get_or_create(team=team, user=None)
        subjects = [value for value in (row.subjects or Subject.values) if value in URGENT]
        if row.subjects != subjects:
            before, row.subjects = row.subjects, subjects
            row.save(update_fields=["subjects"])
            log.tell("team", team.pk, "told otherwise", before={"subjects": before}, after={"subjects": subjects})
    return team
