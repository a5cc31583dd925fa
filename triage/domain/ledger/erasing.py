"""A person's words are taken out of the trail when they have to go (GDPR, article 17); the log holds without them."""

from datetime import datetime

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.models import Event


def erase(*, event: int, reason: str, actor: Actor, at: datetime) -> None:
    """Take reason and notes out of an event, for ever: what happened, when and by whom stays. An event of its own says why.

    Raises NotAllowed, NotFound, Invalid without a reason.
    """
    actor.demand(Right.ADMINISTER)
    if not reason.strip():
        raise Invalid(_("Say why the words are erased: it stays in the trail."))
    if not Event.objects.filter(pk=event).exists():
        raise NotFound(_("There is no event %(event)s."), event=event)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason.strip()[:500]), connection.cursor() as cursor:
        cursor.execute("SELECT cspm_erase(%s)", [event])
