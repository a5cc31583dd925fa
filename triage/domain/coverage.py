"""Which accounts are scanned, by what, and how lately; and an alarm for those that nobody looks at."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import connection
from django.db.models import Max, Q, Sum
from django.utils.translation import gettext_noop as _

from triage.domain import access
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.models import TO_FIX, Account, Counter, Environment, Presence, ScanScope

LATELY = timedelta(days=7)
_FIRST = [Environment.PRODUCTION, Environment.STAGING, Environment.UNKNOWN, Environment.TEST, Environment.DEVELOPMENT]


class Coverage(StrEnum):
    """How an account stands. `partial`: it was looked at lately, but by no scan that was whole."""

    NEVER = "never"
    STALE = "stale"
    PARTIAL = "partial"
    FRESH = "fresh"
    OUT = "out"


STATES = {
    Coverage.NEVER: _("never scanned"), Coverage.STALE: _("not recently"), Coverage.PARTIAL: _("partial"), Coverage.FRESH: _("scanned"),
    Coverage.OUT: _("out of scope"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scanned:
    """The newest scans of an account by one scanner; `whole` is None when there was no complete one."""

    scanner: str
    newest: datetime
    whole: datetime | None


@dataclass(frozen=True, slots=True)
class Covered:
    account: Account
    state: Coverage
    scans: Sequence[Scanned] = field(default_factory=tuple)
    open: int = 0


def survey(*, actor: Actor, at: datetime, lately: timedelta = LATELY, scanner: str = "") -> list[Covered]:
    """All accounts: in scope before out of scope, production first, never scanned before stale. Raises NotAllowed.

    Of a moment in the past, what had been scanned by then. `scanner`: look at its scans alone. Three statements.
    """
    actor.demand(Right.VIEW)
    scans = _scans(at, scanner)
    counted = Counter.objects.filter(status__in=TO_FIX).exclude(presence=Presence.GONE)
    open_ = dict(counted.values_list("account").annotate(open=Sum("n")).values_list("account", "open"))
    rows = [
        Covered(account, _state(account, scans[account.pk], at, lately), scans[account.pk], open_.get(account.pk, 0))
        for account in Account.objects.filter(created_at__lte=at).select_related("team")
    ]
    order = list(Coverage)

    def first(row: Covered) -> tuple[bool, int, int, str]:
        environment = _FIRST.index(Environment(row.account.environment))
        return not row.account.in_scope, environment, order.index(row.state), str(row.account).casefold()

    return sorted(rows, key=first)


def look(*, at: datetime, lately: timedelta = LATELY) -> int:
    """Tell once of each account in scope that nobody scanned lately; how many were told. Those that are scanned again may be told anew."""
    actor = access.worker()
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cspm coverage'))")  # one worker tells
        rows = survey(actor=actor, at=at, lately=lately)
        missed = [row for row in rows if row.state in (Coverage.NEVER, Coverage.STALE) and row.account.alarmed_at is None]
        # An account that came to be known just now has had no time to be scanned.
        missed = [row for row in missed if row.account.created_at <= at - lately]
        log.tell_all(
            "account",
            [(row.account.pk, "not scanned lately", {}, {"state": row.state.value, "days": lately.days}) for row in missed],
        )
        Account.objects.filter(pk__in=[row.account.pk for row in missed]).update(alarmed_at=at)
        well = [row.account.pk for row in rows if row.state not in (Coverage.NEVER, Coverage.STALE)]
        Account.objects.filter(pk__in=well, alarmed_at__isnull=False).update(alarmed_at=None)
    return len(missed)


def _scans(at: datetime, scanner: str) -> defaultdict[int, list[Scanned]]:
    rows = ScanScope.objects.filter(at__lte=at, **({"scanner": scanner} if scanner else {}))
    newest = rows.values_list("account", "scanner").annotate(newest=Max("at"), whole=Max("at", filter=Q(complete=True)))
    found: defaultdict[int, list[Scanned]] = defaultdict(list)
    for account, name, last, whole in newest.order_by("account", "scanner"):
        found[account].append(Scanned(name, last, whole))
    return found


def _state(account: Account, scans: Sequence[Scanned], at: datetime, lately: timedelta) -> Coverage:
    if not account.in_scope:
        return Coverage.OUT
    if not scans:
        return Coverage.NEVER
    if any(scan.whole and scan.whole >= at - lately for scan in scans):
        return Coverage.FRESH
    return Coverage.PARTIAL if any(scan.newest >= at - lately for scan in scans) else Coverage.STALE


def scope(*, account: int, in_scope: bool, reason: str, actor: Actor, at: datetime) -> Account:
    """Take an account out of scope, which needs a reason, or into it again. Raises NotAllowed, NotFound, Invalid."""
    actor.demand(Right.CONFIGURE)
    reason = "" if in_scope else reason.strip()[:300]
    if not in_scope and not reason:
        raise Invalid(_("Say why the account is out of scope."))
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason) as log:
        row = Account.objects.select_for_update().filter(pk=account).first()
        if row is None:
            raise NotFound(_("There is no such account."))
        before = {"in_scope": row.in_scope, "scope_reason": row.scope_reason}
        after = {"in_scope": in_scope, "scope_reason": reason}
        if before != after:
            row.in_scope, row.scope_reason = in_scope, reason
            row.save(update_fields=["in_scope", "scope_reason"])
            log.tell("account", row.pk, "changed", before=before, after=after, reason=reason)
    return row
