"""`cspm sla`: what is due when and why, policies tried before they are applied, clocks paused and resumed, what was kept."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from triage.domain import calendars, queries
from triage.domain.access import Right
from triage.domain.configuration import sla as section
from triage.domain.configuration.applying import planned_policies, written
from triage.domain.sla import clocks, drafts, explaining, policies, reporting, simulating
from triage.domain.sla.explaining import ClockStory, DutyStory
from triage.domain.sla.policies import Plan
from triage.domain.sla.presets import PRESETS
from triage.domain.sla.wording import STATES, in_words
from triage.management.base import USAGE, TriageCommand
from triage.management.commands.config import read_file
from triage.management.commands.estate import read_bytes
from triage.management.commands.owner import beginning, moment, number
from triage.models import ClockKind, Containment, Finding


class Command(TriageCommand):
    help = gettext_lazy("What is due when and why; try a policy, pause a clock, see what was kept.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        told = verbs.add_parser("explain", help=_("each clock of a finding: its target and why, its pauses, what it said"))
        told.add_argument("finding", metavar="F-12")
        listed = verbs.add_parser("list", help=_("the policies in force"))
        preset = verbs.add_parser("preset", help=_("policies to begin with, as a file for `cspm config apply`"))
        preset.add_argument("name", nargs="?", choices=sorted(PRESETS), metavar="NAME", help=", ".join(sorted(PRESETS)))
        tried = verbs.add_parser("simulate", help=_("what a policy would have meant for the own history"))
        tried.add_argument(
            "policy", metavar="POLICY.yaml", help=_("a configuration file with a section sla, or the name of a preset")
        )
        tried.add_argument("--days", type=int, default=90, metavar="N", help=_("how far to look back (90)"))
        report = verbs.add_parser("report", help=_("how many dates were kept, by the policies in force at the time"))
        report.add_argument("--since", metavar="DATE", help=_("from this day on (30 days ago)"))
        report.add_argument("--until", metavar="DATE", help=_("to the end of this day (now)"))
        report.add_argument("--breaches", action="store_true", help=_("list the dates that were missed"))
        paused = verbs.add_parser("pause", help=_("stop the clock of a finding for a while"))
        paused.add_argument("finding", metavar="F-12")
        paused.add_argument("--until", required=True, metavar="DATE", help=_("when it runs on by itself"))
        paused.add_argument("--reason", required=True, help=_("why, for the audit trail"))
        resumed = verbs.add_parser("resume", help=_("let a paused clock run on"))
        resumed.add_argument("finding", metavar="F-12")
        resumed.add_argument("--reason", default="", help=_("why, for the audit trail"))
        closures = verbs.add_parser("closures", help=_("the all-day events of an iCalendar file, as closures of a calendar"))
        closures.add_argument("file", metavar="FILE.ics")
        seen = verbs.add_parser("acknowledge", help=_("say that somebody has seen it"))
        seen.add_argument("findings", nargs="+", metavar="F-12")
        contained = verbs.add_parser("contain", help=_("say how an exposure was cut off at once"))
        contained.add_argument("finding", metavar="F-12")
        contained.add_argument("--done", required=True, help=_("what was done"))
        contained.add_argument("--when", metavar="TIME", help=_("when it was done (now)"))
        contained.add_argument(
            "--exploited", choices=Containment.Exploited.values, default="unknown", help=_("whether it had been used")
        )
        contained.add_argument(
            "--evidence", metavar="FILE|SHA256", help=_("a file to be kept, or the SHA-256 of what is kept already")
        )
        for verb in (told, listed, preset, tried, report, paused, resumed, seen, contained, closures):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    # --- reading ------------------------------------------------------------------------------------------------------------

    def _explain(self, options: dict[str, Any]) -> None:
        current = queries.finding(number(options["finding"]))
        told = explaining.explain(current, actor=self.actor(options), at=self.at())
        if options["json"]:
            self.stdout.write(json.dumps(_story_as_json(told), ensure_ascii=False))
            return
        self.say(f"{current}  {current.check_ref}  {current.asset}")
        for story in told.clocks:
            if story.state != "none" or story.candidates:
                self._tell(story)
        for entry in told.ledger:
            what = gettext(str(entry.get_kind_display()))
            self.say(f"  {_time(entry.at)}  {what}{_moved(entry.due_before, entry.due_after)}  {entry.reason} ({entry.actor})")
        for contained in told.containments:
            exploited = gettext("exploited: %(word)s") % {"word": contained.get_exploited_display()}
            self.say(f"  {_time(contained.at)}  {gettext('Contained')}: {contained.done} ({exploited}, {contained.actor})")

    def _tell(self, story: ClockStory) -> None:
        state = gettext(STATES[story.state])
        self.say(f"  {ClockKind(story.clock).label}: {state}" + (f" · {gettext('due')} {_time(story.due)}" if story.due else ""))
        if story.start:
            self.say(f"    {gettext('since')} {_time(story.start)}")
        for candidate in story.candidates:
            sign = "✔" if candidate.won else "·"
            self.say(f"    {sign} {in_words(candidate.target)} → {_time(candidate.due)}  ({candidate.target.version})")
        for step in story.steps:
            told = gettext("notified %(at)s") % {"at": _time(step.told)} if step.told else ""
            self.say(f"    {step.percent:>4} %  {_time(step.at)}  {', '.join(step.tell)}  {told}".rstrip())

    def _list(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.VIEW)
        for version in policies.in_force():
            draft = drafts.drafted(version)
            if options["json"]:
                self.stdout.write(
                    json.dumps({"policy": draft.slug, "version": version.number, **section.plain(draft)}, ensure_ascii=False)
                )
                continue
            self.say(f"{draft.slug}  {version}  ({_time(version.published_at)})")
            for target in version.targets.select_related("calendar__calendar").order_by("clock", "pk"):
                self.say(f"  {in_words(target)}")

    def _preset(self, options: dict[str, Any]) -> None:
        if options["name"]:
            self.stdout.write(written(PRESETS[options["name"]]), ending="")
            return
        for slug, draft in PRESETS.items():
            self.say(f"{slug:16} {draft.name}")

    def _closures(self, options: dict[str, Any]) -> None:
        found = calendars.closures_of(read_bytes(options["file"]))
        rows = [{"first": first.isoformat(), "last": last.isoformat(), "name": name} for first, last, name in found]
        if options["json"]:
            for row in rows:
                self.stdout.write(json.dumps(row, ensure_ascii=False))
        else:
            self.stdout.write("closures:")
            for row in rows:
                self.stdout.write(f"  - {json.dumps(row, ensure_ascii=False)}")

    def _simulate(self, options: dict[str, Any]) -> None:
        name = options["policy"]
        plan = Plan([PRESETS[name]]) if name in PRESETS else planned_policies(text=read_file(name), name=name)
        if not plan.policies and not plan.bringing:
            self.say(gettext("The file says what is in force: nothing would change."))
            return
        found = simulating.simulate(plan, actor=self.actor(options), at=self.at(), days=options["days"])
        if options["json"]:
            self.stdout.write(json.dumps(_simulation_as_json(found)))
            return
        effect = gettext(
            "Of the clocks that run, %(moved)s would get another date; %(breached)s would be late at once, %(relieved)s no more."
        )
        self.say(effect % {"moved": found.effect.moved, "breached": found.effect.breached, "relieved": found.effect.relieved})
        self.say(
            gettext("Of the clocks since %(day)s that were decided:") % {"day": f"{timezone.localtime(found.since):%Y-%m-%d}"}
        )
        headers = [gettext("severity"), gettext("clocks"), gettext("kept"), gettext("missed"), gettext("would be kept"),
                   gettext("would be missed"), gettext("without date")]  # fmt: skip
        self.table(headers, [
            [str(severity.label), *(str(getattr(tally, name)) for name in TALLY)]
            for severity, tally in sorted(found.tallies.items(), reverse=True)
        ])  # fmt: skip
        for row in found.worse:
            self.say(f"  {row}  {row.check_ref}  {row.asset}")

    def _report(self, options: dict[str, Any]) -> None:
        at, actor = self.at(), self.actor(options)
        until = moment(options["until"]) if options["until"] else at
        since = beginning(options["since"]) if options["since"] else until - timedelta(days=30)
        if options["breaches"]:
            self._breaches(reporting.breaches(since=since, until=until, actor=actor, at=at, limit=100_000), options)
            return
        found = reporting.attainment(since=since, until=until, actor=actor, at=at)
        nobody = gettext("nobody")
        if options["json"]:
            for row in found.rows:
                line = {
                    "severity": row.severity.name.lower(), "team": row.team.slug if row.team else None,
                    "policy": str(row.version) if row.version else None, "met": row.met, "missed": row.missed,
                }  # fmt: skip
                self.stdout.write(json.dumps(line))
            return
        self.table(
            [gettext("severity"), gettext("team"), gettext("policy"), gettext("kept"), gettext("missed")],
            [
                [
                    str(row.severity.label),
                    row.team.slug if row.team else nobody,
                    str(row.version or "–"),
                    str(row.met),
                    str(row.missed),
                ]
                for row in found.rows
            ],
        )
        if found.percent is None:
            self.say(gettext("No date was decided from %(since)s to %(until)s.") % {"since": _time(since), "until": _time(until)})
        else:
            kept = gettext("%(percent)s %% of %(n)s dates were kept from %(since)s to %(until)s.")
            figures = {"percent": found.percent, "n": found.met + found.missed, "since": _time(since), "until": _time(until)}
            self.say(kept % figures)

    def _breaches(self, missed: Iterable[reporting.Breach], options: dict[str, Any]) -> None:
        nobody = gettext("nobody")
        for breach in missed:
            team = breach.team.slug if breach.team else None
            if options["json"]:
                line = {
                    "finding": str(breach.finding), "due_at": breach.due.isoformat(),
                    "fixed_at": breach.stopped and breach.stopped.isoformat(), "severity": breach.severity.name.lower(), "team": team,
                    "policy": str(breach.version) if breach.version else None, "check": breach.finding.check_ref.key,
                    "asset": breach.finding.asset.uid,
                }  # fmt: skip
                self.stdout.write(json.dumps(line, ensure_ascii=False))
                continue
            fixed = gettext("fixed %(at)s") % {"at": _time(breach.stopped)} if breach.stopped else gettext("still open")
            self.say(
                f"{_time(breach.due)}  {breach.finding}  {breach.severity.label}  {team or nobody}  {breach.version}  {fixed}"
            )

    # --- doing --------------------------------------------------------------------------------------------------------------

    def _pause(self, options: dict[str, Any]) -> None:
        row = clocks.pause(
            finding=number(options["finding"]), until=moment(options["until"]), reason=options["reason"], actor=self.actor(options),
            at=self.at(),
        )  # fmt: skip
        self._done(
            row, gettext("The clock of %(finding)s is paused until %(until)s."), options, until=_time(moment(options["until"]))
        )

    def _resume(self, options: dict[str, Any]) -> None:
        row = clocks.resume(finding=number(options["finding"]), actor=self.actor(options), at=self.at(), reason=options["reason"])
        self._done(row, gettext("The clock of %(finding)s runs on: it is due %(due)s."), options, due=_time(row.due_at))

    def _acknowledge(self, options: dict[str, Any]) -> None:
        for name in options["findings"]:
            row = clocks.acknowledge(finding=number(name), actor=self.actor(options), at=self.at())
            self._done(row, gettext("%(finding)s is acknowledged."), options)

    def _contain(self, options: dict[str, Any]) -> None:
        kept = clocks.contain(
            finding=number(options["finding"]), done=options["done"], actor=self.actor(options), at=self.at(),
            when=moment(options["when"]) if options["when"] else None, exploited=options["exploited"],
            **proof(options["evidence"]),
        )  # fmt: skip
        self._done(kept.finding, gettext("%(finding)s is contained since %(at)s."), options, at=_time(kept.at))

    def _done(self, row: Finding, sentence: str, options: dict[str, Any], **params: str) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"finding": str(row), "due_at": row.due_at and row.due_at.isoformat(), **params}))
        else:
            self.say(sentence % {"finding": row, **params})


TALLY = ("clocks", "met", "missed", "would_meet", "would_miss", "without")


def _moved(before: datetime | None, after: datetime | None) -> str:
    return f" {_time(before)} → {_time(after)}" if after else ""


def _time(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else "–"


def proof(said: str | None) -> dict[str, Any]:
    """Evidence as the domain takes it: a file's bytes, or the digest of what is kept."""
    if not said:
        return {}
    return {"attachment": read_bytes(said)} if Path(said).is_file() else {"evidence": digest(said)}


