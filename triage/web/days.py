"""Days as people choose them in a form."""

from datetime import date, datetime, time

from django.utils.timezone import localtime, make_aware
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid

EARLIEST, LATEST = 1900, 2200  # years that a form means


def beginning_of(day: str) -> datetime:
    """The beginning of a day in the person's time zone. Raises Invalid."""
    return make_aware(datetime.combine(localtime(end_of(day)).date(), time.min))


def end_of(day: str) -> datetime:
    """The end of a day in the person's time zone. Raises Invalid."""
    if not day:
        raise Invalid(_("A day is missing. Choose one in the calendar."))
    try:
        found = date.fromisoformat(day)
    except ValueError:
        found = None
    if found is None or not EARLIEST <= found.year < LATEST:
        raise Invalid(_("“%(day)s” is not a date. Choose one in the calendar."), day=day[:40])
    return make_aware(datetime.combine(found, time.max))
