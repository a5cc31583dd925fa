"""`cspm act`."""

import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import buckets, team
from triage.models import Act, Finding

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rows():
    team("web")
    return buckets("a", "b", "c", owner=team("data"))


def test_what_would_follow_and_then_what_did(capsys):
    call_command("act", "assign", "web", "-q", "is:open", "--dry-run")
    assert "3 of 3 findings would change." in capsys.readouterr().out
    assert not Act.objects.exists()
    call_command("act", "assign", "web", "-q", "is:open", "--reason", "moved", "--json")
    assert json.loads(capsys.readouterr().out)["done"] == 3
    call_command("act", "undo", str(Act.objects.get()))
    assert "3 changed" in capsys.readouterr().out
    assert Finding.objects.filter(team__slug="data").count() == 3
    call_command("act", "list")
    assert capsys.readouterr().out.count("A-") == 2


def test_what_is_left_says_why(capsys):
    call_command("act", "move", "in_progress", "-q", "is:open")
    call_command("act", "move", "in_progress", "-q", "is:open")
    assert "It is so already." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["undo", "x"], "is not an action"),
        (["assign", "nowhere", "-q", "is:open"], "no team"),
        (["acknowledge", "-q", "is:("], "value is missing"),
    ],
)
def test_what_makes_no_sense_is_said(args, said):
    with pytest.raises(CommandError, match=said):
        call_command("act", *args)
