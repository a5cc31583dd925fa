import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError

from cspm import cli
from cspm.database import DatabaseUnavailable
from triage.domain.errors import Invalid, NotAllowed
from triage.ports import UnreadableReport

ROOT = Path(__file__).resolve().parents[2]


def cspm(*words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "cspm.cli", *words],
        cwd=ROOT, env={**os.environ, "LC_ALL": "C", **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (DatabaseUnavailable("Nothing at %(place)s.", place="db"), 3, "cspm: Nothing at db.\n"),
        (OperationalError("refused\n"), 3, "cspm: The database can't be reached: refused\n"),
        (NotAllowed("Only %(role)s may.", role="approvers"), 4, "cspm: Only approvers may.\n"),
        (PermissionDenied(), 4, "cspm: This isn't allowed.\n"),
        (Invalid("Line %(line)d has no team.", line=3), 5, "cspm: Line 3 has no team.\n"),
        (UnreadableReport("This is SARIF 1.0."), 5, "cspm: This is SARIF 1.0.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_expected_failure_is_a_sentence_and_an_exit_code(capsys, failure, code, said):
    def fail():
        raise failure

    assert cli._guarded(fail) == code
    assert capsys.readouterr().err == said


def test_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli._guarded(lambda: 1 // 0)


def test_alone_it_lists_the_verbs():
    said = cspm()

    assert said.returncode == 0
    assert said.stdout.splitlines()[0] == "Usage: cspm VERB …   (cspm VERB --help says more)"
    assert [line.split()[0] for line in said.stdout.splitlines() if line.split()[:1] == ["run"]] == ["run"]


def test_unknown_verb_is_a_usage_error_with_a_suggestion():
    said = cspm("migrat")

    assert said.returncode == 2
    assert (
        said.stderr.splitlines()[-1] == "cspm: There is no verb 'migrat'. Did you mean `cspm migrate`? `cspm` alone lists them."
    )


def test_database_out_of_reach():
    said = cspm("migrate", DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing", DATABASE_OWNER_URL="")

    assert said.returncode == 3
    assert "cspm: The database can't be reached:" in said.stderr


def test_wrong_option_is_a_usage_error():
    assert cspm("run", "--prot", "1").returncode == 2


def test_closed_pipe_is_no_failure_to_report():
    command = f'"{sys.executable}" -m cspm.cli | head -c 0; exit "${{PIPESTATUS[0]}}"'
    said = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (said.returncode, said.stdout) == (141, "")
    assert "BrokenPipe" not in said.stderr
