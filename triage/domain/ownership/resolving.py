"""Owners written anew over the whole estate, after a change of rules, teams or accounts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from triage.domain import risk, sla
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.ownership.chain import Chain, keep_imports_out
from triage.domain.ownership.surveying import ALIKE, Changed, Survey, alike, batches
from triage.domain.ownership.trails import trail_ids
from triage.domain.sets import CHUNK, chunks

APPLIED = "the owner rules were applied to the whole estate"


@dataclass(slots=True)
class Summary:
    """What a run over the estate did. `explained`: assets that keep their owner and now have another reason for it.

    `rejudged`: assets whose environment or criticality changed. `findings`: how many followed their asset, in owner, reason or
    environment; `handed`: those of them that have another owner now.
    """

    assets: int = 0
    moved: int = 0
    explained: int = 0
    rejudged: int = 0
    findings: int = 0
    handed: int = 0


def resolve_all(*, actor: Actor, at: datetime, reason: str = APPLIED) -> Summary:
    """Ask for the whole estate again and write what changed: assets, and the findings that follow unless pinned.

    In chunks of 20,000, each a transaction of its own, so that people can work meanwhile; stopped in the middle, the next run
    does the rest. An import under way is waited for, as it has read older rules; one that begins now reads the new ones.
    """
    actor.demand(Right.CONFIGURE)
    with transaction.atomic():
        keep_imports_out()
    survey = Survey(Chain.load())
    run = _Run(actor, at, reason, Summary())
    for changed in survey.changed_assets():
        run.write_assets(changed, together=survey.together)
    run.summary.assets = survey.assets
    return run.summary


@dataclass(frozen=True, slots=True)
class _Run:
    actor: Actor
    at: datetime
    reason: str
    summary: Summary

    def write_assets(self, changed: list[Changed], *, together: bool) -> None:
        if not changed:
            return
        trails = trail_ids(new.answer for new in changed)
        for chunk in chunks(_alike(changed) if together else ((new.held.sample, new) for new in changed)):
            with recording(actor=self.actor.name, at=self.at, door=self.actor.door, reason=self.reason):
                keep_imports_out()
                self._write_chunk(chunk, trails)

    def _write_chunk(self, chunk: list[tuple[int, Changed]], trails: dict[bytes, int]) -> None:
        rows = [
            (
                n,
                new.held.tag_set,
                new.held.trail,
                new.answer.team_id,
                trails[new.answer.digest],
                new.environment,
                new.criticality,
                new.application,
            )
            for n, new in chunk
        ]
        with connection.cursor() as cursor:
            cursor.execute(_WRITE_ASSETS, [*map(list, zip(*rows, strict=True)), self.at, self.at])
            written = cursor.fetchall()
        self.summary.moved += sum(moved for _id, moved, _explained, _rejudged in written)
        self.summary.explained += sum(explained for _id, _moved, explained, _rejudged in written)
        self.summary.rejudged += sum(rejudged for _id, _moved, _explained, rejudged in written)
        self._follow([number for number, *_what in written])
        self._judge_again([number for number, _moved, _explained, rejudged in written if rejudged])

    def _follow(self, assets: list[int]) -> None:
        """Findings of these assets take their owner, unless pinned, and their environment."""
        for rows in batches(_FOLLOWING, [assets], CHUNK):
            with connection.cursor() as cursor:
                cursor.execute(_FOLLOW, [[number for (number,) in rows], self.at])
                followed, handed = cursor.fetchone() or (0, 0)
                self.summary.findings += followed
                self.summary.handed += handed

    def _judge_again(self, assets: list[int]) -> None:
        if not assets:
            return
        for rows in batches("SELECT id FROM triage_finding WHERE asset_id = ANY(%s) ORDER BY id", [assets], CHUNK):
            findings = [number for (number,) in rows]
            sla.recompute(findings, at=self.at)
            risk.rescore(findings, at=self.at)


def _alike(changed: list[Changed]) -> Iterator[tuple[int, Changed]]:
    """Each asset of these combinations, with what it should become."""
    for rows in batches(f"SELECT a.id, w.n {ALIKE}", alike(changed, range(len(changed))), CHUNK):
        for number, n in rows:
            yield number, changed[n]


# Whoever changed the tags meanwhile has resolved by the rules of today: that asset is left alone.
_WRITE_ASSETS = """
WITH wanted AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::smallint[], %s::bigint[])
        AS w(id, tag_set_id, trail_before, team_id, trail_id, environment, criticality, application_id)
), held AS MATERIALIZED (
    SELECT a.id, a.tag_set_id, a.tags_since, a.team_id AS team_before, a.trail_id AS trail_before, w.team_id, w.trail_id,
        w.environment, w.criticality, w.application_id, (a.environment, a.criticality, a.application_id)
            IS DISTINCT FROM (w.environment, w.criticality, w.application_id) AS rejudged
    FROM triage_asset a JOIN wanted w ON w.id = a.id AND w.tag_set_id = a.tag_set_id AND w.trail_before = a.trail_id
    ORDER BY a.id FOR UPDATE OF a
), history AS (
    INSERT INTO triage_assettags (asset_id, tag_set_id, team_id, trail_id, since, until)
    SELECT id, tag_set_id, team_before, trail_before, least(tags_since, %s), %s FROM held WHERE trail_before <> trail_id
), written AS (
    UPDATE triage_asset a
    SET team_id = h.team_id, trail_id = h.trail_id, environment = h.environment, criticality = h.criticality,
        application_id = h.application_id
    FROM held h WHERE a.id = h.id
)
SELECT id, team_before IS DISTINCT FROM team_id, team_before IS NOT DISTINCT FROM team_id AND trail_before <> trail_id, rejudged
FROM held
"""

_FOLLOWS = """
f.environment <> a.environment OR NOT f.pinned AND (f.team_id, f.trail_id) IS DISTINCT FROM (a.team_id, a.trail_id)
"""
_FOLLOWING = f"""
SELECT f.id FROM triage_finding f JOIN triage_asset a ON a.id = f.asset_id
WHERE f.asset_id = ANY(%s) AND ({_FOLLOWS}) ORDER BY f.id
"""
_FOLLOW = f"""
WITH locked AS MATERIALIZED (
    SELECT id, asset_id, team_id FROM triage_finding WHERE id = ANY(%s) ORDER BY id FOR UPDATE
), written AS (
    UPDATE triage_finding f
    SET environment = a.environment, changed_at = %s,
        team_id = CASE WHEN f.pinned THEN f.team_id ELSE a.team_id END,
        trail_id = CASE WHEN f.pinned THEN f.trail_id ELSE a.trail_id END
    FROM locked l JOIN triage_asset a ON a.id = l.asset_id
    WHERE f.id = l.id AND ({_FOLLOWS})
    RETURNING f.team_id IS DISTINCT FROM l.team_id AS handed
)
SELECT count(*), count(*) FILTER (WHERE handed) FROM written
"""
