"""How long evidence is kept, and what keeps it longer: a legal hold, or a finding that is still open.

Deleted are the bytes, on disk and in the archive. Their row, their hash and the events that commit to it stay: a bundle says when and
why they went.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import archives, evidence, search
from triage.domain.access import Actor, Right
from triage.domain.archives import Place
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.models import Account, Event, Evidence, ExceptionItem, Finding, Hold, HoldItem, RiskException, Scan, Verification
from triage.ports import ArchiveError, Locked, Text

logger = logging.getLogger(__name__)

AT_ONCE = 500
ASKED_AGAIN = timedelta(days=1)  # what the archive has locked for longer than it was asked to

NOT_ARCHIVED = {"archived_at": None, "archive_version": "", "archive_until": None, "archive_held": False}


@dataclass(frozen=True, slots=True)
class Due:
    """Evidence whose time is over. `findings`: whose sequence tells of its deletion, () for a report."""

    sha256: bytes
    size: int
    kept_at: datetime
    findings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many were deleted; how many the archive still has under lock, which stay. `problem`: why it ended early."""

    deleted: int = 0
    locked: int = 0
    problem: Text | None = None


def hold(
    *, finding: int | None = None, account: int | None = None, query: str = "", reason: str, actor: Actor, at: datetime
) -> Hold:
    """Nothing of the finding, of the account's, of those that the query finds, or nothing at all is deleted until this is released.

    Of these at most one is given. What the query finds now or at any later pruning stays held. Raises NotAllowed, NotFound, Invalid,
    QueryError.
    """
    actor.demand(Right.AUDIT)
    query = query.strip()
    if not reason.strip():
        raise Invalid(_("Say why it is held: the reason stays in the trail."))
    if sum((finding is not None, account is not None, bool(query))) > 1:
        raise Invalid(_("A hold is about a finding, an account, a query or everything: one of these."))
    if finding is not None and not Finding.objects.filter(pk=finding).exists():
        raise NotFound(_("There is no finding F-%(number)s."), number=f"{finding:06d}")
    if account is not None and not Account.objects.filter(pk=account).exists():
        raise NotFound(_("There is no such account."))
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        placed = Hold.objects.create(
            finding_id=finding, account_id=account, query=query, reason=reason.strip()[:500], placed_by=actor.name, placed_at=at
        )
        told: dict[str, int | str | None] = {"finding": finding}
        if account is not None:
            told = {"account": account}
        elif query:
            told = {"query": query, "findings": _catch(placed, at=at)}
        log.tell("hold", placed.pk, "placed", after=told, reason=placed.reason)
    return placed


def account_of(name: str) -> Account:
    """The account of this number or name (`aws:123456789012`, `123456789012`, `acme-production`). Raises NotFound."""
    provider, colon, uid = name.strip().partition(":")
    by_uid = Account.objects.filter(provider=provider, uid=uid) if colon else Account.objects.filter(uid=name.strip())
    found = list(by_uid[:2]) or list(Account.objects.filter(name=name.strip())[:2])
    if len(found) != 1:
        raise NotFound(_("“%(name)s” matches no account, or more than one. Write it as aws:123456789012."), name=name[:100])
    return found[0]


def release(*, number: int, reason: str, actor: Actor, at: datetime) -> Hold:
    """From here on time runs again. Raises NotAllowed, NotFound, Invalid without a reason."""
    actor.demand(Right.ADMINISTER)
    if not reason.strip():
        raise Invalid(_("Say why it is released: it stays in the trail."))
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        found = Hold.objects.select_for_update().filter(pk=number, released_at=None).first()
        if found is None:
            raise NotFound(_("There is no hold H-%(number)s in force."), number=number)
        found.released_by, found.released_at = actor.name, at
        found.save(update_fields=["released_by", "released_at"])
        log.tell("hold", found.pk, "released", reason=reason.strip()[:500])
    return found


