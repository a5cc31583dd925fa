"""What is deleted after its time, and what keeps it: holds, open findings, exceptions."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from tests.factories import AT, TRIAGER, VIEWER, Clock, change, finding, team
from tests.plugins.verifiers import told
from tests.reports import imported, prowler
from tests.reports import row as report_row
from triage.domain import access, evidence, retention, verification
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.domain.search import QueryError
from triage.models import Event, Evidence, Finding, Hold, HoldItem

pytestmark = pytest.mark.django_db(transaction=True)
OPERATOR = access.of_machine(0)
LATER = AT + timedelta(days=400)


@pytest.fixture(autouse=True)
def house(settings, tmp_path, named_verifier):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.KEEP_EVIDENCE_DAYS = settings.KEEP_REPORTS_DAYS = 365
    told.ANSWERS.clear()


def proven(bucket="a"):
    """A finding that was verified, and the SHA-256 of its proof."""
    row, clock = finding(check="told", bucket=bucket), Clock()
    told.ANSWERS.append(told.judgement("fixed", clock(), response={"bucket": bucket}))
    run = verification.request(finding=row.pk, trigger="person", actor=OPERATOR, at=clock())
    run = verification.run(verification=run.pk, clock=clock)
    return row, bytes(run.evidence_id)


def prune(at=LATER):
    return retention.prune(at=at, actor=OPERATOR).deleted


def test_what_is_old_and_needed_by_nothing_goes_and_that_is_an_event():
    row, proof = proven()
    assert prune(AT + timedelta(days=300)) == 0
    assert prune() == 1
    assert not evidence.path_of(proof, "zstd").exists()
    assert Evidence.objects.get(pk=proof).deleted_at == LATER
    told_of = Event.objects.filter(subject="finding", subject_id=row.pk).latest("seq")
    assert (told_of.kind, told_of.after["sha256"], told_of.reason) == ("evidence deleted", proof.hex(), "retention")
    with pytest.raises(NotFound):
        evidence.read(proof)
    assert prune() == 0


def test_without_a_setting_everything_is_kept(settings):
    proven()
    settings.KEEP_EVIDENCE_DAYS = 0
    assert prune() == 0


def test_an_open_finding_keeps_its_evidence():
    row, _proof = proven()
    change(row, status="open", grade="", settled_at=None)
    assert prune() == 0


def test_a_hold_keeps_it_until_it_is_released():
    row, proof = proven()
    other, _other_proof = proven("b")
    placed = retention.hold(finding=row.pk, reason="a claim", actor=OPERATOR, at=AT)
    assert prune() == 1
    assert evidence.path_of(proof, "zstd").exists()
    everything = retention.hold(finding=None, reason="litigation", actor=OPERATOR, at=AT)
    retention.release(number=placed.pk, reason="settled", actor=OPERATOR, at=AT)
    assert prune() == 0
    retention.release(number=everything.pk, reason="over", actor=OPERATOR, at=AT)
    assert prune() == 1
    kinds = list(Event.objects.filter(subject="hold").order_by("pk").values_list("kind", "reason"))
    assert kinds == [("placed", "a claim"), ("placed", "litigation"), ("released", "settled"), ("released", "over")]
    assert other.pk != row.pk


def test_a_hold_of_an_account_keeps_what_it_has_and_will_have():
    row, proof = proven()
    placed = retention.hold(account=row.account_id, reason="a dispute", actor=OPERATOR, at=AT)
    _later, other = proven("later")
    assert prune() == 0
    assert Event.objects.get(subject="hold").after == {"account": row.account_id}
    retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=AT)
    assert prune() == 2
    assert not evidence.path_of(proof, "zstd").exists()
    assert not evidence.path_of(other, "zstd").exists()


def test_a_hold_of_a_query_keeps_what_it_found_then_and_what_it_finds_now():
    kept, kept_proof = proven("kept")
    came, came_proof = proven("came")
    _other, _other_proof = proven("other")
    web = team("web")
    change(kept, team_id=web.pk)
    placed = retention.hold(query=" team:web ", reason="a claim", actor=OPERATOR, at=AT)
    assert Event.objects.get(subject="hold").after == {"query": "team:web", "findings": 1}
    change(kept, team_id=None)
    change(came, team_id=web.pk)
    assert prune() == 1
    change(came, team_id=None)
    assert prune() == 0
    assert set(HoldItem.objects.filter(hold=placed).values_list("finding", flat=True)) == {kept.pk, came.pk}
    for proof in (kept_proof, came_proof):
        assert evidence.path_of(proof, "zstd").exists()
    retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=AT)
    assert prune() == 2


@pytest.mark.parametrize("query", ["account:000000000000", "check:none_such", "id:F-999999", "asset:nowhere"])
def test_a_query_that_finds_nothing_yet_holds_nothing(query):
    proven()
    retention.hold(query=query, reason="a claim", actor=OPERATOR, at=AT)
    assert not HoldItem.objects.exists()
    assert prune() == 1


def test_while_a_hold_cannot_be_asked_nothing_is_deleted():
    proven()
    team("web")
    placed = retention.hold(query="team:web", reason="a claim", actor=OPERATOR, at=AT)
    Hold.objects.update(query="team:gone")
    done = retention.prune(at=LATER, actor=OPERATOR)
    assert done.deleted == 0
    assert f"the query of {placed} is no longer valid" in str(done.problem)
    with pytest.raises(Invalid):
        list(retention.due(at=LATER))
    retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=AT)
    assert prune() == 1


def test_reports_of_held_findings_stay():
    scan = imported(prowler([report_row("x")], at=AT))
    row = Finding.objects.get()
    change(row, status="verified", grade="proof", settled_at=AT)
    Evidence.objects.update(kept_at=AT)
    for about in ({"account": row.account_id}, {"query": "provider:aws"}):
        placed = retention.hold(**about, reason="a claim", actor=OPERATOR, at=AT)
        assert prune() == 0
        assert Evidence.objects.filter(retention.held()).get().pk == bytes(scan.sha256)
        retention.release(number=placed.pk, reason="over", actor=OPERATOR, at=AT)
    assert not Evidence.objects.filter(retention.held()).exists()
    assert prune() == 1


def test_reports_go_when_nothing_of_theirs_is_open_or_held():
    scan = imported(prowler([report_row("x")], at=AT))
    row = Finding.objects.get()
    kept = Evidence.objects.get(pk=bytes(scan.sha256))
    Evidence.objects.update(kept_at=AT)
    assert prune() == 0
    change(row, status="verified", grade="proof", settled_at=AT)
    retention.hold(finding=row.pk, reason="a claim", actor=OPERATOR, at=AT)
    assert prune() == 0
    Hold.objects.update(released_at=AT)
    assert prune() == 1
    kept.refresh_from_db()
    assert kept.deleted_at == LATER
    assert Event.objects.get(subject="report").after["sha256"] == bytes(scan.sha256).hex()


def test_who_may_hold_and_release():
    row, _proof = proven()
    for actor in (TRIAGER, VIEWER):
        with pytest.raises(NotAllowed):
            retention.hold(finding=row.pk, reason="x", actor=actor, at=AT)
        with pytest.raises(NotAllowed):
            retention.prune(at=LATER, actor=actor)
    with pytest.raises(Invalid):
        retention.hold(finding=row.pk, reason=" ", actor=OPERATOR, at=AT)
    with pytest.raises(NotFound):
        retention.hold(finding=row.pk + 1000, reason="x", actor=OPERATOR, at=AT)
    with pytest.raises(NotFound):
        retention.hold(account=row.account_id + 1000, reason="x", actor=OPERATOR, at=AT)
    with pytest.raises(Invalid, match="one of these"):
        retention.hold(finding=row.pk, query="env:prod", reason="x", actor=OPERATOR, at=AT)
    for query in ("team:gone", "is:mine", "assignee:me"):
        with pytest.raises(QueryError):
            retention.hold(query=query, reason="x", actor=OPERATOR, at=AT)
    assert not Hold.objects.exists()
    with pytest.raises(NotFound):
        retention.release(number=4711, reason="x", actor=OPERATOR, at=AT)


def test_the_command_line_does_it_all(capsys):
    row, proof = proven()
    Evidence.objects.update(kept_at=AT - timedelta(days=4000))
    call_command("evidence", "prune", dry_run=True)
    assert proof.hex() in capsys.readouterr().out
    call_command("evidence", "hold", str(row), reason="a claim")
    call_command("evidence", "holds")
    said = capsys.readouterr().out
    assert "a claim" in said
    assert str(row) in said
    name = str(Hold.objects.get())
    call_command("evidence", "prune")
    call_command("evidence", "release", name, reason="over")
    call_command("evidence", "prune")
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("Deleted")] == ["Deleted: 0.", "Deleted: 1."]


def test_the_command_line_holds_accounts_queries_and_everything(capsys):
    proven()
    for about in (["--account", "aws:123456789012"], ["--account", "Acme"], ["-q", "check:told"], ["all"]):
        call_command("evidence", "hold", *about, "--reason", "more")
    call_command("evidence", "holds")
    said = capsys.readouterr().out
    assert [said.count(about) for about in ("  Acme  ", "  check:told  ", "  everything  ")] == [2, 1, 1]
    for about in ([], ["all", "-q", "check:told"], ["-q", " "], ["--account", "aws:1"]):
        with pytest.raises(CommandError):
            call_command("evidence", "hold", *about, "--reason", "more")
