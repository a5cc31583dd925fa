"""A report in, findings out; and the next day's report says truthfully what became of them."""

import io
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tests.reports import ACCOUNT, DAY, imported, prowler, received, row
from triage.domain import access, audit, ingest
from triage.domain.errors import Invalid
from triage.domain.ingest import cloud, merge
from triage.domain.search import words
from triage.models import Asset, AssetSearch, AssetTags, Check, Event, Finding, FindingAlias, Presence, ScanScope, Status, Team

pytestmark = pytest.mark.django_db
NEXT = DAY + timedelta(days=1)


def only(**lookup: object) -> Finding:
    return Finding.objects.get(**lookup)


def changes(scan) -> dict[str, int]:
    counted = ("new", "fixed", "regressed", "unreported", "back", "unchanged", "open")
    return {name: scan.counts[name] for name in counted if scan.counts[name]}


def edit(**values: object) -> None:
    with audit.recording(actor="user:1", at=DAY, door="page"):
        Finding.objects.update(**values)


# --- the first report ---------------------------------------------------------------------------------------------------------


def test_first_report_makes_findings_with_owner_due_date_and_history():
    Team.objects.create(slug="payments", name="Payments")

    scan = imported(prowler([row("logs", RESOURCE_TAGS="Owner=payments@example.com | env=prod"), row("site", "PASS")]))

    finding = only()
    assert scan.state == "done"
    assert changes(scan) == {"new": 1, "open": 1}
    assert (finding.status, finding.presence, finding.severity, finding.environment) == ("open", "reported", 4, "prod")
    assert finding.team.slug == "payments"
    assert finding.trail.steps[0]["result"] == "matched"
    assert finding.first_seen == DAY
    assert finding.due_at == DAY + timedelta(days=7) == finding.due_original
    event = Event.objects.get(subject="finding", subject_id=finding.pk)
    assert (event.kind, event.seq, event.scan, event.actor, event.at) == ("opened", 1, scan.pk, "os:0", DAY)


def test_assets_that_only_pass_are_in_the_inventory():
    imported(prowler([row("logs"), row("site", "PASS", RESOURCE_TAGS="a=b")]))

    assert sorted(Asset.objects.values_list("name", flat=True)) == ["logs", "site"]
    assert Asset.objects.get(name="site").tag_set.tags == [["a", "b"]]


def test_exposure_is_where_a_check_says_it_and_ends_with_the_fix():
    imported(prowler([row("logs"), row("site", "PASS")]))
    assert dict(Asset.objects.values_list("name", "exposure")) == {"logs": 1, "site": 0}

    imported(prowler([row("logs", "PASS"), row("site", "PASS")], NEXT))
    assert dict(Asset.objects.values_list("name", "exposure")) == {"logs": 0, "site": 0}


def test_check_is_stored_once_with_its_controls():
    imported(prowler([row("logs"), row("site")]))

    check = Check.objects.get()
    assert check.title == "Title of s3_bucket_public_access"
    assert sorted(map(str, check.controls.all())) == ["CIS-3.0 2.1.4", "HDS-2024 A.8.1", "ISO27001-2022 A.8.1"]


def test_poorer_format_of_the_same_check_keeps_what_the_richer_one_said():
    imported(prowler([row("logs")]))

    imported(prowler([row("logs", RISK="", COMPLIANCE="")], NEXT))

    check = Check.objects.get()
    assert check.risk == "Risk"
    assert check.controls.count() == 3


def test_scanners_own_id_is_an_alias_only_where_it_cannot_be_composed():
    imported(prowler([row("logs"), row("site", FINDING_UID="something-else")]))

    assert list(FindingAlias.objects.values_list("name", flat=True)) == ["something-else"]


# --- the next day's report ----------------------------------------------------------------------------------------------------


def test_pass_row_verifies_with_proof_and_stops_the_clock():
    imported(prowler([row("logs"), row("site")]))

    scan = imported(prowler([row("logs", "PASS"), row("site")], NEXT))

    finding = only(asset__name="logs")
    assert changes(scan) == {"fixed": 1, "unchanged": 1, "open": 1}
    assert (finding.status, finding.grade, finding.settled_at) == (Status.VERIFIED, "proof", NEXT)


