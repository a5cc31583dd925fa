"""The audit door: every insert and update of a finding writes its event and its counters in the same statement.

Statement-level triggers with transition tables, so that COPY, bulk updates, raw SQL and the shell all pass through them. Who,
through which door, when and why comes from transaction-local settings (triage.domain.audit.recording); a write without an actor
is refused.
"""

from django.db import migrations

# The columns whose history is kept: replaying a finding's events gives their present values.
AUDITED = (
    "status", "presence", "severity", "scanner_severity", "team_id", "trail_id", "pinned", "assignee_id", "environment", "muted",
    "review", "clock_from", "due_at", "due_original", "paused_at", "sla_id", "acknowledge_due", "acknowledged_at", "contain_due",
    "contained_at", "claimed_at", "verify_due", "settled_at", "grade", "regressions", "group_id",
)  # fmt: skip

INITIAL = ", ".join(f"'{column}', g.{column}" for column in AUDITED)
CHANGED = " OR ".join(f"o.{column} IS DISTINCT FROM n.{column}" for column in AUDITED)


def difference(side: str) -> str:
    """SQL of a jsonb object that holds one side of each audited column that differs."""
    return " || ".join(
        f"CASE WHEN o.{column} IS DISTINCT FROM n.{column} THEN jsonb_build_object('{column}', {side}.{column}) ELSE nothing END"
        for column in AUDITED
    )


ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'cspm_app') THEN
        CREATE ROLE cspm_app NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'cspm_app', 'MEMBER') THEN
        EXECUTE format('GRANT cspm_app TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    -- Then somebody else has made the role, or `check --deploy` says that there is none.
    RAISE NOTICE 'no right to create role cspm_app';
END $$;
"""

SETTINGS = """
CREATE FUNCTION cspm_setting(name text) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('cspm.' || name, true), '') $$;

CREATE FUNCTION cspm_actor() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF cspm_setting('actor') IS NULL OR cspm_setting('at') IS NULL THEN
        RAISE EXCEPTION 'a finding is written only inside triage.domain.audit.recording()' USING ERRCODE = 'CS001';
    END IF;
    RETURN cspm_setting('actor');
END $$;
"""

INSERTED = f"""
-- To sort a chunk of an import by all audited columns costs four times as much as to hash them; there is memory for its groups.
CREATE FUNCTION triage_finding_inserted() RETURNS trigger LANGUAGE plpgsql SET enable_sort = off SET work_mem = '32MB' AS $$
DECLARE
    who text := cspm_actor();
    door text := coalesce(cspm_setting('door'), '');
    why text := coalesce(cspm_setting('reason'), '');
    moment timestamptz := cspm_setting('at')::timestamptz;
    scan bigint := cspm_setting('scan')::bigint;
    proof bytea := decode(cspm_setting('evidence'), 'hex');
