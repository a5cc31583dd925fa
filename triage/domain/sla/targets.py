"""Targets: how long a clock may run, and the date that follows. Python's side of what `sets` does in SQL for many at once."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from django.db import connection

from triage.domain import calendars
from triage.domain.audit import recording
from triage.domain.calendars import DAY, HOUR, BeyondCalendar, Span, micros, moment
from triage.domain.sla.drafts import Applies, write
from triage.domain.sla.presets import DEFAULT
from triage.models import CheckControl, SlaTarget, SlaUnit, SlaVersion

NEVER, FOREVER = -(2**62), 2**62  # µs: before and after all clocks


@dataclass(frozen=True, slots=True)
class Rule:
    """A target as it is compared. `amount`: hours or days. `first`, `last`: starts of the clocks (µs) that keep to its version."""

    number: int
    version: int
    clock: str
    severity: int | None
    environment: str
    criticality: int | None
    exposure: int | None
    framework: str
    unit: str
    amount: int
    calendar: int | None
    first: int = NEVER
    last: int = FOREVER

    def due(self, start: int, pauses: Sequence[Span] = ()) -> int:
        """When a clock that started then ends; in µs, as all here. `pauses`: sorted, apart. Raises BeyondCalendar.

        Hours: the first moment at which so much time has passed outside of pauses. Business hours: the same of the time in which
        the calendar is open. Days: the last second of the local day that comes `amount` days after the first, and a day more for
        each day (24 hours) of pause that began. A pause that begins when the time is over already moves nothing.
        """
        return self.reached(start, 100, pauses)

    def reached(self, start: int, percent: int, pauses: Sequence[Span] = ()) -> int:
        """When so much of its time has passed outside of pauses. Parts of days are parts of what elapses until the last second."""
        whole = self.amount * HOUR
        if self.unit == SlaUnit.DAYS:
            end = self._last_second(start, pauses)
            if percent == 100:
                return end
            whole = end - start - sum(until - since for since, until in pauses if since <= end)
        laid = calendars.stored(self.calendar or 0) if self.unit == SlaUnit.BUSINESS_HOURS else None
        passed = laid.open_until if laid else int
        begun, wanted, paused = passed(start), whole * percent // 100, 0
        for since, until in pauses:
            if passed(since) - begun - paused >= wanted:
                break
            paused += passed(until) - passed(since)
        total = begun + wanted + paused
        return laid.when_open(total) if laid else total

    def _last_second(self, start: int, pauses: Sequence[Span]) -> int:
        laid, paused = calendars.stored(self.calendar or 0), 0
        end = laid.end_of_day(start, self.amount)
        for since, until in pauses:
            if since > end:
                break
            paused += until - since
            end = laid.end_of_day(start, self.amount - (-paused // DAY))
        return end


class Due(NamedTuple):
    """A due date and the target that gave it."""

    at: datetime
    rule: Rule


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a target is chosen by. `frameworks`: those of the check that any target names (`Targets.frameworks_of`)."""

    severity: int
    environment: str
    criticality: int
    exposure: int
    frameworks: frozenset[str] = frozenset()


