"""Fill an empty, migrated database with an estate of any size by SQL alone, for measuring reads (not imports).

usage: python -m bench.fill [--findings 1000000] [--assets 400000] [--seed 1]

Connects as the owner (DATABASE_OWNER_URL) with triggers off, and writes the counters that they would have written. The mix is
that of a grown estate: 200 accounts, 40 teams of very different size, half of the findings open, one in twelve in code, words
that are in every name and words that are in one. No events are written.
"""

import argparse
import os
import time
from itertools import count

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cspm.settings")
os.environ["CSPM_DB_ROLE"] = "owner"

import django

django.setup()

from django.db import connection, transaction

from triage.domain.search import words

TEAMS = 40
ACCOUNTS = 200
CHECKS = 900
PROVIDERS = "{aws,aws,aws,aws,aws,aws,aws,azure,azure,gcp,code}"
SERVICES = "{s3,ec2,iam,rds,kms,lambda,cloudtrail,vpc,eks,elb,storage,network,keyvault,sql,compute,dns,sqs,sns,ecr,route53}"
NOUNS = (
    "{bucket,instance,role,policy,key,snapshot,volume,cluster,function,trail,gateway,table,queue,topic,image,certificate,user,"
    "group,zone,disk}"
)
FAULTS = "{public_access,encryption_disabled,logging_disabled,no_mfa,unused,wildcard_permissions,no_backup,old_version,no_tags}"
ENVIRONMENTS = '{prod,prod,preprod,dev,test,""}'
WORDS = (
    "{payments,identity,data,mobile,search,web,sre,ml,billing,partners,invoice,ledger,catalog,orders,stock,mail,media,video,audit,"
    "login,session,report,export,import,cache,proxy,edge,core,legacy,beta}"
)

NUMBERED = (
    "user", "team", "account", "scan", "check", "control", "tagset", "asset", "finding", "ownertrail", "codestream", "connection", "ticket",
)  # fmt: skip


def pick(values: str, row: str) -> str:
    """SQL of one element of a text array, the same for the same row number, independent of every other pick."""
    salt = next(_salts)
    return f"('{values}'::text[])[1 + (hashint8extended({row}, {salt}) & 1073741823) % array_length('{values}'::text[], 1)]"


