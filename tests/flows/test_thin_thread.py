"""One finding through the whole loop: report, owner, due date, ticket, done, proof; and back when the bucket is opened again."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from tests.factories import Clock, team
from triage.domain import access, evidence, ingest, outbox, tickets, verification
from triage.models import Event, Finding, Role, Ticket, Verification

REPORT = Path(__file__).parents[1] / "samples" / "flows" / "prowler_v5_s3_public.csv"
BUCKET = "acme-public-assets"
SEEN = datetime(2026, 11, 21, 18, 58, 32, tzinfo=UTC)  # in the report: 19:58 in Paris
OPERATOR = access.of_machine(0)
WEB = access.Actor(name="user:7", door="page", roles=frozenset({Role.TRIAGER}))


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    return Clock(datetime(2026, 11, 21, 19, tzinfo=UTC))


@pytest.fixture(autouse=True)
def house(cloud, tmp_path, settings):
    """An account with a public bucket; a team that owns it by its tag; folders of our own."""
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.TICKETS_DIR = tmp_path / "tickets"
    settings.CSPM_HOME = tmp_path
    cloud.bucket(BUCKET)
    cloud.open(BUCKET)
    team("web")


def scan(clock, *, day=0, passes=False):
    """Prowler's report of a day, imported."""
    text = REPORT.read_bytes().decode()
    text = text.replace("2026-11-21 19:58:32", f"2026-11-{21 + day} 19:58:32")
    if passes:
        was = f"FAIL;S3 Bucket {BUCKET} has public access due to bucket ACL."
        assert was in text
        text = text.replace(was, f"PASS;S3 Bucket {BUCKET} is not public.")
    received = ingest.receive(
        stream=BytesIO(text.encode()), name="prowler.csv", declared={"zone": "Europe/Paris"}, actor=OPERATOR, at=clock()
    )
    return ingest.run(received.pk, clock=clock)


def work(clock):
    """What a worker does by and by."""
    for _round in range(2):
        outbox.drain(at=clock(), clock=clock)
        tickets.reconcile(at=clock(), clock=clock)
        verification.drain(clock=clock)
    tickets.follow(at=clock())
    outbox.drain(at=clock(), clock=clock)


def the_finding():
    return Finding.objects.get(asset__name=BUCKET)


def the_file(settings):
    (path,) = Path(settings.TICKETS_DIR).glob("*.md")
    return path


def say_done(settings):
    path = the_file(settings)
    path.write_text(path.read_text().replace("status: open", "status: done", 1))


def test_from_a_public_bucket_to_a_proven_fix_and_back(clock, cloud, settings):
    # A report comes in: the finding has an owner, for a reason, and a due date.
    scan(clock)
    found = the_finding()
    assert (found.status, found.presence, found.severity) == ("open", "reported", 5)
    assert found.team.slug == "web"
    assert found.due_at == SEEN + timedelta(hours=72)

    # Its ticket is a file that says all this.
    tickets.open_tickets(findings=[found.pk], actor=WEB, at=clock())
    work(clock)
    text = the_file(settings).read_text()
    assert "status: open" in text
    assert f"[{found}](" in text
    assert "arn:aws:s3:::acme-public-assets" in text
    assert "- **Owner**: Team Web (" in text

    # Somebody says that it is done, and it is not: the check tells, and the ticket is open again.
    clock.pass_(hours=2)
    say_done(settings)
    work(clock)
    found = the_finding()
    assert (found.status, Verification.objects.get().outcome) == ("open", "failing")
    text = the_file(settings).read_text()
    assert "status: open" in text
    assert f"- {found}: The bucket's ACL gives READ to AllUsers." in text

    # The bucket is closed, the ticket done again: proven, with the evidence kept, and the ticket closed.
    clock.pass_(hours=2)
    cloud.close(BUCKET)
    say_done(settings)
    work(clock)
    found = the_finding()
    proof = Verification.objects.latest("pk")
    assert (found.status, found.grade, found.settled_at) == ("verified", "proof", proof.finished_at)
    assert found.settled_at < found.due_at
    data = evidence.read(bytes(proof.evidence_id))
    assert hashlib.sha256(data).digest() == bytes(proof.evidence_id)
    asked = json.loads(data)["exchanges"]
    assert [exchange["operation"] for exchange in asked] == ["GetCallerIdentity", "GetPublicAccessBlock"]
    assert asked[1]["response"]["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"] is True
    text = the_file(settings).read_text()
    assert "status: done" in text
    assert bytes(proof.evidence_id).hex() in text
    assert Ticket.objects.get().state == "closed"

    # The next day's report agrees.
    clock.pass_(days=1)
    scan(clock, day=1, passes=True)
    assert the_finding().status == "verified"

    # Someone opens the bucket again: the report after that brings the finding and its ticket back.
    cloud.open(BUCKET)
    clock.pass_(days=1)
    scan(clock, day=2)
    found = the_finding()
    assert (found.status, found.regressions, found.grade) == ("open", 1, "")
    assert found.due_at == SEEN + timedelta(days=2, hours=72)
    work(clock)
    assert "What was fixed here is back" in the_file(settings).read_text()
    assert "status: open" in the_file(settings).read_text()
    assert Ticket.objects.get().state == "live"

    # All of it stands in the finding's own trail, without a gap.
    found = the_finding()
    events = list(Event.objects.filter(subject="finding", subject_id=found.pk).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, found.event_seq + 1))
    told = [event.kind if event.kind != "status" else event.after["status"] for event in events]
    assert [kind for kind in told if kind not in ("owner", "due")] == [
        "opened", "acknowledged", "ticketed", "fix_claimed", "open", "ticket reopened", "fix_claimed", "verified", "ticket closed", "regressed",
        "ticket reopened",
    ]  # fmt: skip
    assert bytes(next(event.evidence for event in events if event.kind == "verified")) == bytes(proof.evidence_id)


def test_drift_is_caught_by_looking_again(clock, cloud, settings):
    scan(clock)
    cloud.close(BUCKET)
    verification.request(finding=the_finding().pk, trigger=Verification.Trigger.PERSON, actor=WEB, at=clock())
    verification.drain(clock=clock)
    assert the_finding().status == "verified"

    cloud.open(BUCKET)
    verification.request(finding=the_finding().pk, trigger=Verification.Trigger.SCHEDULE, actor=access.worker(), at=clock())
    verification.drain(clock=clock)

    found = the_finding()
    assert (found.status, found.regressions) == ("open", 1)


def test_a_deleted_bucket_is_gone_and_closes_its_ticket(clock, cloud, settings):
    scan(clock)
    tickets.open_tickets(findings=[the_finding().pk], actor=WEB, at=clock())
    work(clock)

    cloud.client("s3").delete_bucket(Bucket=BUCKET)
    say_done(settings)
    work(clock)

    found = the_finding()
    assert (found.status, found.presence) == ("fix_claimed", "gone")
    assert "the asset is gone" in the_file(settings).read_text()
    assert Ticket.objects.get().state == "closed"


def test_a_permission_that_is_missing_closes_nothing_and_is_named(clock, cloud, settings, monkeypatch):
    scan(clock)
    tickets.open_tickets(findings=[the_finding().pk], actor=WEB, at=clock())
    work(clock)
    cloud.close(BUCKET)
    say_done(settings)

    with cloud.enforcing(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
    ) as keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
        work(clock)

    run = Verification.objects.get()
    assert (the_finding().status, run.outcome, run.missing) == ("fix_claimed", "denied", "s3:GetBucketPublicAccessBlock")
    assert Ticket.objects.get().state == "live"