def digest(text: str) -> bytes:
    """The 32 bytes of a SHA-256."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise CommandError(gettext("“%(text)s” is not a SHA-256.") % {"text": text[:80]}, returncode=USAGE)
    return found


def _story_as_json(told: DutyStory) -> dict[str, Any]:
    return {
        "finding": str(told.finding),
        "clocks": [
            {
                "clock": story.clock, "state": story.state, "start": _iso(story.start), "due": _iso(story.due),
                "due_original": _iso(story.original), "stopped": _iso(story.stopped),
                "targets": [
                    {"policy": str(c.target.version), "within": drafts.spelled(c.target.amount, c.target.unit), "due": _iso(c.due),
                     "strictest": c.won}
                    for c in story.candidates
                ],
                "ladder": [{"percent": s.percent, "tell": list(s.tell), "at": _iso(s.at), "told": _iso(s.told)} for s in story.steps],
            }
            for story in told.clocks
        ],
        "ledger": [
            {"kind": e.kind, "at": _iso(e.at), "due_before": _iso(e.due_before), "due_after": _iso(e.due_after), "until": _iso(e.until),
             "reason": e.reason, "actor": e.actor, "policy": str(e.version) if e.version else None}
            for e in told.ledger
        ],
        "containments": [{"at": _iso(c.at), "done": c.done, "exploited": c.exploited, "actor": c.actor} for c in told.containments],
    }  # fmt: skip


def _simulation_as_json(found: simulating.Simulation) -> dict[str, Any]:
    effect = {name: getattr(found.effect, name) for name in ("moved", "breached", "relieved")}
    tallies = {severity.name.lower(): {name: getattr(tally, name) for name in TALLY} for severity, tally in found.tallies.items()}
    return {"since": _iso(found.since), "running": effect, "decided": tallies, "worse": [str(row) for row in found.worse]}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