def test_regression_is_counted_and_has_a_new_clock():
    imported(prowler([row("logs"), row("site", "PASS")]))
    imported(prowler([row("logs", "PASS"), row("site", "PASS")], NEXT))

    later = NEXT + timedelta(days=1)
    scan = imported(prowler([row("logs"), row("site", "PASS")], later))

    finding = only()
    assert changes(scan) == {"regressed": 1, "open": 1}
    assert (finding.status, finding.regressions, finding.grade, finding.settled_at) == (Status.OPEN, 1, "", None)
    assert (finding.first_seen, finding.clock_from, finding.due_at) == (DAY, later, later + timedelta(days=7))


def test_absence_in_a_scan_that_covered_it_is_no_fix():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))

    scan = imported(prowler([row("site"), row("x", "PASS")], NEXT))

    finding = only(asset__name="logs")
    assert changes(scan) == {"unreported": 1, "unchanged": 1, "open": 1}
    assert (finding.status, finding.presence, finding.settled_at) == (Status.OPEN, Presence.UNREPORTED, None)


def test_unreported_finding_comes_back_with_its_clock():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))
    imported(prowler([row("site"), row("x", "PASS")], NEXT))

    scan = imported(prowler([row("logs"), row("site"), row("x", "PASS")], NEXT + timedelta(days=1)))

    assert changes(scan) == {"back": 1, "unchanged": 1, "open": 2}
    assert only(asset__name="logs").clock_from == DAY


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param([row("site", "PASS", check="s3_other")], id="check did not run"),
        pytest.param([row("site", "PASS", region="us-east-1")], id="region was not scanned"),
        pytest.param([row("site", "PASS", account="222222222222")], id="account was not scanned"),
        pytest.param([row("site"), row("more")], id="failures alone"),
        pytest.param([], id="empty"),
    ],
)
def test_what_was_not_looked_at_stays_as_it_is(elsewhere):
    imported(prowler([row("logs"), row("x", "PASS")]))

    scan = imported(prowler(elsewhere, NEXT))

    finding = only(asset__name="logs")
    assert scan.state == "done"
    assert (finding.status, finding.presence, finding.event_seq) == (Status.OPEN, Presence.REPORTED, 1)


def test_late_report_is_history_only():
    imported(prowler([row("logs", "PASS"), row("site")], NEXT))

    scan = imported(prowler([row("logs"), row("site", "PASS"), row("older")], DAY))

    assert changes(scan) == {}
    assert scan.counts["late"] == 3
    assert "history" in scan.notes[0]["message"]
    assert only().status == Status.OPEN


def test_older_report_of_another_part_is_not_late():
    imported(prowler([row("site", region="us-east-1"), row("x", "PASS", region="us-east-1")], NEXT))
    imported(prowler([row("db", check="rds_public"), row("x", "PASS", check="rds_public")], NEXT))

    scan = imported(prowler([row("logs"), row("x", "PASS")], DAY))

    assert changes(scan) == {"new": 1, "open": 1}
    assert scan.counts["late"] == 0


def test_older_report_unreports_nothing_that_a_later_one_covered():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")], NEXT))

    imported(prowler([row("logs", check="s3_other"), row("x", "PASS", check="s3_other"), row("x", "PASS")], DAY))

    assert set(Finding.objects.values_list("presence", flat=True)) == {"reported"}


def test_same_file_twice_changes_nothing_and_says_so():
    data = prowler([row("logs"), row("site", "PASS")])
    first = imported(data)
    before = list(Finding.objects.values()), Event.objects.filter(subject="finding").count()

    second = imported(data)

    assert (second.state, second.duplicate_of) == ("duplicate", first)
    assert (list(Finding.objects.values()), Event.objects.filter(subject="finding").count()) == before


def test_unchanged_row_is_not_written():
    imported(prowler([row("logs"), row("site", "PASS")]))
    before = list(Finding.objects.values())

    imported(prowler([row("logs"), row("site", "PASS")], NEXT))

    assert list(Finding.objects.values()) == before
    assert ScanScope.objects.filter(complete=True).count() == 2


def test_stand_in_is_settled_by_any_pass_of_its_check_in_that_place():
    missing = {
        "uid": f"arn:aws:guardduty:eu-west-3:{ACCOUNT}:detector/unknown",
        "check": "guardduty_is_enabled",
        "service": "guardduty",
    }
    real = {**missing, "uid": f"arn:aws:guardduty:eu-west-3:{ACCOUNT}:detector/71b4"}
    imported(prowler([row("detector/unknown", **missing), row("x", "PASS")]))
    assert only().stand_in

    scan = imported(prowler([row("detector/71b4", "PASS", **real), row("x", "PASS")], NEXT))

    assert changes(scan) == {"fixed": 1}
    assert (only().status, only().grade) == (Status.VERIFIED, "proof")


