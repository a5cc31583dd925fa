"""A quarter's evidence as an auditor gets it: checked by a file of plain Python, and refused however it is tampered with."""

import base64
import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.utils import timezone

from integrations.archives import s3
from tests.cloud import REGION
from tests.factories import Clock, person, sealed, team
from tests.reports import imported, prowler
from tests.reports import row as report_row
from tests.servers.tsa import Tsa
from triage.domain import access, archiving, bundles, connections, evidence, ingest, ledger, outbox, users, verification
from triage.domain.bundles import sealed as sealed_events
from triage.domain.bundles import verifier
from triage.domain.connections import Wanted
from triage.domain.errors import Invalid, NotAllowed
from triage.domain.exceptions import deciding
from triage.domain.exceptions.requesting import About, request
from triage.domain.ledger import keys, notes, tree
from triage.models import Checkpoint, Event, Evidence, Finding, Leaf, Role, Scan

SAMPLES = Path(__file__).parents[1] / "samples"
BUCKET = "acme-public-assets"
OPERATOR = access.of_machine(0)
AUDITOR = access.Actor(name="user:9", door="cli", roles=frozenset({Role.AUDITOR}))
WANTED = bundles.Wanted(datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

pytestmark = pytest.mark.django_db(transaction=True)


def scan(path, clock):
    received = ingest.receive(stream=BytesIO(path.read_bytes()), name=path.name, declared={}, actor=OPERATOR, at=clock())
    return ingest.run(received.pk, clock=clock)


@pytest.fixture
def quarter(cloud, tmp_path, settings):
    """Two reports, a fix that is claimed too early and then proven, an accepted risk, people with roles. Its clock."""
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.CSPM_HOME = tmp_path
    clock = Clock(datetime(2026, 11, 21, 19, tzinfo=UTC))
    team("web")
    ana, ben = person("ana@example.com"), person("ben@example.com")
    access.give(user=ana, role=Role.TRIAGER, team=None, actor=OPERATOR, at=clock())
    access.give(user=ben, role=Role.SENIOR_APPROVER, team=None, actor=OPERATOR, at=clock())
    for name in ("flows/prowler_v5_s3_public.csv", "prowler/v5.46.csv"):
        scan(SAMPLES / name, clock)
    cloud.bucket(BUCKET)
    cloud.open(BUCKET)
    row = Finding.objects.get(asset__name=BUCKET, check_ref__key="s3_bucket_public_access")
    for close in (False, True):
        if close:
            cloud.close(BUCKET)
        clock.pass_(hours=3)
        verification.request(finding=row.pk, trigger="person", actor=OPERATOR, at=clock())
        verification.drain(clock=clock)
    row.refresh_from_db()
    assert row.status == "verified"
    other = Finding.objects.filter(is_open=True, severity=4).order_by("pk").first()
    asker = access.of_user(ana, door="page")
    wanted = request(kind="accepted", about=About(finding=other.pk), reason="until the migration", until=clock() + timedelta(days=30),
                     actor=asker, at=clock())  # fmt: skip
    deciding.approve(exception=wanted.pk, actor=access.of_user(ben, door="page"), at=clock(), reason="agreed")
    sealed(clock())
    return clock


@pytest.fixture
def bundle(quarter, tmp_path):
    return exported(quarter, tmp_path / "q4.zip")


def exported(clock, path, **options):
    options.setdefault("wanted", WANTED)
    return bundles.export(path=path, actor=AUDITOR, at=clock(), **options)


def alone(path, *options):
    """The verifier from the bundle, in a Python that knows nothing of the product."""
    with zipfile.ZipFile(path) as archive:
        script = path.with_suffix(".verify.py")
        script.write_bytes(archive.read("verify.py"))
    found = subprocess.run(
        [sys.executable, "-I", str(script), str(path), *options],
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8"},
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


def test_a_bundle_is_whole_when_the_disk_is_lost_and_an_archive_has_the_evidence(quarter, cloud, tmp_path, settings):
    settings.EVIDENCE_ARCHIVE, settings.EVIDENCE_ARCHIVE_REGION, settings.EVIDENCE_ARCHIVE_DAYS = "s3://proofs", REGION, 30
    made = {"LocationConstraint": REGION}
    cloud.client("s3").create_bucket(Bucket="proofs", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=made)
    s3._client.cache_clear()
    done = archiving.archive(actor=OPERATOR, at=quarter(), clock=timezone.now)
    assert (done.stored, done.problem) == (Evidence.objects.count(), None)
    sealed(quarter())
    whole = exported(quarter, tmp_path / "whole.zip")
    shutil.rmtree(settings.EVIDENCE_DIR)
    settings.EVIDENCE_DIR.mkdir()
    found = exported(quarter, tmp_path / "found.zip")
    assert found.absent == {}
    assert alone(found.path, "--key", found.key)[0] == 0
    assert members(found.path) == members(whole.path)
    settings.EVIDENCE_ARCHIVE_ENDPOINT_URL = "http://127.0.0.1:9"
    with pytest.raises(evidence.Unreachable):
        exported(quarter, tmp_path / "none.zip")
    assert not list(tmp_path.glob("none*"))


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if name.startswith("evidence/")}


def test_a_good_bundle_is_accepted_by_the_verifier_alone_and_by_the_product(bundle):
    code, said = alone(bundle.path, "--key", bundle.key)
    assert (code, said.splitlines()[0]) == (0, "The bundle holds.")
    found = bundles.verify(str(bundle.path), keys=[bundle.key])
    assert found.trusted
    assert (found.findings, found.events) == (bundle.findings, bundle.events)
    assert found.findings == Finding.objects.count()

    with zipfile.ZipFile(bundle.path) as archive:
        names = archive.namelist()
        rows = {row["finding"]: row for row in csv.DictReader(io.StringIO(archive.read("population.csv").decode()))}
        exceptions = json.loads(archive.read("exceptions.json"))
        roles = json.loads(archive.read("roles.json"))
        people = json.loads(archive.read("people.json"))
        policies = json.loads(archive.read("policies.json"))
    assert {"README.txt", "LISEZMOI.txt", "index.html", "controls.csv", "oscal.json", "verify.py"} <= set(names)
    fixed = Finding.objects.get(status="verified")
    row = rows[str(fixed)]
    assert (row["status"], row["grade"], row["fixed_by"], row["breached"]) == ("verified", "proof", "worker", "no")
    assert bytes(fixed.verifications.latest("pk").evidence_id).hex() == row["fixed_evidence"]
    (accepted,) = exceptions
    assert (accepted["reason"], accepted["approved_by"], people[accepted["approved_by"]]["email"]) == (
        "until the migration", accepted["approved_by"], "ben@example.com",
    )  # fmt: skip
    assert {(held["role"], held["until"]) for held in roles} == {("triager", None), ("senior_approver", None)}
    assert any(target["severity"] == "Critical" for policy in policies for target in policy["targets"])
    told = Event.objects.get(subject="bundle")
    assert (told.kind, told.actor, told.after["sha256"]) == ("exported", "user:9", bundle.sha256)


def test_before_and_after_are_in_it_and_all_of_the_sample_s_evidence(quarter, tmp_path):
    fixed = Finding.objects.get(status="verified")
    wanted = bundles.Wanted(WANTED.since, WANTED.to, query=f"id:{fixed}")
    made = exported(quarter, tmp_path / "one.zip", wanted=wanted, sample=0)
    with zipfile.ZipFile(made.path) as archive:
        proofs = [
            json.loads(archive.read(name))
            for name in archive.namelist()
            if name.startswith("evidence/") and archive.read(name)[:1] == b"{"
        ]
        page = archive.read(f"findings/{fixed}.html").decode()
    assert {proof["outcome"] for proof in proofs} == {"failing", "fixed"}
    assert "S3 bucket" in page or "Bucket" in page
    assert made.absent == {}
    assert bundles.verify(str(made.path), keys=[made.key]).evidence == 2 + len({row.sha256 for row in _reports(fixed)})


def _reports(row):
    return Scan.objects.filter(pk=row.first_scan_id)


def test_without_a_key_from_outside_nobody_vouches(bundle):
    code, said = alone(bundle.path)
    assert code == 3
    assert "NO KEY VOUCHES FOR IT" in said
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    code, said = alone(bundle.path, "--key", notes.verifier_key("somebody", stranger))
    assert (code, said) == (1, "REFUSED: The manifest is not signed by the key.\n")
    assert alone(bundle.path, "--key", "nonsense")[0] == 1


# --- tampering from outside: whoever has the bundle and no key ------------------------------------------------------------------


def rewritten(path, change):
    """The bundle with its files changed by `change` (name → bytes, in a dict that it edits)."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    copy = path.with_name("tampered.zip")
    copy.unlink(missing_ok=True)
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return copy


def lines(files):
    return files["events.jsonl"].decode().splitlines(keepends=True)


def put(files, changed):
    files["events.jsonl"] = "".join(changed).encode()


def remade(files):
    """The manifest with the hashes of what is there now: all that one can do without the key."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name not in ("manifest.json", "manifest.note")
    }
    manifest["evidence"] = sorted(name.removeprefix("evidence/") for name in files if name.startswith("evidence/"))
    files["manifest.json"] = json.dumps(manifest).encode()
    return manifest


