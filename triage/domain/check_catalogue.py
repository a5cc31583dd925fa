"""What this house says of checks: the severity that it gives them, how to fix them here, what would prevent them; and their noise.

To switch a check off for a while is an exception for the check (`domain.exceptions`): asked for, allowed and ended like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext_noop as _

from triage.domain import risk, sla
from triage.domain.access import Actor, Right, worker
from triage.domain.audit import Recording, recording
from triage.domain.errors import Invalid, NotFound
from triage.domain.ownership.chain import keep_imports_out
from triage.domain.sets import CHUNK
from triage.models import (
    Check,
    CheckControl,
    CheckCounter,
    ExceptionItem,
    ExceptionKind,
    ExceptionState,
    Finding,
    RiskException,
    Severity,
)

LONGEST_ADDRESS = 1000
FIELDS = ("override", "override_reason", "runbook", "guard")


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said of a check. `override`: None for the scanner's severity."""

    override: int | None = None
    override_reason: str = ""
    runbook: str = ""
    guard: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """A check with its findings. `false`: how many of those that there ever were are, or were, declared false; `off`: the exception."""

    check: Check
    open: int
    ever: int
    false: int
    off: RiskException | None

    @property
    def noise(self) -> int:
        """Of its findings, how many percent were declared false."""
        return round(100 * self.false / self.ever) if self.ever else 0


def catalogue(*, actor: Actor, text: str = "", limit: int = 200) -> list[Described]:
    """Checks that have findings, most open first; `text`: words of key or title. Raises NotAllowed. Four statements."""
    actor.demand(Right.VIEW)
    rows = Check.objects.all()
    for word in text.split()[:10]:
        rows = rows.filter(Q(key__icontains=word) | Q(title__icontains=word))
    numbers = _numbers(CheckCounter.objects.all())
    chosen = sorted(rows.filter(pk__in=numbers), key=lambda check: (-numbers[check.pk][1], check.scanner, check.key))[:limit]
    return _described(chosen, numbers)


def described(number: int, *, actor: Actor) -> Described:
    """One check. Raises NotAllowed, NotFound."""
    actor.demand(Right.VIEW)
    check = Check.objects.filter(pk=number).first()
    if check is None:
        raise NotFound(_("There is no such check."))
    return _described([check], {check.pk: (0, 0)} | _numbers(CheckCounter.objects.filter(check_ref=check.pk)))[0]


def _numbers(counters: QuerySet[CheckCounter]) -> dict[int, tuple[int, int]]:
    """How many findings a check ever had, and how many are open: by the counters, which rows are added to."""
    rows = counters.values_list("check_ref").annotate(ever=Sum("n"), now=Sum("n", filter=Q(is_open=True)))
    return {check: (ever or 0, now or 0) for check, ever, now in rows}


def _described(checks: Sequence[Check], numbers: dict[int, tuple[int, int]]) -> list[Described]:
    pks = [check.pk for check in checks]
    declared = ExceptionItem.objects.filter(
        finding__check_ref__in=pks, covered_at__isnull=False, exception__kind=ExceptionKind.FALSE_POSITIVE
    ).values_list("finding__check_ref").annotate(n=Count("finding", distinct=True))  # fmt: skip
    false = dict(declared.values_list("finding__check_ref", "n"))
    living = (ExceptionState.APPROVED, ExceptionState.REQUESTED)
    # The one in force goes before one that is only asked for: "approved" comes first in the alphabet.
    rows = RiskException.objects.filter(check_ref__in=pks, state__in=living).order_by("-state", "pk")
    off = {row.check_ref_id: row for row in rows}
    return [
        Described(check, numbers[check.pk][1], numbers[check.pk][0], false.get(check.pk, 0), off.get(check.pk))
        for check in checks
    ]


def say(*, check: int, saying: Saying, actor: Actor, at: datetime) -> Check:
    """Say it of the check; its findings follow. Raises NotAllowed, NotFound, Invalid."""
    actor.demand(Right.CONFIGURE)
    with recording(actor=actor.name, at=at, door=actor.door, reason=saying.override_reason[:500]) as log:
        row = Check.objects.select_for_update().filter(pk=check).first()
        if row is None:
            raise NotFound(_("There is no such check."))
        put(row, saying, log=log, at=at)
    return row


def put(row: Check, saying: Saying, *, log: Recording, at: datetime) -> None:
    """As `say`, for who has asked for the right already. Inside the recording."""
    check(saying)
    if row.override != saying.override:
        keep_imports_out()
    before = {name: getattr(row, name) for name in FIELDS if getattr(row, name) != getattr(saying, name)}
    if not before:
        return
    for name in before:
        setattr(row, name, getattr(saying, name))
    if "override" in before:
        row.following = 0
    row.save(update_fields=[*before, "following"])
    log.tell("check", row.pk, "changed", before=before, after={name: getattr(row, name) for name in before})
    if "override" in before:
        log.because(f"check {row.key}: {saying.override_reason or 'the severity of the scanner'}"[:500])
        _follow(row, at=at)


def follow(*, at: datetime) -> int:
    """What is left to do of overrides, by a worker: a chunk of each check in a transaction of its own; how many findings were seen."""
    seen = 0
    for number in list(Check.objects.filter(following__isnull=False).order_by("pk").values_list("pk", flat=True)):
        with recording(actor=worker().name, at=at, door=worker().door) as log:
            row = Check.objects.select_for_update().get(pk=number)
            if row.following is not None:
                log.because(f"check {row.key}: {row.override_reason or 'the severity of the scanner'}"[:500])
                seen += _follow(row, at=at)
    return seen


def check(saying: Saying) -> None:
    """Raises Invalid for an override without a reason, and for what is no address."""
    if saying.override is not None and saying.override not in Severity.values:
        raise Invalid(_("There is no such severity."))
    if saying.override is not None and not saying.override_reason.strip():
        raise Invalid(_("Say why the severity is another than the scanner's."))
    for address in (saying.runbook, saying.guard):
        if address and not (len(address) <= LONGEST_ADDRESS and _is_address(address)):
            raise Invalid(_("“%(address)s” is not an address. It begins with https://."), address=address[:100])


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text.isprintable()


def _follow(row: Check, *, at: datetime) -> int:
    """The next chunk of the check's findings takes its severity, or the scanner's again; dates and scores follow. How many were seen.

    Inside a recording, under the check's row lock. A large check is not rewritten in a request: `follow` does the rest.
    """
    after = row.following or 0
    ids = list(Finding.objects.filter(check_ref=row, pk__gt=after).order_by("pk").values_list("pk", flat=True)[:CHUNK])
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH locked AS MATERIALIZED (SELECT id FROM triage_finding WHERE id = ANY(%s) ORDER BY id FOR UPDATE)"
            " UPDATE triage_finding f SET severity = coalesce(c.override, f.scanner_severity), changed_at = %s"
            " FROM locked l, triage_check c WHERE f.id = l.id AND c.id = f.check_id"
            " AND f.severity <> coalesce(c.override, f.scanner_severity) RETURNING f.id",
            [ids, at],
        )
        changed = [number for (number,) in cursor.fetchall()]
    sla.recompute(changed, at=at)
    risk.rescore(changed, at=at)
    row.following = ids[-1] if len(ids) == CHUNK else None
    row.save(update_fields=["following"])
    return len(ids)


def controls_of(check: int) -> list[tuple[str, str, bool]]:
    """(framework, reference, whether that is our own reading) of the controls that the check serves."""
    rows = CheckControl.objects.filter(check_ref=check).order_by("control__framework", "control__reference")
    return list(rows.values_list("control__framework", "control__reference", "derived"))