def test_pass_elsewhere_does_not_settle_a_stand_in():
    missing = {
        "uid": f"arn:aws:guardduty:eu-west-3:{ACCOUNT}:detector/unknown",
        "check": "guardduty_is_enabled",
        "service": "guardduty",
    }
    imported(prowler([row("detector/unknown", **missing), row("x", "PASS")]))

    other = {**missing, "uid": f"arn:aws:guardduty:us-east-1:{ACCOUNT}:detector/71b4", "region": "us-east-1"}
    imported(prowler([row("detector/71b4", "PASS", **other), row("x", "PASS")], NEXT))

    assert only().status == Status.OPEN


def test_stand_in_that_still_fails_is_not_settled_by_another_pass_of_its_check(monkeypatch):
    """Also when its record is only recognised: the third row and the fourth say what rows before them said, and have fingerprints."""
    monkeypatch.setattr(merge, "FIRST_CHUNK", 1)
    place = {"check": "guardduty_is_enabled", "service": "guardduty"}
    rows = [
        row(f"detector/{name}", status, uid=f"arn:aws:guardduty:eu-west-3:{ACCOUNT}:detector/{name}", **place)
        for name, status in (("a", "PASS"), ("c", "FAIL"), ("b", "PASS"), ("unknown", "FAIL"))
    ]

    for day in range(3):
        scan = imported(prowler(rows, DAY + timedelta(days=day)))

    assert changes(scan) == {"unchanged": 2, "open": 2}
    assert only(stand_in=True).status == Status.OPEN


# --- reports of a part --------------------------------------------------------------------------------------------------------


def test_report_of_one_resource_does_not_unreport_the_others():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))

    scan = imported(prowler([row("x", "PASS")], NEXT))

    assert changes(scan) == {}
    assert "complete" in scan.notes[0]["message"]
    assert set(Finding.objects.values_list("presence", flat=True)) == {"reported"}


def test_report_of_one_resource_declared_complete_does():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))

    scan = imported(prowler([row("x", "PASS")], NEXT), complete=True)

    assert changes(scan) == {"unreported": 2}


def test_report_declared_partial_unreports_nothing_and_notes_what_it_saw():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))

    scan = imported(prowler([row("site"), row("x", "PASS"), row("y", "PASS")], NEXT), complete=False)

    assert changes(scan) == {"unchanged": 1, "open": 1}
    assert only(asset__name="site").last_seen == NEXT


# --- two rows, one key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("FAIL", "PASS"), ("PASS", "FAIL"), ("FAIL", "MANUAL"), ("MANUAL", "FAIL"), ("FAIL", "FAIL")])
def test_fail_wins_over_manual_over_pass(order):
    imported(prowler([row("logs", status, STATUS_EXTENDED=f"row {n}") for n, status in enumerate(order)]))
    assert only().status == Status.OPEN

    imported(prowler([row("logs", status, STATUS_EXTENDED=f"again {n}") for n, status in enumerate(order)], NEXT))
    assert only().status == Status.OPEN


def test_manual_row_asks_for_attestation_and_has_no_clock():
    scan = imported(prowler([row("logs", "MANUAL"), row("x", "PASS")]))

    finding = only()
    assert (finding.status, finding.due_at, finding.is_open) == (Status.MANUAL, None, False)
    assert (scan.counts["manual"], scan.counts["open"]) == (1, 0)


def test_check_that_judges_by_itself_again_opens_with_a_clock_from_then():
    imported(prowler([row("logs", "MANUAL"), row("x", "PASS")]))

    imported(prowler([row("logs"), row("x", "PASS")], NEXT))

    assert (only().status, only().clock_from, only().due_at) == (Status.OPEN, NEXT, NEXT + timedelta(days=7))


def test_manual_row_is_no_verdict_on_an_open_finding():
    imported(prowler([row("logs"), row("x", "PASS")]))

    imported(prowler([row("logs", "MANUAL"), row("x", "PASS")], NEXT))

    assert (only().status, only().presence) == (Status.OPEN, Presence.REPORTED)


