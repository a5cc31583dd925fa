"""Connections: configured by file, secrets sealed, keys rotated; what a dump of the database gives away."""

import pytest
from cryptography.fernet import Fernet

from tests.factories import AT, team
from triage.domain import connections, vault
from triage.domain.access import Actor, of_machine
from triage.domain.configuration import applying
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.connections import Wanted
from triage.domain.errors import Invalid, NotAllowed
from triage.models import Connection, Event, Role

pytestmark = pytest.mark.django_db
ADMIN = of_machine(0)
GIVEN = {"server": "https://acme.atlassian.net", "token": "t0p-s3cret", "project": "OPS", "email": "bot@acme.example"}

FILE = """
version: 1
connections:
  jira:
    plugin: jira
    settings: {server: "https://acme.atlassian.net", project: OPS, email: bot@acme.example, fields: {Cost centre: IT}}
    secrets: {token: "env:JIRA_TOKEN"}
    teams: {web: {project: WEB}}
    disclosure: minimal
"""


def put(**given):
    return connections.put(Wanted("jira", "tickets", "jira", {**GIVEN, **given}), actor=ADMIN, at=AT)


def test_a_secret_is_kept_sealed_and_opened_when_it_is_used():
    row = put()
    assert "t0p-s3cret" not in str(Connection.objects.values().get())
    assert "t0p-s3cret" not in str(list(Event.objects.values()))
    assert connections.options(row)["token"] == "t0p-s3cret"
    assert connections.described(row)["secrets"] == {"token": vault.HIDDEN}
    put(webhook_secret="another")
    assert put(webhook_secret="").secrets.keys() == {"token"}


def test_a_missing_secret_is_said():
    with pytest.raises(Invalid, match=r"lacks: API token \(token\)"):
        connections.put(Wanted("jira", "tickets", "jira", GIVEN | {"token": ""}), actor=ADMIN, at=AT)


def test_a_secret_of_the_environment_stays_there(monkeypatch):
    row = put(token="env:JIRA_TOKEN")
    with pytest.raises(Invalid, match="JIRA_TOKEN is not set"):
        connections.options(row)
    monkeypatch.setenv("JIRA_TOKEN", "from-outside")
    assert connections.options(row)["token"] == "from-outside"
    assert connections.hidden(row, "401 for from-outside") == f"401 for {vault.HIDDEN}"


def test_keys_are_rotated_and_a_lost_one_is_said(settings):
    row = put()
    old, new = settings.SECRET_KEYS[0], Fernet.generate_key().decode()
    settings.SECRET_KEYS = [new, old]
    assert connections.rotate(actor=ADMIN, at=AT) == 1
    settings.SECRET_KEYS = [new]
    row.refresh_from_db()
    assert connections.options(row)["token"] == "t0p-s3cret"
    settings.SECRET_KEYS = [old]
    with pytest.raises(Invalid, match="No key of this installation opens"):
        connections.options(row)


def test_only_administrators_connect():
    for role in set(Role) - {Role.ADMINISTRATOR}:
        with pytest.raises(NotAllowed):
            connections.put(Wanted("jira", "tickets", "jira", GIVEN), actor=Actor("user:1", "page", frozenset({role})), at=AT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"projekt": "X"}, "Unknown settings: projekt"), ({"deployment": "moon"}, "is none of: cloud, server"),
        ({"fields": "a=1\nb"}, "Line 2 of “fields” is not name=value"), ({"token": "env:9 x"}, "does not name a variable"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(given, said):
    with pytest.raises(Invalid, match=said):
        put(**given)
    assert not Connection.objects.exists()


def test_a_file_makes_changes_and_exports_them():
    team("web")
    (change,) = applying.apply(text=FILE, actor=ADMIN, at=AT).changes
    assert (change.section, change.key) == ("connections", "jira")
    row = Connection.objects.get()
    assert (row.options["teams"], row.secrets, row.disclosure) == (
        {"web": {"project": "WEB"}},
        {"token": "env:JIRA_TOKEN"},
        "minimal",
    )
    assert applying.apply(text=FILE, actor=ADMIN, at=AT).changes == ()
    assert connections.options(put(token="x" * 9), "web")["project"] == "WEB"
    exported = applying.export(actor=ADMIN)
    assert "x" * 9 not in exported
    assert "minimal" not in exported or "jira" in exported


def test_a_secret_in_a_file_is_refused_with_its_line():
    team("web")
    with pytest.raises(WrongConfiguration) as wrong:
        applying.apply(text=FILE.replace("env:JIRA_TOKEN", "t0p-s3cret"), actor=ADMIN, at=AT)
    assert "is in the file" in str(wrong.value)
    assert "t0p-s3cret" not in str(wrong.value)
