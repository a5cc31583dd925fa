"""The audit door: who, when and why of every change, in an order without gaps, which nobody can rewrite."""

import random
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from tests import factories
from tests.reports import DAY, imported, prowler, row
from triage.domain import audit, lifecycle
from triage.domain.access import Actor
from triage.models import Event, Finding, Role, Status, Team
from triage.models.privileges import APP_ROLE

AUDITED = (
    "status", "presence", "severity", "scanner_severity", "team_id", "trail_id", "pinned", "assignee_id", "environment", "muted",
    "review", "clock_from", "due_at", "due_original", "paused_at", "sla_id", "acknowledge_due", "acknowledged_at", "contain_due",
    "contained_at", "claimed_at", "verify_due", "settled_at", "grade", "regressions", "group_id",
)  # fmt: skip


def refused(statement: str, *params: object) -> str:
    with pytest.raises(DatabaseError) as failure, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return str(failure.value)


@pytest.mark.django_db
def test_tests_run_as_the_application():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (APP_ROLE,)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE triage_event SET actor = 'nobody'",
        "DELETE FROM triage_event",
        "TRUNCATE triage_event",
        (
            "INSERT INTO triage_event (id, subject, subject_id, kind, actor, door, at) OVERRIDING SYSTEM VALUE VALUES"
            " ((SELECT min(id) FROM triage_event), 'finding', 1, 'x', 'x', 'x', now()) ON CONFLICT (id) DO UPDATE SET actor = 'nobody'"
        ),
        "ALTER TABLE triage_event DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TRIGGER event_append_only ON triage_event",
        "DELETE FROM triage_finding",
        "DELETE FROM triage_asset",
        "UPDATE django_migrations SET app = 'x'",
    ],
)
def test_application_cannot_rewrite_history(statement):
    factories.finding()

    assert any(word in refused(statement) for word in ("permission denied", "must be owner"))


@pytest.mark.django_db
def test_owner_of_the_tables_is_refused_by_the_trigger():
    factories.finding()
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
    try:
        for statement in ("UPDATE triage_event SET actor = 'x'", "DELETE FROM triage_event", "TRUNCATE triage_event"):
            assert "history is only added to" in refused(statement)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {APP_ROLE}")


@pytest.mark.django_db
@pytest.mark.parametrize("actor", [None, ""])
def test_write_without_an_actor_is_refused(actor):
    finding = factories.finding()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('cspm.actor', %s, true)", [actor])

    assert "only inside" in refused("UPDATE triage_finding SET status = 'accepted' WHERE id = %s", finding.pk)


@pytest.mark.django_db
def test_recording_without_an_actor_is_refused():
    with pytest.raises(ValueError, match="needs an actor"), audit.recording(actor="", at=DAY, door="cli"):
        pass


@pytest.mark.django_db
def test_change_is_an_event_with_both_sides_actor_and_reason():
    finding = factories.finding()

    with audit.recording(actor="user:7", at=DAY, door="page", reason="looked at it"):
        Finding.objects.filter(pk=finding.pk).update(status=Status.IN_PROGRESS, muted=True)

    event = Event.objects.get(subject="finding", subject_id=finding.pk, seq=2)
    assert (event.before, event.after) == ({"status": "open", "muted": False}, {"status": "in_progress", "muted": True})
    assert (event.actor, event.door, event.reason, event.at) == ("user:7", "page", "looked at it", DAY)


@pytest.mark.django_db
def test_inner_recording_names_its_own_actor_and_gives_the_outer_one_back():
    first, second = factories.finding(bucket="a"), factories.finding(bucket="b")

    with audit.recording(actor="user:1", at=DAY, door="page"):
        with audit.recording(actor="worker", at=DAY, door="task"):
            Finding.objects.filter(pk=first.pk).update(muted=True)
        Finding.objects.filter(pk=second.pk).update(muted=True)

    actors = dict(Event.objects.filter(seq=2).values_list("subject_id", "actor"))
    assert actors == {first.pk: "worker", second.pk: "user:1"}


