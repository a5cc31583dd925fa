import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import change, finding, team

pytestmark = pytest.mark.django_db


def told(capsys, *arguments):
    call_command("show", *arguments)
    return capsys.readouterr().out


def test_a_finding_with_owner_due_date_and_story(capsys):
    row = finding(owner=team("web"))
    change(row, status="in_progress")

    text = told(capsys, str(row))

    assert "web" in text
    assert "2026-11-24" in text
    assert "status: open → in_progress" in text


@pytest.mark.parametrize(
    "name", ["arn:aws:s3:::acme-public-assets", "prowler-aws-s3_bucket_public_access-123456789012-eu-west-1-acme-public-assets"]
)
def test_other_names_lead_to_it(capsys, name):
    row = finding()

    assert json.loads(told(capsys, name, "--json"))["id"] == str(row)


def test_an_asset_with_several_is_listed(capsys):
    rows = [finding(check=check) for check in ("s3_bucket_public_access", "s3_bucket_default_encryption")]

    text = told(capsys, "arn:aws:s3:::acme-public-assets")

    assert all(str(row) in text for row in rows)


def test_a_name_of_nothing_is_said():
    with pytest.raises(CommandError, match="Nothing here is called “nix”") as failure:
        call_command("show", "nix")

    assert failure.value.returncode == 5
