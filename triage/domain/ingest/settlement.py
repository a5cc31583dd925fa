"""The end of an import: what became of findings and assets that were known before it, written set by set."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from triage.domain import lifecycle, risk, sla
from triage.domain.audit import Recording
from triage.domain.ingest.changes import Changes
from triage.domain.ingest.writing import appearance
from triage.domain.search import words
from triage.domain.sets import chunks
from triage.models import Finding
from triage.ports import Text


@dataclass(slots=True)
class Settled:
    """How many known findings changed in which way; `notes` say what the report could not prove and why."""

    fixed: int = 0
    regressed: int = 0
    unreported: int = 0
    back: int = 0
    notes: list[Text] = field(default_factory=list)


def write(changes: Changes, *, log: Recording, scan: int, at: datetime) -> Settled:
    """Write what became of known findings and assets. Inside a recording."""
    done = Settled()
    log.because("check fails again")
    done.regressed = len(lifecycle.reopen(changes.regressed, at=at))
    log.because("reported again")
    done.back = len(lifecycle.return_(changes.back, at=at))
    log.because("check still fails")
    lifecycle.refute(changes.refuted, at=at)
    lifecycle.judge(changes.judged, at=at)
    _change_assets(changes, log=log, scan=scan, at=at)
    _follow_asset(changes.followers, log=log, at=at)
    _change_severity(changes.severity, log=log, at=at)
    _change_muted(changes.muted, log=log, at=at)
    _keep_aliases(changes.aliases)
    log.because()
    return done


def _change_assets(changes: Changes, *, log: Recording, scan: int, at: datetime) -> None:
    """Assets whose tags or looks changed, the history of their tags, and the findings that follow."""
    for chunk in chunks(changes.assets.items()):
        rows = [
            (
                number,
                facts.tag_set,
                facts.team,
                facts.trail,
                facts.environment,
                facts.criticality,
                facts.application.id if facts.application else None,
                looks,
                *appearance(observation),
            )
            for number, (facts, observation, looks) in chunk
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TABLE IF NOT EXISTS changed_asset (id bigint, tag_set_id bigint, team_id bigint, trail_id bigint,"
                " environment text, criticality smallint, application_id bigint, looks bigint, name text, type text, region text)"
                " ON COMMIT DROP;"
                " TRUNCATE changed_asset"
            )
            cursor.execute(
                "INSERT INTO changed_asset SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
                " %s::smallint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[])",
                columns,
            )
            cursor.execute(
                "INSERT INTO triage_assettags (asset_id, tag_set_id, team_id, trail_id, since, until, scan_id)"
                " SELECT a.id, a.tag_set_id, a.team_id, a.trail_id, least(a.tags_since, %s), %s, %s FROM triage_asset a"
                " JOIN changed_asset c USING (id) WHERE a.tag_set_id <> c.tag_set_id AND a.first_scan_id IS DISTINCT FROM %s",
                [at, at, scan, scan],
            )
            cursor.execute("SELECT a.id FROM triage_asset a JOIN changed_asset c USING (id) WHERE a.name <> c.name")
            renamed = [number for (number,) in cursor.fetchall()]
            cursor.execute(
                "SELECT a.id FROM triage_asset a JOIN changed_asset c USING (id)"
                " WHERE (a.criticality, a.application_id) IS DISTINCT FROM (c.criticality, c.application_id)"
            )
            rejudged = [number for (number,) in cursor.fetchall()]
            cursor.execute(
                "UPDATE triage_asset a SET tags_since = CASE WHEN a.tag_set_id <> c.tag_set_id THEN %s ELSE a.tags_since END,"
                " tag_set_id = c.tag_set_id, team_id = c.team_id, trail_id = c.trail_id, environment = c.environment,"
                " criticality = c.criticality, application_id = c.application_id, looks = c.looks, name = c.name, type = c.type,"
                " region = c.region FROM changed_asset c WHERE a.id = c.id",
                [at],
            )
        if renamed:
            words.forget(assets=renamed)
        _follow(log=log, at=at)
        if rejudged:
            of_them = Finding.objects.filter(asset__in=rejudged).order_by("pk")
            _reconsider(list(of_them.values_list("pk", flat=True)), at=at)


def _follow(*, log: Recording, at: datetime) -> None:
    """Findings of `changed_asset` get its owner, unless a hand gave them another, and its environment with what depends on it."""
    log.because("the asset's tags changed")
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW.format(assets="changed_asset", which=""), [at])
        _reconsider([number for (number,) in cursor.fetchall()], at=at)


def _follow_asset(findings: Iterable[int], *, log: Recording, at: datetime) -> None:
    """The same of findings whose own row had no tags while others of their asset had."""
    log.because("the asset's tags in other rows")
    for chunk in chunks(findings):
        with connection.cursor() as cursor:
            cursor.execute(_FOLLOW.format(assets="triage_asset", which=" AND f.id = ANY(%s)"), [at, chunk])
        _reconsider(list(chunk), at=at)  # all of them: what depends on the asset's application is no column of theirs


_FOLLOW = (
    "UPDATE triage_finding f SET environment = c.environment, changed_at = %s,"
    " team_id = CASE WHEN f.pinned THEN f.team_id ELSE c.team_id END,"
    " trail_id = CASE WHEN f.pinned THEN f.trail_id ELSE c.trail_id END"
    " FROM {assets} c WHERE f.asset_id = c.id AND (f.environment <> c.environment"
    " OR NOT f.pinned AND (f.team_id, f.trail_id) IS DISTINCT FROM (c.team_id, c.trail_id))"
    "{which} RETURNING f.id"
)


def _reconsider(followed: list[int], *, at: datetime) -> None:
    """Due date and score of findings whose environment may be another now."""
    sla.recompute(followed, at=at)
    for ids in chunks(followed):
        risk.rescore(ids, at=at)


def judge_again(checks: Collection[int], *, log: Recording, at: datetime) -> None:
    """Findings of checks that expose, or serve controls, otherwise than before: their dates and scores may be others now."""
    log.because("the check is described otherwise")
    _reconsider(
        list(Finding.objects.filter(check_ref__in=checks, settled_at=None).order_by("pk").values_list("pk", flat=True)), at=at
    )


def _change_severity(severities: dict[int, int], *, log: Recording, at: datetime) -> None:
    """The scanner judges the check otherwise now: the due date moves, the clock's start does not."""
    if not severities:
        return
    log.because("the scanner changed the severity")
    for chunk in chunks(severities.items()):
        ids, values = (list(column) for column in zip(*chunk, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE triage_finding f SET severity = coalesce(c.override, n.severity), scanner_severity = n.severity, changed_at = %s"
                " FROM unnest(%s::bigint[], %s::smallint[]) AS n(id, severity), triage_check c WHERE f.id = n.id AND c.id = f.check_id",
                [at, ids, values],
            )
        sla.recompute(ids, at=at)
        risk.rescore(ids, at=at)


def _change_muted(muted: dict[int, bool], *, log: Recording, at: datetime) -> None:
    for value in (True, False):
        ids = [number for number, now in muted.items() if now is value]
        log.because("muted in the scanner" if value else "no longer muted in the scanner")
        for chunk in chunks(ids):
            with connection.cursor() as cursor:
                cursor.execute("UPDATE triage_finding SET muted = %s, changed_at = %s WHERE id = ANY(%s)", [value, at, chunk])


def _keep_aliases(aliases: Iterable[tuple[int, str]]) -> None:
    for chunk in chunks(aliases):
        ids, names = (list(column) for column in zip(*chunk, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_findingalias (finding_id, name) SELECT * FROM unnest(%s::bigint[], %s::text[])"
                " ON CONFLICT DO NOTHING",
                [ids, names],
            )


def sight(findings: Iterable[int], *, at: datetime) -> None:
    """A report whose scope says nothing: what it saw is noted on the findings themselves."""
    for chunk in chunks(findings):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE triage_finding SET last_seen = %s WHERE id = ANY(%s) AND last_seen < %s", [at, chunk, at])
