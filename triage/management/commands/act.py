"""`cspm act`: do something to all findings that a query means, see what would follow, take it back."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from triage.domain import acts
from triage.domain.access import Right
from triage.domain.search import QueryError
from triage.management.base import USAGE, TriageCommand
from triage.models import Act, ActItem

SHOWN = 20


class Command(TriageCommand):
    help = gettext_lazy(
        "Do something to all findings that a query means; see first what would follow; take it back within a day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        given = verbs.add_parser("assign", help=_("give them to a team, or to nobody (-)"))
        given.add_argument("value", metavar="TEAM")
        moved = verbs.add_parser("move", help=_("change the status: in_progress, fix_claimed, open"))
        moved.add_argument("value", metavar="STATUS")
        plain = [
            verbs.add_parser("release", help=_("let the rules decide again")),
            verbs.add_parser("acknowledge", help=_("they have been seen")),
        ]
        for verb in (given, moved, *plain):
            verb.add_argument("-q", "--query", required=True, metavar="QUERY", help=_("as in the queue: is:open team:none"))
            verb.add_argument("--reason", default="", help=_("why, for the audit trail"))
            verb.add_argument("--dry-run", action="store_true", help=_("only say what would follow"))
        back = verbs.add_parser("undo", help=_("take it back, where nobody has changed anything since"))
        back.add_argument("act", metavar="A-12")
        listed = verbs.add_parser("list", help=_("recent actions"))
        for verb in (given, moved, *plain, back, listed):
            verb.add_argument("--json", action="store_true", help=_("one JSON object a line"))
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        verb = options["verb"]
        if verb == "list":
            self.actor(options).demand(Right.VIEW)
            for act in Act.objects.order_by("-pk")[:SHOWN]:
                self._tell(act, options)
        elif verb == "undo":
            number = options["act"].upper().removeprefix("A-")
            if not number.isdecimal() or len(number) > 18:
                raise CommandError(
                    gettext("“%(name)s” is not an action. Write its number, such as A-12.") % {"name": options["act"]},
                    returncode=USAGE,
                )
            self._tell(acts.undo(act=int(number), actor=self.actor(options), at=self.at()), options)
        else:
            self._do(verb, options)

    def _do(self, verb: str, options: dict[str, Any]) -> None:
        params = {"assign": {"team": options.get("value")}, "move": {"to": options.get("value")}}.get(verb, {})
        at = timezone.localtime()
        said: dict[str, Any] = {"verb": verb, "params": params, "query": options["query"], "actor": self.actor(options), "at": at}
        try:
            if options["dry_run"]:
                self._plan(acts.plan(**said), options)
                return
            act = acts.ask(**said, reason=options["reason"])
        except QueryError as error:
            raise CommandError(self.render(error.text), returncode=USAGE) from error
        done = acts.run(act.pk, clock=timezone.now, actor=said["actor"])
        async_task("triage.tasks.look_at_claims")
        self._tell(done, options)

    def _plan(self, plan: acts.Plan, options: dict[str, Any]) -> None:
        skipped = [(self.render(why), n) for why, n in plan.skipped]
        if options["json"]:
            teams = {team.slug if team else None: n for team, n in plan.teams}
            line = {
                "total": plan.total,
                "changes": plan.changes,
                "skipped": dict(skipped),
                "teams": {str(k): n for k, n in teams.items()},
            }
            self.stdout.write(json.dumps(line | {"tickets": plan.tickets}, ensure_ascii=False))
            return
        self.say(gettext("%(n)s of %(total)s findings would change.") % {"n": plan.changes, "total": plan.total})
        for team, n in plan.teams:
            self.say(f"  {team.name if team else gettext('nobody')}: {n}")
        for why, n in skipped:
            self.say(f"  – {n}: {why}")

    def _tell(self, act: Act, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(described(act), ensure_ascii=False))
            return
        what = ", ".join([str(act.get_verb_display()), *map(str, act.params.values())])
        self.say(
            f"{act}  {what}  "
            + gettext("%(done)s changed, %(skipped)s left as they are") % {"done": act.done, "skipped": act.skipped}
        )
        if options["verb"] != "list":
            left = ActItem.objects.filter(act=act, done=False).select_related("finding")[:SHOWN]
            why = acts.reasons(left)
            for item in left:
                self.say(f"  – {item.finding}: {self.render(why[item.pk])}")


def described(act: Act) -> dict[str, Any]:
    """An act as a line of JSON."""
    return {
        "id": str(act), "verb": act.verb, "params": act.params, "query": act.query, "state": act.state, "at": act.at.isoformat(),
        "actor": act.actor, "total": act.total, "done": act.done, "skipped": act.skipped,
    }  # fmt: skip
