"""The demonstration tells what demo/make.py promises: three weeks in which things are found, fixed, broken again and lost from sight."""

from datetime import timedelta

import pytest

from tests.factories import AT
from triage.domain import access, installation
from triage.domain.access import Right
from triage.models import Event, Finding, Presence, Scan, ScanScope, ScanState, Status, User

OPERATOR = access.of_machine(0)
BUCKET = "arn:aws:s3:::acme-public-assets"


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def house(tmp_path, settings):
    settings.CSPM_HOME = tmp_path
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)


def demonstrate(at=AT):
    return list(installation.demonstrate(actor=OPERATOR, at=at))


def of(check, asset):
    return Finding.objects.get(check_ref__key=check, asset__uid=asset, account__uid="123456789012")


def test_three_weeks_of_history():
    first, sandbox, code, second, third = demonstrate()

    assert [scan.state for scan in (first, sandbox, code, second, third)] == [ScanState.DONE] * 5
    assert [(AT - scan.at).days for scan in (first, second, third)] == [21, 7, 0]
    assert {scan.counts["warnings"] for scan in (first, sandbox, code, second, third)} == {0}
    # Seven checks' repairs: six findings are gone by a PASS row, one because its volume was replaced by another.
    assert (second.counts["fixed"], second.counts["unreported"]) == (6, 1)
    assert second.counts["new"] > 0
    # Two fixes did not hold, one asset came, one person left.
    assert (third.counts["regressed"], third.counts["new"], third.counts["unreported"]) == (2, 2, 2)
    assert code.counts["new"] == code.counts["rows"] == 9
    assert not Event.objects.filter(subject="finding", kind="owner").exists()


def test_what_a_visitor_finds_in_it():
    demonstrate()

    opened_again = of("s3_bucket_public_access", BUCKET)
    assert (opened_again.status, opened_again.regressions, opened_again.team.slug) == (Status.OPEN, 1, "web")
    assert of("iam_user_hardware_mfa_enabled", "arn:aws:iam::123456789012:user/charlie").presence == Presence.UNREPORTED
    # A check that did not run says nothing about what it found before.
    key = Finding.objects.get(check_ref__key="kms_cmk_rotation_enabled", account__uid="123456789012")
    assert (key.status, key.presence) == (Status.OPEN, Presence.REPORTED)
    newest = ScanScope.objects.filter(account=key.account_id).order_by("-at").first()
    assert key.check_ref_id not in newest.check_set.checks
    open_ones = Finding.objects.to_fix()
    assert open_ones.filter(team=None).count() > 20
    assert open_ones.filter(due_at__lt=AT).count() > 20
    assert set(open_ones.exclude(team=None).values_list("team__slug", flat=True)) >= {
        "data",
        "finance",
        "orders",
        "platform",
        "web",
    }
    assert set(Finding.objects.filter(account__provider="code").values_list("team__slug", flat=True)) == {"platform", "data"}


def test_it_is_told_once():
    assert installation.demonstration_is_due()

    demonstrate()

    assert not installation.demonstration_is_due()


def test_interrupted_it_is_taken_up_where_it_was():
    started = installation.demonstrate(actor=OPERATOR, at=AT)
    next(started), next(started)
    started.close()
    assert installation.demonstration_is_due()

    again = demonstrate(at=AT + timedelta(hours=2))

    assert [scan.state for scan in again] == [ScanState.DUPLICATE] * 2 + [ScanState.DONE] * 3
    assert (AT - again[-1].at).days == 0
    assert not installation.demonstration_is_due()


def test_refused_it_never_comes():
    installation.refuse_demonstration(actor=OPERATOR, at=AT)

    assert not installation.demonstration_is_due()
    assert not Scan.objects.exists()


def test_administrator_is_made_once_and_has_no_password():
    first = installation.administrator(actor=OPERATOR, at=AT)
    second = installation.administrator(actor=OPERATOR, at=AT)

    assert first == second == User.objects.get()
    assert not first.has_usable_password()
    assert access.of_user(first, door="page").may(Right.ADMINISTER)
    assert list(Event.objects.filter(subject="user").order_by("id").values_list("kind", flat=True)) == ["created", "role given"]