BEGIN
    -- OFFSET 0 keeps the look-ups by index: a hash join would read all assets for each chunk of an import.
    IF EXISTS (SELECT 1 FROM added a LEFT JOIN LATERAL
            (SELECT 1 AS found FROM triage_asset x WHERE x.id = a.asset_id AND x.account_id = a.account_id OFFSET 0) x ON true
            WHERE x.found IS NULL)
        OR EXISTS (SELECT DISTINCT check_id FROM added EXCEPT SELECT id FROM triage_check)
        OR EXISTS (SELECT 1 FROM (SELECT DISTINCT trail_id FROM added) a LEFT JOIN LATERAL
            (SELECT 1 AS found FROM triage_ownertrail x WHERE x.id = a.trail_id OFFSET 0) x ON true WHERE x.found IS NULL)
    THEN
        RAISE EXCEPTION 'a finding points at an asset, check or owner trail that does not exist' USING ERRCODE = '23503';
    END IF;
    -- Many findings of a chunk begin alike: their state is put into words once. Beside unnest() it would be once a row, hence OFFSET 0.
    INSERT INTO triage_event (subject, subject_id, seq, kind, after, reason, actor, door, scan_id, evidence, at)
        SELECT 'finding', unnest(ids), 1, 'opened', state, why, who, door, scan, proof, moment
        FROM (SELECT jsonb_strip_nulls(jsonb_build_object({INITIAL})) AS state, ids
            FROM (SELECT {", ".join(AUDITED)}, array_agg(id) AS ids FROM added GROUP BY {", ".join(AUDITED)}) g OFFSET 0) worded;
    INSERT INTO triage_counter (team, account, severity, status, presence, environment, n)
        SELECT team_id, account_id, severity, status, presence, environment, count(*) FROM added GROUP BY 1, 2, 3, 4, 5, 6;
    INSERT INTO triage_checkcounter (check_id, team, is_open, n)
        SELECT check_id, team_id, is_open, count(*) FROM added GROUP BY 1, 2, 3;
    INSERT INTO triage_dailycount (day, kind, team, severity, n, seconds, in_time)
        SELECT (moment AT TIME ZONE 'UTC')::date, 'opened', team_id, severity, count(*), 0, 0 FROM added WHERE is_open GROUP BY 3, 4;
    IF EXISTS (SELECT 1 FROM added WHERE event_seq <> 1) THEN
        RAISE EXCEPTION 'a finding begins with its first event' USING ERRCODE = 'CS002';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER finding_inserted AFTER INSERT ON triage_finding
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION triage_finding_inserted();
"""

UPDATED = f"""
CREATE FUNCTION triage_finding_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Never taken from the statement: whoever writes, the sequence has no gap and no repetition.
    NEW.version := OLD.version + 1;
    NEW.event_seq := OLD.event_seq;
    IF NEW.notice_at IS DISTINCT FROM OLD.notice_at AND NEW.changed_at = OLD.changed_at THEN
        NEW.version := OLD.version;  -- that a clock is looked at again later is nobody's change
    END IF;
    IF ({CHANGED.replace("o.", "OLD.").replace("n.", "NEW.")}) THEN
        NEW.event_seq := OLD.event_seq + 1;
    ELSIF cspm_setting('noting') IS NOT NULL THEN
        NEW.event_seq := OLD.event_seq + 1;  -- audit.note() writes the event that takes this number
        NEW.version := OLD.version;  -- what was told of it is no change of it either
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER finding_counts BEFORE UPDATE ON triage_finding FOR EACH ROW EXECUTE FUNCTION triage_finding_counts();

-- The planner knows nothing of transition tables and would join them row by row: 1,600 updates took 0.7 s.
CREATE FUNCTION triage_finding_updated() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    who text := cspm_actor();
    door text := coalesce(cspm_setting('door'), '');
    why text := coalesce(cspm_setting('reason'), '');
    moment timestamptz := cspm_setting('at')::timestamptz;
    scan bigint := cspm_setting('scan')::bigint;
    proof bytea := decode(cspm_setting('evidence'), 'hex');
    nothing CONSTANT jsonb := '{{}}';
BEGIN
    IF EXISTS (SELECT 1 FROM older o JOIN newer n USING (id)
        WHERE (o.identity, o.first_scan_id) IS DISTINCT FROM (n.identity, n.first_scan_id) AND cspm_setting('rekey') IS NULL)
    THEN
        RAISE EXCEPTION 'the identity of a finding changes only in a re-key' USING ERRCODE = 'CS002';
    END IF;
    INSERT INTO triage_event (subject, subject_id, seq, kind, before, after, reason, actor, door, scan_id, evidence, at)
        SELECT 'finding', n.id, n.event_seq,
            CASE
                WHEN o.status <> n.status AND n.status = 'verified' THEN 'verified'
                WHEN o.status <> n.status AND o.status = 'verified' THEN 'regressed'
                WHEN o.status <> n.status THEN 'status'
                WHEN o.presence <> n.presence THEN n.presence
                WHEN o.severity <> n.severity OR o.scanner_severity <> n.scanner_severity THEN 'severity'
                WHEN (o.team_id, o.pinned, o.assignee_id) IS DISTINCT FROM (n.team_id, n.pinned, n.assignee_id) THEN 'owner'
                WHEN n.paused_at IS NOT NULL AND o.paused_at IS NULL THEN 'paused'
                WHEN n.paused_at IS NULL AND o.paused_at IS NOT NULL THEN 'resumed'
                WHEN n.contained_at IS NOT NULL AND o.contained_at IS NULL THEN 'contained'
                WHEN n.acknowledged_at IS NOT NULL AND o.acknowledged_at IS NULL THEN 'acknowledged'
                WHEN (o.due_at, o.acknowledge_due, o.contain_due, o.verify_due)
                    IS DISTINCT FROM (n.due_at, n.acknowledge_due, n.contain_due, n.verify_due) THEN 'due'
                WHEN o.muted <> n.muted THEN 'muted'
                ELSE 'changed'
            END,
            {difference("o")}, {difference("n")}, why, who, door, scan, proof, moment
        FROM older o JOIN newer n USING (id)
        WHERE {CHANGED}
        ORDER BY n.id;
    INSERT INTO triage_counter (team, account, severity, status, presence, environment, n)
        SELECT team_id, account_id, severity, status, presence, environment, sum(n) FROM (
            SELECT team_id, account_id, severity, status, presence, environment, 1 AS n FROM newer
            UNION ALL SELECT team_id, account_id, severity, status, presence, environment, -1 FROM older
        ) AS moved GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(n) <> 0;
    INSERT INTO triage_checkcounter (check_id, team, is_open, n)
        SELECT check_id, team_id, is_open, sum(n) FROM (
            SELECT check_id, team_id, is_open, 1 AS n FROM newer UNION ALL SELECT check_id, team_id, is_open, -1 FROM older
        ) AS moved GROUP BY 1, 2, 3 HAVING sum(n) <> 0;
    INSERT INTO triage_dailycount (day, kind, team, severity, n, seconds, in_time)
        SELECT (moment AT TIME ZONE 'UTC')::date, kind, team_id, severity, count(*), sum(seconds), sum(in_time) FROM (
            SELECT n.team_id, n.severity,
                CASE
                    WHEN n.status = 'verified' AND o.status <> 'verified' THEN 'verified'
                    WHEN n.status <> 'verified' AND o.status = 'verified' THEN 'regressed'
                    WHEN n.presence = 'gone' AND o.presence <> 'gone' THEN 'gone'
                    WHEN n.status IN ('accepted', 'false_positive') AND o.status NOT IN ('accepted', 'false_positive') THEN 'accepted'
                END AS kind,
                coalesce(extract(epoch FROM n.settled_at - o.clock_from)::bigint, 0) AS seconds,
                CASE WHEN n.settled_at <= coalesce(o.due_at, CASE WHEN o.paused_at IS NOT NULL THEN n.settled_at END)
                    THEN 1 ELSE 0 END AS in_time
            FROM older o JOIN newer n USING (id)
        ) AS happened WHERE kind IS NOT NULL GROUP BY 2, 3, 4;
    RETURN NULL;
