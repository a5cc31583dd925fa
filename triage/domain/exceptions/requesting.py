"""Asking for an exception: about what, why, until when; and what it would hide, before anybody asks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain import search
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid
from triage.domain.evidence import keep
from triage.domain.search import Query, QueryError
from triage.domain.search.tree import And, Clause, Node, Not, Or
from triage.domain.sla import clocks
from triage.models import (
    Evidence,
    ExceptionItem,
    ExceptionKind,
    ExceptionState,
    Exposure,
    Finding,
    Presence,
    RiskException,
    Severity,
    Status,
)
from triage.models.finding import TO_FIX

# Days that an exception may last at most, by the severity of what it covers. An attestation is good for 90.
LONGEST = {Severity.CRITICAL: 90, Severity.HIGH: 180, Severity.MEDIUM: 365, Severity.LOW: 365, Severity.INFORMATIONAL: 365}
ATTESTED_FOR = 90
LOOK_BACK = timedelta(days=90)
LONGEST_TEXT = 4000
SHOWN = 20

Scope = RiskException.Scope
# Fields, and values of `is` and `has`, whose answer changes by itself or with who asks.
PASSING_FIELDS = frozenset({"age", "due", "sla", "first_seen", "last_seen", "score", "assignee", "status", "presence", "ticket"})
PASSING_STATES = frozenset({
    "overdue", "due_soon", "ok", "none", "paused", "mine", "new", "unassigned", "due", "ticket", "assignee", "open", "closed",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """What an exception is about: one of these."""

    finding: int | None = None
    check: int | None = None
    asset: int | None = None
    query: str = ""

    @property
    def scope(self) -> str:
        return (
            Scope.FINDING if self.finding else Scope.CHECK if self.check else Scope.ASSET if self.asset else Scope.QUERY
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """What an exception would hide: open findings now, by severity, and those that were open at some time in the last 90 days."""

    now: int
    by_severity: Sequence[tuple[Severity, int]]
    lately: int
    samples: Sequence[Finding]

    @property
    def worst(self) -> Severity | None:
        return self.by_severity[0][0] if self.by_severity else None


def preview(*, about: About, actor: Actor, at: datetime, ceiling: int | None = None) -> Preview:
    """What it would hide. Raises NotAllowed, QueryError, Invalid."""
    actor.demand(Right.VIEW)
    rows = of(about, at=at)
    if ceiling is not None:
        rows = rows.filter(severity__lte=ceiling)
    open_ = rows.filter(is_open=True)
    levels = list(open_.values_list("severity", flat=True))
    by_severity = [(Severity(level), levels.count(level)) for level in sorted(set(levels), reverse=True)]
    lately = rows.filter(Q(settled_at=None) | Q(settled_at__gte=at - LOOK_BACK)).exclude(
        status__in=(Status.MANUAL, Status.ATTESTED)
    )
    samples = open_.select_related("check_ref", "asset", "account").order_by("-score", "id")[:SHOWN]
    return Preview(len(levels), by_severity, lately.count(), list(samples))


def of(about: About, *, at: datetime) -> QuerySet[Finding]:
    """The findings that it is about, whatever their status. Raises QueryError, and Invalid for a query that would change by itself."""
    if about.finding:
        return Finding.objects.filter(pk=about.finding)
    if about.check:
        return Finding.objects.filter(check_ref=about.check)
    if about.asset:
        return Finding.objects.filter(asset=about.asset)
    if not about.query.strip():
        raise Invalid(_("An exception needs a finding, a check, an asset or a query."))
    query = search.parse(about.query)
    passing = [clause for clause in clauses(query) if _is_passing(clause)]
    if passing:
        raise Invalid(
            _("“%(clause)s” would mean something else tomorrow, or for somebody else. Ask for check, account, tag, team …"),
            clause=about.query[passing[0].span.position : passing[0].span.position + passing[0].span.length] or passing[0].field,
        )  # fmt: skip
    return search.findings(query, at=at)


def clauses(query: Query) -> Iterator[Clause]:
    """All clauses of a query, however they are joined."""
    waiting: list[Node | None] = [query.root]
    while waiting:
        match waiting.pop():
            case And(parts) | Or(parts):
                waiting += parts
            case Not(part):
                waiting.append(part)
            case Clause() as clause:
                yield clause


def _is_passing(clause: Clause) -> bool:
    words = {value.text for value in clause.values}
    return (
        clause.field in PASSING_FIELDS
        or (clause.field in ("is", "has") and bool(words & PASSING_STATES))
        or (clause.field == "team" and "me" in words)
    )


def request(
    *,
    kind: str,
    about: About,
    reason: str,
    until: datetime,
    actor: Actor,
    at: datetime,
    compensation: str = "",
    evidence: bytes | None = None,
    attachment: bytes | None = None,
    passed: bool | None = None,
) -> RiskException:
    """Ask for it; somebody else decides. Raises NotAllowed, Invalid, QueryError.

    For the own findings the right to claim is enough, for anything wider the right to triage is needed. `evidence`: SHA-256 of what is
    kept already; `attachment`: a file to be kept as evidence.
    """
    _check(kind, reason, compensation, until, at=at, evidence=evidence)
    rows = list(_askable(kind, of(about, at=at)).select_related("check_ref", "asset").order_by("pk"))
    if not rows:
        raise Invalid(_("Nothing open is found there: there is nothing to except."))
    if about.scope == Scope.FINDING:
        actor.demand(Right.CLAIM, team=rows[0].team_id)
    else:
        actor.demand(Right.TRIAGE)
    ceiling = max(row.severity for row in rows)
    longest = ATTESTED_FOR if kind == ExceptionKind.ATTESTED else LONGEST[Severity(ceiling)]
    last = at.astimezone(until.tzinfo) + timedelta(days=longest)
    if until.date() > last.date():
        raise Invalid(
            _("It may last %(longest)s days at most, until %(day)s."),
            longest=longest, day=last.date().isoformat(),
        )  # fmt: skip
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason[:500]) as log:
        hold()
        if about.scope == Scope.FINDING and _is_asked_for(rows[0]):
            raise Invalid(_("An exception for %(finding)s is already requested."), finding=str(rows[0]))
        if attachment:
            evidence = bytes(keep(attachment, media_type="application/octet-stream", at=at).sha256)
        asked = RiskException.objects.create(
            kind=kind, scope=about.scope, finding_id=about.finding, check_ref_id=about.check, asset_id=about.asset,
            query=about.query.strip(), ceiling=ceiling, reason=reason[:LONGEST_TEXT], compensation=compensation[:LONGEST_TEXT],
            passed=passed if kind == ExceptionKind.ATTESTED else None, evidence_id=evidence, until=until, requested_at=at,
            requested_by=actor.name, requested_user=actor.user,
        )  # fmt: skip
        ExceptionItem.objects.bulk_create([item(asked, row) for row in rows], batch_size=2000)
        log.tell("exception", asked.pk, "requested", after={**told(asked), "findings": len(rows)}, reason=reason[:500])
        if about.scope == Scope.FINDING:
            clocks.seen([rows[0].pk], at=at)
            log.note(
                [rows[0].pk],
                "exception asked",
                after={"exception": str(asked), "kind": kind, "until": until.isoformat()},
                reason=reason[:500],
            )
    return asked


def _is_asked_for(row: Finding) -> bool:
    return ExceptionItem.objects.filter(finding=row, exception__state=ExceptionState.REQUESTED).exists()


def _check(kind: str, reason: str, compensation: str, until: datetime, *, at: datetime, evidence: bytes | None) -> None:
    if kind not in ExceptionKind.values:
        raise Invalid(
            _("There is no exception “%(kind)s”. There are: %(kinds)s."), kind=kind[:40], kinds=", ".join(ExceptionKind.values)
        )
    if not reason.strip():
        raise Invalid(_("Say why."))
    if kind == ExceptionKind.COMPENSATED and not compensation.strip():
        raise Invalid(_("Say which control compensates for it."))
    if until <= at:
        raise Invalid(_("The end of the exception is over already."))
    if evidence is not None and not Evidence.objects.filter(pk=evidence).exists():
        raise Invalid(_("There is no evidence %(sha256)s."), sha256=evidence.hex())


def _askable(kind: str, rows: QuerySet[Finding]) -> QuerySet[Finding]:
    if kind == ExceptionKind.ATTESTED:
        return rows.filter(status=Status.MANUAL).exclude(presence=Presence.GONE)
    return rows.filter(status__in=TO_FIX).exclude(presence=Presence.GONE)


def hold() -> None:
    """Until the transaction ends, exceptions are nobody else's: who locks one, its findings and its items does so alone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cspm exceptions'))")


