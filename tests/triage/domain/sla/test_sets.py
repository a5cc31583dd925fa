"""Due dates: in SQL as in Python, and as a walk from minute to minute finds them."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import AT, change, finding
from triage.domain import calendars
from triage.domain.access import of_machine
from triage.domain.audit import recording
from triage.domain.calendars import MINUTE, WEEK, Draft, micros, moment
from triage.domain.sla import clocks, policies
from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft, measured
from triage.domain.sla.notices import circumstances
from triage.domain.sla.targets import Rule, Targets
from triage.models import ClockEntry, Control, Event, Finding, SlaUnit

ME = of_machine(0)
OFFICE = {day: [("09:00", "12:30"), ("14:00", "18:00")] for day in WEEK[:5]}
NIGHTS = {day: [("22:00", "06:00")] for day in WEEK}
CLOCKS = ("remediate", "acknowledge", "contain", "verify")


@pytest.fixture
def offices(db) -> None:
    for draft in (
        Draft("paris", time_zone="Europe/Paris", hours=OFFICE, country="FR", subdivision="57"),
        Draft("howe", time_zone="Australia/Lord_Howe", hours=NIGHTS),
        Draft("havana", time_zone="America/Havana", hours={key: [("00:00", "24:00")] for key in WEEK}),
    ):
        with recording(actor="os:0", at=AT, door="cli") as log:
            calendars.publish(draft, log=log, at=AT)


def some_target(chance: random.Random) -> TargetDraft:
    unit = chance.choice(["hours", "business hours", "days"])
    amount = {"hours": chance.randint(1, 900), "business hours": chance.randint(1, 200), "days": chance.randint(1, 60)}[unit]
    return TargetDraft(
        f"{amount} {unit}", chance.choice(CLOCKS), chance.choice([None, 3, 4, 5]), chance.choice(["", "", "prod", "dev"]),
        chance.choice([None, None, 0, 3]), chance.choice([None, None, True, False]), chance.choice(["", "", "pci"]),
        "" if unit == "hours" else chance.choice(["paris", "howe", "havana"]),
    )  # fmt: skip


def some_finding(chance: random.Random, number: int) -> Finding:
    start = AT - timedelta(
        minutes=chance.randint(0, 60 * 24 * 500), seconds=chance.randint(0, 59), microseconds=chance.randint(0, 999_999)
    )
    row = finding(
        bucket=f"b{number}", check=chance.choice(["one", "two", "three"]), severity=chance.choice([2, 3, 4, 5]), clock_from=start,
        due_at=None, environment=chance.choice(["", "prod", "dev"]),
        claimed_at=start + timedelta(days=chance.randint(0, 9)) if chance.random() < 0.4 else None,
    )  # fmt: skip
    row.asset.criticality = chance.choice([0, 3])
    row.asset.save(update_fields=["criticality"])
    at = start
    for _ in range(chance.choice([0, 0, 1, 3])):  # overlapping, touching, empty and long pauses
        at += timedelta(minutes=chance.choice([0, 30, 600, 5000]))
        with recording(actor="os:0", at=at, door="cli"):
            clocks.hold([row.pk], until=None, at=at, actor="os:0", reason="waits")
    for entry in list(ClockEntry.objects.filter(finding=row, kind="pause")):
        until = entry.at + timedelta(minutes=chance.choice([0, 90, 3000, 20_000]))
        with recording(actor="os:0", at=until, door="cli"):
            clocks.release([entry.pk], at=until, actor="os:0")
    return change(row, due_at=None, sla=None, acknowledge_due=None, contain_due=None, verify_due=None)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.django_db
def test_sql_says_what_python_says(offices, seed):
    chance = random.Random(seed)
    rows = [some_finding(chance, number) for number in range(40)]
    pci = Control.objects.create(framework="PCI-4.0", reference="1.2")
    rows[0].check_ref.controls.add(pci)
    rows[1].check_ref.exposes = True
    rows[1].check_ref.save(update_fields=["exposes"])
    for number in range(3):
        draft = PolicyDraft(f"p{number % 2}", targets=tuple(some_target(chance) for _ in range(chance.randint(1, 8))))
        at = AT - timedelta(days=(2 - number) * 150)
        policies.publish(draft, actor=ME, at=at, applies=chance.choice(list(Applies)))

    with recording(actor="os:0", at=AT, door="cli"):
        clocks.recompute([row.pk for row in rows], at=AT)

    targets = Targets.load(AT)
    dated = 0
    for row in Finding.objects.select_related("asset", "check_ref"):
        facts = circumstances(row, targets)
        for clock, stored, start in (
            ("remediate", row.due_at, row.clock_from), ("acknowledge", row.acknowledge_due, row.clock_from),
            ("contain", row.contain_due, row.clock_from if row.check_ref.exposes else None), ("verify", row.verify_due, row.claimed_at),
        ):  # fmt: skip
            due = start and targets.strictest(clock, facts, start, clocks.pauses_of(row) if clock == "remediate" else ())
            assert stored == (due.at if due else None), (row, clock, due)
            if clock == "remediate":
                assert row.sla_id == (due.rule.version if due else None)
            dated += bool(due)
    assert dated > 20


@pytest.mark.django_db
def test_business_time_is_what_a_walk_from_minute_to_minute_finds(offices):
    """The due minute is the one in which so many open minutes outside of all pauses have passed."""
    chance = random.Random(20261126)
    for _life in range(12):
        calendar = calendars.in_force(chance.choice(["paris", "howe"])).pk
        rule = Rule(1, 1, "remediate", None, "", None, None, "", SlaUnit.BUSINESS_HOURS, chance.randint(1, 30), calendar)
        start = micros(datetime(2026, chance.choice([3, 4, 10, 12]), chance.randint(1, 28), chance.randint(0, 23), 7, tzinfo=UTC))
        spans, at = [], start
        for _ in range(chance.randint(0, 4)):
            at += chance.randint(0, 3000) * MINUTE
            spans.append((at, at + chance.randint(0, 4000) * MINUTE))
        pauses = clocks.union([*spans, (at + 40_000 * MINUTE, at + 50_000 * MINUTE)])  # and one when all is over

        assert moment(rule.due(start, pauses)) == moment(walked(rule, start, pauses))


def walked(rule: Rule, start: int, pauses: list[tuple[int, int]]) -> int:
    laid = calendars.stored(rule.calendar)
    openings: set[int] = set()
    for opens, closes in zip(laid.opens, laid.closes, strict=True):
        if closes > start and opens < start + 200_000 * MINUTE:
            openings.update(range(opens, closes, MINUTE))
    counted, at = 0, start
    while counted < rule.amount * 60:
        counted += at in openings and not any(since <= at < until for since, until in pauses)
        at += MINUTE
    return at


@pytest.mark.django_db
def test_what_does_not_change_is_not_written(offices):
    policies.publish(PolicyDraft("default", targets=(TargetDraft("9 business hours", calendar="paris"),)), actor=ME, at=AT)
    row = finding(due_at=None)
    with recording(actor="os:0", at=AT, door="cli"):
        assert clocks.recompute([row.pk], at=AT) == 1
        row.refresh_from_db()
        events = Event.objects.filter(subject_id=row.pk).count()
        assert clocks.recompute([row.pk], at=AT) == 0
    assert Event.objects.filter(subject_id=row.pk).count() == events
    before = row.version
    row.refresh_from_db()
    assert row.version == before


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ("72 hours", (72, "hours")), ("1h", (1, "hours")), ("24 business hours", (24, "business_hours")), ("30 Days", (30, "days")),
        ("3 heures  ouvrées", (3, "business_hours")), ("15 jours", (15, "days")),
    ],
)  # fmt: skip
def test_lengths_of_time_are_read_in_both_languages(within, expected):
    assert measured(within) == expected