def edit(files):
    put(files, [line.replace("critical", "low").replace('\\"severity\\": 5', '\\"severity\\": 2') for line in lines(files)])


def evidence_of(files):
    return next(name for name in files if name.startswith("evidence/"))


OUTSIDE = {
    "an edited event": (edit, "events.jsonl was changed"),
    "a dropped event": (lambda files: put(files, lines(files)[:-1]), "events.jsonl was changed"),
    "reordered events": (lambda files: put(files, lines(files)[::-1]), "events.jsonl was changed"),
    "a truncated file": (lambda files: files.update({"events.jsonl": files["events.jsonl"][:-40]}), "events.jsonl was changed"),
    "edited evidence": (lambda files: files.update({evidence_of(files): b"{}"}), "was changed"),
    "missing evidence": (lambda files: files.pop(evidence_of(files)), "is missing"),
    "a foreign file": (lambda files: files.update({"evidence/" + "0" * 64: b"x"}), "is no file of this bundle"),
    "an edited population": (
        lambda files: files.update({"population.csv": files["population.csv"].replace(b"critical", b"low")}), "population.csv was changed",
    ),
    "an edited exception": (
        lambda files: files.update({"exceptions.json": files["exceptions.json"].replace(b"migration", b"holiday")}), "exceptions.json was changed",
    ),
    "a manifest with new hashes": (lambda files: (edit(files), remade(files)), "The manifest was changed"),
    "no signature": (lambda files: files.pop("manifest.note"), "manifest.note is missing"),
    "somebody else's signature": (
        lambda files: files.update({"manifest.note": notes.note(f"cspm-bundle/1\n{hashlib.sha256(files['manifest.json']).hexdigest()}\n",
                                                                "somebody", Ed25519PrivateKey.generate()).encode()}),
        "The manifest is not signed by the key",
    ),
    "another proof": (lambda files: files.update({"proof.json": files["proof.json"].replace(b'"nodes": [', b'"nodes": ["00",')}), "proof.json was changed"),
    "an edited page": (lambda files: files.update({"index.html": b"all is well"}), "index.html was changed"),
    "another verifier": (lambda files: files.update({"verify.py": b"print('The bundle holds.')"}), "verify.py was changed"),
}  # fmt: skip