@pytest.mark.django_db(transaction=True)
def test_name_does_not_stay_on_the_connection():
    finding = factories.finding()
    with audit.recording(actor="user:1", at=DAY, door="page"):
        pass

    assert "only inside" in refused("UPDATE triage_finding SET muted = true WHERE id = %s", finding.pk)


@pytest.mark.django_db
def test_note_takes_the_next_number_of_the_finding():
    finding = factories.finding()

    with audit.recording(actor="worker", at=DAY, door="task") as log:
        log.note([finding.pk], "told", after={"channel": "x"})
        Finding.objects.filter(pk=finding.pk).update(muted=True)

    kinds = Event.objects.filter(subject="finding", subject_id=finding.pk).order_by("seq").values_list("seq", "kind")
    assert list(kinds) == [(1, "opened"), (2, "told"), (3, "muted")]


@pytest.mark.django_db
def test_move_refused_leaves_no_trace():
    finding = factories.finding()
    triager = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}))

    with pytest.raises(Exception, match="cannot become"):
        lifecycle.move(finding=finding.pk, to=Status.VERIFIED, actor=triager, at=DAY)

    assert Event.objects.filter(subject_id=finding.pk, subject="finding").count() == 1


def replayed(finding: Finding) -> dict[str, object]:
    """The audited columns as the finding's events alone tell them."""
    state: dict[str, object] = dict.fromkeys(AUDITED)
    events = list(Event.objects.filter(subject="finding", subject_id=finding.pk).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for event in events:
        for column, value in (event.before or {}).items():
            assert state[column] == value, (event.kind, column)
        state |= event.after or {}
    return state


@pytest.mark.django_db
def test_replaying_the_events_of_a_month_gives_the_present():
    """Thirty days of reports, formats, people's decisions and edits, drawn by chance (and the same each time)."""
    chance = random.Random(20261121)
    for slug in ("web", "payments"):
        Team.objects.create(slug=slug, name=slug)
    names = [f"b{n}" for n in range(25)]
    for day in range(30):
        at = DAY + timedelta(days=day)
        rows = [
            row(
                name, chance.choices(["FAIL", "PASS", "MANUAL"], [6, 5, 1])[0], severity=chance.choice(["high", "high", "critical"]),
                MUTED=chance.choice(["False"] * 9 + ["True"]), RESOURCE_TAGS=chance.choice(["", "team=web", "team=payments | env=prod"]),
            )
            for name in names
            if chance.random() < 0.9
        ]  # fmt: skip
        assert imported(prowler(rows, at)).state == "done"
        _people(chance, at + timedelta(hours=9))

    findings = list(Finding.objects.all())
    with connection.cursor() as cursor:
        columns = ", ".join(f"'{column}', {column}" for column in AUDITED)
        cursor.execute(f"SELECT id, jsonb_build_object({columns}) FROM triage_finding")
        present = dict(cursor.fetchall())
    assert len(findings) > 20
    assert {len(present)} == {len(findings)}
    for finding in findings:
        held = present[finding.pk]
        held = held if isinstance(held, dict) else __import__("json").loads(held)
        assert replayed(finding) == held
    assert {"verified", "regressed", "unreported", "severity", "muted", "owner", "status"} <= set(
        Event.objects.values_list("kind", flat=True)
    )


def _people(chance: random.Random, at) -> None:
    everybody = list(Finding.objects.order_by("pk").values_list("pk", "status"))
    triager = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}))
    for pk, status in chance.sample(everybody, min(4, len(everybody))):
        if status == Status.OPEN:
            lifecycle.move(finding=pk, to=chance.choice([Status.IN_PROGRESS, Status.FIX_CLAIMED]), actor=triager, at=at)
        elif status in (Status.IN_PROGRESS, Status.FIX_CLAIMED):
            with audit.recording(actor="user:2", at=at, door="page", reason="accepted for now"):
                Finding.objects.filter(pk=pk).update(status=Status.ACCEPTED)
