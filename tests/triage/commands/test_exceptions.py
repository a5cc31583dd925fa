"""`cspm exceptions`."""

import csv
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from tests.factories import finding
from triage.models import RiskException


def run(*words: object) -> str:
    output = StringIO()
    call_command("exceptions", *map(str, words), stdout=output)
    return output.getvalue()


def later(days: int = 20) -> str:
    return (now() + timedelta(days=days)).date().isoformat()


@pytest.mark.django_db
def test_ask_list_decide(tmp_path):
    row = finding()
    assert "It would hide 1 open findings" in run("preview", "-q", "severity:critical")
    assert json.loads(run("preview", "--finding", row, "--json")) == {"now": 1, "by_severity": {"critical": 1}, "last_90_days": 1}
    assert "somebody else has to decide" in run("request", "--finding", row, "--until", later(), "--reason", "=cmd()")
    asked = RiskException.objects.get()
    with pytest.raises(CommandError, match="requested it yourself"):
        run("approve", asked)
    RiskException.objects.update(requested_by="user:9")
    assert "is in force until" in run("approve", asked, "--reason", "fine")
    row.refresh_from_db()
    assert row.status == "accepted"
    (line,) = run("list", "--json").splitlines()
    assert (json.loads(line)["state"], json.loads(line)["covered"]) == ("approved", 1)
    (told,) = csv.DictReader(StringIO(run("list", "--csv")))
    assert told["reason"] == "'=cmd()"
    assert str(asked) in run("list", "--on", later(1))
    assert str(asked) not in run("list", "--on", "2020-01-01")
    assert [event["kind"] for event in json.loads(run("show", asked, "--json"))["trail"]] == ["requested", "approved"]
    assert str(row) in run("show", asked)
    assert "has ended" in run("revoke", asked, "--reason", "over")
    row.refresh_from_db()
    assert row.status == "open"


@pytest.mark.django_db
def test_what_is_wrong_is_said():
    row = finding()
    with pytest.raises(CommandError, match="is not an exception"):
        run("show", "twelve")
    with pytest.raises(CommandError, match="There is no exception X-7"):
        run("show", "X-7")
    with pytest.raises(CommandError, match="names 0 things"):
        run("preview", "--check", "nothing")
    assert "It would hide 1" in run("preview", "--asset", row.asset.uid)
    with pytest.raises(CommandError, match="90 days at most"):
        run("request", "--finding", row, "--until", later(300), "--reason", "x")
    with pytest.raises(CommandError, match="no right"):
        run("request", "--finding", row, "--until", later(), "--reason", "x", "--as", "viewer")
    with pytest.raises(CommandError):
        run("preview", "-q", "colour:red")