def item(of_: RiskException, row: Finding) -> ExceptionItem:
    """A finding with the risk as it is now."""
    severity, environment, exposed, title = risk_of(row)
    return ExceptionItem(
        exception=of_, finding=row, severity=severity, environment=environment, exposed=exposed, check_title=title,
        risk=blake2b("\x1f".join(map(str, (severity, environment, exposed, title))).encode(), digest_size=16).digest(),
    )  # fmt: skip


def risk_of(row: Finding) -> tuple[int, str, bool, str]:
    """Severity, environment, exposure and the check's title: what an approval is bound to."""
    exposed = row.check_ref.exposes or row.asset.exposure == Exposure.INTERNET
    return row.severity, row.environment, exposed, row.check_ref.title


def told(of_: RiskException) -> dict[str, object]:
    """An exception as its events tell it."""
    about = {"finding": of_.finding_id, "check": of_.check_ref_id, "asset": of_.asset_id, "query": of_.query or None}
    return {
        "kind": of_.kind, **{name: value for name, value in about.items() if value}, "ceiling": of_.ceiling,
        "until": of_.until.isoformat(), "reason": of_.reason, "compensation": of_.compensation, "passed": of_.passed,
    }  # fmt: skip


def asked_about(of_: RiskException) -> About:
    return About(of_.finding_id, of_.check_ref_id, of_.asset_id, of_.query)


__all__ = ["About", "Preview", "QueryError", "preview", "request"]
