"""What templates need to say of our nouns."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext, pgettext
from django.utils.translation import gettext_noop as _
from lucide.templatetags.lucide import lucide

from triage.domain import coverage
from triage.domain.access import Right
from triage.domain.calendars import WEEK
from triage.domain.compliance import titled
from triage.domain.masking import masked
from triage.domain.sla.wording import STATES, about, in_words, length, working_days
from triage.models import ClockKind, Environment, Finding, Presence, Role, Severity, SlaTarget, Status, Team
from triage.ports import Text

register = template.Library()

HUES = 8
SOON = timedelta(days=3)
HOUR, DAY, MONTH, YEAR = 3600, 86_400, 30 * 86_400, 365 * 86_400
COUNT_CAP = 10_000

# Parameters of a Text that are words of ours: they are kept as they are stored and said in the reader's language.
_STATES = {**dict(Status.choices), **dict(Presence.choices)}
WORDS: dict[str, Mapping[Any, Any]] = {
    "before": _STATES,
    "after": _STATES,
    "severity": dict(Severity.choices),
    "role": dict(Role.choices),
}

NAMES = (_("Default"),)  # names of ours that stand in tables, such as the policy that is there from the start

STATUS_ICONS = {
    Status.OPEN: "circle", Status.IN_PROGRESS: "circle-dot", Status.FIX_CLAIMED: "wrench", Status.VERIFIED: "circle-check",
    Status.ACCEPTED: "shield-off", Status.FALSE_POSITIVE: "circle-slash", Status.MANUAL: "clipboard-list",
    Status.ATTESTED: "clipboard-check",
}  # fmt: skip
PRESENCE_ICONS = {Presence.REPORTED: "eye", Presence.UNREPORTED: "eye-off", Presence.GONE: "unplug"}


@register.filter
def said(text: Text | Mapping[str, Any] | str | None) -> str:
    """A `ports.Text`, or one that was stored as JSON, in the reader's language."""
    if not text:
        return ""
    if isinstance(text, Text):
        message, params = text.message, text.params
    elif isinstance(text, Mapping):
        message, params = str(text.get("message", "")), text.get("params") or {}
    else:
        return gettext(text)
    words = {name: WORDS[name].get(value, value) if name in WORDS else _number(value) for name, value in params.items()}
    return gettext(message) % words if words else gettext(message)


def _number(value: Any) -> Any:
    return formats.number_format(value, force_grouping=True) if isinstance(value, int) and value >= COUNT_CAP else value


@cache
def _drawn(name: str, size: int, classes: str) -> SafeString:
    more = {"class": classes} if classes else {}
    return mark_safe(lucide(name, size=size, aria_hidden="true", **more))  # noqa: S308 - drawn from the package, no text of ours


@register.simple_tag
def icon(name: str, size: int = 16, classes: str = "") -> SafeString:
    """A lucide icon beside a word: not read aloud."""
    return _drawn(str(name), size, classes)


@register.simple_tag(takes_context=True)
def may(context: Mapping[str, Any], right: str, finding: Finding | None = None) -> bool:
    """Whether the reader has the right, on this finding where it is one on findings. The domain asks again."""
    return bool(context["request"].actor.may(Right(right), team=finding.team_id if finding else None))


@lru_cache(maxsize=4096)
def _part(part: str, _language: str | None, /, **said: Any) -> SafeString:
    """A small part of a page, drawn once in each language: a list draws the same few parts hundreds of times."""
    return render_to_string(f"triage/parts/_{part}.html", said)


@register.simple_tag
def severity(level: int, *, word: bool = True) -> SafeString:
    """Bars, colour and word. Without `word` the word is read aloud and not shown."""
    return _part("severity", get_language(), level=level, label=Severity(level).label, word=word)


@register.simple_tag
def status(value: str) -> SafeString:
    return _part("status", get_language(), value=str(value), label=Status(value).label, icon=STATUS_ICONS[Status(value)])


