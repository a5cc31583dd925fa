"""Against a program that behaves as Prowler's command line was seen to (FORMATS: exit codes, files, its log of errors)."""

import stat
import textwrap
from threading import Event

import pytest

from integrations.sources import prowler
from triage.ports import DeliveryError, Offered

DENIED = (
    '{"level": "ERROR", "message": "eu-west-1 -- ClientError[150]: An error occurred (AccessDenied) when calling the GetBucketAcl '
    'operation: User: arn:aws:iam::1:user/reader is not authorized to perform: s3:GetBucketAcl"}\n'
)


@pytest.fixture
def options(tmp_path):
    def behaving(does: str) -> dict:
        program = tmp_path / "prowler"
        program.write_text(
            textwrap.dedent("""
            #!/usr/bin/env python3
            import pathlib, sys
            argv = sys.argv[1:]
            folder = pathlib.Path(argv[argv.index("-o") + 1])
            log = pathlib.Path(argv[argv.index("--log-file") + 1])
            name = argv[argv.index("-F") + 1]
            (folder.parent / "argv").write_text("\\n".join(argv))
            """).strip()
            + "\n"
            + textwrap.dedent(does)
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        reach = {
            "aws": {"123456789012": {"role_arn": "arn:aws:iam::123456789012:role/scan", "external_id": "e"}, "210987654321": {}}
        }
        return {"server": {"prowler": str(tmp_path / "python")}, "reach": reach, "provider": "aws", "services": "s3, iam"}

    return behaving


def fetched(tmp_path, options):
    (tmp_path / "work").mkdir()
    into = tmp_path / "work" / "report"
    return into, prowler.fetch(Offered("123456789012", "now"), into, options, Event())


WRITES = '(folder / (name + ".csv")).write_text("AUTH_METHOD;x")\n'


def test_a_scan_is_run_as_the_account_is_reached(tmp_path, options):
    into, notes = fetched(tmp_path, options(WRITES + "sys.exit(3)"))
    assert (into.read_text(), notes) == ("AUTH_METHOD;x", ())
    argv = (tmp_path / "argv").read_text().split("\n")
    assert argv[:1] == ["aws"]
    assert argv[argv.index("--services") + 1 :][:2] == ["s3", "iam"]
    assert argv[argv.index("-R") + 1] == "arn:aws:iam::123456789012:role/scan"


def test_what_it_was_refused_is_told(tmp_path, options):
    _into, [note] = fetched(tmp_path, options(WRITES + f"log.write_text({DENIED!r} * 2)\nsys.exit(0)"))
    assert note.params == {"missing": "s3:GetBucketAcl"}


@pytest.mark.parametrize(("does", "said"), [("sys.exit(0)", "found nothing"), ("sys.exit('endpoint down')", "endpoint down")])
def test_no_file_is_no_report(tmp_path, options, does, said):
    with pytest.raises(DeliveryError, match=said):
        fetched(tmp_path, options(does))


def test_only_accounts_that_can_be_reached_are_scanned(options):
    assert [each.name for each in prowler.offered("now", options(""))] == ["123456789012"]
    assert [each.name for each in prowler.offered("now", options("") | {"accounts": "1, 2"})] == ["1", "2"]


def test_without_an_environment_it_says_so(options):
    given = options("") | {"server": {"prowler": ""}}
    [environment, accounts] = prowler.probe(given)
    assert (environment.passed, accounts.passed) == (False, True)
    assert "CSPM_PROWLER" in str(environment.said)