def said_of(path, key):
    """Why it is refused, None when it is not."""
    try:
        bundles.verify(str(path), keys=[key])
    except bundles.Refused as refused:
        return str(refused)
    return None


def test_whoever_has_no_key_changes_nothing(bundle):
    for how, (change, reason) in OUTSIDE.items():
        assert reason in (said_of(rewritten(bundle.path, change), bundle.key) or ""), how


def test_a_zip_that_is_none_or_holds_a_name_twice_is_refused(bundle, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(bundle.path.read_bytes()[:-100])
    assert alone(bundle.path, "--key", bundle.key)[0] == 0
    with pytest.raises(bundles.Refused, match="no readable ZIP"):
        bundles.verify(str(cut), keys=[bundle.key])
    flipped = bytearray(bundle.path.read_bytes())
    with zipfile.ZipFile(bundle.path) as archive:
        flipped[archive.getinfo("events.jsonl").header_offset + 200] ^= 1
    cut.write_bytes(flipped)
    with pytest.raises(bundles.Refused, match=r"events\.jsonl cannot be unpacked"):
        bundles.verify(str(cut), keys=[bundle.key])
    with zipfile.ZipFile(bundle.path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("population.csv", b"finding\n")
    with pytest.raises(bundles.Refused, match="two files of one name"):
        bundles.verify(str(bundle.path), keys=[bundle.key])


# --- tampering from inside: whoever has the key that signs, too -----------------------------------------------------------------


def resigned(path, change):
    """The bundle changed by an administrator, who signs it anew."""

    def all_of_it(files):
        change(files)
        manifest = remade(files) if "keep" not in files else json.loads(files["manifest.json"])
        files.pop("keep", None)
        files["manifest.json"] = json.dumps(manifest).encode()
        key, private = keys.current(actor="worker", at=WANTED.since)
        text = f"cspm-bundle/1\n{hashlib.sha256(files['manifest.json']).hexdigest()}\n"
        files["manifest.note"] = notes.note(text, key.origin, private).encode()

    return rewritten(path, all_of_it)


def parsed(files):
    return [json.loads(line) for line in lines(files)]


def written(files, rows):
    files["events.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()


def content(row):
    return json.loads(row["content"])


def of_the_fixed(files):
    """The events of the finding that was fixed."""
    return next(row for row in parsed(files) if content(row)["kind"] == "verified")


def changed_event(**columns):
    def change(files):
        rows = parsed(files)
        for row in rows:
            if content(row)["kind"] == "verified":
                row["content"] = json.dumps(content(row) | columns)
        written(files, rows)

    return change


def without(kind):
    def change(files):
        written(files, [row for row in parsed(files) if content(row)["kind"] != kind])

    return change


def renumbered(files):
    """Without the check that failed; all that follow have the numbers before theirs."""
    fixed = content(of_the_fixed(files))["subject_id"]
    rows, gone = [], 0
    for row in parsed(files):
        said = content(row)
        if said["subject"] == "finding" and said["subject_id"] == fixed:
            if said["kind"] == "checked":
                gone += 1
                continue
            row["content"] = json.dumps(said | {"seq": said["seq"] - gone})
        rows.append(row)
    written(files, rows)


def table(files, change):
    rows = list(csv.DictReader(io.StringIO(files["population.csv"].decode())))
    change(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files["population.csv"] = text.getvalue().encode()


def other_words(files):
    rows = parsed(files)
    for row in rows:
        if row["words"] and "until the migration" in row["words"]:
            row["words"] = row["words"].replace("until the migration", "for ever")
    written(files, rows)


def no_words(files):
    rows = parsed(files)
    rows[0].update(salt=None, words=None)
    written(files, rows)


def another_asset(files):
    table(files, lambda rows: rows[0].update(asset_in_key="arn:aws:s3:::harmless", asset="arn:aws:s3:::harmless"))


def one_finding_less(files):
    """Dropped as a whole: from the population, with its events, its sample."""
    fixed = content(of_the_fixed(files))["subject_id"]
    written(files, [row for row in parsed(files) if (content(row)["subject"], content(row)["subject_id"]) != ("finding", fixed)])
    table(files, lambda rows: rows[:] and rows.remove(next(row for row in rows if row["status"] == "verified")))
    manifest = json.loads(files["manifest.json"])
    manifest["population"]["count"] -= 1
    manifest["sample"]["findings"].remove(f"F-{fixed:06d}")
    files["manifest.json"] = json.dumps(manifest).encode()


def one_finding_less_and_a_proof_without_it(files):
    """With all leaves at hand, the proof is made anew: it holds."""
    one_finding_less(files)
    proof = json.loads(files["proof.json"])
    size = json.loads(files["manifest.json"])["log"]["size"]
    leaves = [row["leaf"] for row in parsed(files)]
    proof["nodes"] = [node.hex() for node in sealed_events.nodes(leaves, size, tree.Tree().subtree)]
    files["proof.json"] = json.dumps(proof).encode()


def swapped_evidence(files):
    """The evidence of the check that failed under the name of the one that passed."""
    fixed = content(of_the_fixed(files))["evidence"]
    files["evidence/" + fixed] = b'{"outcome": "fixed"}'


def shadow_evidence(files):
    files["evidence/" + hashlib.sha256(b"made up").hexdigest()] = b"made up"


def another_sample(files):
    manifest = json.loads(files["manifest.json"])
    manifest["sample"]["findings"] = manifest["sample"]["findings"][:-1]
    files["manifest.json"] = json.dumps(manifest).encode()


def self_approved(files):
    listed = json.loads(files["exceptions.json"])
    listed[0]["approved_by"] = listed[0]["requested_by"]
    files["exceptions.json"] = json.dumps(listed).encode()


INSIDE = {
    "a status": (lambda files: table(files, lambda rows: rows[1].update(status="verified")), "by its events"),
    "a deadline": (lambda files: table(files, lambda rows: rows[0].update(due_at="2030-01-01T00:00:00Z")), "due_at"),
    "an asset": (another_asset, "another check or asset"),
    "the date of a fix": (changed_event(at="2026-11-21T19:00:00.000000Z"), "fixed_at"),
    "what an event says, at the same date": (changed_event(door="page"), "root over them is another one"),
    "a check that failed, left out": (without("checked"), "is missing or out of its place"),
    "a check that failed, left out, and the rest renumbered": (renumbered, "by its events"),
    "a reason": (other_words, "its words are not those that were sealed"),
    "words that are gone without an erasure": (no_words, "has lost its words"),
    "a finding that is left out": (one_finding_less, "The proof that the events are in the log is incomplete"),
    "a finding that is left out, with a proof that holds": (
        one_finding_less_and_a_proof_without_it,
        "1 findings that began in the period are left out",
    ),
    "evidence that proves nothing": (swapped_evidence, "is not what its name says"),
    "evidence that no event names": (shadow_evidence, "is named by no event"),
    "a sample that is chosen": (another_sample, "The sample is not the one"),
    "another approver of an exception": (self_approved, "do not say who approved it"),
}


def test_whoever_has_the_key_cannot_make_the_bundle_say_what_the_log_does_not(bundle):
    assert said_of(resigned(bundle.path, lambda files: None), bundle.key) is None
    for how, (change, reason) in INSIDE.items():
        assert reason in (said_of(resigned(bundle.path, change), bundle.key) or ""), how


def test_a_log_that_was_written_anew_holds_only_for_whoever_kept_no_head(quarter, tmp_path):
    kept = tmp_path / "head.txt"
    kept.write_text(Checkpoint.objects.latest("size").note)
    made = exported(quarter, tmp_path / "honest.zip", heads=[kept.read_text()])
    assert alone(made.path, "--key", made.key, "--head", str(kept))[0] == 0

    # The administrator, with the database and the key: history without the check that failed.
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE; SET session_replication_role = replica")
        cursor.execute("UPDATE triage_event SET at = at - interval '2 hours' WHERE kind = 'verified'")
        cursor.execute("TRUNCATE triage_leaf, triage_node, triage_checkpoint CASCADE")
        cursor.execute("SET session_replication_role = DEFAULT; SET ROLE cspm_app")
    sealed(quarter())
    assert ledger.verify(at=quarter()).fault is None
    with pytest.raises(Invalid, match="not one of this log"):
        exported(quarter, tmp_path / "forged.zip", heads=[kept.read_text()])
    forged = exported(quarter, tmp_path / "forged.zip")
    assert alone(forged.path, "--key", forged.key)[0] == 0
    code, said = alone(forged.path, "--key", forged.key, "--head", str(kept))
    assert code == 1
    assert "not one of this log" in said or "no proof for the head" in said


def test_time_stamps_of_heads_are_in_it(quarter, tmp_path):
    with Tsa() as tsa:
        wanted = Wanted(
            "stamps", "witnesses", "witness_rfc3161", {"url": tsa.address, "allow_private": "yes", "certificates": str(tsa.root)}
        )
        connections.put(wanted, actor=OPERATOR, at=quarter())
        sealed(quarter())
        ledger.seal(at=quarter())
        outbox.drain(at=quarter(), clock=quarter)
        made = exported(quarter, tmp_path / "stamped.zip")
        with zipfile.ZipFile(made.path) as archive:
            (name,) = [name.removesuffix(".tsr") for name in archive.namelist() if name.endswith(".tsr")]
            archive.extractall(tmp_path / "x")
        subprocess.run(["openssl", "ts", "-verify", "-data", f"{name}.head", "-in", f"{name}.tsr", "-CAfile", str(tsa.root)],
                       cwd=tmp_path / "x", check=True, capture_output=True)  # fmt: skip
    assert bundles.verify(str(made.path), keys=[made.key]).trusted


def test_a_stale_head_is_refused_by_whoever_has_a_newer_one(bundle, quarter, tmp_path):
    access.give(user=person("cy@example.com"), role=Role.VIEWER, team=None, actor=OPERATOR, at=quarter())
    sealed(quarter())
    newer = Checkpoint.objects.latest("size")
    with pytest.raises(bundles.Refused, match="the bundle's is older"):
        bundles.verify(str(bundle.path), keys=[bundle.key], head=newer.note)


def test_a_key_vouches_for_the_one_that_follows(quarter, tmp_path):
    before = ledger.keys_on_record(actor=OPERATOR)[0][1]
    after = ledger.rotate(actor="os:0", at=quarter())
    sealed(quarter())
    made = exported(quarter, tmp_path / "rotated.zip")
    assert made.key == after != before
    assert bundles.verify(str(made.path), keys=[before]).trusted
    assert bundles.verify(str(made.path), keys=[after]).trusted
    lost = ledger.rotate(actor="os:0", at=quarter(), lost=True)
    sealed(quarter())
    again = exported(quarter, tmp_path / "lost.zip")
    with pytest.raises(bundles.Refused, match="not signed by the key"):
        bundles.verify(str(again.path), keys=[before])
    assert bundles.verify(str(again.path), keys=[before, lost]).trusted


def test_what_was_erased_is_said_to_be_so_and_the_rest_holds(quarter, tmp_path):
    event = Event.objects.filter(subject="exception", kind="requested").get()
    ledger.erase(event=event.pk, reason="GDPR, article 17", actor=OPERATOR, at=quarter())
    users.erase(user=users.named("ana@example.com"), reason="GDPR, article 17", actor=OPERATOR, at=quarter())
    sealed(quarter())
    assert ledger.verify(at=quarter()).fault is None
    made = exported(quarter, tmp_path / "erased.zip")
    assert alone(made.path, "--key", made.key)[0] == 0
    with zipfile.ZipFile(made.path) as archive:
        assert b"ana@example.com" not in b"".join(archive.read(name) for name in archive.namelist())


def test_damaged_and_deleted_evidence_is_said_to_be_absent(quarter, tmp_path):
    proof = bytes(Finding.objects.get(status="verified").verifications.latest("pk").evidence_id)
    evidence.path_of(proof, "zstd").unlink()
    made = exported(quarter, tmp_path / "absent.zip", sample=0)
    assert made.absent[proof.hex()] == "damaged on disk"
    assert bundles.verify(str(made.path), keys=[made.key]).absent == made.absent


def test_who_may_not_audit_gets_none_and_nothing_is_left_of_a_failure(quarter, tmp_path):
    path = tmp_path / "x.zip"
    viewer = access.Actor(name="user:3", door="cli", roles=frozenset({Role.VIEWER}))
    with pytest.raises(NotAllowed):
        bundles.export(path=path, wanted=WANTED, actor=viewer, at=quarter())
    nothing = bundles.Wanted(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="No finding of this period"):
        bundles.export(path=path, wanted=nothing, actor=AUDITOR, at=quarter())
    with pytest.raises(Invalid, match="No check serves framework"):
        bundles.export(
            path=path, wanted=bundles.Wanted(WANTED.since, WANTED.to, framework="nonsense"), actor=AUDITOR, at=quarter()
        )
    assert not list(tmp_path.glob("x.zip*"))
    path.write_text("mine")
    with pytest.raises(Invalid, match="is there already"):
        bundles.export(path=path, wanted=WANTED, actor=AUDITOR, at=quarter())
    assert path.read_text() == "mine"


def test_a_period_in_the_middle_is_complete_too(cloud, tmp_path, settings):
    """What was open before is carried over, what came after is there to be seen as later, what was over before is not in it."""
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.CSPM_HOME = tmp_path
    # In real time: when an event was recorded is what the database's clock says.
    edges = []
    for number in range(3):
        time.sleep(1)  # reports tell whole seconds
        edges.append(timezone.now().replace(microsecond=0))
        time.sleep(0.01)
        rows = [report_row(f"b{number}", check=f"check_{number}"), report_row("b", check=f"old_{number}")]
        imported(prowler(rows, at=timezone.now()))
        sealed(timezone.now())
        assert Finding.objects.count() == 2 * (number + 1)
    clock = timezone.now
    october = bundles.Wanted(edges[1], edges[2])
    made = exported(clock, tmp_path / "october.zip", wanted=october)
    found = bundles.verify(str(made.path), keys=[made.key])
    assert (found.findings, found.complete) == (4, True)
    assert {row["check"] for row in _population(made.path)} == {"check_0", "old_0", "check_1", "old_1"}
    # Whoever signs cannot call a later head the one before the period, to hide what was found in between.
    later = Checkpoint.objects.filter(at__lt=october.to).latest("size")

    def call_it_before(files):
        manifest, proof = json.loads(files["manifest.json"]), json.loads(files["proof.json"])
        manifest["population"]["before"] = later.size
        stored, size = tree.Tree(), manifest["log"]["size"]
        proof["edge"] = bytes(Leaf.objects.get(number=later.size - 1).content).decode()
        leaves = {row["leaf"] for row in parsed(files)} | {later.size - 1}
        proof["nodes"] = [node.hex() for node in sealed_events.nodes(leaves, size, stored.subtree)]
        proof["heads"].append({"note": later.note, "path": sealed_events.path(later.size, size, stored)})
        files["manifest.json"], files["proof.json"] = json.dumps(manifest).encode(), json.dumps(proof).encode()

    assert (
        said_of(resigned(made.path, call_it_before), made.key)
        == f"The head of {later.size} leaves is not from before the period."
    )
    assert found.manifest["population"]["before"] == Checkpoint.objects.filter(at__lt=october.since).latest("size").size


def test_a_framework_chooses_its_checks(quarter, tmp_path):
    whole = exported(quarter, tmp_path / "all.zip")
    made = exported(
        quarter, tmp_path / "soc2.zip", wanted=bundles.Wanted(WANTED.since, WANTED.to, framework="soc2"), sample=3, seed="2026"
    )
    assert 0 < made.findings < whole.findings
    with zipfile.ZipFile(made.path) as archive:
        controls = list(csv.DictReader(io.StringIO(archive.read("controls.csv").decode())))
        results = json.loads(archive.read("oscal.json"))["assessment-results"]
    assert {row["framework_name"] for row in controls} == {"SOC 2"}
    assert results["results"][0]["findings"]
    found = bundles.verify(str(made.path), keys=[made.key])
    assert not found.complete
    assert found.manifest["sample"]["findings"] == verifier.drawn(
        sorted(row["finding"] for row in _population(made.path)), "2026", 3
    )


def _population(path):
    with zipfile.ZipFile(path) as archive:
        return list(csv.DictReader(io.StringIO(archive.read("population.csv").decode())))


def test_signatures_are_verified_as_the_library_does():
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    for number in range(20):
        message = bytes([number]) * number
        signature = private.sign(message)
        assert verifier.signed(public, message, signature)
        assert not verifier.signed(public, message + b"x", signature)
        scalar = int.from_bytes(signature[32:], "little") + verifier.ORDER
        assert not verifier.signed(public, message, signature[:32] + scalar.to_bytes(32, "little"))
    # RFC 8032, 7.1, test 1.
    assert verifier.signed(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), b"",
        bytes.fromhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    )  # fmt: skip
    assert base64.b64decode("AQ==") == b"\x01"
