"""Check files are edited outside of this service. That their rules are other ones than before is an event all the same, told when they
are next used: who reads the trail sees which rule was in force, and since when at the latest.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import connection

from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.custom_checks.files import CustomCheck
from triage.models import Event

SUBJECT = "custom check"


def note(checks: Collection[CustomCheck], *, actor: Actor, at: datetime) -> bool:
    """Tell which rules came, changed or went since they were last used; whether any did. Raises NotAllowed."""
    actor.demand(Right.IMPORT)
    now = {check.id: f"if {check.written} then severity = {check.severity.name.lower()}" for check in checks}
    if known() == now:
        return False
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cspm custom checks'))")  # two collections at once tell it once
        before = known()
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            log.tell(
                SUBJECT, 0, "changed",
                before={name: before[name] for name in changed if name in before}, after={name: now.get(name) for name in changed},
            )  # fmt: skip
    return bool(changed)


def known() -> Mapping[str, str]:
    """Each rule by the check's id, as the events have it."""
    rules: dict[str, str | None] = {}
    for after in Event.objects.filter(subject=SUBJECT, subject_id=0, seq=None).order_by("pk").values_list("after", flat=True):
        rules |= after or {}
    return {name: rule for name, rule in rules.items() if rule is not None}