# --- what people did meanwhile ------------------------------------------------------------------------------------------------


def test_claimed_fix_is_refuted_by_a_later_scan():
    imported(prowler([row("logs"), row("x", "PASS")]))
    edit(status=Status.FIX_CLAIMED, claimed_at=DAY + timedelta(hours=1))

    imported(prowler([row("logs"), row("x", "PASS")], NEXT))

    finding = only()
    assert (finding.status, finding.claimed_at, finding.due_at) == (Status.OPEN, None, DAY + timedelta(days=7))


def test_claimed_fix_is_not_refuted_by_a_scan_from_before_the_claim():
    imported(prowler([row("logs"), row("x", "PASS")]))
    edit(status=Status.FIX_CLAIMED, claimed_at=NEXT + timedelta(hours=1))

    imported(prowler([row("logs"), row("x", "PASS")], NEXT))

    assert only().status == Status.FIX_CLAIMED


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.FALSE_POSITIVE, Status.IN_PROGRESS])
def test_decision_of_a_person_outlives_the_next_report(status):
    imported(prowler([row("logs"), row("x", "PASS")]))
    edit(status=status)

    imported(prowler([row("logs"), row("x", "PASS")], NEXT))

    assert only().status == status


def test_accepted_risk_that_passes_is_verified():
    imported(prowler([row("logs"), row("x", "PASS")]))
    edit(status=Status.ACCEPTED)

    imported(prowler([row("logs", "PASS"), row("x", "PASS")], NEXT))

    assert only().status == Status.VERIFIED


def test_finding_verified_by_hand_of_a_verifier_regresses_on_an_unchanged_row():
    report = [row("logs"), row("x", "PASS")]
    imported(prowler(report))
    edit(status=Status.VERIFIED, grade="proof", settled_at=DAY)

    scan = imported(prowler(report, NEXT))

    assert changes(scan) == {"regressed": 1, "open": 1}


# --- what the scanner says otherwise ------------------------------------------------------------------------------------------


def test_changed_severity_moves_the_due_date_and_keeps_the_start():
    imported(prowler([row("logs", severity="medium"), row("x", "PASS")]))

    imported(prowler([row("logs", severity="critical"), row("x", "PASS")], NEXT))

    finding = only()
    assert (finding.severity, finding.clock_from, finding.due_at) == (5, DAY, DAY + timedelta(hours=72))
    assert finding.due_original == DAY + timedelta(days=30)
    assert Event.objects.filter(kind="severity", reason="the scanner changed the severity").exists()


def test_changed_tags_change_the_owner_and_are_kept_as_history():
    for slug in ("payments", "web"):
        Team.objects.create(slug=slug, name=slug)
    imported(prowler([row("logs", RESOURCE_TAGS="team=web | env=dev"), row("x", "PASS")]))

    imported(prowler([row("logs", RESOURCE_TAGS="team=payments | env=prod"), row("x", "PASS")], NEXT))

    finding, past = only(), AssetTags.objects.get()
    assert (finding.team.slug, finding.environment) == ("payments", "prod")
    assert (past.team.slug, past.since, past.until) == ("web", DAY, NEXT)
    assert Event.objects.get(kind="owner").reason == "the asset's tags changed"


def test_rows_that_disagree_about_an_assets_tags_do_not_change_it_there_and_back():
    for slug in ("payments", "web"):
        Team.objects.create(slug=slug, name=slug)
    rows = [row("logs", RESOURCE_TAGS="team=web"), row("logs", check="s3_other", RESOURCE_TAGS="team=payments"), row("x", "PASS")]

    for day in range(3):
        imported(prowler(rows, DAY + timedelta(days=day)))

    assert only(check_ref__key="s3_bucket_public_access").asset.team.slug == "web"
    assert not AssetTags.objects.exists()


def test_owner_given_by_hand_outlives_a_change_of_tags():
    web, payments = (Team.objects.create(slug=slug, name=slug) for slug in ("web", "payments"))
    imported(prowler([row("logs", RESOURCE_TAGS="team=web"), row("x", "PASS")]))
    edit(team=payments, pinned=True)

    imported(prowler([row("logs", RESOURCE_TAGS="team=web | a=b"), row("x", "PASS")], NEXT))

    assert (only().team, only().asset.team) == (payments, web)


