"""The next report as evidence: three generations of Prowler on one account, and one that was denied a permission and says PASS."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.factories import Clock, sealed
from triage.domain import access, bundles, evidence, ingest, reach, verification
from triage.domain.verification import policy
from triage.models import Account, Event, Finding, Scan

SAMPLES = Path(__file__).parents[1] / "samples" / "prowler"
OPERATOR = access.of_machine(0)
BUCKET = "acme-payroll"
SSH = "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.CSPM_HOME = tmp_path
    return Clock(datetime(2026, 11, 21, 22, tzinfo=UTC))


def scan(path, clock, text=None):
    data = (SAMPLES / path).read_bytes() if text is None else text
    with (Path(evidence.settings.CSPM_HOME) / "report").open("wb+") as file:
        file.write(data)
        file.seek(0)
        received = ingest.receive(stream=file, name=path, declared={}, actor=OPERATOR, at=clock())
    return ingest.run(received.pk, clock=clock)


def test_what_passes_in_the_next_generation_is_verified_by_that_report(clock, tmp_path):
    for name, day in (("v3.16.csv", b"2026-11-19"), ("v4.6.csv", b"2026-11-20"), ("v5.46.csv", b"2026-11-21")):
        scan(name, clock, (SAMPLES / name).read_bytes().replace(b"2026-11-21", day))  # all ran within minutes
    before = set(Finding.objects.filter(is_open=True).values_list("pk", flat=True))
    clock.pass_(days=1)
    after = scan("after.csv", clock, (SAMPLES / "v5.46-after.csv").read_bytes().replace(b"2026-11-21 20:04", b"2026-11-22 20:04"))
    row = Finding.objects.get(pk__in=before, asset__uid__endswith="/sg-a3fd50a3201ed3ac6", check_ref__key=SSH)
    assert row.status == "verified"
    event = Event.objects.filter(subject="finding", subject_id=row.pk, kind="verified").latest("seq")
    assert (row.grade, event.scan, event.reason) == ("proof", after.pk, "pass row")
    # The report is what proves it: it is in the bundle, and the bundle says from which scan.
    sealed(clock())
    wanted = bundles.Wanted(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    made = bundles.export(path=tmp_path / "b.zip", wanted=wanted, sample=0, actor=OPERATOR, at=clock())
    assert bundles.verify(str(made.path), keys=[made.key]).evidence >= Scan.objects.filter(state="done").count() - 1


def test_a_scanner_that_was_denied_and_says_pass_is_found_out(clock, cloud):
    """Prowler 5.46 without s3:GetBucketAcl wrote PASS for two public buckets (samples of a real run)."""
    denied = (SAMPLES / "v5.46-denied.csv").read_bytes()
    said = b"PASS;S3 Bucket acme-payroll is not public."
    assert said in denied
    truth = denied.replace(said, b"FAIL;S3 Bucket acme-payroll has public access due to bucket ACL.")
    first = truth.replace(b"2026-11-21", b"2026-11-20")
    cloud.bucket(BUCKET)
    cloud.open(BUCKET)
    scan("before.csv", clock, first)
    row = Finding.objects.get(asset__name=BUCKET, check_ref__key="s3_bucket_public_access")
    assert row.status == "open"
    reach.reach(account=Account.objects.get().pk, given={"region": "eu-west-1"}, actor=OPERATOR, at=clock())

    clock.pass_(days=1)
    second = scan("denied.csv", clock, denied)
    row.refresh_from_db()
    assert row.status == "verified"
    policy.look_at_report(second.pk, at=clock())
    verification.drain(clock=clock)

    row.refresh_from_db()
    assert (row.status, row.regressions) == ("open", 1)
    run = row.verifications.get()
    assert (run.trigger, run.outcome) == ("report", "failing")
    kept = json.loads(evidence.read(bytes(run.evidence_id)))
    assert "GetBucketAcl" in [exchange["operation"] for exchange in kept["exchanges"]]