@register.simple_tag
def presence(value: str) -> SafeString:
    """Said only when it is not *reported*."""
    return _part("presence", get_language(), value=str(value), label=Presence(value).label, icon=PRESENCE_ICONS[Presence(value)])


@register.simple_tag
def owner(team: Team | None, *, big: bool = False) -> SafeString:
    """The team, or nobody in a dashed outline."""
    return _part("owner", get_language(), slug=team.slug if team else "", name=team.name if team else "", big=big)


@register.simple_tag
def due(finding: Finding, at: datetime) -> SafeString:
    """The chip of a due date: in time, soon, overdue, paused; or how it ended."""
    state = due_state(finding, at)
    return _part("due", get_language(), state=state["state"], length=_working(finding, state, at) or lasting(state["left"]))


def _working(finding: Finding, state: dict[str, Any], at: datetime) -> str:
    if state["state"] not in ("soon", "ahead") or finding.due_at is None:
        return ""
    days = working_days(version=finding.sla_id, at=at, due=finding.due_at)
    return ngettext("%(n)s working day", "%(n)s working days", days) % {"n": days} if days else ""


def due_state(finding: Finding, at: datetime) -> dict[str, Any]:
    """`state`: none, ahead, soon, overdue, paused, met, missed. `left`: seconds to the due date, negative when it is over."""
    if finding.is_open and finding.paused_at is not None:
        return {"state": "paused", "left": None}
    if finding.due_at is None:
        return {"state": "none", "left": None}
    if finding.settled_at is not None:
        return {"state": "met" if finding.settled_at <= finding.due_at else "missed", "left": finding.due_at - finding.settled_at}
    if not finding.is_open:
        return {"state": "none", "left": None}
    left = finding.due_at - at
    return {"state": "overdue" if left < timedelta() else "soon" if left <= SOON else "ahead", "left": left}


@register.simple_tag
def clock(finding: Finding, at: datetime) -> dict[str, Any] | None:
    """How much of the time has passed, in percent: `share` as it is, `shown` as far as a bar can show it."""
    if finding.clock_from is None or finding.due_at is None or finding.due_at <= finding.clock_from:
        return None
    until = finding.settled_at or finding.paused_at or at
    share = round(100 * ((until - finding.clock_from) / (finding.due_at - finding.clock_from)))
    return {"share": share, "shown": min(max(share, 2), 100), "state": due_state(finding, at)["state"]}


# What is noted about a finding besides changes of its columns, as the domain names it.
EVENT_WORDS = {
    "ticketed": _("A ticket was opened"), "ticket closed": _("The ticket was closed"),
    "ticket reopened": _("The ticket was opened again"),
    "ticket failed": _("The ticket system did not accept the message"), "ticket deleted": _("The ticket was deleted in the "
                                                                                          "ticket system"),
    "ticket declined": _("The ticket was declined in the ticket system"), "checked": _("Checked again: nothing changed"),
    "paused": _("The clock is paused"), "resumed": _("The clock runs again"), "contained": _("Contained, before being fixed"),
    "acknowledged": _("Somebody acknowledged it"), "warned": _("The owner was warned"), "breached": _("Its deadline passed"),
    "escalated": _("It was escalated"), "exception asked": _("An exception was requested"), "requested": _("Asked for"),
    "approved": _("Approved"), "refused": _("Refused"), "revoked": _("Ended early"), "withdrawn": _("Withdrawn"),
    "expired": _("Reached its end date"), "voided": _("Void: the risk changed"), "fixed": _("Fixed in the meantime"),
    "commented": _("A comment"), "comment changed": _("A comment was changed"), "comment withdrawn": _("A comment was removed"),
    "ends soon": _("It ends soon"), "covered": _("Covers findings that came later"),
}  # fmt: skip


@register.filter
def target_words(target: SlaTarget) -> str:
    """What a target is for, and how long it gives."""
    return in_words(target)


@register.filter
def target_about(target: SlaTarget) -> str:
    return about(target)


@register.filter
def weekday(day: str) -> str:
    """The short name of `mon` … `sun`."""
    return str(WEEKDAYS_ABBR[WEEK.index(day)])


