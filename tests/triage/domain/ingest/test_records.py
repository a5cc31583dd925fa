"""What a report repeats is not read, and nobody can tell: imports with and without fingerprints end in the same findings.

The same life of a small estate, at random but the same for the same seed, is lived twice: once with the fingerprints, once with
`matches`, which has each record read.
"""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tests.reports import DAY, prowler, received, row
from triage.domain import audit, ingest, lifecycle
from triage.domain.ingest import cloud, merge, records
from triage.models import Asset, AssetTags, Event, Finding, FindingAlias, Grade, ScanScope, Status
from triage.ports import Unchanged

pytestmark = pytest.mark.django_db
ACCOUNTS, REGIONS = ("111111111111", "222222222222"), ("eu-west-3", "us-east-1", "ap-south-1")
CHECKS = ("ec2_public_ip", "ec2_old_image", "ec2_no_backup")
COLUMNS = (
    "status", "presence", "severity", "scanner_severity", "muted", "review", "stand_in", "environment", "message", "region", "qualifier",
    "team_id", "pinned", "first_seen", "last_seen", "clock_from", "due_at", "due_original", "settled_at", "claimed_at", "grade",
    "regressions", "score", "changed_at", "event_seq", "version",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _fingerprints_at_once(monkeypatch):
    """They are known after the first chunk: in small reports that has to be a short one."""
    monkeypatch.setattr(merge, "FIRST_CHUNK", 3)


class Rollback(Exception):
    pass


def lived(seed: int, *, plain: bool) -> tuple[dict[str, Any], int]:
    """The end of eight days in the life of an estate, and how many records were recognised; nothing of it stays."""
    recognised = 0

    def counted(merge: cloud.CloudMerge, chunk: list, unchanged: list[Unchanged]) -> None:
        nonlocal recognised
        recognised += len(unchanged)
        take(merge, chunk, unchanged)

    take = cloud.CloudMerge.take
    end: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud.CloudMerge, "take", counted)
        try:
            with transaction.atomic():
                end = _days(random.Random(seed), plain=plain)
                raise Rollback
        except Rollback:
            return end, recognised


def _days(rng: random.Random, *, plain: bool) -> dict[str, Any]:
    estate = [_thing(rng, number) for number in range(30)]
    counts = []
    for day in range(8):
        at = DAY + timedelta(days=day)
        for thing in estate:
            _change(rng, thing)
        whole = _rows(rng, estate)
        reports = [prowler(whole, at)]
        if rng.random() < 0.3:  # a part only, later on the same day
            account = rng.choice(ACCOUNTS)
            part = [cells for cells in whole if cells["ACCOUNT_UID"] == account and rng.random() < 0.8]
            reports.append(prowler(part, at + timedelta(hours=2)))
        if rng.random() < 0.2:  # the same in the columns of v4, whose fingerprints are others
            reports.append(_as_v4(whole, at + timedelta(hours=4)))
        if rng.random() < 0.2:  # late: older than what is known
            reports.append(prowler(rng.sample(whole, 10), at - timedelta(hours=30)))
        for report in reports:
            scan = ingest.run(received(report).pk, clock=timezone.now, matches=_nobody if plain else None)
            assert scan.state in ("done", "duplicate"), scan.problem
            counts.append(scan.counts)
        _people(rng, at + timedelta(hours=6))
    return {"counts": counts, **_dump()}


def _nobody(*_match: object) -> None:
    pass


def _thing(rng: random.Random, number: int) -> dict[str, Any]:
    """A row's cells; every tenth stands in for what is missing."""
    account, region, check = rng.choice(ACCOUNTS), rng.choice(REGIONS), rng.choice(CHECKS)
    cells = {
        "name": f"machine-{number}",
        "check": check,
        "account": account,
        "region": region,
        "status": rng.choice(("FAIL", "PASS")),
    }
    if number % 10 == 3:
        cells |= {"name": "detector/unknown", "uid": f"arn:aws:ec2:{region}:{account}:detector/unknown"}
    if check == "ec2_public_ip":
        cells["CATEGORIES"] = "internet-exposed"
    return {"service": "ec2", **cells}


def _change(rng: random.Random, thing: dict[str, Any]) -> None:
    roll = rng.random()
    if roll < 0.12:
        # How MANUAL and FAIL under one key are counted depends on their order; of things with several rows, none is MANUAL.
        thing["status"] = rng.choice(("FAIL", "PASS") if "uid" in thing else ("FAIL", "PASS", "MANUAL"))
    elif "uid" in thing:
        return  # rows of one stand-in say the same of it
    elif roll < 0.14:
        thing["region"] = rng.choice(REGIONS)  # a region that nothing is in any more is not covered
    elif roll < 0.16:
        thing["RESOURCE_TAGS"] = rng.choice(("env=prod", "env=dev", ""))
    elif roll < 0.20:
        thing["severity"] = rng.choice(("low", "high", "critical"))
    elif roll < 0.24:
        thing["MUTED"] = rng.choice(("True", "False"))
    elif roll < 0.28:
        thing["name"] += "x"  # the old one is gone


