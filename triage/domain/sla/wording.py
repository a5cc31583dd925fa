"""Targets and states of clocks in the person's words."""

from datetime import datetime, timedelta
from functools import lru_cache

from django.utils.translation import gettext, gettext_noop, ngettext

from triage.domain import calendars
from triage.models import ClockKind, Criticality, Environment, Severity, SlaTarget, SlaUnit

STATES = {
    "none": gettext_noop("no date"), "running": gettext_noop("running"), "overdue": gettext_noop("overdue"),
    "paused": gettext_noop("paused"), "met": gettext_noop("on time"), "missed": gettext_noop("too late"),
}  # fmt: skip


# Who a ladder tells, as templates say it.
WHOM = (gettext_noop("owner"), gettext_noop("lead"), gettext_noop("security"))


FORESEEN = timedelta(days=14)  # beyond, nobody counts in working days


def working_days(*, version: int | None, at: datetime, due: datetime) -> int | None:
    """How many working days are left until a date that a policy's version gave: today does not count, the day itself does.

    None where that says nothing: the version has no calendar to remediate by or several, nothing opens before the date, the date is
    over, or further away than FORESEEN.
    """
    if version is None or not at < due <= at + FORESEEN:
        return None
    calendar = _calendar(version)
    return (calendars.stored(calendar).working_days(calendars.micros(at), calendars.micros(due)) or None) if calendar else None


@lru_cache(maxsize=64)
def _calendar(version: int) -> int | None:
    """The only calendar of a version's time to remediate. Versions never change, so it is asked once a process."""
    found = SlaTarget.objects.filter(version=version, clock=ClockKind.REMEDIATE, calendar__isnull=False)
    used = list(found.order_by("calendar").values_list("calendar", flat=True).distinct()[:2])
    return used[0] if len(used) == 1 else None


def in_words(target: SlaTarget) -> str:
    """A target on a line: what it is for, and how long."""
    calendar = f" ({target.calendar})" if target.calendar else ""
    return f"{about(target)}: {length(target)}{calendar}"


def about(target: SlaTarget) -> str:
    """What a target is for."""
    parts = [
        str(ClockKind(target.clock).label),
        str(Severity(target.severity).label) if target.severity else "",
        str(Environment(target.environment).label) if target.environment else "",
        str(Criticality(target.criticality).label) if target.criticality is not None else "",
        "" if target.exposure is None else gettext("exposed") if target.exposure else gettext("not exposed"),
        target.framework,
    ]
    return " · ".join(filter(None, parts))


def length(target: SlaTarget) -> str:
    """How long a clock may run, in the person's language."""
    return spoken(target.amount, target.unit)


def spoken(amount: int, unit: str) -> str:
    """A length of time in the person's language, as `drafts.measured` reads it again."""
    if unit == SlaUnit.BUSINESS_HOURS:
        return ngettext("%(n)s business hour", "%(n)s business hours", amount) % {"n": amount}
    if unit == SlaUnit.DAYS:
        return ngettext("%(n)s day", "%(n)s days", amount) % {"n": amount}
    return ngettext("%(n)s hour", "%(n)s hours", amount) % {"n": amount}
