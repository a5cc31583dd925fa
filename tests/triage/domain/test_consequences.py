"""What has to follow from a change, whenever and in whatever order it comes: dates, scores, history, lists that are taken in again."""

import json
from datetime import timedelta

import pytest

from tests.factories import change, finding, person, team
from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import coverage, directories, lifecycle, risk, threat
from triage.domain.access import Actor, of_machine
from triage.domain.audit import recording
from triage.domain.configuration.applying import apply, export
from triage.domain.errors import Invalid
from triage.domain.exceptions import deciding, keeping
from triage.domain.exceptions.requesting import About, request
from triage.domain.sla import clocks, notices, policies, reporting
from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft
from triage.models import Account, Event, Finding, Role
from triage.ports import UnreadableReport

ME = of_machine(0)
ASKER = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}), user=1)
HOUR = timedelta(hours=1)
ONE_DAY = timedelta(days=1)
pytestmark = pytest.mark.django_db


def told(row: Finding) -> int:
    row = Finding.objects.select_related("asset__application", "check_ref").get(pk=row.pk)
    return sum(factor.points for factor in risk.factors(row, at=DAY))


def begun(at=DAY, **columns) -> Finding:
    row = finding(at=at, due_at=None, **{"severity": 4, "scanner_severity": 4, **columns})
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([row.pk], at=at)
        risk.rescore([row.pk], at=at)
    row.refresh_from_db()
    return row


def test_another_kind_of_data_or_framework_of_an_application_reaches_its_findings():
    apply(
        text="{applications: {shop: {tags: [app=shop]}}, sla: {pci: {targets: [{framework: pci, within: 5 hours}]}}}",
        actor=ME,
        at=DAY,
    )
    imported(prowler([report_row("a", "FAIL", severity="high", RESOURCE_TAGS="app=shop")], DAY))
    row = Finding.objects.get()
    before = row.score
    apply(text="applications: {shop: {data: health, frameworks: [pci]}}", actor=ME, at=DAY + HOUR)
    row.refresh_from_db()
    assert row.due_at == row.first_seen + 5 * HOUR
    assert row.score == before + risk.DATA["health"] == told(row)


def test_a_row_without_tags_gives_its_finding_what_the_assets_application_asks():
    apply(text="{applications: {shop: {tags: [app=shop], criticality: vital}}}", actor=ME, at=DAY)
    rows = [
        report_row("a", "FAIL", severity="high", RESOURCE_TAGS="app=shop"),
        report_row("a", "FAIL", severity="high", check="other", RESOURCE_TAGS=""),
    ]
    imported(prowler(rows, DAY))
    for row in Finding.objects.all():
        assert row.score == told(row)


def test_evidence_that_comes_late_of_a_fix_in_time_counts_as_in_time():
    row = begun()
    notices.look(at=DAY + 7 * ONE_DAY + HOUR)
    with recording(actor="worker", at=DAY + 6 * ONE_DAY, door="task"):
        lifecycle.settle([row.pk], at=DAY + 6 * ONE_DAY, grade="proof")
    found = reporting.attainment(since=DAY, until=DAY + 30 * ONE_DAY, actor=ME, at=DAY + 30 * ONE_DAY)
    assert (found.met, found.missed) == (1, 0)


def test_a_date_moved_into_the_past_is_missed_when_it_was_moved_also_after_a_look():
    begun()
    moved = DAY + 5 * ONE_DAY
    policies.publish(PolicyDraft("default", targets=(TargetDraft("1 hour"),)), actor=ME, at=moved, applies=Applies.OPEN)
    notices.look(at=moved + HOUR)
    (late,) = reporting.breaches(since=moved, until=moved + ONE_DAY, actor=ME, at=moved + 9 * ONE_DAY)
    assert late.due == DAY + HOUR
    assert reporting.breaches(since=DAY, until=moved, actor=ME, at=moved + 9 * ONE_DAY) == []


def test_scores_grow_old_whatever_stood_in_between():
    old = begun(at=DAY - 100 * ONE_DAY, bucket="old")
    change(old, score=old.score)
    asked = request(kind="accepted", about=About(finding=old.pk), reason="x", until=DAY, actor=ASKER, at=DAY - 99 * ONE_DAY)
    deciding.approve(exception=asked.pk, actor=ME, at=DAY - 99 * ONE_DAY)
    keeping.look(at=DAY)
    old.refresh_from_db()
    assert (old.status, old.score) == ("open", told(old))
    off = begun(at=DAY - 100 * ONE_DAY, bucket="worker was off")
    with recording(actor="worker", at=DAY, door="task"):
        assert risk.grow_older(at=DAY) == 1
    off.refresh_from_db()
    assert off.score == told(off)


def test_an_exception_that_is_void_for_two_reasons_ends_once():
    rows = [begun(bucket=f"b{number}") for number in range(3)]
    asked = request(
        kind="accepted", about=About(check=rows[0].check_ref_id), reason="x", until=DAY + 9 * ONE_DAY, actor=ASKER, at=DAY
    )
    deciding.approve(exception=asked.pk, actor=ME, at=DAY)
    change(rows[0], DAY + HOUR, severity=5)
    rows[0].check_ref.title = "Something else"
    rows[0].check_ref.save(update_fields=["title"])
    keeping.look(at=DAY + HOUR)
    assert Event.objects.filter(subject="exception", kind="voided").count() == 1
    assert set(Finding.objects.values_list("status", flat=True)) == {"open"}


