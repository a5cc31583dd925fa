"""`cspm ledger`: how the sealed audit trail stands, whether it holds, and the key that signs it."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from triage.domain import ledger
from triage.domain.access import Right
from triage.management.base import BROKEN_CHAIN, USAGE, TriageCommand


class Command(TriageCommand):
    help = gettext_lazy("The sealed audit trail: is it intact, who has its heads, which key signs.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        status = verbs.add_parser("status", help=_("the newest head, what waits, who has seen it"))
        status.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        verify = verbs.add_parser("verify", help=_("recompute the whole ledger; exit with 7 if it is not intact"))
        verify.add_argument("--head", type=Path, metavar="FILE", help=_("a head that was kept outside: it must be of this log"))
        keys = verbs.add_parser("keys", help=_("the keys that sign and signed, as an auditor keeps them"))
        seal = verbs.add_parser("seal", help=_("seal now what the worker would seal within a minute"))
        rotate = verbs.add_parser("rotate", help=_("sign with a new key from now on"))
        rotate.add_argument("--lost", action="store_true", help=_("the old key is lost and cannot vouch for the new one"))
        erase = verbs.add_parser(
            "erase", help=_("remove the words from an event, for good; the ledger stays intact without them")
        )
        erase.add_argument("event", type=int)
        erase.add_argument("--reason", required=True, help=_("why: it stays in the trail"))
        for verb in (status, verify, keys, seal, rotate, erase):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, f"_{options['verb']}")(options)

    def _status(self, options: dict[str, Any]) -> None:
        found = ledger.standing(actor=self.actor(options), at=timezone.now())
        if options["json"]:
            self.say(json.dumps({
                "size": found.head.size if found.head else 0, "waiting": found.waiting,
                "stalled_since": found.stalled.isoformat() if found.stalled else None,
                "head": found.head.note if found.head else None,
                "verified_at": found.check.at.isoformat() if found.check else None,
                "holds": not found.check.fault if found.check else None,
                "witnesses": {row.connection.name: row.last.checkpoint_id if row.last else None for row in found.witnesses},
            }))  # fmt: skip
            return
        if found.head is None:
            self.say(gettext("Nothing is sealed yet: a worker does it every minute."))
            return
        self.say(found.head.note.rstrip("\n"))
        self.say()
        self.say(
            ngettext("%(n)s event waits to be sealed.", "%(n)s events wait to be sealed.", found.waiting) % {"n": found.waiting}
        )
        if found.stalled:
            since = f"{timezone.localtime(found.stalled):%Y-%m-%d %H:%M}"
            said = gettext("Nothing was sealed since %(since)s. Is a worker running, and does it have the key of the ledger?")
            self.say(said % {"since": since})
        if found.check is None:
            self.say(gettext("It was never computed again: cspm ledger verify."))
        else:
            said = _fault(found.check.fault) or gettext("Intact.")
            self.say(gettext("Last verified %(at)s: %(said)s") % {"at": f"{found.check.at:%Y-%m-%d %H:%M}", "said": said})
        for row in found.witnesses:
            size = str(row.last.checkpoint_id) if row.last else gettext("nothing yet")
            self.say(gettext("Witness %(name)s has: %(size)s") % {"name": row.connection.name, "size": size})
        if not found.witnesses:
            self.say(gettext("No external witness has a head: whoever controls the database and the key could rewrite history."))

    def _verify(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.AUDIT)
        note = ""
        if options["head"]:
            try:
                note = options["head"].read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                raise CommandError(
                    gettext("%(file)s cannot be read: %(error)s.") % {"file": options["head"], "error": error}, returncode=USAGE
                ) from None
        found = ledger.verify(at=timezone.now(), note=note)
        if found.fault:
            said = gettext(found.fault.message) % found.fault.params
            raise CommandError(said, returncode=BROKEN_CHAIN)
        if not found.size:
            self.say(gettext("Nothing is sealed yet: a worker does it every minute."))
            return
        self.say(
            ngettext("The log of %(n)s event is intact.", "The log of %(n)s events is intact.", found.size) % {"n": found.size}
        )

    def _keys(self, options: dict[str, Any]) -> None:
        for row, said in ledger.keys_on_record(actor=self.actor(options)):
            self.say(f"{said}  {row.since:%Y-%m-%d}")

    def _seal(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.ADMINISTER)
        found = ledger.seal(at=timezone.now())
        said = ngettext(
            "%(n)s event was sealed; the log has %(size)s.", "%(n)s events were sealed; the log has %(size)s.", found.added
        )
        self.say(said % {"n": found.added, "size": found.size})

    def _erase(self, options: dict[str, Any]) -> None:
        ledger.erase(event=options["event"], reason=options["reason"], actor=self.actor(options), at=timezone.now())
        self.say(gettext("The words of event %(event)s are erased.") % {"event": options["event"]})

    def _rotate(self, options: dict[str, Any]) -> None:
        actor = self.actor(options)
        actor.demand(Right.ADMINISTER)
        self.say(ledger.rotate(actor=actor.name, at=timezone.now(), lost=options["lost"]))


def _fault(kept: dict[str, Any]) -> str:
    return gettext(kept["message"]) % kept["params"] if kept else ""
