"""Who must have done what by when: the targets in force, and the due dates that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from triage.domain.sets import CHUNK, chunks
from triage.models import ClockKind, Finding, Severity, SlaPolicy, SlaTarget, SlaVersion

# Hours to remediate. Two facts behind it: CISA's directives give 3 to 15 days to what is exploited, FedRAMP 30/90/180 to the rest.
DEFAULT_HOURS = {Severity.CRITICAL: 72, Severity.HIGH: 7 * 24, Severity.MEDIUM: 30 * 24, Severity.LOW: 90 * 24}


@dataclass(frozen=True, slots=True)
class Rule:
    """One target, as `Targets` compares it."""

    severity: int | None
    environment: str
    criticality: int | None
    exposure: int | None
    length: timedelta
    version: int


class Targets:
    """The targets in force, asked in memory: an import asks once for each kind of finding and not once a finding."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._answers: dict[tuple[int, str, int, int], Rule | None] = {}

    @classmethod
    def in_force(cls, at: datetime) -> "Targets":
        """The published targets to remediate; the default policy is made the first time that one is needed."""
        if not SlaVersion.objects.filter(in_force=True).exists():
            publish_default(at)
        rows = SlaTarget.objects.filter(version__in_force=True, clock=ClockKind.REMEDIATE, unit=SlaTarget.Unit.ELAPSED_HOURS)
        return cls(
            Rule(row.severity, row.environment, row.criticality, row.exposure, timedelta(hours=row.amount), row.version_id)
            for row in rows
        )

    def strictest(self, severity: int, environment: str, criticality: int, exposure: int) -> Rule | None:
        """The shortest of all targets that fit, or None where nothing is asked."""
        key = (severity, environment, criticality, exposure)
        if key not in self._answers:
            fitting = [
                rule
                for rule in self._rules
                if rule.severity in (None, severity)
                and rule.environment in ("", environment)
                and rule.criticality in (None, criticality)
                and rule.exposure in (None, exposure)
            ]
            self._answers[key] = min(fitting, key=lambda rule: rule.length, default=None)
        return self._answers[key]


def publish_default(at: datetime) -> SlaVersion:
    """The default policy: elapsed hours by severity, nothing for informational findings."""
    policy, _made = SlaPolicy.objects.get_or_create(slug="default", defaults={"name": "Default"})
    version = SlaVersion.objects.create(policy=policy, number=policy.versions.count() + 1, published_at=at, actor="worker")
    SlaTarget.objects.bulk_create(
        SlaTarget(version=version, severity=severity, amount=hours) for severity, hours in DEFAULT_HOURS.items()
    )
    return version


def restart(findings: Iterable[int], *, at: datetime) -> None:
    """A new clock from `clock_from`: its due date is the original one. Inside a recording."""
    _compute(findings, at=at, original=True)


def recompute(findings: Iterable[int], *, at: datetime) -> None:
    """The same clock under other facts (severity, environment): the start stays, the due date may move. Inside a recording."""
    _compute(findings, at=at, original=False)


def _compute(findings: Iterable[int], *, at: datetime, original: bool) -> None:
    targets = Targets.in_force(at)
    for ids in chunks(findings, CHUNK):
        rows = Finding.objects.filter(pk__in=ids, clock_from__isnull=False).values_list(
            "pk", "severity", "environment", "asset__criticality", "check_ref__exposes", "clock_from"
        )
        due: dict[str, list[object]] = {"id": [], "due": [], "version": []}
        for pk, severity, environment, criticality, exposes, clock_from in rows:
            rule = targets.strictest(severity, environment, criticality, int(exposes))
            due["id"].append(pk)
            due["due"].append(clock_from + rule.length if rule and clock_from else None)
            due["version"].append(rule.version if rule else None)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE triage_finding f SET due_at = n.due, sla_id = n.version,"
                " due_original = CASE WHEN %s THEN n.due ELSE f.due_original END, changed_at = %s"
                " FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS n(id, due, version)"
                " WHERE f.id = n.id AND f.paused_at IS NULL AND (f.due_at, f.sla_id) IS DISTINCT FROM (n.due, n.version)",
                [original, at, due["id"], due["due"], due["version"]],
            )
