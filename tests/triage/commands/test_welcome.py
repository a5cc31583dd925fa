from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ, Schedule

from triage.models import Scan, User

REPORT = Path(__file__).parents[2] / "samples" / "flows" / "prowler_v5_s3_public.csv"


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.BASE_URL = "http://127.0.0.1:8001"


def test_the_first_start_ends_with_the_address_and_a_link_and_the_second_imports_nothing(capsys):
    call_command("welcome")
    first = capsys.readouterr()
    imported = Scan.objects.count()

    call_command("welcome")

    assert "http://127.0.0.1:8001/sign-in/" in first.out
    assert "importing the demonstration" in first.err
    assert imported == 5
    assert Scan.objects.count() == imported
    assert "importing" not in capsys.readouterr().err
    assert Schedule.objects.exists() or OrmQ.objects.exists()


def test_who_has_a_password_gets_no_link(capsys):
    call_command("welcome", "--no-demo")
    user = User.objects.get()
    user.set_password("a horse, a kingdom")
    user.save()
    capsys.readouterr()

    call_command("welcome")

    assert "sign-in" not in capsys.readouterr().out


def test_a_report_takes_the_demonstrations_place(capsys):
    call_command("welcome", "--report", str(REPORT))
    assert "is imported" in capsys.readouterr().out

    call_command("welcome", "--report", str(REPORT))
    call_command("welcome")

    assert "nothing changed" in capsys.readouterr().out
    assert set(Scan.objects.values_list("file_name", flat=True)) == {REPORT.name}


def test_a_refused_report_stops_the_start(tmp_path):
    page = tmp_path / "report.html"
    page.write_text("<html></html>")

    with pytest.raises(CommandError, match="HTML page") as failure:
        call_command("welcome", "--report", str(page))

    assert failure.value.returncode == 5


def test_nobody_who_said_no_is_asked_again(settings, capsys):
    settings.DEMO = False
    call_command("welcome")
    settings.DEMO = True
    call_command("welcome")

    assert not Scan.objects.exists()