def holds(*, actor: Actor) -> list[Hold]:
    """Those that stand, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return list(Hold.objects.filter(released_at=None).select_related("finding", "account").order_by("-pk"))


def due(*, at: datetime) -> Iterator[Due]:
    """What may go now: nothing while everything is held, and never what an open finding, an exception or a held one needs, or what the
    archive has under lock. Holds of queries catch first what they find by now: raises Invalid for one that cannot be asked any more.
    """
    _catch_up(at=at)
    for rows in _old(at):
        yield from map(_due, rows.exclude(_under_lock(at)))


def prune(*, at: datetime, actor: Actor) -> Pruned:
    """Delete what is due, at most 500 a time. Each is an event. Outside of a transaction. Raises NotAllowed."""
    actor.demand(Right.ADMINISTER)
    deleted, refused = 0, 0
    try:
        place = archives.configured()
        _catch_up(at=at)
        locked = sum(rows.filter(_under_lock(at)).count() for rows in _old(at))
        for rows in _old(at):
            for row in rows.exclude(_under_lock(at))[: AT_ONCE - deleted - refused]:
                # A hold that was placed since is asked about once more, as it may take a while until here.
                if not any(still.filter(pk=row.pk).exists() for still in _old(at)):
                    continue
                there = place is not None and row.archived_at is not None
                if place is not None and there and not _leaves_archive(row, place, at=at):
                    refused += 1
                else:
                    deleted += _delete(_due(row), emptied=there, actor=actor, at=at)
        if place is not None:
            _remains(place, actor=actor, at=at)
    except (ArchiveError, TriageError) as error:
        logger.warning("pruning ended early: %s", error)
        return Pruned(deleted, refused, error.text)
    return Pruned(deleted, locked + refused)


def held() -> Q:
    """On evidence: that a hold covers it, be it needed or not."""
    standing = list(Hold.objects.filter(released_at=None))
    if any(each.is_of_everything for each in standing):
        return Q(pk__isnull=False)  # that can be negated, as an empty one can not
    scans = Event.objects.filter(_held("subject_id", standing), subject="finding", scan__isnull=False)
    return (
        Q(pk__in=Verification.objects.filter(_held("finding", standing), evidence__isnull=False).values("evidence"))
        | Q(pk__in=Scan.objects.filter(pk__in=scans.values("scan")).values("sha256"))
        | Q(pk__in=Scan.objects.filter(pk__in=Finding.objects.filter(_held("pk", standing)).values("first_scan")).values("sha256"))
        | Q(pk__in=ExceptionItem.objects.filter(_held("finding", standing), exception__evidence__isnull=False)
            .values("exception__evidence"))
    ) if standing else Q(pk__in=[])  # fmt: skip


def _due(row: Evidence) -> Due:
    runs = Verification.objects.filter(evidence=row.pk).values_list("finding", flat=True)
    return Due(bytes(row.sha256), row.size, row.kept_at, tuple(sorted(set(runs))))


def _catch_up(*, at: datetime) -> None:
    for row in Hold.objects.filter(released_at=None).exclude(query="").order_by("pk"):
        try:
            _catch(row, at=at)
        except TriageError as error:  # a team or a tag of it is gone: nobody knows what it would hold
            raise Invalid(
                _("Nothing is deleted: the query of %(hold)s is no longer valid. Place another hold and release this "
                  "one. %(said)s"),
                hold=str(row), said=str(error),
            ) from None  # fmt: skip


def _catch(row: Hold, *, at: datetime) -> int:
    """Keep what the query finds; how many are new. One statement. Raises QueryError, also for “mine”: it has no “me”."""
    try:
        found, params = search.findings(search.parse(row.query), at=at).values("pk").query.sql_with_params()
    except EmptyResultSet:  # Django knows without asking, such as for an account that is not there yet
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO triage_holditem (hold_id, finding_id) SELECT %s, found.id"
            f" FROM ({found}) AS found(id) ON CONFLICT DO NOTHING",
            [row.pk, *params],
        )
        return int(cursor.rowcount)


def _leaves_archive(row: Evidence, place: Place, *, at: datetime) -> bool:
    """Whether the archive let go of it. Raises ArchiveError where it does not answer."""
    name, version = archives.name_of(bytes(row.sha256)), row.archive_version
    try:
        if row.archive_held:
            place.plugin.hold(name, version, False, place.options)
            Evidence.objects.filter(pk=row.pk).update(archive_held=False)
        place.plugin.delete(name, version, place.options)
    except Locked:
        Evidence.objects.filter(pk=row.pk).update(archive_until=at + ASKED_AGAIN)
        return False
    return True


def _remains(place: Place, *, actor: Actor, at: datetime) -> None:
    """What was deleted here while it was on its way to the archive, or while no archive was named."""
    rows = Evidence.objects.filter(deleted_at__isnull=False, archived_at__isnull=False, archive_until__lte=at)
    gone = [row for row in rows[:AT_ONCE] if _leaves_archive(row, place, at=at)]
    if gone:
        with recording(actor=actor.name, at=at, door=actor.door, reason="retention") as log:
            Evidence.objects.filter(pk__in=[row.pk for row in gone]).update(**NOT_ARCHIVED)
            log.tell("evidence archive", 0, "deleted", after={"versions": {str(row): row.archive_version for row in gone}})


def _delete(item: Due, *, emptied: bool, actor: Actor, at: datetime) -> bool:
    """On disk and in the row. `emptied`: the archive has let go of it."""
    with transaction.atomic():
        row = Evidence.objects.select_for_update().filter(pk=item.sha256, deleted_at=None).first()
        if row is None:
            return False
        told = {"sha256": item.sha256.hex(), "size": item.size, "kept_at": item.kept_at.isoformat()}
        if emptied:
            told["archive_version"] = row.archive_version
        with recording(actor=actor.name, at=at, door=actor.door, reason="retention") as log:
            Evidence.objects.filter(pk=row.pk).update(deleted_at=at, **(NOT_ARCHIVED if emptied else {}))
            if item.findings:
                log.note(item.findings, "evidence deleted", after=told, reason="retention")
            else:
                log.tell("report", 0, "evidence deleted", after=told, reason="retention")
        path = evidence.path_of(item.sha256, row.encoding)
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    return True


def _old(at: datetime) -> tuple[QuerySet[Evidence], ...]:
    """Proofs and reports whose time here is over, and that nothing needs."""
    standing = list(Hold.objects.filter(released_at=None))
    if any(each.is_of_everything for each in standing):
        return ()
    return _proofs(at, standing), _reports(at, standing)


def _under_lock(at: datetime) -> Q:
    return Q(archived_at__isnull=False, archive_until__gt=at)


def _proofs(at: datetime, standing: Sequence[Hold]) -> QuerySet[Evidence]:
    """Of verifications whose findings are all settled and none of which is held."""
    if not settings.KEEP_EVIDENCE_DAYS:
        return Evidence.objects.none()
    runs = Verification.objects.filter(evidence=OuterRef("pk"))
    needed = runs.filter(Q(finding__is_open=True) | _held("finding", standing))
    old = Evidence.objects.filter(deleted_at=None, kept_at__lt=at - timedelta(days=settings.KEEP_EVIDENCE_DAYS))
    return old.filter(Exists(runs)).exclude(Exists(needed)).exclude(_excepted()).order_by("kept_at")


def _reports(at: datetime, standing: Sequence[Hold]) -> QuerySet[Evidence]:
    """Of scans that opened or changed no finding that is open or held."""
    if not settings.KEEP_REPORTS_DAYS:
        return Evidence.objects.none()
    scans = Scan.objects.filter(sha256=OuterRef("pk"))
    opened = Finding.objects.filter(Q(is_open=True) | _held("pk", standing), first_scan__sha256=OuterRef("pk"))
    old = Evidence.objects.filter(deleted_at=None, kept_at__lt=at - timedelta(days=settings.KEEP_REPORTS_DAYS))
    old = old.filter(Exists(scans)).exclude(Exists(opened))
    if standing:
        changed = Event.objects.filter(_held("subject_id", standing), subject="finding", scan=OuterRef("pk"))
        old = old.exclude(Exists(scans.filter(Exists(changed))))
    return old.exclude(Exists(Verification.objects.filter(evidence=OuterRef("pk")))).exclude(_excepted()).order_by("kept_at")


def _held(path: str, standing: Sequence[Hold]) -> Q:
    """That one of these holds is about the finding whose number stands there."""
    findings = [each.finding_id for each in standing if each.finding_id]
    accounts = [each.account_id for each in standing if each.account_id]
    condition = Q(**{f"{path}__in": findings})
    if accounts:
        condition |= Q(**{f"{path}__in": Finding.objects.filter(account__in=accounts).values("pk")})
    if queries := [each.pk for each in standing if each.query]:
        condition |= Q(**{f"{path}__in": HoldItem.objects.filter(hold__in=queries).values("finding")})
    return condition


def _excepted() -> Exists:
    return Exists(RiskException.objects.filter(evidence=OuterRef("pk")))