class Targets:
    """All targets of all versions, and which of them fit; answers are remembered."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.named = frozenset(rule.framework for rule in rules) - {""}
        self._eras = sorted({NEVER, *(rule.first for rule in rules), *(rule.last for rule in rules)})
        self._fitting: dict[tuple[str, Circumstances, int], tuple[Rule, ...]] = {}
        self._checks: dict[int, frozenset[str]] = {}
        self._newest = 0

    @classmethod
    def load(cls, at: datetime) -> "Targets":
        """Those of all published versions, remembered until another is published. The first time, the default policy is."""
        newest = SlaVersion.objects.order_by("-pk").values_list("pk", flat=True).first()
        return cls(_rules(newest or _publish_default(at)))

    def fitting(self, clock: str, facts: Circumstances, start: int) -> tuple[Rule, ...]:
        """The targets that a clock started then falls under; none when there is no such clock."""
        key = (clock, facts, bisect_right(self._eras, start))
        found = self._fitting.get(key)
        if found is None:
            found = self._fitting[key] = tuple(
                rule
                for rule in self.rules
                if rule.clock == clock
                and rule.first <= start < rule.last
                and rule.severity in (None, facts.severity)
                and rule.environment in ("", facts.environment)
                and rule.criticality in (None, facts.criticality)
                and rule.exposure in (None, facts.exposure)
                and (not rule.framework or rule.framework in facts.frameworks)
            )
        return found

    def strictest(self, clock: str, facts: Circumstances, start: datetime, pauses: Sequence[Span] = ()) -> Due | None:
        """The earliest of all dates that fit; of equal ones, the target that was written first."""
        begun = micros(start)
        dues = []
        for rule in self.fitting(clock, facts, begun):
            with suppress(BeyondCalendar):  # no date at all; `policies.put` refuses such targets
                dues.append((rule.due(begun, pauses), rule.number, rule))
        if not dues:
            return None
        due, _number, rule = min(dues)
        return Due(moment(due), rule)

    def frameworks_of(self, check: int, under: Collection[str] = ()) -> frozenset[str]:
        """Of the frameworks that a target names, those that the check serves or its asset's application is `under`."""
        if not self.named:
            return frozenset()
        return self._served(check) | {name for name in self.named if any(spells(name, framework) for framework in under)}

    def _served(self, check: int) -> frozenset[str]:
        if check > self._newest:  # nothing was read yet, or the import at hand has written checks since
            serving: dict[int, set[str]] = {}
            for framework, checks in serving_checks(self.named).items():
                for number in checks:
                    serving.setdefault(number, set()).add(framework)
            self._checks = {number: frozenset(names) for number, names in serving.items()}
            self._newest = max(check, *self._checks) if self._checks else check
        return self._checks.get(check, frozenset())


def serving_checks(frameworks: Iterable[str]) -> dict[str, list[int]]:
    """Checks by framework. A framework is named as the scanner spells it, or without its version: `pci` means `PCI-4.0` too."""
    found: dict[str, list[int]] = {name: [] for name in frameworks}
    if not found:
        return found
    for check, spelled in CheckControl.objects.values_list("check_ref", "control__framework").distinct():
        for name, checks in found.items():
            if spells(name, spelled):
                checks.append(check)
    return found


def spells(name: str, framework: str) -> bool:
    """Whether the name means the framework: spelled so, or without its version."""
    plain, folded = name.casefold(), framework.casefold()
    return folded == plain or folded.startswith((f"{plain}-", f"{plain} ", f"{plain}_"))


def _publish_default(at: datetime) -> int:
    """The first version there is; when two come at once, the second finds it."""
    with recording(actor="worker", at=at, door="task") as log:
        hold_policies()
        found = SlaVersion.objects.order_by("-pk").values_list("pk", flat=True).first()
        if found is not None:
            return int(found)
        version = write(DEFAULT, actor="worker", at=at, applies=Applies.OPEN, reason="nothing was published yet")
        log.tell("sla", version.policy_id, "published", after={"policy": DEFAULT.slug, "version": version.number})
        return version.pk


def hold_policies() -> None:
    """Until the transaction ends, nobody else publishes: versions are numbered, and applied, one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cspm sla'))")


@lru_cache(maxsize=2)
def _rules(newest: int) -> tuple[Rule, ...]:  # noqa: ARG001 - published versions never change: the newest one names the whole
    spans: dict[int, Span] = {}
    later: dict[int, int] = {}  # policy -> the start from which a newer version applies
    for number, policy, applies_from in SlaVersion.objects.order_by("policy", "-number").values_list(
        "pk", "policy", "applies_from"
    ):
        first, last = NEVER if applies_from is None else micros(applies_from), later.get(policy, FOREVER)
        spans[number] = (first, last)
        later[policy] = min(first, last)
    rows = SlaTarget.objects.order_by("pk").values_list(
        "pk", "version", "clock", "severity", "environment", "criticality", "exposure", "framework", "unit", "amount", "calendar"
    )
    return tuple(Rule(*row, *spans[row[1]]) for row in rows if spans[row[1]][0] < spans[row[1]][1])
