"""`cspm aws`: what to grant in AWS, so that fixes can be verified there."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from triage.domain import reach
from triage.domain.access import Right
from triage.management.base import TriageCommand

PROVIDER = "aws"


class Command(TriageCommand):
    help = gettext_lazy("What a role in AWS has to allow, so that fixes can be verified there: nothing but reading.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = self.verbs(parser)
        policy = verbs.add_parser("policy", help=_("the least that verifications need, as an IAM policy"))
        trust = verbs.add_parser("trust", help=_("the trust policy of the role"))
        trust.add_argument("--principal", required=True, metavar="ARN", help=_("whoever runs the worker"))
        trust.add_argument("--external-id", default="", metavar="ID", help=_("that has to be named to assume the role"))
        for verb in (policy, trust):
            self.add_role(verb)

    def handle(self, *_args: Any, **options: Any) -> None:
        self.actor(options).demand(Right.VIEW)
        if options["verb"] == "policy":
            self.say(reach.policy(provider=PROVIDER))
        else:
            self.say(reach.trust(provider=PROVIDER, principal=options["principal"], external_id=options["external_id"]))