BACKSTAGE = "apiVersion: backstage.io/v1alpha1\nkind: Resource\nmetadata: {{name: x, annotations: {{{annotation}}}}}\nspec: {{owner: {owner}}}\n"


def take_in(text: str, **said) -> directories.TakenIn:
    return directories.take_in(text.encode(), actor=ME, at=DAY, **said)


def test_numbers_of_accounts_are_texts_and_what_is_empty_is_nothing():
    take_in(BACKSTAGE.format(annotation="amazonaws.com/account-id: 001234567012", owner=""))
    empty = take_in(BACKSTAGE.format(annotation="amazonaws.com/account-id: , github.com/project-slug: acme/shop", owner="x"))
    assert set(Account.objects.values_list("provider", "uid")) == {("aws", "001234567012"), ("code", "github.com/acme/shop")}
    assert empty.unknown == {"x": ["code:github.com/acme/shop"]}


def test_a_list_taken_in_again_changes_nothing_and_mends_what_was_left(monkeypatch):
    web = team("web")
    imported(prowler([report_row("a", "FAIL", RESOURCE_TAGS="")], DAY))
    one = BACKSTAGE.format(annotation='amazonaws.com/account-id: "123456789012"', owner="web")
    two = BACKSTAGE.format(annotation='amazonaws.com/account-id: "123456789012"', owner="nobody").replace("name: x", "name: y")
    Account.objects.update(team=web, name="x")  # as a run that died before owners were resolved
    assert take_in(f"{one}---\n{two}").changed == []
    assert Finding.objects.get().team == web
    assert Event.objects.filter(subject="account", kind="changed").count() == 0


def test_a_header_with_a_name_and_a_number_is_read_right_and_the_trail_has_all_of_it():
    team("web")
    take_in("Account,Account ID,Owner\nShop production,123456789012,web\n")
    account = Account.objects.get()
    assert (account.uid, account.name) == ("123456789012", "Shop production")
    assert Event.objects.get(subject="account").after["team_id"] == account.team_id
    assert coverage.survey(actor=ME, at=DAY - ONE_DAY) == []


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: backstage.io/v1\nkind: " + "[" * 100_000, "apiVersion: backstage.io/v1\nkind: X\na: &a [x]\nb: [*a, *a]\n",
        "account,name\n1,\r2\r\n", '{"Accounts": [' + "[" * 100_000 + ' "Arn": ":organizations:"',
        '{"Accounts": [{"Id": "123456789012", "Arn": ":organizations:", "Tags": 5}]}', "provider,account,name\n\x00,1,x\n",
        "account,name\n1," + "x" * 2_000_000 + "\n",
    ],
)  # fmt: skip
def test_hostile_lists_end_in_a_sentence_or_in_accounts(client, text):
    from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: PLC0415

    client.force_login(person("ada@example.com", "administrator"))
    answer = client.post("/accounts", {"list": SimpleUploadedFile("a", text.encode()), "apply": "1"})
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    "content",
    [b'{"vulnerabilities": ' + b"[" * 100_000, b"\x1f\x8b\x08\x00" + b"x" * 50],
)
def test_hostile_vulnerability_files_are_refused(content):
    with pytest.raises(Invalid):
        threat.take_in(content, actor=ME, at=DAY)


def test_hostile_fields_of_a_check_are_refused(client):
    row = begun()
    client.force_login(person("ada@example.com", "administrator"))
    where = f"/checks/{row.check_ref_id}"
    for said in (
        {"override": "9" * 5000},
        {"runbook": "https://[wiki"},
        {"runbook": "https://x/" + "y" * 2000},
        {"guard": "http:///"},
    ):
        assert client.post(where, said).status_code in (200, 302, 400, 422)
    row.check_ref.refresh_from_db()
    assert (row.check_ref.override, row.check_ref.runbook, row.check_ref.guard) == (None, "", "")


def test_files_applied_twice_change_nothing():
    begun()
    key = "prowler:s3_bucket_public_access"
    apply(text=f"checks: {{'{key}': {{reason: later}}}}", actor=ME, at=DAY)
    assert apply(text=f"checks: {{'{key}': {{reason: later}}}}", actor=ME, at=DAY).changes == ()
    apply(text="applications: {a: {}, b: {}}", actor=ME, at=DAY)
    apply(text="applications: {b: {}, d: {}}", actor=ME, at=DAY)
    assert apply(text=export(actor=ME), actor=ME, at=DAY).changes == ()
    apply(text="applications: {d: {}, a: {}, b: {}}", actor=ME, at=DAY)
    assert list(json.loads(json.dumps(list(yaml_of(export(actor=ME))["applications"])))) == ["d", "a", "b"]


def yaml_of(text: str) -> dict:
    import yaml  # noqa: PLC0415

    return yaml.safe_load(text)


def test_what_is_unreadable_holds_nothing():
    with pytest.raises(UnreadableReport):
        take_in("apiVersion: backstage.io/v1\nkind: [")
