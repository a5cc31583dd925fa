"""The life of an import: received, leased, merged in one transaction, or refused with a sentence."""

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.utils.translation import gettext_noop as _

from triage.domain import audit, evidence
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.ingest import reports
from triage.domain.ingest.cleaning import one_line
from triage.domain.ingest.merge import Matches, merge
from triage.domain.ingest.summary import Report, Summary, text_json
from triage.models import Scan, ScanProgress, ScanState, ScanWarning
from triage.ports import ParseOptions, Text, UnreadableReport

__all__ = ["Matches", "preview", "receive", "run", "waiting"]

BUG = _(
    "Reading this report met an error of CSPM Triage itself, so nothing of it was imported. The service's log says what happened "
    "(look for %(scan)s); please report it."
)

log = logging.getLogger(__name__)
LEASE = timedelta(minutes=5)
ATTEMPTS = 3
DECLARABLE = frozenset({"complete", "zone", "mapping", "repository", "branch", "category", "account", "run"})


def receive(
    *, stream: BinaryIO | Path, name: str, declared: Mapping[str, Any], actor: Actor, at: datetime, upload: bool = False
) -> Scan:
    """Keep a report and note that it waits for import. An `upload` is a path that nobody else needs: it is taken, not copied.

    `declared`: what the importer knows of its scope (`complete`, `repository`, `branch`, `category`, `account`), its time zone
    (`zone`) and its columns (`mapping`). `run`: which of its runs made it, where each may write the same bytes as one before; else the
    same bytes are imported once. Raises Invalid for anything else in it, or when the report is larger than allowed.
    """
    actor.demand(Right.IMPORT)
    said = _declaration(declared)
    kind, limit = "application/octet-stream", settings.REPORT_MAX_BYTES
    if upload and isinstance(stream, Path):
        kept = evidence.take_file(stream, media_type=kind, at=at, limit=limit)
    else:
        kept = evidence.keep_file(stream, media_type=kind, at=at, limit=limit)
    with audit.recording(actor=actor.name, at=at, door=actor.door) as trail:
        scan = Scan.objects.create(
            file_name=one_line(Path(name.replace("\\", "/")).name)[:300], sha256=kept.sha256, size=kept.size, declared=said, received_at=at,
            actor=actor.name, door=actor.door,
        )  # fmt: skip
        trail.tell("scan", scan.pk, "received", after={"sha256": bytes(kept.sha256).hex(), "size": kept.size, "declared": said})
    return scan


def waiting(*, at: datetime) -> list[int]:
    """Numbers of the scans that nobody is importing: received, or left by a worker that died."""
    abandoned = Q(state=ScanState.RUNNING, lease_until__lt=at)
    return list(Scan.objects.filter(Q(state=ScanState.RECEIVED) | abandoned).order_by("pk").values_list("pk", flat=True))


def run(scan_id: int, *, clock: Callable[[], datetime], matches: Matches | None = None) -> Scan:
    """Import a received report: once, whoever else tries at the same time. A scan that is done is returned as it is.

    `clock` tells the time for leases; what is written bears the scan's own time.
    """
    scan = _claim(scan_id, clock())
    if scan is None:
        return Scan.objects.get(pk=scan_id)
    try:
        with evidence.open_stored(bytes(scan.sha256)) as stream:
            return _persist(scan, stream, clock=clock, matches=matches)
    except (UnreadableReport, TriageError) as refusal:
        return _finish(scan, ScanState.FAILED, now=clock(), problem=text_json(refusal.text))
    except (OperationalError, InterfaceError):
        raise  # the database is away: the lease runs out and the next worker begins anew
    except Exception:  # a bug would come again at each attempt: whoever waits for the report is told, and the log has the rest
        log.exception("%s: the import met an error", scan)
        return _finish(scan, ScanState.FAILED, now=clock(), problem=text_json(Text(BUG, {"scan": str(scan)})))


def preview(
    *, stream: BinaryIO, name: str, declared: Mapping[str, Any], actor: Actor, at: datetime, matches: Matches | None = None
) -> tuple[Scan, Report]:
    """What `run` would do: the same path, rolled back. Raises UnreadableReport where `run` would refuse."""
    actor.demand(Right.IMPORT)
    with transaction.atomic():
        scan = Scan.objects.create(
            file_name=name, sha256=b"", size=0, declared=_declaration(declared), received_at=at, actor=actor.name, door=actor.door
        )
        report = _import(scan, stream, on_progress=lambda *_progress: None, matches=matches)
        transaction.set_rollback(True)
    return scan, report


def _claim(scan_id: int, at: datetime) -> Scan | None:
    """Take the lease, or None when somebody has it or nothing is to be done."""
    free = Q(state=ScanState.RECEIVED) | Q(state=ScanState.RUNNING, lease_until__lt=at)
    mine = Scan.objects.filter(free, pk=scan_id).update(
        state=ScanState.RUNNING, lease_until=at + LEASE, attempts=F("attempts") + 1, started_at=at
    )
    if not mine:
        return None
    scan = Scan.objects.get(pk=scan_id)
    if scan.attempts > ATTEMPTS:
        problem = Text(_("The import was begun %(times)s times and its worker died each time. The report may be too large for this "
                         "machine; the worker's log says more."), {"times": ATTEMPTS})  # fmt: skip
        _finish(scan, ScanState.FAILED, now=at, problem=text_json(problem))
        return None
    return scan


