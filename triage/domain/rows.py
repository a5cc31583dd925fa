"""Findings as plain rows: what the command line prints and the API answers, in one shape."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import Max, prefetch_related_objects
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.domain.ownership.steps import Result, from_json
from triage.domain.search.meanings import DUE_SOON
from triage.domain.sets import chunks
from triage.models import CheckSet, CodePlace, Finding, OwnerTrail, Presence, ScanScope, Severity, Status

CHUNK = 2_000
FIELDS = (
    "id", "status", "presence", "severity", "check", "title", "asset", "account", "region", "environment", "team", "owner_reason",
    "first_seen", "last_seen", "due_at", "sla",
)  # fmt: skip
SLA = ("overdue", "due_soon", "ok", "none", "paused", "stopped")
NOBODY = _("No rule names a team.")


def rows(findings: Iterable[Finding], *, at: datetime) -> Iterator[dict[str, Any]]:
    """One dict of FIELDS a finding, in the given order; times are RFC 3339 in UTC, what is unknown is None or empty.

    `owner_reason` is a sentence in the active language. `sla` is one of SLA: `none` has no due date, `stopped` one whose clock
    does not run any more. Eight statements a chunk of 2,000, fewer where the caller selected the relations.
    """
    seen = _Sightings()
    for chunk in chunks(findings, CHUNK):
        prefetch_related_objects(chunk, "check_ref", "asset", "account", "team", "trail")
        last_seen = seen.of(chunk)
        for finding in chunk:
            yield {
                "id": str(finding),
                "status": finding.status,
                "presence": finding.presence,
                "severity": Severity(finding.severity).name.lower(),
                "check": finding.check_ref.key,
                "title": finding.check_ref.title or finding.check_ref.key,
                "asset": finding.asset.uid,
                "account": finding.account.uid,
                "region": finding.region,
                "environment": finding.environment,
                "team": finding.team.slug if finding.team else None,
                "owner_reason": owner_reason(finding.trail),
                "first_seen": written(finding.first_seen),
                "last_seen": written(last_seen[finding.pk]),
                "due_at": written(finding.due_at),
                "sla": sla_state(finding, at=at),
            }


def written(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


def owner_reason(trail: OwnerTrail) -> str:
    """Why the owner is the owner: what the deciding step said, or, of nobody, the first step that had something to read."""
    steps = from_json(trail.steps)
    telling = [step for result in (Result.MATCHED, Result.NO_TEAM) for step in steps if step.result == result]
    return gettext(telling[0].why.message) % telling[0].why.params if telling else gettext(NOBODY)


def sla_state(finding: Finding, *, at: datetime) -> str:
    """One of SLA."""
    if finding.is_open and finding.paused_at is not None:
        return "paused"
    if finding.due_at is None:
        return "none"
    if not finding.is_open:
        return "stopped"
    if finding.due_at < at:
        return "overdue"
    return "due_soon" if finding.due_at < at + DUE_SOON else "ok"


class _Sightings:
    """When findings were seen last. A reported one was seen by the newest complete scan of its place: its row is not written."""

    def __init__(self) -> None:
        # (account, scanner, stream) -> (time, checks, regions) of what its scans covered, newest first.
        self._covered: dict[tuple[int, str, int | None], list[tuple[datetime, int | None, frozenset[str]]]] = defaultdict(list)
        self._check_sets: dict[int, frozenset[int]] = {}
        self._accounts: set[int] = set()

    def of(self, findings: list[Finding]) -> dict[int, datetime]:
        """Time by number of finding: three statements."""
        self._load({finding.account_id for finding in findings})
        streams = dict(CodePlace.objects.filter(pk__in=[finding.pk for finding in findings]).values_list("pk", "stream"))
        return {finding.pk: self._seen(finding, streams.get(finding.pk)) for finding in findings}

    def _load(self, accounts: set[int]) -> None:
        new = accounts - self._accounts
        if not new:
            return
        self._accounts |= new
        scopes = (
            ScanScope.objects.filter(account__in=new, complete=True)
            .values_list("account", "scanner", "stream", "check_set", "regions")
            .annotate(newest=Max("at"))
            .order_by("-newest")
        )
        for account, scanner, stream, check_set, regions, newest in scopes:
            self._covered[account, scanner, stream].append((newest, check_set, frozenset(regions)))
        named = {checks for ways in self._covered.values() for _newest, checks, _regions in ways if checks is not None}
        unknown = CheckSet.objects.filter(pk__in=named - self._check_sets.keys())
        self._check_sets |= {pk: frozenset(checks) for pk, checks in unknown.values_list("pk", "checks")}

    def _seen(self, finding: Finding, stream: int | None) -> datetime:
        if finding.presence != Presence.REPORTED or finding.status == Status.VERIFIED:
            return finding.last_seen
        for newest, check_set, regions in self._covered[finding.account_id, finding.check_ref.scanner, stream]:
            if newest <= finding.last_seen:
                break
            checked = check_set is None or finding.check_ref_id in self._check_sets[check_set]
            # Global services have no region, and every scan of the account covers them.
            if checked and (not regions or not finding.region or finding.region in regions):
                return newest
        return finding.last_seen
