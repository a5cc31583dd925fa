"""`cspm user`: people, their roles, and how they come in."""

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from triage.domain import access, sign_in, users
from triage.domain.access import Right
from triage.domain.errors import NotFound
from triage.domain.ownership.assigning import team_named
from triage.management.base import USAGE, TriageCommand
from triage.management.commands.owner import moment
from triage.models import Role, RoleGrant, Team, User


class Command(TriageCommand):
    help = gettext_lazy("Create people, give and take roles, make one-time sign-in links.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        held = verbs.add_parser("roles", help=_("which roles a person has, or had on a day"))
        held.add_argument("email")
        held.add_argument("--on", metavar="DATE", help=_("then instead of now: 2026-11-02 (its end) or 2026-11-02T09:00"))
        held.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        self.add_role(held)
        made = verbs.add_parser("create", help=_("a new person, who comes in by a link until there is a password"))
        made.add_argument("email")
        made.add_argument("--name", default="")
        role = verbs.add_parser("role", help=_("give a role, or take it away"))
        role.add_argument("act", choices=["give", "take"])
        role.add_argument("email")
        role.add_argument("granted", metavar="ROLE", choices=Role.values, help=", ".join(Role.values))
        for verb in (made, role):
            verb.add_argument("--team", metavar="TEAM", help=_("of a contributor: the team's slug"))
        made.add_argument(
            "--role", dest="given", action="append", default=[], choices=Role.values, help=_("several times, if need be")
        )
        link = verbs.add_parser("link", help=_("a link that signs in once"))
        link.add_argument("--hours", type=int, default=24, help=_("how long it is valid (%(default)s)"))
        password = verbs.add_parser("password", help=_("set a password: asked for, or the first line of standard input"))
        off = verbs.add_parser("disable", help=_("keep a person out"))
        on = verbs.add_parser("enable", help=_("let a person in again"))
        for verb in (link, password, off, on):
            verb.add_argument("email")
        gone = verbs.add_parser("erase", help=_("erase name and address for ever (GDPR); what the person did stays, by a number"))
        gone.add_argument("email")
        gone.add_argument("--reason", required=True, help=_("why: it stays in the trail"))
        listed = verbs.add_parser("list", help=_("who there is, with roles"))
        listed.add_argument("--json", action="store_true", help=_("one JSON object a line"))
        for verb in (made, role, link, password, off, on, gone, listed):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.ADMINISTER)
        getattr(self, f"_{options['verb']}")(options)

    def _create(self, options: dict[str, Any]) -> None:
        actor, at = self.actor(options), self.at()
        teams = {role: self._team(role, options) for role in options["given"]}
        user = users.create(email=options["email"], name=options["name"], actor=actor, at=at)
        for role, team in teams.items():
            access.give(user=user, role=role, team=team, actor=actor, at=at)
        self.say(_("%(email)s is created. `cspm user link %(email)s` makes a link to come in.") % {"email": user.email})
        if not teams:
            self.say(_("There is no role yet: `cspm user role give %(email)s viewer`.") % {"email": user.email})

    def _role(self, options: dict[str, Any]) -> None:
        user, team = users.named(options["email"]), self._team(options["granted"], options)
        verb = access.give if options["act"] == "give" else access.take
        verb(user=user, role=options["granted"], team=team, actor=self.actor(options), at=self.at())
        self.say(f"{user.email}: {', '.join(_roles(user)) or _('no role')}")

    def _roles(self, options: dict[str, Any]) -> None:
        on = moment(options["on"]) if options["on"] else self.at()
        rows = access.roles_on(user=users.named(options["email"]), on=on, actor=self.actor(options))
        for held in rows:
            if options["json"]:
                line = {"role": held.role, "team": held.team, "since": held.since.isoformat(), "given_by": held.given_by}
                self.stdout.write(json.dumps(line))
            else:
                team = f" ({held.team})" if held.team else ""
                day = f"{timezone.localtime(held.since):%Y-%m-%d %H:%M}"
                since = _("since %(day)s, given by %(actor)s") % {"day": day, "actor": held.given_by}
                self.say(f"{held.role}{team}  {since}")
        if not rows and not options["json"]:
            self.say(_("no role"))

    def _team(self, role: str, options: dict[str, Any]) -> Team | None:
        """A contributor contributes to a team; other roles have none."""
        if (role == Role.CONTRIBUTOR) != bool(options["team"]) and (role == Role.CONTRIBUTOR or options["verb"] == "role"):
            message = (
                _("The role contributor needs --team.")
                if role == Role.CONTRIBUTOR
                else _("Only the role contributor has a --team.")
            )
            raise CommandError(message, returncode=USAGE)
        return team_named(options["team"]) if role == Role.CONTRIBUTOR else None

    def _link(self, options: dict[str, Any]) -> None:
        user = users.named(options["email"])
        if not user.is_active:
            raise NotFound(_("%(email)s is disabled. `cspm user enable` first."), email=user.email)
        token = sign_in.issue_link(user=user, at=self.at(), hours=options["hours"], actor=self.actor(options).name)
        self.say(f"{_address()}{reverse('sign-in-link', args=[token])}")

    def _erase(self, options: dict[str, Any]) -> None:
        user = users.named(options["email"])
        users.erase(user=user, reason=options["reason"], actor=self.actor(options), at=self.at())
        self.say(_("%(email)s is erased; the trail knows %(actor)s.") % {"email": options["email"], "actor": user.actor})

    def _password(self, options: dict[str, Any]) -> None:
        user = users.named(options["email"])
        if sys.stdin.isatty():
            password = getpass.getpass(_("Password: "))
            if password != getpass.getpass(_("Again: ")):
                raise CommandError(_("The two are not the same."), returncode=USAGE)
        else:
            password = sys.stdin.readline().rstrip("\n")
        users.set_password(user=user, password=password, actor=self.actor(options), at=self.at())
        self.say(_("%(email)s can come in by password.") % {"email": user.email})

    def _disable(self, options: dict[str, Any]) -> None:
        self._let_in(options, yes=False)

    def _enable(self, options: dict[str, Any]) -> None:
        self._let_in(options, yes=True)

    def _let_in(self, options: dict[str, Any], *, yes: bool) -> None:
        user = users.named(options["email"])
        users.let_in(user=user, yes=yes, actor=self.actor(options), at=self.at())
        sentence = _("%(email)s can come in again.") if yes else _("%(email)s is kept out.")
        self.say(sentence % {"email": user.email})

    def _list(self, options: dict[str, Any]) -> None:
        everybody = User.objects.prefetch_related("grants__team").order_by("email")
        if options["json"]:
            for user in everybody:
                told = {"id": user.pk, "email": user.email, "name": user.name, "active": user.is_active, "roles": _roles(user)}
                self.stdout.write(json.dumps(told, ensure_ascii=False))
            return
        self.table(
            [_("address"), _("name"), _("roles")],
            [[user.email, user.name, ", ".join(_roles(user)) if user.is_active else _("disabled")] for user in everybody],
        )


def _address() -> str:
    """Where the pages are: as configured, else where `cspm run` or `cspm web` was started last."""
    announced = Path(settings.CSPM_HOME) / "run" / "web-address"
    if "CSPM_BASE_URL" in os.environ or not announced.exists():
        return str(settings.BASE_URL)
    return announced.read_text(encoding="utf-8").strip()


def _roles(user: User) -> list[str]:
    grants: list[RoleGrant] = list(user.grants.select_related("team"))
    return sorted(f"{grant.role}:{grant.team.slug}" if grant.team else grant.role for grant in grants)