END $$;

CREATE TRIGGER finding_updated AFTER UPDATE ON triage_finding
    REFERENCING OLD TABLE AS older NEW TABLE AS newer FOR EACH STATEMENT EXECUTE FUNCTION triage_finding_updated();
"""

REFUSED = """
CREATE FUNCTION cspm_refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only cspm_erase (0003) asks for it, which runs as the owner.
    IF TG_OP = 'UPDATE' AND cspm_setting('erasing') IS NOT NULL AND current_user <> 'cspm_app' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of % is refused: history is only added to', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CS003';
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON triage_event
    FOR EACH STATEMENT EXECUTE FUNCTION cspm_refused();
CREATE TRIGGER finding_never_deleted BEFORE DELETE OR TRUNCATE ON triage_finding
    FOR EACH STATEMENT EXECUTE FUNCTION cspm_refused();
"""

ASSETS = """
CREATE FUNCTION triage_asset_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT DISTINCT account_id FROM added EXCEPT SELECT id FROM triage_account)
        OR EXISTS (SELECT 1 FROM (SELECT DISTINCT tag_set_id FROM added) a LEFT JOIN LATERAL
            (SELECT 1 AS found FROM triage_tagset x WHERE x.id = a.tag_set_id OFFSET 0) x ON true WHERE x.found IS NULL)
        OR EXISTS (SELECT 1 FROM (SELECT DISTINCT trail_id FROM added) a LEFT JOIN LATERAL
            (SELECT 1 AS found FROM triage_ownertrail x WHERE x.id = a.trail_id OFFSET 0) x ON true WHERE x.found IS NULL)
    THEN
        RAISE EXCEPTION 'an asset points at an account, tag set or owner trail that does not exist' USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER asset_inserted AFTER INSERT ON triage_asset
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION triage_asset_inserted();
"""
# An import numbers its rows itself, ten at a time (triage.domain.ingest.known.BLOCK).
NUMBERS = """
ALTER TABLE triage_asset ALTER COLUMN id SET INCREMENT BY 10;
ALTER TABLE triage_finding ALTER COLUMN id SET INCREMENT BY 10;
"""
# Fingerprints do not compress.
STORAGE = "ALTER TABLE triage_scanscope ALTER COLUMN records SET STORAGE EXTERNAL"


def sql(text: str) -> migrations.RunSQL:
    return migrations.RunSQL(text, migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [("triage", "0001_initial")]
    operations = [sql(ROLE), sql(SETTINGS), sql(INSERTED), sql(UPDATED), sql(REFUSED), sql(ASSETS), sql(NUMBERS), sql(STORAGE)]
