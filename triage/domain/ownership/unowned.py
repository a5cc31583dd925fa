"""What nobody owns, worst first, and the tag or alias that would change that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.ownership import assigning, rules
from triage.domain.ownership.steps import Result, Step, from_json
from triage.models import Account, Finding, OwnerRule, OwnerTrail, Severity
from triage.ports import Text

WORST_SHOWN = 3
TRAILS_READ = 2_000  # explanations of one page; the rest of an estate without owners says the same

ADD_TAG = _("Tag these with %(keys)s, or give the account to a team.")
ADD_ALIAS = _("Add “%(value)s” to the aliases of a team, or correct the tag “%(key)s”.")
CHOOSE_TEAM = _("“%(value)s” may mean several teams. Make it an alias of one of them.")
REVIVE = _("The account belongs to an archived team. Give it to another one.")
GIVEN_BACK = _(
    "A team says that these are not theirs. Mend the rule that gave them and release them, or give them to another team."
)
TAKEN = _("Somebody removed these from their team by hand, so no rule applies. Assign them to a team, or release them.")
HANDS = {assigning.HAND_DISOWNED: GIVEN_BACK, assigning.HAND_TOOK: TAKEN}
ADD_RULE = _("No rule speaks of these. Add one, or give the account to a team.")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why so many open findings of an account have no owner, and what to do. `tag`: (key, value) that names nobody, else None.

    `by_hand`: a person made them nobody's, and no rule changes that.
    """

    findings: int
    fix: Text
    tag: tuple[str, str] | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Orphanage:
    """An account's open findings without an owner. `by_severity`: how many of each, worst first. `worst`: the first of them."""

    account: Account
    findings: int
    by_severity: tuple[tuple[Severity, int], ...]
    causes: tuple[Cause, ...]
    worst: tuple[Finding, ...]


def unowned(*, actor: Actor, limit: int = 20) -> list[Orphanage]:
    """The accounts with the gravest open findings that nobody owns, in six statements whatever their number."""
    actor.demand(Right.VIEW)
    counts = _counts()
    ranked = sorted(counts, key=lambda account: ([-counts[account].get(level, 0) for level in Severity.values], account))[:limit]
    accounts = Account.objects.in_bulk(ranked)
    causes = _causes(ranked)
    worst = _worst(ranked)
    return [
        Orphanage(
            account=accounts[number],
            findings=sum(counts[number].values()),
            by_severity=tuple((Severity(level), counts[number][level]) for level in Severity.values if counts[number].get(level)),
            causes=causes.get(number, ()),
            worst=worst.get(number, ()),
        )
        for number in ranked
    ]


def _counts() -> dict[int, dict[int, int]]:
    """Account to severity to open findings without an owner, from the counters."""
    found: dict[int, dict[int, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account, severity, sum(n) FROM triage_counter WHERE team IS NULL AND presence <> 'gone'"
            " AND status IN ('open', 'in_progress', 'fix_claimed') GROUP BY 1, 2 HAVING sum(n) > 0"
        )
        for account, severity, n in cursor.fetchall():
            found.setdefault(account, {})[severity] = int(n)
    return found


def _causes(accounts: Iterable[int]) -> dict[int, tuple[Cause, ...]]:
    """Account to causes, the most frequent first; explanations that ask for the same thing are one cause."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, trail_id, count(*) FROM triage_finding WHERE is_open AND team_id IS NULL AND account_id = ANY(%s)"
            " GROUP BY 1, 2 ORDER BY 3 DESC LIMIT %s",
            [list(accounts), TRAILS_READ],
        )
        rows = cursor.fetchall()
    trails = OwnerTrail.objects.in_bulk({trail for _account, trail, _n in rows})
    counted: dict[int, dict[tuple[str, str] | str, tuple[Cause, int]]] = {}
    for account, trail, n in rows:
        cause = _cause(from_json(trails[trail].steps))
        known, before = counted.setdefault(account, {}).get(cause.tag or cause.fix.message, (cause, 0))
        counted[account][cause.tag or cause.fix.message] = known, before + n
    return {
        account: tuple(
            replace(cause, findings=n) for cause, n in sorted(causes.values(), key=lambda counted_cause: -counted_cause[1])
        )
        for account, causes in counted.items()
    }


def _cause(steps: tuple[Step, ...]) -> Cause:
    """The first step that can be helped: a hand, then a value that names nobody, before a tag that is not there."""
    for step in steps:
        if step.why.message in HANDS:
            return Cause(0, Text(HANDS[step.why.message]), by_hand=True)
        if step.why.message == rules.UNKNOWN:
            return Cause(0, Text(ADD_ALIAS, step.why.params), _tag(step.why.params))
        if step.why.message == rules.AMBIGUOUS:
            return Cause(0, Text(CHOOSE_TEAM, step.why.params), _tag(step.why.params))
        if step.why.message == rules.ACCOUNT_ARCHIVED:
            return Cause(0, Text(REVIVE))
    for step in steps:
        if step.kind == OwnerRule.Kind.TAG and step.result == Result.SKIPPED and "keys" in step.why.params:
            return Cause(0, Text(ADD_TAG, step.why.params))
    return Cause(0, Text(ADD_RULE))


def _tag(params: Mapping[str, Any]) -> tuple[str, str]:
    return str(params["key"]), str(params["value"])


def _worst(accounts: Iterable[int]) -> dict[int, tuple[Finding, ...]]:
    """The gravest of each account: one statement."""
    ranked = Finding.objects.raw(
        "SELECT f.* FROM unnest(%s::bigint[]) AS a(id) CROSS JOIN LATERAL (SELECT * FROM triage_finding"
        " WHERE is_open AND team_id IS NULL AND account_id = a.id ORDER BY score DESC, id LIMIT %s) f",
        [list(accounts), WORST_SHOWN],
    )
    found: dict[int, list[Finding]] = {}
    for finding in ranked.prefetch_related("check_ref", "asset"):
        found.setdefault(finding.account_id, []).append(finding)
    return {account: tuple(findings) for account, findings in found.items()}