@register.filter
def target_length(target: SlaTarget) -> str:
    return length(target)


@register.filter
def clock_state(state: str) -> str:
    """A state of a clock (`domain.sla.explaining`) in words."""
    return gettext(STATES[state])


@register.filter
def control_title(reference: str, framework: str) -> str:
    """What a control is about, in the reader's language; '' where its text is protected or unknown."""
    return titled(framework, reference, language=get_language() or "en").title


@register.filter("masked")
def without_secrets(text: str) -> str:
    """What a scanner quotes, without the secrets that are known by their form."""
    return masked(text)


@register.filter
def any_derived(controls: Iterable[tuple[str, str, bool]]) -> bool:
    """Whether one of them is our own reading (`check_catalogue.controls_of`)."""
    return any(ours for _framework, _reference, ours in controls)


@register.filter
def role_name(role: str) -> str:
    """A role as people call it; one that there is no more, as it was stored."""
    return str(Role(role).label) if role in Role.values else role


@register.filter
def coverage_state(state: str) -> str:
    return gettext(coverage.STATES[coverage.Coverage(state)])


@register.filter
def clock_name(clock: str) -> str:
    return str(ClockKind(clock).label)


@register.filter
def event_word(kind: str) -> str:
    return gettext(EVENT_WORDS[kind]) if kind in EVENT_WORDS else kind


