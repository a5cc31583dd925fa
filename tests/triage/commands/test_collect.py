"""`cspm collect`, `cspm checks try`, `cspm checks facts`: from the command line, on a simulated account."""

import json

import pytest
from django.core.management import CommandError, call_command

from tests.cloud import ACCOUNT, REGION
from tests.factories import AT
from triage import tasks
from triage.models import Account, Finding, Scan

pytestmark = pytest.mark.django_db(transaction=True)
CHECK = """\
- id: open_bucket
  rule: if s3_bucket.public then severity = critical
- id: bucket_without_versions
  applies_to: s3_bucket
  fails_when: not versioning
  severity: low
"""


@pytest.fixture(autouse=True)
def house(cloud, tmp_path, settings):
    settings.EVIDENCE_DIR, settings.CSPM_HOME, settings.CHECKS_DIR = tmp_path / "evidence", tmp_path, tmp_path / "checks"
    for folder in (settings.EVIDENCE_DIR, settings.CHECKS_DIR):
        folder.mkdir()
    (settings.CHECKS_DIR / "buckets.yaml").write_text(CHECK)
    cloud.bucket("acme")
    cloud.open("acme")
    cloud.bucket("quiet")
    return settings.CHECKS_DIR


@pytest.fixture
def account():
    return Account.objects.create(
        provider="aws", uid=ACCOUNT, name="acme", created_at=AT, options={"regions": REGION, "region": REGION}
    )


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_all_accounts_in_scope_are_collected(account, capsys):
    Account.objects.create(provider="aws", uid="210987654321", in_scope=False, scope_reason="sold", created_at=AT)
    Account.objects.create(provider="code", uid="acme/infrastructure", created_at=AT)

    call_command("collect", "--json")

    (said,) = lines(capsys)
    assert (said["account"], said["assets"]["s3_bucket"], said["missing"], said["notes"]) == (ACCOUNT, 2, [], [])
    assert said["results"] == {"fail": 3, "pass": 1, "unknown": 0}
    assert (said["new"], said["open"], said["scan"]) == (3, 3, Scan.objects.get().pk)
    assert sorted(Finding.objects.values_list("check_ref__key", "severity")) == [
        ("bucket_without_versions", 2), ("bucket_without_versions", 2), ("open_bucket", 5),
    ]  # fmt: skip


def test_what_was_done_is_told(account, capsys):
    call_command("collect", "acme")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"aws:{ACCOUNT} acme: ")
    assert said[1:] == [
        "  results of your checks: 3 fail, 1 pass, 0 unknown", "  3 new, 0 fixed, 0 regressed, 0 no longer reported; 3 open",
    ]  # fmt: skip


def test_what_was_not_allowed_is_told_and_exits_with_one(account, cloud, monkeypatch, capsys):
    with cloud.allowing_nothing(monkeypatch), pytest.raises(SystemExit) as ended:
        call_command("collect")
    assert ended.value.code == 1
    assert "  ! s3_bucket: the list could not be read (*): s3:ListAllMyBuckets" in capsys.readouterr().out.splitlines()


def test_an_account_that_is_not_reached_exits_with_three(capsys):
    with pytest.raises(CommandError, match="could not be collected") as failed:
        call_command("collect", "aws:999999999999")
    assert failed.value.returncode == 3
    assert "belong to account" in capsys.readouterr().out
    assert not Scan.objects.exists()


def test_what_is_no_account_is_refused():
    with pytest.raises(CommandError, match="“somewhere” matches no account that can be collected"):
        call_command("collect", "somewhere")
    with pytest.raises(CommandError, match="“code:acme” matches no account"):
        call_command("collect", "code:acme")


def test_without_rights_nothing_is_asked(account):
    with pytest.raises(CommandError, match="no right") as failed:
        call_command("collect", "--as", "viewer")
    assert failed.value.returncode == 4


def test_broken_files_are_told_whole_before_anything_is_asked(account, house, capsys):
    (house / "buckets.yaml").write_text("id: abc\nrule: if s3_bucket.publik then severity = high")
    (house / "more.yaml").write_text("id: [")
    with pytest.raises(CommandError, match=r"more.yaml: Line 2: this is not YAML") as failed:
        call_command("collect")
    assert failed.value.returncode == 5
    assert "buckets.yaml: Line 2, column 10: s3_bucket has no fact “publik”. Did you mean public?" in capsys.readouterr().err
    assert not Scan.objects.exists()


def test_a_check_is_tried_and_changes_nothing(account, tmp_path, capsys):
    call_command("collect", "--json")
    capsys.readouterr()
    draft = tmp_path / "draft.yaml"
    draft.write_text("id: named_acme\nrule: if s3_bucket.name is acme and not tag.team:* then severity = high")

    call_command("checks", "try", str(draft), "--json")
    (said,) = lines(capsys)
    assert (said["check"], said["verdict"], said["asset"]) == ("named_acme", "fail", "arn:aws:s3:::acme")
    assert said["facts"] == "name: acme; tag.team: –"

    call_command("checks", "try", str(draft))
    assert capsys.readouterr().out.splitlines() == [
        "fails  named_acme  arn:aws:s3:::acme  name: acme; tag.team: –", "named_acme: 1 fail, 1 pass, 0 unknown",
    ]  # fmt: skip
    assert Finding.objects.count() == 3


def test_the_checks_of_the_house_are_tried_by_default_and_all_can_be_shown(account, capsys):
    call_command("collect", "--json")
    capsys.readouterr()
    call_command("checks", "try", "--all", "--json")
    assert sorted((line["check"], line["name"], line["verdict"]) for line in lines(capsys)) == [
        ("bucket_without_versions", "acme", "fail"), ("bucket_without_versions", "quiet", "fail"),
        ("open_bucket", "acme", "fail"), ("open_bucket", "quiet", "pass"),
    ]  # fmt: skip


def test_without_facts_it_is_said_where_they_come_from(capsys):
    call_command("checks", "try")
    assert "`cspm collect` gathers them." in capsys.readouterr().out


def test_kinds_and_facts_are_listed(capsys):
    call_command("checks", "facts")
    assert "iam_role" in capsys.readouterr().out
    call_command("checks", "facts", "iam_role", "--json")
    (said,) = lines(capsys)
    assert {
        "name": "trusts_anyone",
        "type": "flag",
        "description": "Everybody may assume it, and no condition says who that is",
    } in said["facts"]
    call_command("checks", "facts", "iam_role")
    assert 'trust_policy allows "…"' in capsys.readouterr().out
    with pytest.raises(CommandError, match="Did you mean iam_role") as failed:
        call_command("checks", "facts", "iam_rol")
    assert failed.value.returncode == 5


def test_the_catalogue_names_the_checks_of_the_house(account, capsys):
    call_command("collect", "--json")
    capsys.readouterr()
    call_command("checks", "list", "--json")
    assert {line["check"] for line in lines(capsys)} == {"open_bucket", "bucket_without_versions"}


def test_accounts_that_ask_are_collected_daily(account):
    tasks.collect_accounts()
    assert not Scan.objects.exists()
    Account.objects.filter(pk=account.pk).update(options={"regions": REGION, "collect": "daily"})
    tasks.collect_accounts()
    assert Scan.objects.get().state == "done"
