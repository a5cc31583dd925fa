"""`cspm token`: make, list and revoke the tokens of the API."""

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from triage.domain import tokens
from triage.domain.access import Right
from triage.domain.rows import written
from triage.management.base import NOT_UNDERSTOOD, TriageCommand
from triage.models import ApiToken, User

DAYS = 90
HEADERS = (_("prefix"), _("name"), _("person"), _("scopes"), _("until"), _("used"), _("revoked"))


class Command(TriageCommand):
    help = _("Make, list and revoke tokens of the API.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        create = verbs.add_parser("create", help=gettext("make a token; its secret is printed once"))
        create.add_argument("--user", required=True, metavar="EMAIL", help=gettext("whose rights it has at most"))
        create.add_argument(
            "--scope",
            action="append",
            required=True,
            dest="scopes",
            choices=sorted(tokens.SCOPES),
            help=gettext("may be repeated"),
        )
        create.add_argument("--name", default="cspm token", help=gettext("what it is for"))
        create.add_argument(
            "--days", type=int, default=DAYS, help=gettext("how long it works; %(days)s unless given") % {"days": DAYS}
        )
        self.add_role(create)
        listed = verbs.add_parser("list", help=gettext("show what was made, never a secret"))
        listed.add_argument("--json", action="store_true", help=gettext("one object a line"))
        self.add_role(listed)
        revoke = verbs.add_parser("revoke", help=gettext("end a token at once"))
        revoke.add_argument("prefix", help=gettext("its public part, as the list shows it"))
        self.add_role(revoke)

    def handle(self, *args: Any, **options: Any) -> None:
        {"create": self._create, "list": self._list, "revoke": self._revoke}[options["verb"]](options)

    def _create(self, options: dict[str, Any]) -> None:
        user = User.objects.filter(email=options["user"].strip().casefold()).first()
        if user is None:
            text = gettext("Nobody here has the e-mail address “%(email)s”.") % {"email": options["user"]}
            raise CommandError(text, returncode=NOT_UNDERSTOOD)
        at = self.at()
        token, secret = tokens.issue(
            user=user, name=options["name"], scopes=options["scopes"], expires_at=at + timedelta(days=options["days"]),
            actor=self.actor(options), at=at,
        )  # fmt: skip
        # The secret alone goes to the output, for TOKEN=$(cspm token create …).
        self.stdout.write(secret)
        text = gettext("Keep it: it is shown this once. It works until %(until)s; cspm token revoke %(prefix)s ends it.")
        self.stderr.write(text % {"until": written(token.expires_at), "prefix": token.prefix})

    def _list(self, options: dict[str, Any]) -> None:
        self.actor(options).demand(Right.ADMINISTER)
        found = [_shown(token) for token in ApiToken.objects.select_related("user").order_by("-pk")]
        if options["json"]:
            for token in found:
                self.stdout.write(json.dumps(token, ensure_ascii=False))
        elif found:
            rows = [[value if isinstance(value, str) else " ".join(value or ()) for value in token.values()] for token in found]
            self.table([str(header) for header in HEADERS], rows)
        else:
            self.say(gettext("There is no token."))

    def _revoke(self, options: dict[str, Any]) -> None:
        token = tokens.revoke(prefix=options["prefix"], actor=self.actor(options), at=self.at())
        self.say(gettext("The token “%(name)s” (%(prefix)s) is revoked.") % {"name": token.name, "prefix": token.prefix})


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "prefix": token.prefix,
        "name": token.name,
        "user": token.user.email,
        "scopes": token.scopes,
        "expires_at": written(token.expires_at),
        "last_used_at": written(token.last_used_at),
        "revoked_at": written(token.revoked_at),
    }
