"""Policies are published in immutable versions.

A change applies to the clocks that start from now on, or to those that run as well; either way the count of what would be late is
known before. Published targets point at the version of the calendar that was in force then, so nothing moves until a new version of
the policy is published (`follow` does it for all policies of a calendar).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from triage.domain import calendars
from triage.domain.access import Actor, Right
from triage.domain.audit import Recording, recording
from triage.domain.calendars import BeyondCalendar, micros
from triage.domain.errors import Invalid, NotFound
from triage.domain.ownership.chain import keep_imports_out
from triage.domain.sets import CHUNK, chunks
from triage.domain.sla import sets
from triage.domain.sla.drafts import BREACH, Applies, PolicyDraft, check, drafted, plain, spelled, write
from triage.domain.sla.presets import DEFAULT
from triage.domain.sla.targets import Rule, Targets, hold_policies
from triage.models import CalendarVersion, Finding, SlaTarget, SlaVersion

REACH = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a version does, or would do, to the clocks that run: how many dates move, become late, or are late no longer."""

    moved: int = 0
    breached: int = 0
    relieved: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    version: SlaVersion
    effect: Effect = field(default_factory=Effect)


def publish(draft: PolicyDraft, *, actor: Actor, at: datetime, applies: Applies = Applies.NEW, reason: str = "") -> Published:
    """A new version of the policy, in force from now on. Raises NotAllowed, Invalid.

    For clocks that run already, when it `applies` to them: their dates are computed anew, each change an event and an entry of the
    ledger. Otherwise they keep to the version under which they started.
    """
    actor.demand(Right.CONFIGURE)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason) as log:
        return put(draft, log=log, at=at, applies=applies, reason=reason)


def put(draft: PolicyDraft, *, log: Recording, at: datetime, applies: Applies, reason: str = "") -> Published:
    """As `publish`, for who has asked for the right already. Inside the recording."""
    check(draft)
    if applies == Applies.OPEN:
        keep_imports_out()  # before the lock of policies, as an import that publishes the default policy takes them
    hold_policies()
    if draft.slug != DEFAULT.slug:
        Targets.load(at)  # the default policy is there before any other
    if applies == Applies.NEW and not Finding.objects.filter(clock_from__isnull=False).exists():
        applies = Applies.OPEN  # the first reports are of scans that ran before anybody wrote a policy
    before = _newest(draft.slug)
    version = write(draft, actor=log.actor, at=at, applies=applies, reason=reason)
    _check_reach(version, at)
    log.tell(
        "sla", version.policy_id, "published", before=_told(before) if before else None, after=_told(version), reason=reason
    )  # fmt: skip
    effect = Effect()
    if applies == Applies.OPEN:
        effect = _compare(at)
        log.because(f"policy {version}")
        for ids in chunks(_running()):
            sets.compute(ids, at=at)
        log.because(reason)
    return Published(version, effect)


@dataclass(frozen=True, slots=True)
class Plan:
    """Policies that are thought of, and the calendars that come with them."""

    policies: Sequence[PolicyDraft] = ()
    bringing: Sequence[calendars.Draft] = ()


def _check_reach(version: SlaVersion, at: datetime) -> None:
    """Raises Invalid for a target whose last rung a calendar would not reach for clocks of the next five years."""
    highest = max((percent for percent, _tell in version.ladder), default=BREACH)
    for target in version.targets.select_related("calendar__calendar"):
        rule = Rule(target.pk, version.pk, target.clock, None, "", None, None, "", target.unit, target.amount, target.calendar_id)
        try:
            rule.reached(micros(at + REACH), max(highest, BREACH))
        except BeyondCalendar:
            raise Invalid(
                _("“%(within)s” would not end before calendar %(calendar)s does: it is hardly ever open."),
                within=spelled(target.amount, target.unit), calendar=str(target.calendar),
            ) from None  # fmt: skip


def preview(plan: Plan, *, actor: Actor, at: datetime) -> Effect:
    """What publishing would do to the clocks that run; nothing stays written. Raises NotAllowed, Invalid."""
    actor.demand(Right.VIEW)
    with tried(plan, at=at):
        return _compare(at)


@contextmanager
def tried(plan: Plan, *, at: datetime) -> Iterator[None]:
    """The plan in force for all clocks, for as long as one looks; then it never was. Raises Invalid."""
    for draft in plan.policies:
        check(draft)
    with transaction.atomic():
        hold_policies()
        with recording(actor="preview", at=at, door="preview") as log:
            for calendar in plan.bringing:
                calendars.publish(calendar, log=log, at=at)
            for draft in _with_followers(plan):
                write(draft, actor="preview", at=at, applies=Applies.OPEN, reason="")
        yield
        transaction.set_rollback(True)


def _with_followers(plan: Plan) -> list[PolicyDraft]:
    """The plan's policies, and those in force that use a calendar which it brings."""
    brought, named_ = {calendar.slug for calendar in plan.bringing}, {draft.slug for draft in plan.policies}
    others = [drafted(version) for version in in_force() if brought and version.policy.slug not in named_]
    return [*plan.policies, *(draft for draft in others if any(target.calendar in brought for target in draft.targets))]


def follow(calendar: CalendarVersion, *, log: Recording, at: datetime, applies: Applies) -> list[Published]:
    """Publish the policies again that have targets in an older version of this calendar. Inside the recording."""
    older = SlaTarget.objects.filter(calendar__calendar=calendar.calendar_id).exclude(calendar=calendar)
    published = []
    for slug in sorted(set(older.values_list("version__policy__slug", flat=True))):
        newest = _newest(slug)
        if newest and older.filter(version=newest).exists():
            published.append(put(drafted(newest), log=log, at=at, applies=applies, reason=f"calendar {calendar}"))
    return published


def in_force() -> list[SlaVersion]:
    """The newest version of each policy that asks for anything."""
    newest = SlaVersion.objects.order_by("policy__slug", "-number").distinct("policy__slug").select_related("policy")
    return [version for version in newest if version.targets.exists()]


def named(slug: str) -> SlaVersion:
    """The newest version of the policy. Raises NotFound."""
    found = _newest(slug)
    if found is None:
        raise NotFound(_("There is no policy “%(slug)s”."), slug=slug[:80])
    return found


def _newest(slug: str) -> SlaVersion | None:
    return SlaVersion.objects.filter(policy__slug=slug).select_related("policy").order_by("-number").first()


def _running() -> Iterator[int]:
    rows = Finding.objects.filter(clock_from__isnull=False, settled_at=None).order_by("pk")
    return rows.values_list("pk", flat=True).iterator(chunk_size=CHUNK)


def _compare(at: datetime) -> Effect:
    """What computing all running clocks anew would change."""
    rules = sets.parameters(Targets.load(at))
    totals = [0, 0, 0]
    for ids in chunks(_running()):
        with connection.cursor() as cursor:
            cursor.execute(sets.COMPARE, {"ids": ids, "rules": rules, "at": at, "restart": False})
            moved, breached, relieved = cursor.fetchone() or (0, 0, 0)
        for index, count in enumerate((moved, breached, relieved)):
            totals[index] += count
    return Effect(*totals)


def _told(version: SlaVersion) -> dict[str, object]:
    """A version as its event tells it."""
    draft = drafted(version)
    return {
        "policy": draft.slug, "version": version.number, "applies_from": version.applies_from and version.applies_from.isoformat(),
        "pause_days": draft.pause_days, "ladder": [list(rung) for rung in draft.ladder],
        "targets": [plain(target) for target in draft.targets],
    }  # fmt: skip
