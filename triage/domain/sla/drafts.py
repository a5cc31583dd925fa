"""Policies as people write them, before they are published: lengths of time in words, and the ladder of who is told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext_noop as _

from triage.domain import calendars
from triage.domain.errors import Invalid
from triage.models import ClockKind, SlaPolicy, SlaTarget, SlaUnit, SlaVersion

Rung = tuple[int, tuple[str, ...]]  # percent of the clock's time, and who is told
OWNER, LEAD, SECURITY = "owner", "lead", "security"
TOLD = (OWNER, LEAD, SECURITY)
BREACH = 100
LADDER: tuple[Rung, ...] = ((50, (OWNER,)), (80, (OWNER,)), (BREACH, (OWNER, LEAD)), (150, (LEAD, SECURITY)))
UNIT_WORDS = {
    SlaUnit.BUSINESS_HOURS: ("business hour", "business hours", "heure ouvrée", "heures ouvrées"),
    SlaUnit.HOURS: ("h", "hour", "hours", "heure", "heures"),
    SlaUnit.DAYS: ("d", "day", "days", "jour", "jours"),
}
WITHIN = re.compile(r"([0-9]{1,5})\s*([^\d\s].*)")
LONGEST = {
    SlaUnit.HOURS: 87_600,
    SlaUnit.BUSINESS_HOURS: 20_000,
    SlaUnit.DAYS: 3_650,
}  # ten years, so that no calendar ends before
HIGHEST_RUNG = 1000


class Applies(StrEnum):
    """Which clocks a new version is for."""

    NEW = "new"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class TargetDraft:
    """A target before it is published. `within`: “72 hours”, “24 business hours”, “30 days”. `calendar`: a slug, '' for hours."""

    within: str
    clock: str = ClockKind.REMEDIATE.value
    severity: int | None = None
    environment: str = ""
    criticality: int | None = None
    exposed: bool | None = None
    framework: str = ""
    calendar: str = ""


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    slug: str
    name: str = ""
    targets: tuple[TargetDraft, ...] = ()
    pause_days: int = 30
    ladder: tuple[Rung, ...] = LADDER


def measured(within: str) -> tuple[int, SlaUnit]:
    """“24 business hours” as an amount and its unit. Raises Invalid."""
    match = WITHIN.fullmatch(within.strip().casefold())
    for unit, words in UNIT_WORDS.items():
        if match and " ".join(match[2].split()) in words:
            amount = int(match[1])
            if not 0 < amount <= LONGEST[unit]:
                raise Invalid(_("“%(within)s” is not between 1 and %(longest)s."), within=within, longest=LONGEST[unit])
            return amount, unit
    raise Invalid(_("“%(within)s” is not a duration. Write 72 hours, 24 business hours or 30 days."), within=within[:60])


def spelled(amount: int, unit: str) -> str:
    """The inverse of `measured`."""
    words = UNIT_WORDS[SlaUnit(unit)]
    plural = {SlaUnit.BUSINESS_HOURS: words[1], SlaUnit.HOURS: words[2], SlaUnit.DAYS: words[2]}[SlaUnit(unit)]
    single = {SlaUnit.BUSINESS_HOURS: words[0], SlaUnit.HOURS: words[1], SlaUnit.DAYS: words[1]}[SlaUnit(unit)]
    return f"{amount} {single if amount == 1 else plural}"


def check(draft: PolicyDraft) -> None:
    """Raises Invalid for a length, calendar or ladder that cannot be."""
    for target in draft.targets:
        _amount, unit = measured(target.within)
        if unit == SlaUnit.HOURS and target.calendar:
            raise Invalid(
                _("“%(within)s” are elapsed hours, which need no calendar. Did you mean business hours?"), within=target.within
            )
        if unit != SlaUnit.HOURS and not target.calendar:
            raise Invalid(
                _("“%(within)s” needs a calendar: it says when people work, and when a day ends."), within=target.within
            )
        if target.clock not in ClockKind.values:
            known = ", ".join(ClockKind.values)
            raise Invalid(_("There is no clock “%(clock)s”. There are: %(clocks)s."), clock=target.clock, clocks=known)
    percents = [percent for percent, _tell in draft.ladder]
    if percents != sorted(set(percents)) or any(not 0 < percent <= HIGHEST_RUNG for percent in percents):
        raise Invalid(_("The percentages of the ladder must rise, from 1 to %(highest)s."), highest=HIGHEST_RUNG)
    for _percent, tell in draft.ladder:
        for whom in tell:
            if whom not in TOLD:
                raise Invalid(_("The ladder can tell owner, lead and security, not “%(whom)s”."), whom=whom)


def write(draft: PolicyDraft, *, actor: str, at: datetime, applies: Applies, reason: str) -> SlaVersion:
    policy, _new = SlaPolicy.objects.get_or_create(slug=draft.slug, defaults={"name": draft.name or draft.slug})
    if draft.name and policy.name != draft.name:
        SlaPolicy.objects.filter(pk=policy.pk).update(name=draft.name)
        policy.name = draft.name
    number = policy.versions.count() + 1
    version = SlaVersion.objects.create(
        policy=policy, number=number, published_at=at, actor=actor, reason=reason[:500], pause_days=draft.pause_days,
        applies_from=None if applies == Applies.OPEN else at,
        ladder=[[percent, list(tell)] for percent, tell in draft.ladder],
    )  # fmt: skip
    SlaTarget.objects.bulk_create(_target(version, target) for target in draft.targets)
    return version


def _target(version: SlaVersion, target: TargetDraft) -> SlaTarget:
    amount, unit = measured(target.within)
    calendar = calendars.in_force(target.calendar) if target.calendar else None
    if target.calendar and calendar is None:
        raise Invalid(_("There is no calendar “%(calendar)s”."), calendar=target.calendar)
    return SlaTarget(
        version=version, clock=target.clock, severity=target.severity, environment=target.environment,
        criticality=target.criticality, exposure=None if target.exposed is None else int(target.exposed),
        framework=target.framework, unit=unit, amount=amount, calendar=calendar,
    )  # fmt: skip


def drafted(version: SlaVersion) -> PolicyDraft:
    """What was published, to be changed and published again."""
    targets = tuple(
        TargetDraft(
            spelled(target.amount, target.unit), target.clock, target.severity, target.environment, target.criticality,
            None if target.exposure is None else bool(target.exposure), target.framework,
            target.calendar.calendar.slug if target.calendar else "",
        )
        for target in version.targets.select_related("calendar__calendar").order_by("pk")
    )  # fmt: skip
    ladder = tuple((percent, tuple(tell)) for percent, tell in version.ladder)
    return PolicyDraft(version.policy.slug, version.policy.name, targets, version.pause_days, ladder)


def plain(target: TargetDraft) -> dict[str, object]:
    """A target with only what it says."""
    values = {name: getattr(target, name) for name in TargetDraft.__slots__}
    return {name: value for name, value in values.items() if value not in ("", None)}


def calendars_of(drafts: Sequence[PolicyDraft]) -> set[str]:
    """Calendars that these policies use."""
    return {target.calendar for draft in drafts for target in draft.targets if target.calendar}
