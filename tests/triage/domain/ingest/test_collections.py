"""What a collection does beside what any report does: facts are kept, absence counts where it looked, tags stay."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import translation

from tests.reports import DAY, bucket, collection, imported, prowler, row
from triage.models import Asset, AssetFacts, AssetTags, Check, Finding, ScanScope, Team

pytestmark = pytest.mark.django_db
CHECK = {"key": "open_bucket", "title": "Open bucket", "severity": "high", "kind": "s3_bucket", "service": "s3"}
DAYS = [DAY + timedelta(days=number) for number in range(4)]


def collected(*assets, day=0, checks=(CHECK,), **values):
    scan = imported(collection(assets, checks, at=DAYS[day], **values))
    assert scan.state == "done", scan.problem
    return scan


def states():
    return {row.asset.name: (row.status, row.presence) for row in Finding.objects.select_related("asset")}


def written() -> dict[int, str]:
    """The transaction that wrote each row of facts last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT asset_id, ctid::text FROM triage_assetfacts")
        return dict(cursor.fetchall())


def test_facts_are_kept_of_all_assets_and_results_are_findings():
    scan = collected(bucket("a", "fail", public=True), bucket("b", "pass", public=False), bucket("c", "unknown"))

    assert {row.asset.name: row.facts for row in AssetFacts.objects.select_related("asset")} == {
        "a": {"public": True}, "b": {"public": False}, "c": {},
    }  # fmt: skip
    found = Finding.objects.get()
    assert (found.asset.name, found.severity, found.message) == ("a", 4, "public = true")
    assert (found.check_ref.scanner, found.check_ref.key, found.asset.type, found.asset.service) == (
        "cspm", "open_bucket", "AwsS3Bucket", "s3",
    )  # fmt: skip
    assert (scan.scanner, scan.counts["fail"], scan.counts["passed"], scan.counts["manual"]) == ("cspm", 1, 1, 0)


def test_facts_that_say_the_same_are_not_written_again():
    collected(bucket("a", public=True), bucket("b", public=True))
    before = written()

    collected(bucket("a", public=True), bucket("b", public=False), day=1)

    rows = {row.asset.name: row for row in AssetFacts.objects.select_related("asset")}
    after = written()
    assert [before[rows[name].pk] == after[rows[name].pk] for name in "ab"] == [True, False]
    assert (rows["a"].since, rows["b"].since) == (DAYS[0], DAYS[1])


def test_a_result_that_nobody_knows_changes_nothing():
    collected(bucket("a", "fail"), bucket("b", "pass"))

    scan = collected(bucket("a", "unknown"), bucket("b", "unknown"), day=1)

    assert states() == {"a": ("open", "reported")}
    assert scan.counts["unreported"] == scan.counts["fixed"] == 0


def test_what_is_deleted_is_unreported_and_its_facts_are_let_go():
    collected(bucket("a", "fail"), bucket("b", "fail"))

    collected(bucket("b", "fail"), day=1)

    assert states() == {"a": ("open", "unreported"), "b": ("open", "reported")}
    assert [row.asset.name for row in AssetFacts.objects.select_related("asset")] == ["b"]


def test_the_last_of_its_kind_is_missed_as_well():
    collected(bucket("a", "fail"))
    collected(day=1)
    assert states() == {"a": ("open", "unreported")}
    assert not AssetFacts.objects.exists()


@pytest.mark.parametrize("covered", [{"iam_role": [""]}, {"s3_bucket": ["eu-west-1"]}, {}])
def test_where_nobody_could_look_nothing_is_missed(covered):
    collected(bucket("a", "fail"))
    role = {
        "kind": "iam_role",
        "uid": "arn:aws:iam::123456789012:role/r",
        "name": "r",
        "region": "eu-west-3",
        "facts": {},
        "tags": [],
    }

    collected(role, day=1, covered=covered)

    assert states() == {"a": ("open", "reported")}
    assert AssetFacts.objects.filter(asset__name="a").exists()


def test_a_check_that_is_no_more_run_misses_nothing():
    collected(bucket("a", "fail"))
    collected(day=1, checks=())
    assert states() == {"a": ("open", "reported")}


