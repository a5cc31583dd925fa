"""Targets and states of clocks in the person's words."""

from django.utils.translation import gettext, gettext_noop, ngettext

from triage.models import ClockKind, Criticality, Environment, Severity, SlaTarget, SlaUnit

STATES = {
    "none": gettext_noop("no date"), "running": gettext_noop("running"), "overdue": gettext_noop("overdue"),
    "paused": gettext_noop("paused"), "met": gettext_noop("kept"), "missed": gettext_noop("missed"),
}  # fmt: skip


# Who a ladder tells, as templates say it.
WHOM = (gettext_noop("owner"), gettext_noop("lead"), gettext_noop("security"))


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
    if target.unit == SlaUnit.BUSINESS_HOURS:
        return ngettext("%(n)s business hour", "%(n)s business hours", target.amount) % {"n": target.amount}
    if target.unit == SlaUnit.DAYS:
        return ngettext("%(n)s day", "%(n)s days", target.amount) % {"n": target.amount}
    return ngettext("%(n)s hour", "%(n)s hours", target.amount) % {"n": target.amount}
