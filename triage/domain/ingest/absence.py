"""What a cloud report says by what it does not name: stand-ins that are settled, findings that are no longer reported.

Absence never closes a finding. It counts at all only where the scan looked: the account, the region and the check must be in it.
"""

from datetime import datetime
from itertools import chain, zip_longest

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain import lifecycle
from triage.domain.audit import Recording
from triage.domain.ingest import asset_facts, copying, known
from triage.domain.ingest.cloud import CloudMerge, is_covered
from triage.domain.ingest.records import Records
from triage.domain.ingest.settlement import Settled, sight, write
from triage.domain.interning import digest
from triage.domain.search.lookups import among
from triage.domain.sets import chunks
from triage.models import CheckSet, Finding, Grade, ScanScope
from triage.ports import Text

MOST_WAITING = 4 << 20  # bytes of fingerprints that are copied at once
SCOPE_COLUMNS = ("scan_id", "scanner", "check_set_id", "complete", "at", "account_id", "regions", "records")
DOUBTFUL = _(
    "%(count)s known findings are missing from this report, more than it names. It may be of a part only (one resource, a filter), so "
    "nothing is marked as no longer reported. If the scan was whole, import it again and declare it complete."
)


def settle(merge: CloudMerge, *, log: Recording, complete: bool | None) -> Settled:
    """The whole report is read: write what it says of known findings, and judge those that no row named.

    `complete`: as the importer declared, None if not. Without a PASS row a report is one of failures alone and proves nothing by
    absence; declared complete, no guard doubts it; and a run that declares what it covered is complete in that. Inside a recording.
    """
    merge.close()
    if complete is None and merge.run.covered is not None:
        complete = True
    scan, at = merge.scan, merge.at
    covering = merge.run.conclusive and merge.run.reports_passes and complete is not False
    covering = covering and (merge.tally.passed > 0 or complete is True)
    log.because("pass row")
    # A finding whose failure came again unchanged is not fixed by another row of the same key.
    passing = (
        held >> known.ID_SHIFT
        for held in merge.passing.values()
        if held & known.STATUS_MASK != known.VERIFIED and held >> known.ID_SHIFT not in merge.seen
    )
    fixed = lifecycle.settle(passing, at=at, grade=Grade.PROOF) + _settle_stand_ins(merge, at=at)
    _count_again(merge)
    done = write(merge.changes, log=log, scan=scan, at=at)
    done.fixed = len(fixed)
    if covering:
        log.because("not in a scan that covered it")
        absent = _absent(merge)
        if complete is None and _is_doubtful(merge, len(absent)):
            covering = False
            done.notes.append(Text(DOUBTFUL, {"count": len(absent)}))
        else:
            done.unreported = len(lifecycle.vanish(absent, at=at))
            _forget_facts(merge)
    log.because()
    if not covering:
        sight([*merge.changes.sighted, *merge.seen], at=at)
    _write_scopes(merge, scan=scan, at=at, complete=covering)
    _expose(merge, changed=[*fixed, *merge.changes.regressed, *merge.changes.back, *merge.changes.judged])
    return done


def _count_again(merge: CloudMerge) -> None:
    """Count the findings whose records were recognised; one that another row of its key named as well was counted then."""
    twice = merge.seen.intersection(merge.changes.sighted)
    merge.tally.unchanged += len(merge.seen) - len(twice)
    merge.tally.repeated += len(twice)
    held = chain(merge.known.values(), merge.passing.values())
    merge.tally.open += sum(state & known.STATUS_MASK in known.OPEN and state >> known.ID_SHIFT in merge.seen for state in held)


def _settle_stand_ins(merge: CloudMerge, *, at: datetime) -> list[int]:
    """“No trail” is settled by any PASS row of its check in that account and region: the real thing has another id. Ids that changed."""
    pairs = [(ground.account.id, check, region) for ground in merge.grounds.values() for check, region in ground.settled]
    # One whose record came again unchanged still fails, though it is among the findings that no row was read for.
    ids = [
        held >> known.ID_SHIFT
        for held in merge.known.values()
        if held & known.STAND_IN and held >> known.ID_SHIFT not in merge.seen
    ]
    if not pairs or not ids:
        return []
    accounts, checks, regions = (list(column) for column in zip(*set(pairs), strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM triage_finding WHERE id = ANY(%s) AND (account_id, check_id, region) IN"
            " (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[]))",
            [ids, accounts, checks, regions],
        )
        settled = [number for (number,) in cursor.fetchall()]
    changed = set(lifecycle.settle(settled, at=at, grade=Grade.PROOF))
    merge.known = {key: held for key, held in merge.known.items() if held >> known.ID_SHIFT not in changed}
    return list(changed)


def _absent(merge: CloudMerge) -> list[int]:
    """Numbers of the reported findings that the scan covered and no row named."""
    left = [
        held >> known.ID_SHIFT
        for held in merge.known.values()
        if not held & known.GONE_OR_UNREPORTED
        and held & known.STATUS_MASK != known.VERIFIED
        and held >> known.ID_SHIFT not in merge.seen
        and held >> known.ID_SHIFT not in merge.undecided
    ]
    if merge.run.covered is not None:
        return _absent_from(merge, left)
    covered = {
        (ground.account.id, region) for ground in merge.grounds.values() for region in {*ground.regions, ""} if ground.regions
    }
    accounts, regions = (list(column) for column in zip(*covered, strict=True)) if covered else ([], [])
    checks = list(merge.checks_seen)
    newer = {ground.account.id: ground.newer for ground in merge.grounds.values() if ground.newer}
    absent: list[int] = []
    for ids in chunks(left):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, account_id, check_id, region FROM triage_finding WHERE id = ANY(%s) AND check_id = ANY(%s)"
                " AND (account_id, region) IN (SELECT * FROM unnest(%s::bigint[], %s::text[]))",
                [ids, checks, accounts, regions],
            )
            absent += [
                number
                for number, account, check, region in cursor.fetchall()
                if not is_covered(newer.get(account, ()), check, region)  # a later scan has said more already
            ]
    return absent


