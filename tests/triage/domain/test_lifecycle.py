"""The table of edges, in full, and the verbs that follow it."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests import factories
from triage.domain import lifecycle
from triage.domain.access import Actor
from triage.domain.audit import recording
from triage.domain.errors import NotAllowed, Stale
from triage.models import Presence, Role, Status

pytestmark = pytest.mark.django_db
AT = factories.AT + timedelta(hours=1)


@pytest.mark.parametrize("to", Status.values)
@pytest.mark.parametrize("before", Status.values)
def test_people_move_along_their_edges_alone(before, to):
    finding = factories.finding(status=before, grade="proof" if before == Status.VERIFIED else "")

    if to in lifecycle.BY_PEOPLE.get(before, {}):
        assert lifecycle.move(finding=finding.pk, to=to, actor=factories.TRIAGER, at=AT).status == to
    else:
        with pytest.raises(NotAllowed):
            lifecycle.move(finding=finding.pk, to=to, actor=factories.TRIAGER, at=AT)


@pytest.mark.parametrize("before", Status.values)
def test_nothing_but_evidence_leads_to_verified(before):
    assert Status.VERIFIED not in lifecycle.BY_PEOPLE.get(before, {})
    assert Status.VERIFIED not in lifecycle.BY_DECISION.get(before, frozenset())


@pytest.mark.parametrize("before", Status.values)
def test_evidence_settles_every_status_but_verified_itself(before):
    finding = factories.finding(status=before, grade="proof" if before == Status.VERIFIED else "")
    with recording(actor="worker", at=AT, door="task"):
        changed = lifecycle.settle([finding.pk], at=AT, grade="proof")

    assert changed == ([] if before == Status.VERIFIED else [finding.pk])


@pytest.mark.parametrize("to", Presence.values)
@pytest.mark.parametrize("before", Presence.values)
def test_presence_moves_along_its_table(before, to):
    finding = factories.finding(presence=before)
    verbs = {Presence.UNREPORTED: lifecycle.vanish, Presence.GONE: lifecycle.lose, Presence.REPORTED: lifecycle.return_}

    with recording(actor="worker", at=AT, door="task"):
        changed = verbs[to]([finding.pk], at=AT)

    assert bool(changed) == (to in lifecycle.PRESENCE[before])


def test_stale_move_is_refused():
    finding = factories.finding()
    lifecycle.move(finding=finding.pk, to=Status.IN_PROGRESS, actor=factories.TRIAGER, at=AT)

    with pytest.raises(Stale):
        lifecycle.move(finding=finding.pk, to=Status.OPEN, actor=factories.TRIAGER, at=AT, version=finding.version)


def test_contributor_moves_the_own_teams_findings_alone():
    web, payments = factories.team("web"), factories.team("payments")
    mine, theirs = factories.finding(bucket="a", owner=web), factories.finding(bucket="b", owner=payments)
    contributor = Actor(name="user:3", door="page", roles=frozenset({Role.CONTRIBUTOR}), teams=frozenset({web.pk}))

    assert lifecycle.move(finding=mine.pk, to=Status.FIX_CLAIMED, actor=contributor, at=AT).status == Status.FIX_CLAIMED
    with pytest.raises(NotAllowed, match="no right"):
        lifecycle.move(finding=theirs.pk, to=Status.FIX_CLAIMED, actor=contributor, at=AT)


def test_viewer_moves_nothing():
    finding = factories.finding()

    with pytest.raises(NotAllowed, match="no right"):
        lifecycle.move(finding=finding.pk, to=Status.IN_PROGRESS, actor=factories.VIEWER, at=AT)


def test_gone_asset_stops_the_clock_and_its_return_starts_a_new_one():
    finding = factories.finding()
    with recording(actor="worker", at=AT, door="task"):
        lifecycle.lose([finding.pk], at=AT)
    finding.refresh_from_db()
    assert (finding.presence, finding.is_open, finding.settled_at) == (Presence.GONE, False, AT)

    later = AT + timedelta(days=2)
    with recording(actor="worker", at=later, door="task"):
        lifecycle.return_([finding.pk], at=later)
    finding.refresh_from_db()
    assert (finding.presence, finding.is_open, finding.clock_from) == (Presence.REPORTED, True, later)
    assert finding.due_at == later + timedelta(hours=72)


def test_drawing_in_the_docs_is_that_of_the_tables():
    from docs.draw_lifecycle import drawn  # noqa: PLC0415 - sets up Django when imported alone

    assert (Path(__file__).parents[3] / "docs" / "lifecycle.md").read_text() == drawn()
