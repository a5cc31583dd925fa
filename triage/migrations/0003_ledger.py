"""What is hashed of an event, and that the log is only added to.

The sealed bytes hold the columns of an event. Of a finding's own columns they hold what changed; what people or the outside said, in
reasons and notes, is there as a salted hash: when a person's words have to go (GDPR, article 17), `cspm_erase` takes the words and
the salt, and the log still holds.

The first event of a finding is sealed with the finding's identity, so that it cannot become one of another check or asset, and with how
many findings there have been: whoever is shown some of them sees that none is left out.
"""

from django.db import migrations

# Kinds of events that the trigger writes about a finding's own columns: they hold numbers and dates, and nobody's words.
INLINE = (
    "opened", "verified", "regressed", "status", "reported", "unreported", "gone", "severity", "owner", "paused", "resumed",
    "contained", "acknowledged", "due", "muted", "changed",
)  # fmt: skip
KINDS = ", ".join(f"'{kind}'" for kind in INLINE)

WORDS = f"""
CREATE FUNCTION cspm_inline(e triage_event) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT e.subject = 'finding' AND e.kind IN ({KINDS}) AND NOT (e.kind = 'contained' AND e.before IS NULL)
$$;

CREATE FUNCTION cspm_words(e triage_event) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to((CASE WHEN cspm_inline(e) THEN jsonb_build_object('reason', e.reason)
        ELSE jsonb_build_object('before', e.before, 'after', e.after, 'reason', e.reason) END)::text, 'UTF8')
$$;

CREATE FUNCTION cspm_moment(moment timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- `digest`: of the words, NULL when it is to be computed with the salt.
CREATE FUNCTION cspm_opens(e triage_event) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT e.subject = 'finding' AND e.kind = 'opened'
$$;

-- What the first event of a finding is sealed with: which finding it is, and how many the log has had with it.
CREATE FUNCTION cspm_opened(identity bytea, nth bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('identity', encode(identity, 'hex'), 'nth', nth)
$$;

-- `opened`: cspm_opened() of a first event. A subquery in here would cost three times as much: such functions are not inlined.
CREATE FUNCTION cspm_leaf(e triage_event, salt bytea, opened jsonb, digest text DEFAULT NULL) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to((jsonb_build_object(
        'v', 1, 'event', e.id, 'subject', e.subject, 'subject_id', e.subject_id, 'seq', e.seq, 'kind', e.kind,
        'actor', e.actor, 'door', e.door, 'scan', e.scan_id, 'evidence', encode(e.evidence, 'hex'),
        'at', cspm_moment(e.at), 'recorded_at', cspm_moment(e.recorded_at), 'xid', e.xid::text,
        'words', coalesce(digest, encode(sha256(salt || cspm_words(e)), 'hex'))
    ) || CASE WHEN cspm_inline(e) THEN jsonb_build_object('before', e.before, 'after', e.after) ELSE '{{}}'::jsonb END
      || CASE WHEN cspm_opens(e) THEN opened ELSE '{{}}'::jsonb END)::text, 'UTF8')
$$;
"""

APPEND_ONLY = """
CREATE TRIGGER leaf_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON triage_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION cspm_refused();
CREATE TRIGGER node_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON triage_node
    FOR EACH STATEMENT EXECUTE FUNCTION cspm_refused();
CREATE TRIGGER checkpoint_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON triage_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION cspm_refused();
"""

ERASE = """
-- The application may call this and nothing else: what it takes is words, never that something happened, when, or by whom.
CREATE FUNCTION cspm_erase(erased bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who text := cspm_actor();
BEGIN
    IF cspm_setting('reason') IS NULL THEN
        RAISE EXCEPTION 'words are erased for a reason' USING ERRCODE = 'CS001';
    END IF;
    PERFORM set_config('cspm.erasing', 'on', true);
    UPDATE triage_event e SET reason = '', before = CASE WHEN cspm_inline(e) THEN e.before END,
        after = CASE WHEN cspm_inline(e) THEN e.after END WHERE e.id = erased;
    UPDATE triage_leaf SET salt = NULL WHERE event = erased;
    PERFORM set_config('cspm.erasing', '', true);
    INSERT INTO triage_event (subject, subject_id, kind, reason, actor, door, at)
        VALUES ('event', erased, 'words erased', cspm_setting('reason'), who, coalesce(cspm_setting('door'), ''),
            cspm_setting('at')::timestamptz);
END $$;
"""


def sql(text: str) -> migrations.RunSQL:
    return migrations.RunSQL(text, migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [("triage", "0002_audit")]
    operations = [sql(WORDS), sql(APPEND_ONLY), sql(ERASE)]
