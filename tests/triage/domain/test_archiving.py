"""Evidence in a bucket that locks it: on moto's S3 over HTTP, with the clock of the day, as locks end in real time."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from integrations.archives import s3
from tests.cloud import REGION
from tests.factories import VIEWER, Clock, finding, person
from tests.plugins.verifiers import told
from tests.processes import ended, in_child
from triage import plugins, tasks
from triage.domain import access, archives, archiving, evidence, proofs, retention, verification
from triage.domain.errors import Invalid, NotAllowed
from triage.models import ArchiveStanding, Event, Evidence

pytestmark = pytest.mark.django_db(transaction=True)
OPERATOR = access.of_machine(0)


@pytest.fixture(scope="module")
def there(cloud_server):
    """S3 as an administrator has it. The product's clients are kept from test to test, too."""
    s3._client.cache_clear()
    yield cloud_server.client("s3")
    s3._client.cache_clear()


@pytest.fixture(autouse=True)
def house(settings, tmp_path, cloud, there, named_verifier):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_ARCHIVE = "s3://proofs/acme"
    settings.EVIDENCE_ARCHIVE_REGION = REGION
    settings.EVIDENCE_ARCHIVE_DAYS = 30
    settings.KEEP_EVIDENCE_DAYS = 365
    told.ANSWERS.clear()
    there.create_bucket(
        Bucket="proofs", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": REGION}
    )


def kept(*data, at=None):
    return [evidence.keep(each, media_type="text/plain", at=at or timezone.now()) for each in data]


def archive(**given):
    return archiving.archive(actor=access.worker(), at=timezone.now(), clock=timezone.now, **given)


def versions(there):
    return there.list_object_versions(Bucket="proofs").get("Versions", [])


def head(there, row):
    row.refresh_from_db()
    name = archives.name_of(bytes(row.sha256))
    return there.head_object(Bucket="proofs", Key=f"acme/{name}", VersionId=row.archive_version)


def lost(row):
    evidence.path_of(bytes(row.sha256), row.encoding).unlink()


def proven(bucket="a", at=None):
    """A finding that was verified, and its proof, kept then."""
    row, clock = finding(check="told", bucket=bucket), Clock()
    told.ANSWERS.append(told.judgement("fixed", clock(), response={"bucket": bucket}))
    run = verification.request(finding=row.pk, trigger="person", actor=OPERATOR, at=clock())
    run = verification.run(verification=run.pk, clock=clock)
    Evidence.objects.filter(pk=run.evidence_id).update(kept_at=at or timezone.now())
    return row, Evidence.objects.get(pk=run.evidence_id)


def test_what_is_kept_is_copied_once_and_locked(there):
    rows = kept(b"one", b"two", b"three")
    assert archive().stored == 3
    assert archive() == archiving.Done()
    for row in rows:
        found = head(there, row)
        assert found["ObjectLockMode"] == "COMPLIANCE"
        assert abs(found["ObjectLockRetainUntilDate"] - row.kept_at - timedelta(days=30)) < timedelta(seconds=2)
        assert evidence.path_of(bytes(row.sha256), row.encoding).exists()
    event = Event.objects.get(subject="evidence archive")
    assert (event.kind, event.actor, event.after["mode"]) == ("stored", "worker", "COMPLIANCE")
    assert event.after["versions"] == {str(row): row.archive_version for row in rows}
    version = rows[0].archive_version
    with pytest.raises(there.exceptions.ClientError, match="AccessDenied"):
        there.delete_object(Bucket="proofs", Key=f"acme/{archives.name_of(bytes(rows[0].sha256))}", VersionId=version)


def test_statements_do_not_grow_with_pieces(django_assert_max_num_queries):
    kept(*(b"%d" % number for number in range(20)))
    with django_assert_max_num_queries(25):
        assert archive().stored == 20


def test_whoever_dies_after_storing_leaves_what_the_next_takes_over(there, settings):
    (row,) = kept(b"one")
    settings.PLUGIN_PACKAGES = settings.PLUGIN_PACKAGES | {"archives": ["integrations.archives", "tests.plugins.archives"]}
    plugins._modules.cache_clear()
    settings.EVIDENCE_ARCHIVE = "dying://proofs/acme"
    assert ended(in_child(archive)) == -9
    settings.EVIDENCE_ARCHIVE = "s3://proofs/acme"
    row.refresh_from_db()
    assert row.archived_at is None
    (lies,) = versions(there)
    assert archive().stored == 1
    row.refresh_from_db()
    assert [each["VersionId"] for each in versions(there)] == [lies["VersionId"]] == [row.archive_version]