@register.filter
def lasting(span: timedelta | None) -> str:
    """“3 days”, “5 hours”: the largest unit that fits, never a fraction."""
    if span is None:
        return ""
    seconds = abs(int(span.total_seconds()))
    if seconds >= DAY:
        days = round(seconds / DAY)
        return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}
    if seconds >= HOUR:
        hours = round(seconds / HOUR)
        return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
    minutes = max(seconds // 60, 1)
    return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": minutes}


@register.filter
def age(since: datetime | None, at: datetime) -> str:
    """“12 d”: how long ago, as short as a column needs it."""
    if since is None:
        return ""
    seconds = max(int((at - since).total_seconds()), 0)
    for unit, text in (
        (YEAR, pgettext("age", "%(n)s y")), (2 * MONTH, pgettext("age", "%(n)s mo")), (DAY, pgettext("age", "%(n)s d")),
        (HOUR, pgettext("age", "%(n)s h")),
    ):  # fmt: skip
        if seconds >= unit:
            return text % {"n": seconds // (MONTH if unit == 2 * MONTH else unit)}
    return pgettext("age", "%(n)s min") % {"n": seconds // 60}


@register.filter
def ago(moment: datetime | None, at: datetime) -> str:
    """“3 days ago”, with the exact time behind it."""
    if moment is None:
        return ""
    if abs((at - moment).total_seconds()) < 60:
        return _time(moment, gettext("just now"))
    if moment > at:
        return _time(moment, gettext("in %(length)s") % {"length": _roughly(moment - at)})
    return _time(moment, gettext("%(length)s ago") % {"length": _roughly(at - moment)})


def _roughly(span: timedelta) -> str:
    """As `lasting`, but nobody counts the days of last year."""
    seconds = span.total_seconds()
    if seconds >= 2 * YEAR:
        return ngettext("%(n)s year", "%(n)s years", int(seconds // YEAR)) % {"n": int(seconds // YEAR)}
    if seconds >= 3 * MONTH:
        return ngettext("%(n)s month", "%(n)s months", int(seconds // MONTH)) % {"n": int(seconds // MONTH)}
    return lasting(span)


@register.filter
def exact(moment: datetime | None) -> str:
    """The date and time in the reader's zone."""
    return "" if moment is None else _time(moment, _written(moment))


@register.filter
def day(moment: datetime | None) -> str:
    """The date in the reader's zone."""
    return "" if moment is None else _time(moment, formats.date_format(timezone.localtime(moment), "DATE_FORMAT"))


def _written(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return gettext("%(date)s at %(time)s") % {
        "date": formats.date_format(local, "DATE_FORMAT"), "time": formats.time_format(local, "H:i")
    }  # fmt: skip


def _time(moment: datetime, words: str) -> str:
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(timespec="seconds"), _written(moment), words)


@register.filter
def env(value: str) -> str:
    """An environment in a chip."""
    return {
        Environment.PRODUCTION: pgettext("environment", "prod"), Environment.STAGING: pgettext("environment", "preprod"),
        Environment.DEVELOPMENT: pgettext("environment", "dev"), Environment.TEST: pgettext("environment", "test"),
    }.get(Environment(value), "")  # fmt: skip


@register.filter
def number(value: int | None) -> str:
    """With the language's thousands separator."""
    return "" if value is None else formats.number_format(value, force_grouping=True)


@register.filter
def capped(count: int) -> str:
    """A count that stops at COUNT_CAP: “10,000+”."""
    return f"{number(COUNT_CAP)}+" if count > COUNT_CAP else number(count)


@register.filter
def weight(size: int | None) -> str:
    """Bytes, as people write them."""
    value = float(size or 0)
    for unit in (gettext("B"), gettext("kB"), gettext("MB"), gettext("GB")):
        if value < 1000 or unit == gettext("GB"):
            break
        value /= 1000
    digits = 0 if value >= 10 or value == int(value) else 1
    return f"{formats.number_format(round(value, digits), decimal_pos=digits)} {unit}"


@register.filter
def short(uid: str) -> str:
    """The last telling part of an ARN or a path."""
    tail = uid.rsplit(":", 1)[-1] if uid.startswith("arn:") else uid
    return tail.rstrip("/").rsplit("/", 1)[-1] or uid


LINKED = re.compile(
    r"(?P<finding>\bF-[0-9]{1,18}\b)|(?P<address>https?://[^\s<>\"']+[^\s<>\"'.,;:!?)])|(?P<mention>(?<![\w@.])@[\w.+-]+(?:@[\w.-]+\w)?)"
)


@register.filter
def linked(text: str) -> SafeString:
    """What a person typed: paragraphs and lines as they are, findings and addresses as links, mentions marked. Nothing of it is markup."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part]
    return format_html_join("", "<p>{}</p>", ((_lines(part),) for part in paragraphs))


def _lines(text: str) -> SafeString:
    return format_html_join(mark_safe("<br>"), "{}", ((_linked(line),) for line in text.split("\n")))


def _linked(line: str) -> SafeString:
    pieces: list[SafeString] = []
    end = 0
    for match in LINKED.finditer(line):
        pieces.append(format_html("{}", line[end : match.start()]))
        word, end = match[0], match.end()
        if match["finding"]:
            pieces.append(format_html('<a class="id" href="{}">{}</a>', reverse("finding", args=[int(word[2:])]), word))
        elif match["address"]:
            pieces.append(format_html('<a href="{}" rel="noreferrer nofollow">{}</a>', word, word))
        else:
            pieces.append(format_html("<strong>{}</strong>", word))
    pieces.append(format_html("{}", line[end:]))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


@register.filter
def before_at(address: str) -> str:
    """What to write behind the @ to mention this person."""
    return address.partition("@")[0]


TOLD_WORDS: Mapping[str, str] = {
    "fixed": _("fixed"), "failing": _("still failing"), "gone": _("gone"), "denied": _("denied"), "error": _("error"),
    "cannot": _("cannot be verified"), "approved": _("approved"), "refused": _("refused"),
}  # fmt: skip


@register.filter
def told_word(about: str) -> str:
    """What a notification says of its thing, in the reader's words."""
    return gettext(TOLD_WORDS[about]) if about in TOLD_WORDS else about


@register.filter
def hue(name: str) -> int:
    """One of HUES colour classes, the same for the same name everywhere."""
    return hashlib.blake2b(str(name).encode(), digest_size=1).digest()[0] % HUES


@register.filter
def initials(name: str) -> str:
    words = [word for word in str(name).replace("-", " ").replace("_", " ").replace("@", " ").split() if word[0].isalnum()]
    return ("".join(word[0] for word in words[:2]) if len(words) > 1 else str(name)[:2]).upper()
