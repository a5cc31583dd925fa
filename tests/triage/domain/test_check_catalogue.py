"""What this house says of checks, and what follows for their findings."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import person
from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import check_catalogue, risk
from triage.domain.access import Actor, of_machine
from triage.domain.check_catalogue import Saying
from triage.domain.configuration.applying import apply, export
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.exceptions import deciding
from triage.domain.exceptions.requesting import About, request
from triage.models import Check, Event, Finding, Role

ME = of_machine(0)
LOWER = Saying(2, "behind the gateway")


def report(day: int = 0, severity: str = "high", names: tuple[str, ...] = ("one",)) -> None:
    at = DAY + timedelta(days=day)
    assert imported(prowler([report_row(name, "FAIL", severity=severity) for name in names], at)).state == "done"


def state(name: str = "one") -> tuple[int, int, timedelta | None]:
    row = Finding.objects.get(asset__name=name)
    return row.severity, row.scanner_severity, row.due_at and row.due_at - row.clock_from


@pytest.mark.django_db
def test_findings_follow_what_is_said_of_their_check_now_and_later():
    report()
    check = Check.objects.get()
    before = Finding.objects.get().score
    check_catalogue.say(check=check.pk, saying=LOWER, actor=ME, at=DAY + timedelta(hours=1))
    assert state() == (2, 4, timedelta(days=90))
    assert Finding.objects.get().score == before - risk.SEVERITY[4] + risk.SEVERITY[2]
    assert Event.objects.get(subject="finding", kind="severity").reason.endswith("behind the gateway")
    assert Event.objects.get(subject="check").after == {"override": 2, "override_reason": "behind the gateway"}

    report(1, names=("one", "two"))
    assert (state(), state("two")) == ((2, 4, timedelta(days=90)), (2, 4, timedelta(days=90)))
    report(2, severity="critical", names=("one", "two"))
    assert state() == (2, 5, timedelta(days=90))

    check_catalogue.say(check=check.pk, saying=Saying(), actor=ME, at=DAY + timedelta(days=3))
    assert state() == (5, 5, timedelta(days=3))


@pytest.mark.django_db
def test_what_cannot_be_said_is_refused():
    report()
    check = Check.objects.get().pk
    for saying, message in (
        (Saying(2), "Say why"), (Saying(9, "x"), "no such severity"), (Saying(runbook="javascript:alert(1)"), "is not an address"),
        (Saying(guard="wiki"), "is not an address"),
    ):  # fmt: skip
        with pytest.raises(Invalid, match=message):
            check_catalogue.say(check=check, saying=saying, actor=ME, at=DAY)
    with pytest.raises(NotAllowed):
        check_catalogue.say(
            check=check, saying=LOWER, actor=Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER})), at=DAY
        )
    with pytest.raises(NotFound):
        check_catalogue.say(check=check + 1, saying=LOWER, actor=ME, at=DAY)
    assert state()[0] == 4


@pytest.mark.django_db
def test_noise_is_what_was_declared_false():
    report(names=("one", "two", "three", "four"))
    row = Finding.objects.order_by("pk").first()
    asker = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}), user=1)
    asked = request(
        kind="false_positive", about=About(finding=row.pk), reason="x", until=DAY + timedelta(days=9), actor=asker, at=DAY
    )
    deciding.approve(exception=asked.pk, actor=ME, at=DAY)
    (told,) = check_catalogue.catalogue(actor=ME)
    assert (told.open, told.ever, told.false, told.noise, told.off) == (3, 4, 1, 25, None)
    assert check_catalogue.catalogue(actor=ME, text="nothing like it") == []
    wide = request(
        kind="accepted", about=About(check=told.check.pk), reason="x", until=DAY + timedelta(days=9), actor=asker, at=DAY
    )
    assert check_catalogue.described(told.check.pk, actor=ME).off == wide


@pytest.mark.django_db
def test_it_is_said_in_the_configuration_too():
    report()
    text = "checks: {'prowler:s3_bucket_public_access': {severity: low, reason: behind the gateway, runbook: 'https://wiki/s3'}}"
    assert len(apply(text=text, actor=ME, at=DAY).changes) == 1
    assert state()[0] == 2
    assert "runbook: https://wiki/s3" in export(actor=ME)
    assert apply(text=export(actor=ME), actor=ME, at=DAY).changes == ()
    with pytest.raises(WrongConfiguration) as failure:
        apply(text="checks:\n  prowler:nothing: {severity: low}\n", actor=ME, at=DAY)
    assert [str(problem.text)[:40] for problem in failure.value.problems] == [
        "Line 2: no report has named the check “p", "Line 2: Say why the severity is another ",
    ]  # fmt: skip
    apply(text="checks: {}", actor=ME, at=DAY, prune=True)
    assert state()[0] == 4


@pytest.mark.django_db
def test_pages_and_command_line(client):
    report()
    check = Check.objects.get()
    client.force_login(person("vic@example.com", "viewer"))
    assert check.key in client.get("/checks").content.decode()
    assert "No matching checks" in client.get("/checks", {"q": "zzz"}).content.decode()
    assert client.post(f"/checks/{check.pk}", {"override": "2", "override_reason": "x"}).status_code == 403
    assert client.get("/checks/999999").status_code == 404
    client.force_login(person("ada@example.com", "administrator"))
    assert "Say why" in client.post(f"/checks/{check.pk}", {"override": "2"}).content.decode()
    said = {"override": "2", "override_reason": "x", "runbook": "https://wiki/s3", "guard": "https://git/rule"}
    assert client.post(f"/checks/{check.pk}", said).status_code == 302
    page = client.get(f"/findings/{Finding.objects.get().pk}").content.decode()
    assert "https://wiki/s3" in page
    assert "https://git/rule" in page

    output = StringIO()
    call_command("checks", "list", "s3", "--json", stdout=output)
    assert json.loads(output.getvalue())["overridden"] is True
    call_command("checks", "set", check.key, "--severity", "scanner", stdout=output)
    call_command("checks", "list", stdout=output)
    check.refresh_from_db()
    assert (check.override, check.runbook) == (None, "https://wiki/s3")
    with pytest.raises(CommandError, match="names 0 checks"):
        call_command("checks", "set", "nothing", stdout=output)


@pytest.mark.django_db
def test_a_large_check_is_rewritten_by_the_worker_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(check_catalogue, "CHUNK", 2)
    report(names=("one", "two", "three", "four", "five"))
    check = Check.objects.get()
    check_catalogue.say(check=check.pk, saying=LOWER, actor=ME, at=DAY)
    assert Finding.objects.filter(severity=2).count() == 2
    assert check_catalogue.follow(at=DAY) == 2
    assert check_catalogue.follow(at=DAY) == 1
    assert check_catalogue.follow(at=DAY) == 0
    assert set(Finding.objects.values_list("severity", flat=True)) == {2}
    assert Event.objects.filter(kind="severity", reason__contains="behind the gateway").count() == 5


@pytest.mark.django_db
def test_an_account_leaves_the_scope_with_a_reason_and_comes_back(client):
    report()
    account = Finding.objects.get().account
    client.force_login(person("root@example.com", "administrator"))
    address = f"/accounts/{account.pk}/scope"
    assert client.post(address, {"out": "1", "reason": " "}).status_code == 302
    account.refresh_from_db()
    assert account.in_scope
    client.post(address, {"out": "1", "reason": "a sandbox"})
    account.refresh_from_db()
    assert (account.in_scope, account.scope_reason) == (False, "a sandbox")
    assert "a sandbox" in client.get("/accounts").content.decode()
    call_command("estate", "scope", account.uid, "--in", stdout=StringIO())
    account.refresh_from_db()
    assert account.in_scope
    assert Event.objects.filter(subject="account", kind="changed").count() == 2
    client.force_login(person("vic@example.com", "viewer"))
    assert client.post(address, {"out": "1", "reason": "no"}).status_code == 403
