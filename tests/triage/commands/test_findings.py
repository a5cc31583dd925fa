import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import finding, team
from triage.domain.rows import FIELDS

pytestmark = pytest.mark.django_db


def lines(capsys, *arguments):
    call_command("findings", *arguments)
    return capsys.readouterr().out.splitlines()


def test_one_json_object_a_line_with_all_fields(capsys):
    row, _other = finding(bucket="b-1", owner=team("web")), finding(bucket="b-2")

    (line,) = lines(capsys, "-q", "team:web", "--json")

    told = json.loads(line)
    assert tuple(told) == FIELDS
    assert (told["id"], told["team"], told["asset"]) == (str(row), "web", "arn:aws:s3:::b-1")


def test_a_spreadsheet_gets_no_formulas(capsys):
    row = finding()
    row.asset.uid = "=cmd|' /C calc'!A0"
    row.asset.save()

    header, cells = csv.reader(io.StringIO("\n".join(lines(capsys, "--csv"))))

    assert tuple(header) == FIELDS
    assert cells[FIELDS.index("asset")] == "'=cmd|' /C calc'!A0"


def test_a_table_names_columns_and_says_that_there_is_more(capsys):
    for number in range(3):
        finding(bucket=f"b-{number}")

    call_command("findings", "--limit", "2")

    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert "The first 2 are shown" in told.err


def test_a_mistake_is_pointed_at(capsys):
    with pytest.raises(CommandError) as failure:
        call_command("findings", "-q", "env:prod severty:high")

    assert failure.value.returncode == 2
    assert str(failure.value).splitlines()[1:] == ["  env:prod severty:high", "           ^^^^^^^"]
    assert "severity" in str(failure.value)


def test_thousands_pass_in_chunks(capsys, django_assert_max_num_queries):
    for number in range(30):
        finding(bucket=f"b-{number}")

    with django_assert_max_num_queries(16):
        assert len(lines(capsys, "--json")) == 30
