import io
import json
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from tests.factories import AT, person, team
from triage.domain import access, queries, sign_in
from triage.models import Event, User

pytestmark = pytest.mark.django_db
BOB = "bob@acme.example"


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    settings.CSPM_HOME = tmp_path


def roles(capsys):
    capsys.readouterr()
    call_command("user", "list", "--json")
    return {row["email"]: row["roles"] for row in map(json.loads, capsys.readouterr().out.splitlines())}


def test_a_person_is_made_with_roles_that_come_and_go(capsys):
    team("web")
    call_command(
        "user", "create", "Bob@Acme.example", "--name", "Bob", "--role", "contributor", "--team", "web", "--role", "auditor"
    )
    assert roles(capsys) == {BOB: ["auditor", "contributor:web"]}

    call_command("user", "role", "take", BOB, "auditor")
    call_command("user", "role", "give", BOB, "viewer")

    assert roles(capsys) == {BOB: ["contributor:web", "viewer"]}
    assert Event.objects.filter(subject="user", kind__in=("created", "role given", "role taken")).count() == 5


def test_a_link_signs_in_once(capsys, settings, monkeypatch):
    monkeypatch.delenv("CSPM_BASE_URL", raising=False)
    (settings.CSPM_HOME / "run").mkdir()
    (settings.CSPM_HOME / "run" / "web-address").write_text("http://127.0.0.1:8004")
    call_command("user", "create", BOB)
    capsys.readouterr()

    call_command("user", "link", BOB)

    link = capsys.readouterr().out.strip()
    assert link.startswith("http://127.0.0.1:8004/sign-in/")
    now = User.objects.get().created_at
    assert sign_in.use_link(token=link.rpartition("/")[2], at=now).email == BOB
    assert not sign_in.link_holds(token=link.rpartition("/")[2], at=now)


def test_a_password_has_to_be_hard_to_guess(monkeypatch):
    call_command("user", "create", BOB)
    monkeypatch.setattr(sys, "stdin", io.StringIO("password\n"))
    with pytest.raises(CommandError, match="too short") as failure:
        call_command("user", "password", BOB)
    assert failure.value.returncode == 5

    monkeypatch.setattr(sys, "stdin", io.StringIO("a horse, a kingdom\n"))
    call_command("user", "password", BOB)

    assert sign_in.password(email=BOB, password="a horse, a kingdom", address="::1", at=AT).email == BOB


def test_who_is_disabled_gets_no_link():
    call_command("user", "create", BOB)
    call_command("user", "disable", BOB)

    with pytest.raises(CommandError, match="is disabled"):
        call_command("user", "link", BOB)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "no address"], 5),
        (["link", "nobody@acme.example"], 5),
        (["role", "give", BOB, "contributor"], 2),
        (["role", "give", BOB, "viewer", "--team", "web"], 2),
        (["create", "eve@acme.example", "--as", "viewer"], 4),
    ],
)
def test_what_cannot_be_is_said_with_its_exit_code(arguments, code):
    call_command("user", "create", BOB)

    with pytest.raises(CommandError) as failure:
        call_command("user", *arguments)

    assert failure.value.returncode == code


def test_roles_are_told_as_they_were_on_a_day():
    ana, me = person("ana@example.com"), access.of_machine(0)
    access.give(user=ana, role="auditor", team=None, actor=me, at=AT)
    access.give(user=ana, role="contributor", team=team("web"), actor=me, at=AT)
    access.take(user=ana, role="auditor", team=None, actor=me, at=AT + timedelta(days=5))

    def on(days: int) -> list[tuple[str, str | None]]:
        return [(held.role, held.team) for held in access.roles_on(user=ana, on=AT + timedelta(days=days), actor=me)]

    assert (on(-1), on(1), on(6)) == ([], [("auditor", None), ("contributor", "web")], [("contributor", "web")])
    output = io.StringIO()
    call_command("user", "roles", "ana@example.com", "--on", "2020-01-01", stdout=output)
    assert output.getvalue() == "no role\n"
    call_command("user", "roles", "ana@example.com", "--json", stdout=output)
    assert '"team": "web"' in output.getvalue()


@pytest.mark.django_db
def test_whoever_is_erased_is_nobody_any_more(capsys):
    user = person("ana@example.com", "triager", name="Ana Martin")
    call_command("user", "erase", "ana@example.com", reason="GDPR, article 17")
    user.refresh_from_db()
    assert (user.name, user.is_active, user.has_usable_password()) == ("", False, False)
    assert "ana" not in user.email
    assert not user.grants.exists()
    assert queries.who({user.actor})[user.actor].name == ""
    told = Event.objects.get(subject="user", kind="erased")
    assert (told.subject_id, told.reason) == (user.pk, "GDPR, article 17")
    assert "ana@example.com" not in json.dumps([event.after for event in Event.objects.all()])