def _persist(scan: Scan, stream: BinaryIO, *, clock: Callable[[], datetime], matches: Matches | None) -> Scan:
    def on_progress(stage: str, rows: int, position: int) -> None:
        at = clock()
        ScanProgress.objects.using("progress").update_or_create(
            scan_id=scan.pk, defaults={"stage": stage, "rows": rows, "bytes": position, "at": at}
        )
        Scan.objects.using("progress").filter(pk=scan.pk, state=ScanState.RUNNING).update(lease_until=at + LEASE)

    for attempt in range(1, ATTEMPTS + 1):
        twin = Scan.objects.filter(sha256=scan.sha256, declared=scan.declared, state=ScanState.DONE).first()
        if twin is not None:
            return _finish(
                scan, ScanState.DUPLICATE, now=clock(), duplicate_of=twin, counts=Summary().as_json(), **_identity_of(twin)
            )
        stream.seek(0)
        try:
            with transaction.atomic():
                report = _import(scan, stream, on_progress=on_progress, matches=matches)
                ScanWarning.objects.bulk_create(_warnings(scan, report), batch_size=5_000)
                return _finish(
                    scan, ScanState.DONE, now=clock(), counts=report.summary.as_json(), notes=[text_json(n) for n in report.notes],
                    **_identity_of(scan),
                )  # fmt: skip
        except (IntegrityError, OperationalError) as collision:
            # Another import stored the same new asset or account first, or both waited for each other: what it wrote is visible
            # to the next attempt.
            if attempt == ATTEMPTS or not _is_collision(collision):
                raise
            log.info("scan %s: begun again after a collision with another import", scan.pk)
    raise AssertionError("unreachable")


def _import(scan: Scan, stream: BinaryIO, *, on_progress: Callable[[str, int, int], None], matches: Matches | None) -> Report:
    report = Report()
    with reports.opened(stream) as opened:
        found = reports.detect(opened, mapped="mapping" in scan.declared)
        if found is None:
            report.notes.append(Text(_("The report is empty. It says nothing about what was known before.")))
            scan.at = scan.received_at
            return report
        scan.format = found.name[:80]
        try:
            unchanged: dict[bytes, int] = {}
            items = found.parser.parse(opened, _options(scan.declared, unchanged))
            merge(
                items, scan=scan, report=report, unchanged=unchanged, matches=matches,
                on_progress=lambda stage, rows: on_progress(stage, rows, opened.tell()),
            )  # fmt: skip
        except (RecursionError, MemoryError) as error:
            raise UnreadableReport(_("The report is nested or sized like an attack and was not read.")) from error
    return report


def _is_collision(error: DatabaseError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") in {"23505", "40P01", "40001"}


def _finish(scan: Scan, state: ScanState, *, now: datetime, **values: Any) -> Scan:
    with audit.recording(actor=scan.actor, at=now, door=scan.door, scan=scan.pk) as trail:
        for name, value in {"state": state, "finished_at": now, "lease_until": None, **values}.items():
            setattr(scan, name, value)
        scan.save()
        trail.tell("scan", scan.pk, str(state), after={"counts": scan.counts, "problem": scan.problem})
    return scan


def _identity_of(scan: Scan) -> dict[str, Any]:
    return {"scanner": scan.scanner, "format": scan.format, "version": scan.version, "at": scan.at}


def _warnings(scan: Scan, report: Report) -> Iterator[ScanWarning]:
    for warning in report.warnings:
        position = warning.position
        yield ScanWarning(
            scan=scan, position=str(position) if isinstance(position, int) else "/".join(map(str, position)), line=warning.line,
            field=warning.field[:100], reason=text_json(warning.reason), lost=warning.lost,
        )  # fmt: skip


def _declaration(declared: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in declared.items() if value not in (None, "")}
    if unknown := said.keys() - DECLARABLE:
        raise Invalid(
            _("“%(name)s” cannot be declared. Possible are: %(names)s."), name=min(unknown), names=", ".join(sorted(DECLARABLE))
        )
    for name, value in said.items():
        if isinstance(value, str) and (len(value) > 300 or not value.isprintable()):
            raise Invalid(_("“%(name)s” is longer than 300 characters or contains control characters."), name=name)
    if "zone" in said:
        _zone(said["zone"])
    return said


def _options(declared: Mapping[str, Any], unchanged: Mapping[bytes, int]) -> ParseOptions:
    return ParseOptions(
        zone=_zone(declared.get("zone", settings.REPORT_TIME_ZONE)),
        mapping=declared.get("mapping"),
        account=declared.get("account", ""),
        repository=declared.get("repository", ""),
        branch=declared.get("branch", ""),
        category=declared.get("category", ""),
        unchanged=unchanged,
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(_("“%(name)s” is not a time zone. Write it like Europe/Paris."), name=name) from error