def test_fixed_back_and_gone_through_the_same_door():
    collected(bucket("a", "fail"))
    collected(bucket("a", "pass"), day=1)
    assert states() == {"a": ("verified", "reported")}
    collected(bucket("a", "fail"), day=2)
    found = Finding.objects.get()
    assert (found.status, found.regressions) == ("open", 1)


def test_an_older_collection_is_history():
    collected(bucket("a", "pass", public=False), day=1)

    scan = collected(bucket("a", "fail", public=True), bucket("z", public=True), day=0)

    assert not Finding.objects.exists()
    assert AssetFacts.objects.get().facts == {"public": False}
    assert scan.counts["late"] == 3


def test_tags_that_a_collection_read_survive_reports_without_tags():
    Team.objects.create(slug="web", name="Web")
    imported(prowler([row("a")]))
    assert Finding.objects.get().team is None

    collected(bucket("a", tags=[["team", "web"]]), day=1)
    assert Finding.objects.get().team.slug == "web"
    assert AssetTags.objects.count() == 1

    imported(prowler([row("a", STATUS_EXTENDED="again")]))
    assert Asset.objects.get().tag_set.tags == [["team", "web"]]
    assert Finding.objects.get().team.slug == "web"
    assert AssetTags.objects.count() == 1


def test_tags_that_could_not_be_read_stay():
    imported(prowler([row("a", RESOURCE_TAGS="team=web")]))
    collected(bucket("a", tags=None), day=1)
    assert Asset.objects.get().tag_set.tags == [["team", "web"]]


def test_an_asset_that_lost_its_tags_loses_them():
    collected(bucket("a", "pass", tags=[["team", "web"]]))
    collected(bucket("a", "pass", tags=[]), day=1)
    assert Asset.objects.get().tag_set.tags == []


def test_a_scope_says_what_was_looked_at():
    collected(bucket("a", "pass"))
    scopes = {tuple(scope.regions): scope for scope in ScanScope.objects.select_related("check_set")}
    assert scopes.keys() == {(), ("eu-west-1", "eu-west-3")}
    keys = dict(Check.objects.values_list("pk", "key"))
    assert {keys[check] for check in scopes["eu-west-1", "eu-west-3"].check_set.checks} == {"open_bucket", "s3_bucket_collected"}
    assert all(scope.complete for scope in scopes.values())


def test_lines_that_are_broken_are_named_and_then_nothing_is_missed():
    collected(bucket("a", "fail"))
    data = collection([bucket("b", "pass")], [CHECK], at=DAYS[1]) + b'{"kind": 3}\n'
    scan = imported(data)
    assert (scan.state, scan.counts["skipped"]) == ("done", 1)
    assert scan.warnings.get().line == 3
    assert states()["a"] == ("open", "reported")


@pytest.mark.parametrize("head", [b'{"format": "cspm-collection/1", "at": 3}', b'{"format": "cspm-collection/2"}'])
def test_a_head_that_is_broken_or_of_another_version_is_refused(head):
    assert imported(head).state == "failed"


def test_hostile_facts_are_cleaned():
    collected(bucket("a", name2="x\0y\u202e", many=["\0"]))
    assert AssetFacts.objects.get().facts == {"name2": "x�y�", "many": ["�"]}


def test_a_check_is_told_in_the_readers_language():
    said = {"title": "Compartiment ouvert", "remediation": "Fermez-le."}
    collected(
        bucket("a", "fail"), checks=({**CHECK, "remediation": "Close it.", "risk": "Leaks.", "translations": {"fr": said}},)
    )
    check = Check.objects.get(key="open_bucket")
    assert (str(check), check.said_remediation, check.language) == ("Open bucket", "Close it.", "en")
    with translation.override("fr"):
        assert (str(check), check.said_remediation, check.said_risk, check.language) == (
            "Compartiment ouvert",
            "Fermez-le.",
            "Leaks.",
            "fr",
        )

    collected(bucket("a", "fail"), day=1, checks=(CHECK,))
    check.refresh_from_db()
    assert check.translations == {}
