"""What the database holds of the accounts that a report is about: read once, packed into integers.

A million findings and assets must fit in memory beside the parser, so each is one dictionary entry: its key's 16 bytes, and an
integer that holds its number and what an observation could change.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BigIntegerField, QuerySet
from django.db.models.expressions import RawSQL

from triage.domain.ingest import copying
from triage.domain.sets import CHUNK
from triage.models import Finding, ScanScope, Status

Covered = tuple[frozenset[int], frozenset[str]]  # checks and regions

STATUSES = tuple(Status)
_STATUS = {status: code for code, status in enumerate(STATUSES)}
STATUS_MASK, GONE_OR_UNREPORTED, MUTED, STAND_IN = 0b1111, 0b11 << 4, 1 << 9, 1 << 10
SEVERITY_SHIFT, ID_SHIFT = 6, 16
BLOCK = 10  # numbers that the sequences of assets and findings give at a time, as migration 0002 sets them
LOOKS_MASK = (1 << 64) - 1

VERIFIED, FIX_CLAIMED = _STATUS[Status.VERIFIED], _STATUS[Status.FIX_CLAIMED]
ASKED = frozenset({_STATUS[Status.MANUAL], _STATUS[Status.ATTESTED]})
# A failure changes nothing about these.
STEADY = frozenset(_STATUS[s] for s in (Status.OPEN, Status.IN_PROGRESS, Status.ACCEPTED, Status.FALSE_POSITIVE))
OPEN = frozenset({_STATUS[Status.OPEN], _STATUS[Status.IN_PROGRESS]})
DECIDED = frozenset({_STATUS[Status.ACCEPTED], _STATUS[Status.FALSE_POSITIVE]})

_STATE = (
    "(CASE status " + " ".join(f"WHEN '{status}' THEN {code}" for status, code in _STATUS.items()) + " END"
    " + CASE presence WHEN 'reported' THEN 0 WHEN 'unreported' THEN 16 ELSE 32 END"
    f" + (scanner_severity << {SEVERITY_SHIFT}) + CASE WHEN muted THEN {MUTED} ELSE 0 END"
    f" + CASE WHEN stand_in THEN {STAND_IN} ELSE 0 END)"
)


def findings(scanner: str, accounts: Iterable[int]) -> dict[bytes, int]:
    """Identity -> number << 16 | stand-in, muted, severity, presence, status, of a scanner's findings in these accounts."""
    rows = copying.read(
        f"identity || int8send((f.id << {ID_SHIFT}) + {_STATE})",
        "triage_finding f WHERE account_id = ANY(%s) AND check_id IN (SELECT id FROM triage_check WHERE scanner = %s)",
        [list(accounts), scanner],
        "16sq",
    )
    return dict(rows)


def states(findings: QuerySet[Any]) -> dict[int, int]:
    """Number -> number and state, packed as `findings` has it, of the findings that the query names."""
    rows = Finding.objects.filter(pk__in=findings).annotate(
        state=RawSQL(f"(triage_finding.id << {ID_SHIFT}) + {_STATE}", [], output_field=BigIntegerField())  # noqa: S611 - constants
    )
    return dict(rows.values_list("pk", "state"))


def assets(keys: Sequence[bytes]) -> dict[bytes, int]:
    """Key -> number << 64 | tag set << 32 | looks, of the assets that have one of these keys: look-ups by index, one statement."""
    rows = copying.read(
        "a.key || int8send(a.id) || int8send((a.tag_set_id << 32) + a.looks)",
        "generate_series(1, %s, 16) AS i, LATERAL"
        " (SELECT key, id, tag_set_id, looks FROM triage_asset WHERE key = substring(%s::bytea FROM i FOR 16) OFFSET 0) AS a",
        [16 * len(keys), b"".join(keys)],
        "16sqq",
    )
    return {key: number << 64 | state for key, number, state in rows}


def inhabited(accounts: Iterable[int]) -> set[int]:
    """Of these accounts the ones that have assets."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.id FROM unnest(%s::bigint[]) AS a(id) WHERE EXISTS (SELECT 1 FROM triage_asset WHERE account_id = a.id)",
            [list(accounts)],
        )
        return {number for (number,) in cursor.fetchall()}


def stand_ins(scanner: str, accounts: Iterable[int]) -> dict[int, set[int]]:
    """Account -> checks that have an open stand-in finding there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT account_id, check_id FROM triage_finding WHERE account_id = ANY(%s) AND stand_in AND status <> 'verified'"
            " AND check_id IN (SELECT id FROM triage_check WHERE scanner = %s)",
            [list(accounts), scanner],
        )
        found: dict[int, set[int]] = {}
        for account, check in cursor.fetchall():
            found.setdefault(account, set()).add(check)
    return found


def newer(scanner: str, accounts: Iterable[int], at: datetime) -> dict[int, list[Covered]]:
    """Account -> what complete scans of this scanner later than `at` covered there."""
    scopes = ScanScope.objects.filter(
        scanner=scanner, account__in=list(accounts), complete=True, at__gt=at, check_set__isnull=False
    )
    found: dict[int, list[Covered]] = {}
    for account, checks, regions in scopes.values_list("account_id", "check_set__checks", "regions"):
        found.setdefault(account, []).append((frozenset(checks), frozenset([*regions, ""])))
    return found


def numbering(table: str) -> Iterator[int]:
    """Numbers that no other row of the table has or will have, for ever: one statement a batch.

    The sequence counts in blocks, as asking it for each number costs as much as half a COPY. The ones that are left over are lost,
    and people read them: each batch is three times as long as the last, up to a chunk.
    """
    count = 4
    while True:
        following = f"int8send(nextval('{table}_id_seq'))"
        for (first,) in copying.read(following, f"generate_series(1, {count})", [], "q"):
            yield from range(first, first + BLOCK)
        count = min(3 * count, CHUNK // BLOCK)
