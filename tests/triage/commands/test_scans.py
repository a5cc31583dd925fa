import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from triage.models import Scan

REPORT = Path(__file__).parents[2] / "samples" / "flows" / "prowler_v5_s3_public.csv"


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)


def test_scans_are_listed_and_one_is_shown_with_what_it_changed(capsys):
    call_command("scans")
    assert "Nothing was imported yet" in capsys.readouterr().out
    call_command("import", str(REPORT))
    number = Scan.objects.get().pk
    capsys.readouterr()

    call_command("scans")
    call_command("scans", f"S-{number}")
    call_command("scans", str(number), "--json")

    told = capsys.readouterr().out
    assert told.count(REPORT.name) == 3
    last = json.loads(told.splitlines()[-1])
    assert last["diff"]["new"][0].startswith("F-")
    assert len(last["sha256"]) == 64


@pytest.mark.parametrize(("name", "code"), [("x", 2), ("999999", 5)])
def test_no_such_scan(name, code):
    with pytest.raises(CommandError) as failure:
        call_command("scans", name)

    assert failure.value.returncode == code