def test_two_workers_do_nothing_twice(there):
    kept(*(b"%d" % number for number in range(12)))
    children = [in_child(archive) for _worker in range(2)]
    assert [ended(child) for child in children] == [0, 0]
    archive()
    assert len(versions(there)) == 12
    told_of = [name for event in Event.objects.filter(subject="evidence archive") for name in event.after["versions"]]
    assert len(told_of) == len(set(told_of)) == 12


def test_what_the_disk_lost_is_read_from_the_archive():
    row, proof = proven()
    assert archive().stored == 1
    lost(proof)
    found = proofs.compared(finding=row, actor=OPERATOR, at=timezone.now())
    assert found.after.outcome == "fixed"
    with pytest.raises(evidence.Damaged, match="is missing on disk"):
        evidence.read(proof.pk, here=True)
    with evidence.open_stored(proof.pk) as stream:
        stream.seek(2)
        assert stream.tell() == 2


def test_a_page_reads_what_the_disk_lost_and_says_when_it_cannot(client, settings):
    row, proof = proven()
    archive()
    lost(proof)
    client.force_login(person("vic@example.com", "viewer"))
    address = reverse("proof", args=[row.verifications.get().pk])
    assert json.loads(client.post(address).content)["outcome"] == "fixed"
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = "http://127.0.0.1:9"
    answer = client.post(address)
    assert answer.status_code == 503
    assert "is in the archive alone, which does not give it now: S3 was not reached" in answer.content.decode()


def test_a_hold_that_comes_after_pruning_tried_is_set_there_again(there, settings):
    row, proof = proven(at=timezone.now() - timedelta(days=400))
    archive()
    for _time in range(2):
        placed = retention.hold(finding=row.pk, reason="a claim", actor=OPERATOR, at=timezone.now())
        assert archive().held == 1
        assert head(there, proof)["ObjectLockLegalHoldStatus"] == "ON"
        retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=timezone.now())
        Evidence.objects.update(archive_until=timezone.now())
        assert retention.prune(at=timezone.now(), actor=OPERATOR) == retention.Pruned(0, 1)


def test_other_bytes_in_the_archive_are_found(there, settings):
    (row,) = kept(b"one")
    archive()
    name = f"acme/{archives.name_of(bytes(row.sha256))}"
    other = there.put_object(Bucket="proofs", Key=name, Body=b"two")["VersionId"]
    Evidence.objects.update(archive_version=other)
    lost(row)
    with pytest.raises(evidence.Damaged, match="was changed in the archive"):
        evidence.read(row.pk)
    Evidence.objects.update(archive_version="00000000-0000-0000-0000-000000000000")
    with pytest.raises(evidence.Damaged, match="missing on disk and in the archive"):
        evidence.read(row.pk)
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(evidence.Unreachable, match="does not give it now: S3 was not reached"):
        evidence.read(row.pk)


def test_a_damaged_piece_is_left_aside_and_others_go_on(there):
    damaged, _fine = kept(b"one" * 100, b"two" * 100)
    evidence.path_of(bytes(damaged.sha256), "zstd").write_bytes(evidence.path_of(bytes(_fine.sha256), "zstd").read_bytes())
    gone, _other = kept(b"three", b"four")
    lost(gone)
    (closed,) = kept(b"five")
    lost(closed)
    evidence.path_of(bytes(closed.sha256), "zstd").mkdir()
    assert archive() == archiving.Done(stored=2, aside=3)
    closed.refresh_from_db()
    assert "cannot be read from disk: Is a directory" in closed.archive_problem["message"] % closed.archive_problem["params"]
    evidence.path_of(bytes(closed.sha256), "zstd").rmdir()
    Evidence.objects.filter(pk=closed.pk).update(deleted_at=timezone.now())
    assert archive() == archiving.Done()
    found = archiving.standing(actor=OPERATOR)
    assert (found.archived, found.waiting, found.aside, found.problem) == (2, 2, 2, None)
    assert "was changed on disk" in str(found.because)
    assert len(versions(there)) == 2
    evidence.keep(b"three", media_type="text/plain", at=timezone.now())
    assert archive(impatient=True) == archiving.Done(stored=1, aside=1)


