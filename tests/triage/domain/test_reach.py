"""How an account is reached for verifications: said by command and by file, and by nobody who may not."""

import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import ACCOUNT, AT, TRIAGER, finding
from triage.domain import access, reach
from triage.domain.configuration.applying import apply, export
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.models import Account, Event

pytestmark = pytest.mark.django_db
OPERATOR = access.of_machine(0)
ROLE = "arn:aws:iam::123456789012:role/cspm-triage"


def test_it_is_said_changed_and_forgotten_and_each_is_an_event():
    account = finding().account
    reach.reach(account=account.pk, given={"role_arn": ROLE, "external_id": "x-1"}, actor=OPERATOR, at=AT)
    reach.reach(account=account.pk, given={"external_id": ""}, actor=OPERATOR, at=AT)
    reach.reach(account=account.pk, given={"external_id": ""}, actor=OPERATOR, at=AT)
    account.refresh_from_db()
    assert account.options == {"role_arn": ROLE}
    told = list(Event.objects.filter(subject="account").order_by("pk").values_list("after", flat=True))
    assert told == [{"reach": {"role_arn": ROLE, "external_id": "x-1"}}, {"reach": {"role_arn": ROLE}}]


def test_what_no_verifier_knows_is_refused():
    account = finding().account
    with pytest.raises(Invalid, match="role_arn"):
        reach.reach(account=account.pk, given={"role_ARN": ROLE}, actor=OPERATOR, at=AT)
    with pytest.raises(Invalid, match="cannot be shown"):
        reach.reach(account=account.pk, given={"profile": "a\nb"}, actor=OPERATOR, at=AT)
    with pytest.raises(NotFound):
        reach.reach(account=0, given={}, actor=OPERATOR, at=AT)
    with pytest.raises(NotAllowed):
        reach.reach(account=account.pk, given={"role_arn": ROLE}, actor=TRIAGER, at=AT)


def test_the_configuration_file_says_it_too():
    finding()
    text = (
        f"version: 1\naccounts:\n  - provider: aws\n    uid: '{ACCOUNT}'\n    reach: {{role_arn: '{ROLE}', region: eu-west-3}}\n"
    )
    apply(text=text, actor=OPERATOR, at=AT)
    assert Account.objects.get(uid=ACCOUNT).options == {"role_arn": ROLE, "region": "eu-west-3"}
    assert "role_arn" in export(actor=OPERATOR)
    assert not apply(text=text, actor=OPERATOR, at=AT).changes
    with pytest.raises(Invalid, match="rolle"):
        apply(text=text.replace("role_arn", "rolle"), actor=OPERATOR, at=AT)


def test_the_command_line_says_it(capsys):
    finding()
    call_command("estate", "reach", ACCOUNT, f"role_arn={ROLE}", "region=eu-west-3")
    call_command("estate", "reach", ACCOUNT)
    said = capsys.readouterr().out
    assert f"role_arn       {ROLE}" in said
    assert "external_id    –" in said
    with pytest.raises(CommandError):
        call_command("estate", "reach", ACCOUNT, "nonsense=1")


def test_what_to_grant_in_aws_reads_and_fits(capsys):
    call_command("aws", "policy")
    policy = json.loads(capsys.readouterr().out)
    (statement,) = policy["Statement"]
    verbs = {action.partition(":")[2] for action in statement["Action"]}
    assert all(verb.startswith(("Describe", "Get", "List")) for verb in verbs)
    assert "ec2:DescribeSecurityGroups" in statement["Action"]
    assert len(json.dumps(policy, separators=(",", ":"))) < 6144  # of a managed policy
    call_command("aws", "trust", principal="arn:aws:iam::111122223333:role/worker", external_id="x-1")
    trust = json.loads(capsys.readouterr().out)["Statement"][0]
    assert (trust["Principal"]["AWS"], trust["Condition"]["StringEquals"]["sts:ExternalId"]) == (
        "arn:aws:iam::111122223333:role/worker",
        "x-1",
    )
    with pytest.raises(CommandError, match="everybody may not verify"):
        call_command("aws", "trust", principal="*")
    with pytest.raises(NotFound):
        reach.policy(provider="mars")
