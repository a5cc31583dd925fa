"""`cspm demo --walk`: one finding through the whole loop, in a simulated cloud, by the same doors as everybody's."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from triage.domain import access
from triage.domain.configuration.applying import apply
from triage.management.commands import demo
from triage.models import Account, Connection, Event, Finding, Verification

pytestmark = pytest.mark.django_db(transaction=True)
PORTS = {"jira_port": 0, "slack_port": 0, "cloud_port": 0}


@pytest.fixture(autouse=True)
def house(tmp_path, settings, monkeypatch):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    config = Path(__file__).parents[2] / "demo" / "config.yaml"
    apply(text=config.read_text(encoding="utf-8"), actor=access.of_machine(0), at=demo.Command().at())


def test_a_finding_walks_through_the_loop():
    out = StringIO()
    call_command("demo", walk=True, yes=True, stdout=out, **PORTS)
    said = out.getvalue()
    assert "the team web" in said
    assert "The check is run again: failing." in said
    assert "The check is run again: fixed." in said
    row = Finding.objects.get(asset__name="acme-simulated-assets", check_ref__key="s3_bucket_public_access")
    assert (row.status, row.regressions) == ("open", 1)
    assert [run.outcome for run in Verification.objects.order_by("pk")] == ["failing", "fixed"]
    kinds = list(Event.objects.filter(subject="finding", subject_id=row.pk).order_by("seq").values_list("kind", flat=True))
    assert [kind for kind in kinds if kind in ("opened", "verified", "regressed")] == ["opened", "verified", "regressed"]
    assert set(Connection.objects.values_list("state", flat=True)) == {"off"}
    account = Account.objects.get(uid="345678901234")
    assert account.options["role_arn"] == "arn:aws:iam::345678901234:role/cspm-triage"


def test_what_is_typed_is_done_to_the_cloud(monkeypatch):
    def typed():
        row = Finding.objects.get(asset__name="acme-simulated-assets", check_ref__key="s3_bucket_public_access")
        for line in (f"fix {row}", "nonsense", "fix F-999999", "scan", f"break {row}", "scan"):
            yield [line]

    lines = typed()
    monkeypatch.setattr(demo, "_typed", lambda _seconds: next(lines, []))
    out = StringIO()
    call_command("demo", seconds=3, stdout=out, **PORTS)
    said = out.getvalue()
    assert "Done: S3 bucket is not publicly accessible" in said
    assert "Type: fix F-12, break F-12, scan." in said
    assert "F-999999 is nothing that the simulated cloud could mend" in said
    row = Finding.objects.get(asset__name="acme-simulated-assets", check_ref__key="s3_bucket_public_access")
    assert (row.status, row.regressions) == ("open", 1)


def test_without_moto_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "moto.server", None)
    with pytest.raises(CommandError, match="make setup-dev"):
        call_command("demo", walk=True, **PORTS)