def test_a_bucket_without_locks_is_refused_and_tried_again_later(there, cloud, settings):
    kept(b"one")
    cloud.bucket("plain")
    settings.EVIDENCE_ARCHIVE = "s3://plain"
    assert str(archive().problem) == "The bucket plain has no Object Lock. Make one that has it: docs/audit.md says how."
    assert "Contents" not in there.list_objects_v2(Bucket="plain")
    settings.EVIDENCE_ARCHIVE = "s3://proofs/acme"
    assert archive().stored == 0
    told_of = archiving.metrics(at=timezone.now())
    assert "cspm_evidence_archive_failing 1" in told_of
    assert "cspm_evidence_archive_waiting 1" in told_of
    row = ArchiveStanding.objects.get()
    assert (row.failures, row.due_at > timezone.now()) == (1, True)
    assert archive(impatient=True) == archiving.Done(stored=1)
    row.refresh_from_db()
    assert (row.failures, row.problem, row.due_at) == (0, {}, None)
    assert "cspm_evidence_archive_failing 0" in archiving.metrics(at=timezone.now())


def test_a_permission_that_is_missing_is_named_and_stops_the_run(cloud, monkeypatch):
    kept(*(b"%d" % number for number in range(30)))
    statements = [
        {"Effect": effect, "Action": action, "Resource": "*"} for effect, action in (("Allow", "s3:*"), ("Deny", "s3:PutObject"))
    ]
    with cloud.enforcing({"Version": "2012-10-17", "Statement": statements}) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        s3._client.cache_clear()
        assert "s3:PutObject, s3:PutObjectRetention is needed" in str(archive().problem)
        s3._client.cache_clear()
    assert not Evidence.objects.exclude(archived_at=None).exists()
    assert not Evidence.objects.exclude(archive_problem={}).exists()


def test_settings_that_contradict_themselves_are_said(settings):
    kept(b"one")
    settings.EVIDENCE_ARCHIVE_DAYS = settings.KEEP_EVIDENCE_DAYS = 0
    assert "CSPM_EVIDENCE_ARCHIVE_DAYS" in str(archive().problem)
    for name, value in (("EVIDENCE_ARCHIVE", "ftp://x"), ("EVIDENCE_ARCHIVE", "s3://"), ("EVIDENCE_ARCHIVE_MODE", "NONE")):
        setattr(settings, name, value)
        with pytest.raises(Invalid, match=f"CSPM_{name}"):
            archives.configured()
        settings.EVIDENCE_ARCHIVE = "s3://proofs"
    settings.EVIDENCE_ARCHIVE = ""
    assert archive() == archiving.Done()
    assert archiving.metrics(at=timezone.now()) == ""


def test_local_copies_go_when_the_archive_has_had_them_for_long(settings):
    first, second = kept(b"one", b"two")
    archive()
    Evidence.objects.filter(pk=first.pk).update(archived_at=timezone.now() - timedelta(days=8))
    assert archiving.drop_copies(at=timezone.now()) == 0
    settings.EVIDENCE_SPOOL_DAYS = 7
    tasks.tidy()
    assert not evidence.path_of(bytes(first.sha256), "zstd").exists()
    assert evidence.path_of(bytes(second.sha256), "zstd").exists()
    assert evidence.read(first.pk) == b"one"
    assert archiving.drop_copies(at=timezone.now()) == 0
    evidence.keep(b"one", media_type="text/plain", at=timezone.now())
    assert Evidence.objects.get(pk=first.pk).on_disk
    assert evidence.read(first.pk, here=True) == b"one"


def test_a_lost_disk_does_not_stop_compression(settings, tmp_path):
    report = tmp_path / "report.csv"
    report.write_bytes(b"one")
    row = evidence.keep_file(report, media_type="text/csv", at=timezone.now())
    archive()
    lost(row)
    assert evidence.compress_older(than=timezone.now()) == 1
    assert evidence.compress_older(than=timezone.now()) == 0
    assert evidence.read(row.pk) == b"one"


@pytest.mark.parametrize(("about", "covered"), [("everything", 2), ("query", 1)])
def test_holds_are_legal_holds_there(there, about, covered):
    _row, proof = proven()
    archive()
    placed = retention.hold(query="asset:*a" if about == "query" else "", reason="a claim", actor=OPERATOR, at=timezone.now())
    _other, later = proven("other")
    assert archive().held == covered
    assert head(there, proof)["ObjectLockLegalHoldStatus"] == "ON"
    assert head(there, later).get("ObjectLockLegalHoldStatus") == ("ON" if covered == 2 else None)
    assert archive() == archiving.Done()
    retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=timezone.now())
    assert archive().lifted == covered
    assert head(there, proof)["ObjectLockLegalHoldStatus"] == "OFF"
    kinds = list(Event.objects.filter(subject="evidence archive").order_by("pk").values_list("kind", flat=True))
    assert kinds == ["stored", "stored", "held", "hold lifted"]


