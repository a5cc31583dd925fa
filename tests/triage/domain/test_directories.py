"""Accounts from where they are kept, and which of them are scanned."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from tests.factories import AT, person, team
from tests.reports import ACCOUNT, DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import coverage, directories
from triage.domain.access import Actor, of_machine
from triage.domain.errors import Invalid, NotAllowed
from triage.models import Account, Event, Finding, Role
from triage.ports import UnreadableReport

ME = of_machine(0)
ORGANIZATION = {
    "Accounts": [
        {"Id": ACCOUNT, "Arn": f"arn:aws:organizations::111111111111:account/o-abc123/{ACCOUNT}", "Email": "shop@acme.example",
         "Name": "shop", "Status": "ACTIVE", "Tags": [{"Key": "Owner", "Value": "Web"}, {"Key": "env", "Value": "Production"}]},
        {"Id": "222222222222", "Arn": "arn:aws:organizations::111111111111:account/o-abc123/222222222222", "Name": "old", "Status": "SUSPENDED"},
        {"Id": "12", "Arn": "x", "Name": "broken"},
    ]
}  # fmt: skip
TABLE = "Compte;Nom;Équipe;Environnement;Criticité\n18134828551;paie;Payments team;hors prod;élevée\n;sans numéro;web;;\n\n333333333333;lab;nobody@x.example;dev;\n"
CATALOGUE = """
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {name: data-lake, annotations: {amazonaws.com/account-id: "444444444444"}}
spec: {type: aws-account, owner: "group:default/data", lifecycle: production, system: analytics}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: data}
---
just text
"""


def take_in(content: object, **said) -> directories.TakenIn:
    text = content if isinstance(content, str) else json.dumps(content)
    return directories.take_in(text.encode(), actor=ME, at=DAY, **said)


@pytest.mark.django_db
def test_an_organisation_gives_accounts_names_owners_and_environments():
    web = team("web")
    assert imported(prowler([report_row("a", "FAIL", RESOURCE_TAGS="")], DAY)).state == "done"
    seen = take_in(ORGANIZATION, dry_run=True)
    assert (seen.format, seen.changed, seen.owners) == ("AWS Organizations", [f"aws:{ACCOUNT}"], None)
    assert Account.objects.get().team is None

    done = take_in(ORGANIZATION)

    account = Account.objects.get()
    assert (account.name, account.email, account.organization, account.team, account.environment) == (
        "shop", "shop@acme.example", "o-abc123", web, "prod",
    )  # fmt: skip
    assert (done.read, done.created, len(done.skipped)) == (1, [], 1)
    row = Finding.objects.get()
    assert (row.team, row.environment) == (web, "prod")
    event = Event.objects.filter(subject="account", kind="changed").get()
    assert event.after["team_id"] == web.pk
    assert take_in(ORGANIZATION).changed == []


@pytest.mark.django_db
def test_a_table_is_read_in_french_with_the_zeros_that_spreadsheets_eat():
    payments = team("payments")
    done = take_in(TABLE)
    assert done.created == ["aws:018134828551", "aws:333333333333"]
    assert done.unknown == {"nobody@x.example": ["aws:333333333333"]}
    assert [(skipped.line, str(skipped.reason)) for skipped in done.skipped] == [(3, "The row names no account.")]
    account = Account.objects.get(uid="018134828551")
    assert (account.name, account.team, account.environment, account.criticality) == ("paie", payments, "preprod", 3)
    # What a list leaves open stays.
    take_in("account,name\n018134828551,Paie\n")
    account.refresh_from_db()
    assert (account.name, account.team) == ("Paie", payments)


@pytest.mark.django_db
def test_a_catalogue_gives_what_its_entities_are_annotated_with():
    data = team("data")
    done = take_in(CATALOGUE)
    account = Account.objects.get()
    assert (account.uid, account.name, account.team, account.unit, account.environment) == (
        "444444444444", "data-lake", data, "analytics", "prod",
    )  # fmt: skip
    assert (done.format, len(done.skipped)) == ("Backstage", 1)


@pytest.mark.django_db
@pytest.mark.parametrize("content", ["", "hello", "a,b\n1,2\n", '{"Accounts": []}', "\x00\x01"])
def test_what_is_no_list_of_accounts_is_refused(content):
    with pytest.raises(Invalid, match="not a list of accounts"):
        take_in(content)


@pytest.mark.django_db
def test_a_broken_list_changes_nothing_and_needs_a_right():
    with pytest.raises(UnreadableReport):
        take_in('{"Accounts": [{"Arn": ":organizations:", ')
    with pytest.raises(UnreadableReport):
        take_in("apiVersion: backstage.io/v1\nkind: [")
    with pytest.raises(NotAllowed):
        directories.take_in(b"x", actor=Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER})), at=AT)
    assert not Account.objects.exists()


@pytest.mark.django_db
def test_coverage_says_who_was_never_scanned_and_who_not_lately():
    assert imported(prowler([report_row("a", "FAIL"), report_row("b", "PASS")], DAY)).state == "done"
    made = DAY - timedelta(days=30)
    for uid, environment, in_scope in (("1", "dev", True), ("2", "prod", True), ("3", "prod", False)):
        Account.objects.create(provider="aws", uid=uid, environment=environment, in_scope=in_scope, created_at=made)

    def states(at, **said):
        return [(row.account.uid, row.state.value) for row in coverage.survey(actor=ME, at=at, **said)]

    assert states(DAY + timedelta(days=1)) == [("2", "never"), (ACCOUNT, "fresh"), ("1", "never"), ("3", "out")]
    assert dict(states(DAY + timedelta(days=9)))[ACCOUNT] == "stale"
    assert ACCOUNT not in dict(states(DAY - timedelta(days=1)))
    assert dict(states(DAY, scanner="other"))[ACCOUNT] == "never"

    assert coverage.look(at=DAY + timedelta(days=1)) == 2
    assert coverage.look(at=DAY + timedelta(days=2)) == 0
    assert coverage.look(at=DAY + timedelta(days=9)) == 1  # the scanned one has grown stale
    assert imported(prowler([report_row("a", "FAIL"), report_row("b", "PASS")], DAY + timedelta(days=10))).state == "done"
    assert coverage.look(at=DAY + timedelta(days=10)) == 0
    assert coverage.look(at=DAY + timedelta(days=30)) == 1
    assert Event.objects.filter(subject="account", kind="not scanned lately").count() == 4


@pytest.mark.django_db
def test_the_page_and_the_command_line_tell_and_take_in(client, tmp_path):
    client.force_login(person("vic@example.com", "viewer"))
    assert "No accounts yet" in client.get("/accounts").content.decode()
    assert client.post("/accounts", {"list": SimpleUploadedFile("a.csv", TABLE.encode()), "apply": "1"}).status_code == 403
    client.force_login(person("ada@example.com", "administrator"))
    seen = client.post("/accounts", {"list": SimpleUploadedFile("a.csv", TABLE.encode()), "preview": "1"}).content.decode()
    assert "2 would be new" in seen
    assert not Account.objects.exists()
    done = client.post("/accounts", {"list": SimpleUploadedFile("a.csv", TABLE.encode()), "apply": "1"}).content.decode()
    assert "2 new" in done
    assert "never scanned" in done
    assert "is called “nobody@x.example”" in done

    path = tmp_path / "accounts.csv"
    path.write_text(TABLE)
    output = StringIO()
    call_command("estate", "import", str(path), "--json", stdout=output)
    assert json.loads(output.getvalue())["created"] == []
    output = StringIO()
    with pytest.raises(SystemExit):
        call_command("estate", "coverage", "--gaps", stdout=output)
    assert "never scanned" in output.getvalue()
    output = StringIO()
    call_command("estate", "applications", stdout=output)
    kev = tmp_path / "kev.json"
    kev.write_text('{"vulnerabilities": [{"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10"}]}')
    call_command("estate", "vulnerabilities", str(kev), stdout=output)
    assert "1 vulnerabilities were taken in" in output.getvalue()