_salts = count(1)
STATEMENTS = (
    "INSERT INTO triage_ownertrail (id, digest, steps) OVERRIDING SYSTEM VALUE VALUES (1, decode(repeat('00', 16), 'hex'), '[]')",
    """INSERT INTO triage_user (id, password, email, name, is_active, language, theme, time_zone, created_at)
        SELECT i, '!', 'person' || i || '@example.com', 'Person ' || i, true, '', '', '', now() FROM generate_series(1, 60) i""",
    f"""INSERT INTO triage_team (id, slug, name, email, aliases)
        SELECT i, word || CASE WHEN i > 30 THEN '-' || i ELSE '' END, initcap(word) || ' ' || i, '', '{{}}'
        FROM (SELECT i, ('{WORDS}'::text[])[1 + (i - 1) % 30] AS word FROM generate_series(1, {TEAMS}) i) w""",
    f"""INSERT INTO triage_account (id, provider, uid, name, email, organization, unit, tags, environment, criticality, team_id,
            in_scope, scope_reason, options, aliases, created_at)
        SELECT i, {pick(PROVIDERS, "i")}, (100000000000 + i * 7919)::text, {pick(WORDS, "i")} || '-account-' || i, '', '', '',
            '{{}}', {pick(ENVIRONMENTS, "i")}, i % 5, 1 + i % {TEAMS}, true, '', '{{}}', '{{}}', now()
        FROM generate_series(1, {ACCOUNTS}) i""",
    """INSERT INTO triage_scan (id, state, scanner, format, version, file_name, sha256, size, declared, at, received_at, actor, door,
            attempts, counts, notes)
        SELECT i, 'done', 'prowler', 'Prowler CSV v4', '4', '', sha256(i::text::bytea), 1, '{}', now() - (101 - i) * interval '2 days',
            now() - (101 - i) * interval '2 days', 'worker', 'task', 1, '{}', '[]' FROM generate_series(1, 100) i""",
    f"""INSERT INTO triage_check (id, scanner, key, title, service, severity, description, risk, remediation, remediation_url,
            remediation_cli, remediation_terraform, remediation_other, categories, weaknesses, "references", exposes, digest, updated_at)
        SELECT i, CASE WHEN i % 12 = 0 THEN 'checkov' ELSE 'prowler' END, service || '_' || noun || '_' || fault || '_' || i,
            'Ensure that ' || service || ' ' || noun || ' has not ' || replace(fault, '_', ' '), service, 1 + (i * 7) % 5,
            '', '', '', '', '', '', '', ARRAY[{pick("{internet-exposed,encryption,logging,identity,resilience}", "i")}],
            ARRAY['CWE-' || (i % 40)], '{{}}', i % 9 = 0, sha256(i::text::bytea), now()
        FROM (SELECT i, {pick(SERVICES, "i")} AS service, {pick(NOUNS, "i")} AS noun, {pick(FAULTS, "i")} AS fault
            FROM generate_series(1, {CHECKS}) i) c""",
    """INSERT INTO triage_control (id, framework, reference)
        SELECT i, ('{CIS-3.0,CIS-1.5,PCI-4.0,ISO27001-2022,SOC2,NIS2,HIPAA,NIST-800-53,ENS,GDPR}'::text[])[1 + i % 10], (i / 10)::text
        FROM generate_series(1, 1000) i""",
    """INSERT INTO triage_checkcontrol (check_id, control_id)
        SELECT DISTINCT c.id, 1 + (c.id * 31 + k * k * 17) % 1000 FROM triage_check c, generate_series(1, 30) k WHERE c.id % 3 > 0""",
    f"""INSERT INTO triage_tagset (id, digest, tags, folded)
        SELECT 1 + i, sha256(i::text::bytea), jsonb_build_array(jsonb_build_array('Owner', team), jsonb_build_array('env', env)),
            jsonb_build_object('owner', team, 'env', env, 'name', name)
        FROM (SELECT i, {pick(WORDS, "i")} AS team, {pick("{prod,prod,prod,staging,dev}", "i")} AS env,
            'n-' || i AS name FROM generate_series(1, %(tag_sets)s) i) t""",
    f"""INSERT INTO triage_asset (id, key, account_id, uid, name, type, service, region, tag_set_id, tags_since, environment,
            criticality, exposure, team_id, trail_id, looks, first_seen)
        SELECT i, sha256(('a' || i)::bytea), account_id,
            CASE WHEN provider = 'code' THEN name ELSE
                'arn:' || provider || ':' || service || ':' || region || ':' || uid || ':' || noun || '/' || name END,
            name, initcap(provider) || initcap(service) || initcap(noun), service, region, 2 + i % %(tag_sets)s, now(), environment,
            CASE WHEN i % 4 = 0 THEN 1 + i % 3 ELSE 0 END, CASE WHEN i % 9 = 0 THEN 1 ELSE 0 END,
            CASE WHEN i % 7 = 0 THEN NULL ELSE 1 + floor(sqrt((account_id * 37 + i % 6 * 211) % 1600))::int % {TEAMS} END, 1, 0, now()
        FROM (SELECT s.i, a.id AS account_id, a.provider, a.uid, a.environment, {pick(SERVICES, "s.i")} AS service,
            {pick("{eu-west-3,eu-west-3,eu-west-1,eu-central-1,us-east-1}", "s.i")} AS region, {pick(NOUNS, "s.i")} AS noun,
            {pick(WORDS, "s.i")} || '-' || {pick("{prod,prod,dev,staging}", "s.i")} || '-' || {pick(WORDS, "s.i")}
                || '-' || to_hex(s.i * 2654435761 % 4294967296) AS name
            FROM generate_series(1::bigint, %(assets)s) s(i) JOIN triage_account a ON a.id = 1 + (s.i * 31 % {ACCOUNTS})) x""",
    f"""INSERT INTO triage_finding (id, identity, key_version, qualifier, check_id, asset_id, account_id, region, environment, status,
            presence, severity, scanner_severity, score, message, muted, review, stand_in, team_id, trail_id, pinned, assignee_id,
            first_seen, last_seen, clock_from, due_at, due_original, paused_at, settled_at, grade, regressions, first_scan_id,
            changed_at, event_seq, version)
        SELECT f.i, sha256(('f' || f.i)::bytea), 1, '', c.id, a.id, a.account_id, a.region, a.environment, status, presence,
            c.severity, c.severity, c.severity * 150 + CASE WHEN a.environment = 'prod' THEN 100 ELSE 0 END + a.exposure * 60 + f.i % 40,
            'The ' || a.type || ' ' || a.name || ' has not ' || c.key, r3 < 0.01, r3 > 0.99, r3 BETWEEN 0.5 AND 0.502, a.team_id, 1,
            r3 BETWEEN 0.3 AND 0.31, CASE WHEN r3 BETWEEN 0.4 AND 0.41 THEN 1 + f.i % 60 END, seen, seen + interval '1 hour', seen,
            CASE WHEN c.severity > 1 THEN seen + (6 - c.severity) * interval '25 days' END,
            CASE WHEN c.severity > 1 THEN seen + (6 - c.severity) * interval '25 days' END,
            CASE WHEN r3 BETWEEN 0.7 AND 0.702 THEN seen + interval '2 days' END,
            CASE WHEN status = 'verified' THEN seen + interval '9 days' END, CASE WHEN status = 'verified' THEN 'proof' ELSE '' END,
            CASE WHEN r3 BETWEEN 0.6 AND 0.61 THEN 1 ELSE 0 END, 1 + f.i * 100 / (%(findings)s + 1), now(), 1, 1
        FROM (SELECT i, random() AS r3, now() - (1 - i::float8 / %(findings)s) * interval '200 days' AS seen,
                1 + (i * 7919 + i / 1000) % %(assets)s AS asset, 1 + floor(power(random(), 2) * {CHECKS})::int AS chk,
                CASE WHEN r1 < 0.5 THEN 'open' WHEN r1 < 0.54 THEN 'in_progress' WHEN r1 < 0.55 THEN 'fix_claimed'
                    WHEN r1 < 0.9 THEN 'verified' WHEN r1 < 0.95 THEN 'accepted' WHEN r1 < 0.97 THEN 'false_positive'
                    WHEN r1 < 0.99 THEN 'manual' ELSE 'attested' END AS status,
                CASE WHEN r2 < 0.9 THEN 'reported' WHEN r2 < 0.96 THEN 'unreported' ELSE 'gone' END AS presence
            FROM (SELECT i, random() AS r1, random() AS r2 FROM generate_series(1::bigint, %(findings)s) i) r) f
        JOIN triage_asset a ON a.id = f.asset JOIN triage_check c ON c.id = f.chk""",
    """INSERT INTO triage_codestream (id, scanner, account_id, category, branch)
        SELECT id, 'checkov', id, '', 'main' FROM triage_account WHERE provider = 'code'""",
    f"""INSERT INTO triage_codeplace (finding_id, stream_id, path, start_line, end_line, start_column, end_column, address, snippet,
            context, text_hash, context_hash, fingerprints, trusted, ordinal, others)
        SELECT id, account_id,
            'src/' || {pick(WORDS, "id")} || '/' || {pick(NOUNS, "id")} || '_' || id % 500 || '.tf',
            id % 900, 0, 0, 0, '', '', '', '', '', '[]', '', 0, '[]'
        FROM triage_finding WHERE account_id IN (SELECT id FROM triage_account WHERE provider = 'code')""",
    """INSERT INTO triage_connection
        (kind, plugin, name, options, secrets, probes, disclosure, per_second, state, state_reason, failures, created_at)
        VALUES ('tickets', 'files', 'files', '{}', '{}', '[]', 'full', 100, 'ready', '', 0, now())""",
    """INSERT INTO triage_ticket (connection_id, group_key, mark, state, remote_id, key, url, category, remote_status, remote_assignee,
        severity, missing, created_at)
        SELECT 1, i, i, CASE WHEN i % 5 = 0 THEN 'closed' ELSE 'live' END, i, 'SEC-' || i, '', '', '', '', 0, 0, now()
        FROM generate_series(1, 2000) i""",
    """INSERT INTO triage_ticketitem (ticket_id, finding_id, added_at)
        SELECT 1 + id % 2000, id, now() FROM triage_finding WHERE id % 50 = 0""",
    """INSERT INTO triage_counter (team, account, severity, status, presence, environment, n)
        SELECT team_id, account_id, severity, status, presence, environment, count(*) FROM triage_finding GROUP BY 1, 2, 3, 4, 5, 6""",
    """INSERT INTO triage_checkcounter (check_id, team, is_open, n)
        SELECT check_id, team_id, is_open, count(*) FROM triage_finding GROUP BY 1, 2, 3""",
)


def fill(*, findings: int, assets: int, seed: int) -> None:
    """Write everything in one transaction. Raises when the database already holds findings of its own."""
    sizes = {"findings": findings, "assets": assets, "tag_sets": max(1, assets // 3)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL work_mem = '256MB'")
        cursor.execute("SELECT setseed(%s)", [1 / (1 + seed)])
        for written in STATEMENTS:
            statement, started = written, time.monotonic()
            for name, size in sizes.items():
                statement = statement.replace(f"%({name})s", str(size))
            cursor.execute(statement)
            print(f"{statement.split()[2]:28} {cursor.rowcount:>9} rows {time.monotonic() - started:6.1f} s", flush=True)
        for table in NUMBERED:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('triage_{table}', 'id'), max(id)) FROM triage_{table}")
        cursor.execute(f"UPDATE triage_check SET words = {words.vector_sql(words.CHECK_COLUMNS)}")
    started = time.monotonic()
    indexed = 0
    while batch := words.index_assets():
        indexed += batch
    print(f"asset words indexed          {indexed:>9} rows {time.monotonic() - started:6.1f} s")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=1_000_000)
    parser.add_argument("--assets", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fill(findings=arguments.findings, assets=arguments.assets, seed=arguments.seed)