def _absent_from(merge: CloudMerge, left: list[int]) -> list[int]:
    """Of the findings that no row named those that lie in what the run says that it covered."""
    covered = {
        (merge.grounds[scope.account].account.id, merge.catalogue.checks[check].id, region)
        for scope in merge.run.covered or ()
        for check, _severity in scope.checks
        for region in scope.regions
    }
    newer = {ground.account.id: ground.newer for ground in merge.grounds.values() if ground.newer}
    absent: list[int] = []
    for ids in chunks(left):
        rows = Finding.objects.filter(among("pk", ids)).values_list("pk", "account", "check_ref", "region")
        absent += [
            number
            for number, account, check, region in rows
            if (account, check, region) in covered and not is_covered(newer.get(account, ()), check, region)
        ]
    return absent


def _forget_facts(merge: CloudMerge) -> None:
    for scope in merge.run.covered or ():
        ground = merge.grounds[scope.account]
        if not ground.newer:
            seen = merge.collected.get(ground.account.id, set())
            asset_facts.forget(account=ground.account.id, kind=scope.kind, regions=scope.regions, seen=seen)


def _is_doubtful(merge: CloudMerge, absent: int) -> bool:
    """More is missing than was found again: a report of one resource looks like that, an estate that was cleaned up rarely does."""
    again = merge.tally.unchanged + len(merge.passing) + len(merge.changes.regressed) + len(merge.changes.back)
    return absent > again and (absent >= 10 or merge.single_asset)


def _write_scopes(merge: CloudMerge, *, scan: int, at: datetime, complete: bool) -> None:
    scopes = _looked_at(merge)
    if not scopes:
        return
    grounds = {ground.account.id: ground for ground in merge.grounds.values()}
    # The fingerprints of older scans are of no use any more.
    accounts = {account for account, _regions in scopes}
    stale = ScanScope.objects.filter(scanner=merge.run.scanner, account__in=accounts, records__isnull=False)
    stale.update(records=None)
    # By COPY: in a statement's text the fingerprints would be twice as long, and of all rows they are the longest.
    copier = copying.Copier("triage_scanscope", SCOPE_COLUMNS)
    numbers: dict[tuple[int, ...], int] = {}
    waiting = 0
    for (account, regions), checks in scopes.items():
        if checks not in numbers:
            numbers[checks] = CheckSet.objects.get_or_create(digest=digest(list(checks)), defaults={"checks": list(checks)})[0].pk
        same = copying.big(scan) + copying.text(merge.run.scanner) + copying.big(numbers[checks]) + copying.boolean(complete)
        same += copying.moment(at)
        ground = grounds[account]
        records, ground.records = ground.records.packed(regions), Records()
        copier.rows.append(
            same + copying.big(account) + copying.texts(list(regions)) + (copying.blob(records) if records else copying.NULL)
        )
        waiting += len(records)
        if waiting > MOST_WAITING:
            copier.flush()
            waiting = 0
    copier.flush()


def _looked_at(merge: CloudMerge) -> dict[tuple[int, tuple[str, ...]], tuple[int, ...]]:
    """Checks by account and regions: as the run declares them, else all that its rows name in all places that they name."""
    if merge.run.covered is None:
        seen = tuple(sorted(merge.checks_seen))
        return {
            (ground.account.id, tuple(sorted(ground.regions - {""}))): seen for ground in merge.grounds.values() if ground.regions
        }
    found: dict[tuple[int, tuple[str, ...]], set[int]] = {}
    for scope in merge.run.covered:
        place = (merge.grounds[scope.account].account.id, tuple(sorted({*scope.regions} - {""})))
        found.setdefault(place, set()).update(merge.catalogue.checks[check].id for check, _severity in scope.checks)
    return {place: tuple(sorted(checks)) for place, checks in found.items() if checks}


def _expose(merge: CloudMerge, *, changed: list[int]) -> None:
    """An asset is exposed while a check that says so fails on it. Looked at are those whose findings changed.

    A new asset was written with the exposure that its first row tells of.
    """
    exposing = [check.id for check in merge.catalogue.checks.values() if check.exposes]
    if not exposing:
        return
    for findings, assets in zip_longest(chunks(changed), chunks(merge.exposed), fillvalue=()):
        with connection.cursor() as cursor:
            cursor.execute(
                # OFFSET 0 keeps the look-ups by index: right after a first import the planner takes the tables for empty.
                "WITH touched AS MATERIALIZED (SELECT f.asset_id FROM unnest(%s::bigint[]) AS n(id), LATERAL"
                " (SELECT asset_id, check_id FROM triage_finding WHERE id = n.id OFFSET 0) f WHERE f.check_id = ANY(%s)"
                " UNION SELECT unnest(%s::bigint[])),"
                " now AS MATERIALIZED (SELECT t.asset_id, a.exposure, EXISTS (SELECT 1 FROM triage_finding f"
                " JOIN triage_check c ON c.id = f.check_id WHERE f.asset_id = t.asset_id AND f.is_open AND c.exposes OFFSET 0) AS exposed"
                " FROM touched t, LATERAL (SELECT exposure FROM triage_asset WHERE id = t.asset_id OFFSET 0) a)"
                " UPDATE triage_asset a SET exposure = n.exposed::int FROM now n"
                " WHERE n.exposure <> n.exposed::int AND a.id = n.asset_id",
                [list(findings), exposing, list(assets)],
            )
