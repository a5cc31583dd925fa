"""Asking for verifications: of one finding, or of all that a query means."""

from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cache
from itertools import islice

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import queries, search
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.custom_checks import verifying as custom
from triage.domain.errors import Invalid, NotFound
from triage.domain.locking import NO_FINDING
from triage.domain.sets import CHUNK, chunks
from triage.domain.verification import rescanning
from triage.models import Check, Finding, User, Verification, VerificationRun

# What is on its way for another request stays there: the constraint of one verification at a time decides, whoever is first.
QUEUE = """
INSERT INTO triage_verification (finding_id, run_id, trigger, actor, state, verifier, outcome, missing, principal, requested_at, attempts)
SELECT id, %s, %s, %s, 'queued', '', '', '', '', %s, 0 FROM unnest(%s::bigint[]) WITH ORDINALITY AS f(id, place) ORDER BY place
ON CONFLICT DO NOTHING
"""


def fitting(scanner: str, check: str) -> str | None:
    """The name of the verifier that answers this check, None if none does. A check of one's own is judged as it is written.

    Who names the check comes before who answers a family of them.
    """
    if custom.answers(scanner, check):
        return custom.NAME
    named = answers().get((scanner, check))
    if named is None:
        named = next((name for name in general() if plugins.get("verifiers", name).answers(scanner, check)), None)
    return named or (custom.NAME if custom.might_answer(scanner) else None)


def fitting_for(finding: Finding, places: Collection[int] | None = None) -> str | None:
    """As `fitting`: what verifies this finding. One in code is looked at by running its scanner again, where a source can (`places`)."""
    by_check = fitting(finding.check_ref.scanner, finding.check_ref.key)
    if by_check or finding.account.provider != "code":
        return by_check
    return rescanning.NAME if finding.account_id in (rescanning.places() if places is None else places) else None


@cache
def answers() -> dict[tuple[str, str], str]:
    """The verifier of each check that one answers, by scanner and key."""
    return {pair: name for name in reversed(plugins.names("verifiers")) for pair in plugins.get("verifiers", name).CHECKS}


@cache
def general() -> tuple[str, ...]:
    """Verifiers of families: whether they answer a check is for them to say, each time, as settings decide."""
    return tuple(name for name in plugins.names("verifiers") if hasattr(plugins.get("verifiers", name), "answers"))


def answered_checks(*, families_too: bool = True) -> frozenset[int]:
    """Numbers of the checks that a verifier answers; without families, those alone that are answered in a moment."""
    keys = {key for _scanner, key in answers()} | custom.standing()[0].keys()
    families = [plugins.get("verifiers", name) for name in general()] if families_too else []
    return frozenset(
        number
        for number, scanner, key in Check.objects.values_list("pk", "scanner", "key")
        if (key in keys and fitting(scanner, key)) or any(family.answers(scanner, key) for family in families)
    )


def request(*, finding: int, trigger: str, actor: Actor, at: datetime) -> Verification:
    """Ask for a verification; the one that is waiting or running already, if there is one. Raises NotFound, NotAllowed."""
    row = Finding.objects.filter(pk=finding).first()
    if row is None:
        raise NotFound(NO_FINDING, number=f"{finding:06d}")
    actor.demand(Right.VERIFY, team=row.team_id)
    with transaction.atomic():
        Verification.objects.bulk_create(
            [Verification(finding=row, trigger=trigger, actor=actor.name, requested_at=at)], ignore_conflicts=True
        )
        return Verification.objects.filter(finding=row).latest("pk")


def request_all(
    *,
    query: str = "",
    findings: Collection[int] = (),
    trigger: str,
    actor: Actor,
    at: datetime,
    limit: int | None = None,
) -> VerificationRun:
    """Ask for the verification of all that the query means, or of these findings: one run. Raises NotAllowed, QueryError, Invalid.

    The worst first; `limit`: so many at most. What of it does not become a verification, the run counts by why. Days of the query begin
    in the time zone of `at`. A statement for each 20,000 findings, and twelve more.
    """
    if not query.strip() and not findings:
        raise Invalid(_("Say which findings: a query, or their numbers."))
    teams = actor.teams_with(Right.VERIFY)
    if teams == frozenset():
        actor.demand(Right.VERIFY)
    rows = _meant(query, actor, at) if query.strip() else Finding.objects.filter(pk__in=findings)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        run = VerificationRun.objects.create(query=query.strip(), trigger=trigger, actor=actor.name, requested_at=at)
        asked = 0
        for chunk in chunks(islice(_sifted(run, rows, teams), limit)):
            asked += len(chunk)
            run.total += queue(chunk, trigger=trigger, actor=actor.name, at=at, run=run.pk)
        run.joined = asked - run.total
        run.save(update_fields=["total", "barred", "unanswered", "joined"])
        log.tell("verification run", run.pk, "requested", after=told(run))
    return run


def told(run: VerificationRun) -> dict[str, object]:
    """A run as its events tell it."""
    return {
        "query": run.query, "trigger": run.trigger, "total": run.total, "barred": run.barred, "unanswered": run.unanswered,
        "joined": run.joined,
    }  # fmt: skip


def _meant(query: str, actor: Actor, at: datetime) -> QuerySet[Finding]:
    """`mine` are the teams that the pages show as the actor's, too."""
    person = User.objects.filter(pk=actor.user).first() if actor.user else None
    own = queries.own_teams(person) if person else frozenset()
    return search.findings(search.parse(query), at=at, user=actor.user, teams=own | actor.teams)


def _sifted(run: VerificationRun, rows: QuerySet[Finding], teams: frozenset[int] | None) -> Iterator[int]:
    """Numbers of those that can become verifications; the others are counted on the run."""
    answered, scanned_again = answered_checks(), rescanning.places()
    found = rows.order_by("-score", "pk").values_list("pk", "team", "check_ref", "account")
    for number, team, check, account in found.iterator(chunk_size=CHUNK):
        if teams is not None and team not in teams:
            run.barred += 1
        elif check not in answered and account not in scanned_again:
            run.unanswered += 1
        else:
            yield number


def queue(findings: list[int], *, trigger: str, actor: str, at: datetime, run: int | None = None) -> int:
    """Verifications of these findings, in this order; how many there are more now. What is on its way stays as it is. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUE, [run, trigger, actor, at, findings])
        return int(cursor.rowcount)
