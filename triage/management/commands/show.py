"""`cspm show`: a finding with its owner, due date and story; or what stands open on an asset."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from triage.domain import queries
from triage.domain.access import Right
from triage.domain.errors import NotFound
from triage.domain.masking import masked
from triage.domain.ownership.steps import Result, from_json
from triage.domain.queries import FindingStory, Moment
from triage.domain.rows import rows
from triage.management.base import TriageCommand
from triage.models import Finding, FindingAlias, Severity

NUMBER = re.compile(r"(?:[Ff]-)?0*([0-9]{1,18})")
# The scanner's own id, where it is composed of facts: tool-provider-check-account-region-name.
COMPOSED = re.compile(r"[a-z0-9]+-[a-z0-9]+-(?P<check>[^-]+)-(?P<account>[^-]+)-(?P<rest>.+)")
LISTED = 50
SIGNS = {Result.MATCHED: "✔", Result.NO_TEAM: "✘", Result.SKIPPED: "·"}
UNKNOWN = gettext_noop(
    "Nothing here is called “%(name)s”. Give a finding (F-12), an asset's identifier, or the scanner's id of a finding."
)


class Command(TriageCommand):
    help = gettext_lazy("Show a finding with its owner, due date and timeline, or the findings of an asset.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", metavar="F-12|ARN|ID", help=gettext("a finding, an asset, or the scanner's own id of a finding")
        )
        parser.add_argument("--json", action="store_true", help=gettext("one JSON object a finding and line"))

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.VIEW)
        found = _named(options["name"].strip())
        if options["json"]:
            for number in found:
                self.stdout.write(json.dumps(self._as_json(queries.story(queries.finding(number))), ensure_ascii=False))
        elif len(found) == 1:
            self._tell(queries.story(queries.finding(found[0])))
        else:
            self._list(found)

    def _list(self, found: list[int]) -> None:
        listed = Finding.objects.filter(pk__in=found).select_related("check_ref").order_by("-score", "id")
        self.table(
            [gettext("id"), gettext("severity"), gettext("status"), gettext("check")],
            [[str(row), str(Severity(row.severity).label), str(row.get_status_display()), row.check_ref.key] for row in listed],
        )

    def _tell(self, story: FindingStory) -> None:
        row = story.finding
        (facts,) = rows([row], at=self.at())
        self.say(f"{row}  {row.check_ref}")
        for label, value in (
            (gettext("check"), f"{row.check_ref.key} ({row.check_ref.scanner})"),
            (gettext("asset"), row.asset.uid),
            (gettext("account"), " ".join(filter(None, [str(row.account), row.region, row.environment]))),
            (gettext("severity"), str(Severity(row.severity).label)),
            (gettext("status"), f"{row.get_status_display()}, {str(row.get_presence_display()).lower()}"),
            (gettext("seen"), f"{_day(row.first_seen)} – {_day(story.last_seen)}"),
            (gettext("due"), f"{_day(row.due_at)} ({facts['sla']})" if row.due_at else gettext("no due date")),
            (gettext("owner"), row.team.slug if row.team else gettext("nobody")),
        ):
            self.say(f"  {label:10} {value}")
        for step in from_json(row.trail.steps):
            self.say(f"             {SIGNS[step.result]} {self.render(step.why)}")
        if row.message:
            self.say(f"  {masked(row.message)}")
        ticket_label = gettext("ticket")
        for ticket in story.tickets:
            self.say(f"  {ticket_label:10} {ticket.key or ticket.mark} {ticket.url} ({ticket.state})")
        self.say()
        for moment in story.timeline:
            self.say(f"  {_time(moment.at)}  {_happened(moment)}")
        if story.earlier:
            self.say(gettext("  (and earlier)"))

    def _as_json(self, story: FindingStory) -> dict[str, Any]:
        row = story.finding
        (facts,) = rows([row], at=self.at())
        return {
            **facts,
            "message": masked(row.message),
            "regressions": row.regressions,
            "owner_trail": [{"kind": s.kind, "result": s.result.value, "why": self.render(s.why)} for s in from_json(row.trail.steps)],
            "tickets": [{"key": t.key, "url": t.url, "state": t.state} for t in story.tickets],
            "timeline": [
                {
                    "kind": m.kind, "at": m.at.isoformat(), "by": m.who.name or m.who.kind, "before": _plain(m.before),
                    "after": _plain(m.after), "reason": m.reason, "scan": m.scan, "evidence": m.evidence or None,
                }
                for m in story.timeline
            ],
        }  # fmt: skip


def _named(name: str) -> list[int]:
    """Numbers of the findings that the name means, at most LISTED. Raises NotFound."""
    if match := NUMBER.fullmatch(name):
        return [queries.finding(int(match[1])).pk]
    found = list(FindingAlias.objects.filter(name=name).values_list("finding_id", flat=True)[:LISTED]) or _composed(name)
    if not found:
        of_asset = Finding.objects.filter(asset__uid=name) | Finding.objects.filter(asset__name=name)
        found = list(of_asset.order_by("-score", "id").values_list("pk", flat=True)[:LISTED])
    if not found:
        raise NotFound(UNKNOWN, name=name[:200])
    return found


def _composed(name: str) -> list[int]:
    match = COMPOSED.fullmatch(name)
    if match is None:
        return []
    rest = match["rest"]
    candidates = Finding.objects.filter(check_ref__key=match["check"], account__uid=match["account"]).select_related("asset")
    return [
        row.pk
        for row in candidates.iterator()
        if rest in (f"{row.region}-{row.asset.name}", f"{row.asset.region}-{row.asset.name}")
    ][:LISTED]


def _happened(moment: Moment) -> str:
    """What an event says, on a line."""
    changed = [
        f"{key}: {_word(moment.before.get(key))} → {_word(value)}"
        for key, value in moment.after.items()
        if key in ("status", "presence", "severity", "team", "assignee", "due_at") and moment.before
    ]
    said = " ".join(moment.comment.split())
    parts = [moment.kind, *changed, said, moment.reason, gettext("scan %(scan)s") % {"scan": moment.scan} if moment.scan else ""]
    return " · ".join([*filter(None, parts), moment.who.name or moment.who.kind])


def _word(value: Any) -> str:
    return "–" if value in (None, "") else _time(value) if isinstance(value, datetime) else str(value)


def _plain(side: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold of an event's side."""
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else value
        if isinstance(value, str | int | bool | None)
        else str(value)
        for name, value in side.items()
    }


def _day(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d}" if moment else ""


def _time(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"
