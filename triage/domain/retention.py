"""How long evidence is kept, and what keeps it longer: a legal hold, or a finding that is still open.

Deleted are the bytes. Their row, their hash and the events that commit to it stay: a bundle says when and why they went.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import evidence
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.models import Event, Evidence, Finding, Hold, RiskException, Scan, Verification

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Due:
    """Evidence whose time is over. `findings`: whose sequence tells of its deletion, () for a report."""

    sha256: bytes
    size: int
    kept_at: datetime
    findings: tuple[int, ...]


def hold(*, finding: int | None, reason: str, actor: Actor, at: datetime) -> Hold:
    """Nothing of the finding, None for nothing at all, is deleted until this is released. Raises NotAllowed, NotFound, Invalid."""
    actor.demand(Right.AUDIT)
    if not reason.strip():
        raise Invalid(_("Say why it is held: it stays in the trail."))
    if finding is not None and not Finding.objects.filter(pk=finding).exists():
        raise NotFound(_("There is no finding F-%(number)s."), number=f"{finding:06d}")
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        placed = Hold.objects.create(finding_id=finding, reason=reason.strip()[:500], placed_by=actor.name, placed_at=at)
        log.tell("hold", placed.pk, "placed", after={"finding": finding}, reason=placed.reason)
    return placed


def release(*, number: int, reason: str, actor: Actor, at: datetime) -> Hold:
    """From here on time runs again. Raises NotAllowed, NotFound, Invalid without a reason."""
    actor.demand(Right.ADMINISTER)
    if not reason.strip():
        raise Invalid(_("Say why it is released: it stays in the trail."))
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        found = Hold.objects.select_for_update().filter(pk=number, released_at=None).first()
        if found is None:
            raise NotFound(_("There is no hold H-%(number)s that stands."), number=number)
        found.released_by, found.released_at = actor.name, at
        found.save(update_fields=["released_by", "released_at"])
        log.tell("hold", found.pk, "released", reason=reason.strip()[:500])
    return found


def holds(*, actor: Actor) -> list[Hold]:
    """Those that stand, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return list(Hold.objects.filter(released_at=None).select_related("finding").order_by("-pk"))


def due(*, at: datetime) -> Iterator[Due]:
    """What may go now: nothing while everything is held, and never what an open finding, an exception or a held one needs."""
    if Hold.objects.filter(released_at=None, finding=None).exists():
        return
    for row in _proofs(at):
        runs = Verification.objects.filter(evidence=row.pk).values_list("finding", flat=True)
        yield Due(bytes(row.sha256), row.size, row.kept_at, tuple(sorted(set(runs))))
    for row in _reports(at):
        yield Due(bytes(row.sha256), row.size, row.kept_at, ())


def prune(*, at: datetime, actor: Actor) -> int:
    """Delete what is due, at most 500 a time; how many. Each is an event. Raises NotAllowed."""
    actor.demand(Right.ADMINISTER)
    gone = 0
    for item in list(due(at=at))[:AT_ONCE]:
        gone += _delete(item, actor=actor, at=at)
    return gone


def _delete(item: Due, *, actor: Actor, at: datetime) -> bool:
    with transaction.atomic():
        row = Evidence.objects.select_for_update().filter(pk=item.sha256, deleted_at=None).first()
        if row is None:
            return False
        told = {"sha256": item.sha256.hex(), "size": item.size, "kept_at": item.kept_at.isoformat()}
        with recording(actor=actor.name, at=at, door=actor.door, reason="retention") as log:
            row.deleted_at = at
            row.save(update_fields=["deleted_at"])
            if item.findings:
                log.note(item.findings, "evidence deleted", after=told, reason="retention")
            else:
                log.tell("report", 0, "evidence deleted", after=told, reason="retention")
        path = evidence.path_of(item.sha256, row.encoding)
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    return True


def _proofs(at: datetime) -> QuerySet[Evidence]:
    """Of verifications whose findings are all settled and none of which is held."""
    if not settings.KEEP_EVIDENCE_DAYS:
        return Evidence.objects.none()
    runs = Verification.objects.filter(evidence=OuterRef("pk"))
    needed = runs.filter(Q(finding__is_open=True) | Exists(_held(OuterRef("finding"))))
    old = Evidence.objects.filter(deleted_at=None, kept_at__lt=at - timedelta(days=settings.KEEP_EVIDENCE_DAYS))
    return old.filter(Exists(runs)).exclude(Exists(needed)).exclude(_excepted()).order_by("kept_at")


def _reports(at: datetime) -> QuerySet[Evidence]:
    """Of scans that opened or changed no finding that is open or held."""
    if not settings.KEEP_REPORTS_DAYS:
        return Evidence.objects.none()
    scans = Scan.objects.filter(sha256=OuterRef("pk"))
    opened = Finding.objects.filter(Q(is_open=True) | Exists(_held(OuterRef("pk"))), first_scan__sha256=OuterRef("pk"))
    held = Event.objects.filter(subject="finding", scan=OuterRef("pk")).filter(Exists(_held(OuterRef("subject_id"))))
    old = Evidence.objects.filter(deleted_at=None, kept_at__lt=at - timedelta(days=settings.KEEP_REPORTS_DAYS))
    old = old.filter(Exists(scans)).exclude(Exists(opened)).exclude(Exists(scans.filter(Exists(held))))
    return old.exclude(Exists(Verification.objects.filter(evidence=OuterRef("pk")))).exclude(_excepted()).order_by("kept_at")


def _held(finding: OuterRef) -> QuerySet[Hold]:
    return Hold.objects.filter(finding=finding, released_at=None)


def _excepted() -> Exists:
    return Exists(RiskException.objects.filter(evidence=OuterRef("pk")))