def test_renamed_asset_is_found_by_its_new_name():
    uid = "arn:aws:ec2:eu-west-3:123456789012:instance/i-1"
    imported(prowler([row("old", uid=uid), row("x", "PASS")]))
    while words.index_assets():
        pass

    imported(prowler([row("fresh", uid=uid), row("x", "PASS")], NEXT))

    assert not AssetSearch.objects.filter(asset__uid=uid).exists()
    assert Asset.objects.get(uid=uid).name == "fresh"


def test_muted_row_keeps_the_finding_and_says_so():
    imported(prowler([row("logs"), row("x", "PASS")]))

    imported(prowler([row("logs", MUTED="True"), row("x", "PASS")], NEXT))

    assert (only().status, only().muted) == (Status.OPEN, True)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_refused_report_leaves_nothing_behind():
    scan = imported(b"<!doctype html><html><body>login</body></html>", "report.csv")

    assert scan.state == "failed"
    assert scan.problem["message"].startswith("This is an HTML page.")
    assert not Finding.objects.exists()


def test_report_from_the_future_counts_from_its_receipt():
    scan = imported(prowler([row("logs")], DAY.replace(year=2099)))

    assert scan.at == scan.received_at.replace(microsecond=0)
    assert only().first_seen == scan.at


def test_unknown_declaration_is_refused():
    with pytest.raises(Invalid, match="“colour” cannot be declared"):
        received(prowler([row()]), colour="red")


def test_import_needs_the_right():
    viewer = access.Actor(name="user:9", door="page", roles=frozenset({"viewer"}))
    with pytest.raises(Exception, match="no right"):
        ingest.receive(stream=io.BytesIO(b"x"), name="x", declared={}, actor=viewer, at=DAY)


def test_text_that_deceives_or_cannot_be_kept_is_cleaned():
    imported(prowler([row("lo\u202egs", STATUS_EXTENDED="a\x00b\u2066c"), row("x", "PASS")]))

    assert only().asset.name == "lo\ufffdgs"
    assert "\x00" not in only().message


# --- sets, not rows -----------------------------------------------------------------------------------------------------------


def test_statements_do_not_grow_with_rows(django_assert_max_num_queries):
    def statements(count: int, day: int) -> int:
        data = prowler([row(f"b{day}-{n}") for n in range(count)] + [row("x", "PASS")], DAY + timedelta(days=day))
        scan = received(data, complete=False)
        with django_assert_max_num_queries(200) as captured:
            ingest.run(scan.pk, clock=lambda: DAY)
        return len(captured)

    statements(5, 0)
    assert statements(3, 1) <= statements(300, 2) == statements(1_200, 3)


def test_write_outside_a_recording_is_refused():
    imported(prowler([row("logs")]))

    with pytest.raises(Exception, match="only inside"), connection.cursor() as cursor:
        cursor.execute("UPDATE triage_finding SET status = 'accepted'")


def test_report_with_a_record_that_could_not_be_read_proves_nothing_by_absence():
    imported(prowler([row("logs"), row("site"), row("x", "PASS")]))
    broken = prowler([row("site"), row("x", "PASS"), row("y", "PASS")], NEXT) + b"only;three;cells\r\n"

    scan = imported(broken)

    assert scan.counts["skipped"] == 1
    assert changes(scan) == {"unchanged": 1, "open": 1}
    assert "could not be read" in scan.notes[0]["message"]


def test_small_reports_do_not_make_large_gaps_between_numbers():
    imported(prowler([row("a"), row("x", "PASS")]))
    imported(prowler([row("b"), row("x", "PASS")], NEXT), complete=False)

    first, second = Finding.objects.order_by("pk").values_list("pk", flat=True)
    assert second - first <= 50


def test_an_error_of_ours_is_said_and_leaves_nothing(monkeypatch, caplog):
    monkeypatch.setattr(cloud.CloudMerge, "close", lambda _merge: {}["nothing"])
    waiting = received(prowler([row("logs")]))

    scan = ingest.run(waiting.pk, clock=timezone.now)

    assert (scan.state, scan.lease_until) == ("failed", None)
    assert f"S-{scan.pk}" in scan.problem["params"].values()
    assert f"S-{scan.pk}: the import met an error" in caplog.text
    assert not Finding.objects.exists()
    assert not Asset.objects.exists()