def _rows(rng: random.Random, estate: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The report's rows in any order; some things are named twice under one key, at times with another verdict."""
    whole = [row(**thing) for thing in estate]
    twins = [thing for thing in estate[::7] if thing["status"] != "MANUAL"]
    whole += [row(**{**thing, "status": rng.choice(("FAIL", "PASS"))}) for thing in twins]
    # Another check of the same thing, which reports no tags.
    whole += [row(**{**thing, "check": "ec2_bare", "RESOURCE_TAGS": "", "CATEGORIES": ""}) for thing in estate[1::5]]
    rng.shuffle(whole)
    return whole


def _as_v4(rows: list[dict[str, str]], at: Any) -> bytes:
    header, *lines = prowler(rows, at).split(b"\r\n")
    assert header.endswith(b";ADDITIONAL_URLS;ACCOUNT_OU_UID;ACCOUNT_OU_NAME")
    return b"\r\n".join([header.rsplit(b";", 3)[0], *(line.rsplit(b";", 3)[0] for line in lines)])


def _people(rng: random.Random, at: Any) -> None:
    """Somebody claims a fix, accepts a risk, and a verifier runs."""
    ids = list(Finding.objects.order_by("identity").values_list("pk", flat=True))
    claimed, accepted, verified = ([pk for pk in ids if rng.random() < 0.08] for _ in range(3))
    with audit.recording(actor="user:1", at=at, door="page"):
        Finding.objects.filter(pk__in=claimed, status=Status.OPEN).update(status=Status.FIX_CLAIMED, claimed_at=at, changed_at=at)
        Finding.objects.filter(pk__in=accepted, status=Status.OPEN).update(status=Status.ACCEPTED, changed_at=at)
        lifecycle.settle(verified, at=at, grade=Grade.PROOF)


def _dump() -> dict[str, Any]:
    """Everything that an import writes about findings and assets, by identity: numbers differ from run to run."""
    findings = {
        (bytes(key).hex(), column): value
        for key, *values in Finding.objects.values_list("identity", *COLUMNS)
        for column, value in zip(COLUMNS, values, strict=True)
    }
    names = {pk: bytes(key) for pk, key in Finding.objects.values_list("pk", "identity")}
    events = sorted(
        (names[subject], seq, kind, reason, actor, at)
        for subject, seq, kind, reason, actor, at in Event.objects.filter(subject="finding").values_list(
            "subject_id", "seq", "kind", "reason", "actor", "at"
        )
    )
    assets = sorted(
        Asset.objects.values_list("uid", "name", "region", "environment", "exposure", "looks", "tag_set__tags"), key=repr
    )
    scopes = list(ScanScope.objects.order_by("scan", "account__uid").values_list("account__uid", "complete", "at", "regions"))
    aliases = sorted((names[finding], name) for finding, name in FindingAlias.objects.values_list("finding_id", "name"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT severity, status, presence, environment, sum(n) FROM triage_counter GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4"
        )
        counters = cursor.fetchall()
    return {"findings": findings, "events": events, "assets": assets, "scopes": scopes, "aliases": aliases, "counters": counters}


@pytest.mark.parametrize("seed", range(8))
def test_life_with_fingerprints_ends_like_life_without(seed):
    read, none = lived(seed, plain=True)
    recognised, many = lived(seed, plain=False)

    assert none == 0
    assert many > 20  # else this test would prove nothing
    for name, what in read.items():
        assert recognised[name] == what, name


def test_fingerprints_of_older_scans_are_let_go():
    for day in range(3):
        # The first row of each check and verdict is read whole, and has no fingerprint.
        rows = [row("logs"), row("site", "PASS"), row("more"), row("shop", "PASS")]
        assert ingest.run(received(prowler(rows, DAY + timedelta(days=day))).pk, clock=timezone.now).state == "done"

    assert [records is not None for records in ScanScope.objects.order_by("pk").values_list("records", flat=True)] == [
        False,
        False,
        True,
    ]


def test_finding_that_a_run_verified_is_read_again_and_regresses():
    first = [row("site", "PASS"), row("shop"), row("logs")]
    ingest.run(received(prowler(first)).pk, clock=timezone.now)
    logs = Finding.objects.get(asset__name="logs")
    with audit.recording(actor="worker", at=DAY + timedelta(hours=1), door="worker"):
        lifecycle.settle([logs.pk], at=DAY + timedelta(hours=1), grade=Grade.PROOF)

    scan = ingest.run(received(prowler(first, DAY + timedelta(days=1))).pk, clock=timezone.now)

    assert scan.counts["regressed"] == 1
    logs.refresh_from_db()
    assert logs.status == Status.OPEN


def reported(rows: list[dict[str, str]], day: int, *, plain: bool = False):
    report = prowler(rows, DAY + timedelta(days=day))
    return ingest.run(received(report).pk, clock=timezone.now, matches=_nobody if plain else None)


def test_regions_that_cannot_be_numbered_are_read(monkeypatch):
    monkeypatch.setattr(records, "REGIONS", 4)
    pods = [
        row(f"pod-{n}", check="core_x", service="core", account="cluster", region=f"namespace: ns{n}", uid=f"uid-{n}",
            PROVIDER="kubernetes", RESOURCE_TYPE="Pod")
        for n in range(9)
    ]  # fmt: skip

    for day in range(3):
        scan = reported([*pods, row("ok", "PASS", check="core_x", service="core", account="cluster", PROVIDER="kubernetes")], day)

        assert (scan.counts["unreported"], scan.counts["repeated"]) == (0, 0)
        assert scan.counts["unchanged"] == (9 if day else 0)


@pytest.mark.parametrize("plain", [True, False])
def test_accounts_of_two_providers_may_have_one_number(plain):
    def azure(number: int, region: str) -> dict[str, str]:
        return row(f"vm{number}", check="vm_x", service="vm", region=region, uid=f"/subscriptions/{number}", PROVIDER="azure")

    def aws(number: int, region: str) -> dict[str, str]:
        return row(f"i{number}", check="ec2_x", service="ec2", region=region)

    day = [aws(n, "us-1") for n in range(3)] + [aws(n, "us-2") for n in range(3, 6)]
    reported([*day, *(azure(n, "west") for n in range(3)), *(azure(n, "east") for n in range(3, 6))], 0)
    # The next day a part of both only, in turns.
    passed = [row("ok", "PASS", check="ec2_x", service="ec2", region="us-1"), {**azure(9, "west"), "STATUS": "PASS"}]

    scan = reported([*(cells for n in range(3) for cells in (azure(n, "west"), aws(n, "us-1"))), *passed], 1, plain=plain)

    assert sorted(ScanScope.objects.filter(scan=scan.pk).values_list("account__provider", "regions")) == [
        ("aws", ["us-1"]),
        ("azure", ["west"]),
    ]
    assert scan.counts["unreported"] == 0


@pytest.mark.parametrize("plain", [True, False])
def test_the_first_of_two_rows_of_a_finding_counts_each_day(plain):
    twins = [row("twin", MUTED="False"), row("twin", MUTED="True", STATUS_EXTENDED="other words")]
    for day in range(4):
        reported([*(row(f"other{n}") for n in range(5)), *twins], day, plain=plain)

    found = Finding.objects.get(asset__name="twin")
    assert (found.muted, found.event_seq) == (False, 1)


@pytest.mark.parametrize("plain", [True, False])
def test_exposure_is_what_the_open_findings_say(plain):
    rng = random.Random(5)
    checks = {"ec2_public_ip": "internet-exposed", "ec2_old_image": ""}
    for day in range(8):
        rows = [
            row(f"m{n}", rng.choice(("FAIL", "PASS", "MANUAL")), check=check, service="ec2", CATEGORIES=words)
            for n in range(12)
            for check, words in checks.items()
        ]
        rng.shuffle(rows)
        reported(rows, day, plain=plain)

        open_ = Finding.objects.filter(is_open=True, check_ref__exposes=True).values_list("asset", flat=True)
        assert set(Asset.objects.filter(exposure=1).values_list("pk", flat=True)) == set(open_)


def tags_of(name: str) -> tuple[str, list[list[str]]]:
    asset = Asset.objects.get(name=name)
    return asset.environment, asset.tag_set.tags


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("turned", [False, True])
def test_a_row_without_tags_takes_none_away(plain, turned):
    others = [row(f"o{n}", status, check=check) for check in ("c1", "c2") for n in range(3) for status in ("FAIL", "PASS")]
    for day, words in enumerate(("a", "a", "b", "b")):
        rows = [row("x", check="c1", RESOURCE_TAGS="env=prod"), row("x", check="c2", STATUS_EXTENDED=words)]
        reported([*others, *(rows[::-1] if turned else rows)], day, plain=plain)

        assert tags_of("x") == ("prod", [["env", "prod"]])

    assert not AssetTags.objects.exists()
    assert set(Finding.objects.filter(asset__name="x").values_list("environment", flat=True)) == {"prod"}


@pytest.mark.parametrize("plain", [True, False])
def test_tags_that_are_gone_from_all_rows_are_gone(plain):
    others = [row(f"o{n}", status, check=check) for check in ("c1", "c2") for n in range(3) for status in ("FAIL", "PASS")]
    bare = row("x", "PASS", check="c2")
    for day, tags in enumerate(("env=prod", "env=prod", "", "")):
        reported([*others, row("x", check="c1", RESOURCE_TAGS=tags), bare], day, plain=plain)

    assert tags_of("x") == ("", [])
    assert list(AssetTags.objects.values_list("tag_set__tags", flat=True)) == [[["env", "prod"]]]
