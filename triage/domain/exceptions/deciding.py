"""Deciding about an exception: never the one who asked, and only up to the own rank."""

from datetime import datetime

from django.utils.translation import gettext_noop as _

from triage.domain import bell, lifecycle
from triage.domain.access import Actor, Right
from triage.domain.audit import Recording, recording
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale
from triage.domain.exceptions import keeping
from triage.domain.exceptions.requesting import asked_about, hold, of
from triage.models import (
    ExceptionItem,
    ExceptionKind,
    ExceptionState,
    Notification,
    Presence,
    RiskException,
    Role,
    Severity,
    Status,
)
from triage.models.finding import TO_FIX

# The highest severity that a role may except.
RANKS = {Role.APPROVER: Severity.HIGH, Role.SENIOR_APPROVER: Severity.CRITICAL, Role.ADMINISTRATOR: Severity.CRITICAL}


def approve(*, exception: int, actor: Actor, at: datetime, reason: str = "") -> RiskException:
    """It is in force from now on. Raises NotAllowed for the one who asked and for a rank too low, Invalid when it is decided already.

    When the risk is not the one that was asked for any more, the request is void instead, and Stale says so.
    """
    void = ""
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason[:500]) as log:
        asked = _undecided(exception)
        _check_approver(asked, actor)
        keeping.end_fixed(log, at=at)
        if asked.until <= at:
            raise Invalid(_("The end of the exception is over already."))
        void = _changed(asked)
        if void:
            keeping.end(asked, log, state=ExceptionState.VOIDED, at=at, reason=void)
        else:
            _decide(asked, ExceptionState.APPROVED, actor, at=at, reason=reason)
            covered = _put_in_force(asked, log, at=at)
            if not covered and asked.finding is not None:
                raise Invalid(_("%(finding)s is no longer open: an exception is not needed."), finding=str(asked.finding))
            said = {"findings": covered, "until": asked.until.isoformat()}
            log.tell("exception", asked.pk, "approved", after=said, reason=reason[:500])
            if asked.passed is False:
                keeping.end(asked, log, state=ExceptionState.FIXED, at=at, reason="it was looked at and is not right: open")
    if void:
        raise Stale(_("The risk has changed since the request (%(what)s). Request the exception again."), what=void)
    return asked


def _put_in_force(asked: RiskException, log: Recording, *, at: datetime) -> int:
    open_ = (Status.MANUAL,) if asked.kind == ExceptionKind.ATTESTED else TO_FIX
    rows = of(asked_about(asked), at=at).filter(status__in=open_).exclude(presence=Presence.GONE)
    found = list(rows.select_related("check_ref", "asset").order_by("pk"))
    if asked.kind == ExceptionKind.ATTESTED and asked.passed is False:
        log.because(f"{asked}: {asked.reason}"[:500])
        failed = lifecycle.judge([row.pk for row in found], at=at)
        return len(failed)
    return keeping.cover(asked, found, log, at=at)


def refuse(*, exception: int, actor: Actor, at: datetime, reason: str) -> RiskException:
    """It is not allowed, for a reason. Raises as `approve` does."""
    if not reason.strip():
        raise Invalid(_("Say why."))
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason[:500]) as log:
        asked = _undecided(exception)
        _check_approver(asked, actor)
        _decide(asked, ExceptionState.REFUSED, actor, at=at, reason=reason)
        log.tell("exception", asked.pk, "refused", reason=reason[:500])
    return asked


def revoke(*, exception: int, actor: Actor, at: datetime, reason: str) -> RiskException:
    """End it before its time: an approver any, the one who asked his own while he may ask. Raises NotAllowed, Invalid, NotFound."""
    if not reason.strip():
        raise Invalid(_("Say why."))
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason[:500]) as log:
        current = locked(exception)
        if not _same(current, actor):
            actor.demand(Right.APPROVE)
        elif current.finding is not None:
            actor.demand(Right.CLAIM, team=current.finding.team_id)
        else:
            actor.demand(Right.TRIAGE)
        if current.state not in (ExceptionState.REQUESTED, ExceptionState.APPROVED):
            raise Invalid(_("%(exception)s is over already."), exception=str(current))
        state = ExceptionState.REVOKED if current.state == ExceptionState.APPROVED else ExceptionState.WITHDRAWN
        keeping.end(current, log, state=state, at=at, reason=reason)
    return current


def locked(exception: int) -> RiskException:
    """Under its row lock, and nobody else's meanwhile. Raises NotFound."""
    hold()
    found = RiskException.objects.select_for_update().filter(pk=exception).first()
    if found is None:
        raise NotFound(_("There is no exception X-%(number)s."), number=exception)
    return found


def rank(actor: Actor) -> Severity | None:
    """The highest severity that the actor may except."""
    held = [severity for role, severity in RANKS.items() if role in actor.roles]
    return max(held, default=None) if actor.may(Right.APPROVE) else None


def _undecided(exception: int) -> RiskException:
    asked = locked(exception)
    if asked.state != ExceptionState.REQUESTED:
        raise Invalid(_("%(exception)s is decided already."), exception=str(asked))
    return asked


def _check_approver(asked: RiskException, actor: Actor) -> None:
    actor.demand(Right.APPROVE)
    if _same(asked, actor):
        raise NotAllowed(_("You requested it yourself: somebody else has to decide."))
    highest = rank(actor)
    worst = Severity(asked.ceiling)
    if highest is None or worst > highest:
        raise NotAllowed(
            _("This is about findings of severity %(severity)s: your role may not decide about it."), severity=worst.value
        )


def _same(asked: RiskException, actor: Actor) -> bool:
    """Whether it is the person who asked, by whatever door. Users of the operating system are no persons: any may be the same one."""
    if actor.name.startswith("os:") and asked.requested_by.startswith("os:"):
        return True
    return actor.name == asked.requested_by or (actor.user is not None and actor.user == asked.requested_user)


def _changed(asked: RiskException) -> str:
    """What of the risk changed since it was asked for; '' when nothing did."""
    items = ExceptionItem.objects.filter(exception=asked, ended_at=None).select_related("finding__check_ref", "finding__asset")
    for found in items:
        if changed := keeping.difference(found):
            return f"{found.finding}: {changed}"
    return ""


def _decide(asked: RiskException, state: str, actor: Actor, *, at: datetime, reason: str) -> None:
    asked.state, asked.decided_at, asked.decided_by, asked.decided_user = state, at, actor.name, actor.user
    asked.decision = reason[:500]
    asked.save(update_fields=["state", "decided_at", "decided_by", "decided_user", "decision"])
    if asked.requested_user is not None:
        bell.ring(
            [asked.requested_user], Notification.Kind.DECIDED, actor=actor.name, at=at, exception=asked.pk, about=str(state)
        )