def test_pruning_waits_for_the_lock_and_then_deletes_there(there, settings):
    settings.EVIDENCE_ARCHIVE_MODE = "GOVERNANCE"
    long_ago = timezone.now() - timedelta(days=400)
    row, proof = proven(at=long_ago)
    archive()
    proof.refresh_from_db()
    assert proof.archive_until > timezone.now()
    assert retention.prune(at=timezone.now(), actor=OPERATOR) == retention.Pruned(0, 1)
    # By our clock its time is over; by that of the archive it is not.
    assert retention.prune(at=timezone.now() + timedelta(days=2), actor=OPERATOR) == retention.Pruned(0, 1)
    proof.refresh_from_db()
    assert proof.deleted_at is None
    unlock(there, proof)
    assert retention.prune(at=timezone.now() + timedelta(days=4), actor=OPERATOR) == retention.Pruned(1, 0)
    proof.refresh_from_db()
    assert (proof.deleted_at is not None, proof.archived_at, proof.archive_version) == (True, None, "")
    assert versions(there) == []
    event = Event.objects.filter(subject="finding", subject_id=row.pk).latest("seq")
    assert (event.kind, "archive_version" in event.after) == ("evidence deleted", True)


def unlock(there, row):
    """As if time had passed: moto takes a lock that is over, S3 would not."""
    row.refresh_from_db()
    there.put_object_retention(
        Bucket="proofs", Key=f"acme/{archives.name_of(bytes(row.sha256))}", VersionId=row.archive_version, BypassGovernanceRetention=True,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": timezone.now() - timedelta(seconds=1)},
    )  # fmt: skip


def test_what_was_deleted_on_its_way_there_is_deleted_there_later(there, settings):
    settings.EVIDENCE_ARCHIVE_MODE = "GOVERNANCE"
    (row,) = kept(b"one")
    archive()
    Evidence.objects.update(deleted_at=timezone.now())
    later = timezone.now() + timedelta(days=40)
    assert retention.prune(at=later, actor=OPERATOR) == retention.Pruned()
    unlock(there, row)
    retention.prune(at=later + timedelta(days=2), actor=OPERATOR)
    assert versions(there) == []
    assert Event.objects.filter(subject="evidence archive", kind="deleted").exists()


def test_an_archive_that_does_not_answer_keeps_what_is_due(settings):
    _row, proof = proven(at=timezone.now() - timedelta(days=400))
    archive()
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = "http://127.0.0.1:9"
    done = retention.prune(at=timezone.now() + timedelta(days=2), actor=OPERATOR)
    assert (done.deleted, str(done.problem)) == (0, "S3 was not reached: EndpointConnectionError.")
    proof.refresh_from_db()
    assert proof.deleted_at is None


def test_who_may_archive_and_look():
    for call in (
        lambda: archiving.archive(actor=VIEWER, at=timezone.now(), clock=timezone.now),
        lambda: archiving.standing(actor=VIEWER),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_the_command_line_archives_and_tells(capsys, settings):
    kept(b"one")
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="S3 was not reached") as error:
        call_command("evidence", "archive")
    assert error.value.returncode == 3
    call_command("evidence", "status")
    said = capsys.readouterr().out
    assert "s3://proofs/acme  COMPLIANCE  30 days" in said
    assert "Archived: 0. Waiting: 1." in said
    assert "S3 was not reached" in said
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = ""
    call_command("evidence", "archive", now=True)
    assert "Stored: 1. Not taken: 0. Legal holds: 0 set, 0 lifted." in capsys.readouterr().out
    call_command("evidence", "status", json=True)
    told_of = json.loads(capsys.readouterr().out)
    assert (told_of["archive"], told_of["archived"], told_of["waiting"], told_of["problem"]) == ("s3://proofs/acme", 1, 0, None)
    settings.EVIDENCE_ARCHIVE = ""
    call_command("evidence", "status")
    assert "stays on disk alone" in capsys.readouterr().out
    with pytest.raises(CommandError, match="stays on disk alone"):
        call_command("evidence", "archive")
