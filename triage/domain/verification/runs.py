"""Runs of many verifications: how far one is, what came of it, taking back what still waits, and which permissions were missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.domain.queries import Who, who
from triage.models import Account, Verification, VerificationRun
from triage.ports import Outcome

State = Verification.State
UNFINISHED = (State.QUEUED, State.RUNNING)
ANSWERED = (Outcome.FIXED, Outcome.FAILING, Outcome.GONE)
RECENT = 200  # verifications by whose pace the end is foreseen
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of a run wait, run, are done by outcome, were withdrawn. `left`: how long it will take, None if nobody can say yet."""

    total: int
    waiting: int = 0
    running: int = 0
    withdrawn: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    left: timedelta | None = None

    @property
    def done(self) -> int:
        return sum(self.outcomes.values())

    @property
    def finished(self) -> bool:
        return not self.waiting and not self.running

    @property
    def percent(self) -> int:
        """Of what was asked for, rounded down: 100 is all."""
        return (self.done + self.withdrawn) * 100 // self.total if self.total else 100


def named(number: int) -> VerificationRun:
    """Raises NotFound."""
    found = VerificationRun.objects.filter(pk=number).first()
    if found is None:
        raise NotFound(_("There is no verification run R-%(number)s."), number=number)
    return found


def verification(number: int) -> Verification:
    """Raises NotFound."""
    found = Verification.objects.select_related("finding").filter(pk=number).first()
    if found is None:
        raise NotFound(_("There is no verification V-%(number)s."), number=number)
    return found


def progress(run: VerificationRun, *, at: datetime) -> Progress:
    """Two statements."""
    (found,) = _progresses([run]).values()
    if found.finished or not found.done:
        return found
    ends = run.verifications.order_by(F("finished_at").desc(nulls_last=True)).values_list("finished_at", flat=True)
    recent = [end for end in ends[:RECENT] if end]
    pace = (at - recent[-1]) / len(recent)
    return Progress(
        found.total, found.waiting, found.running, found.withdrawn, found.outcomes, pace * (found.waiting + found.running)
    )


def newest(*, before: int | None = None, size: int = SHOWN) -> list[tuple[VerificationRun, Progress, Who]]:
    """The newest runs, from below `before`, how far they are and who asked. Four statements at most."""
    rows = VerificationRun.objects.order_by("-pk")
    found = list((rows.filter(pk__lt=before) if before else rows)[:size])
    far, names = _progresses(found), who({run.actor for run in found})
    return [(run, far[run.pk], names[run.actor]) for run in found]


def _progresses(runs: Sequence[VerificationRun]) -> dict[int, Progress]:
    counted = Verification.objects.filter(run__in=[run.pk for run in runs]).values_list("run", "state", "outcome")
    states: dict[int, dict[str, int]] = {run.pk: {} for run in runs}
    outcomes: dict[int, dict[str, int]] = {run.pk: {} for run in runs}
    for number, state, outcome, n in counted.annotate(n=Count("pk")).order_by():
        if number is None:
            continue
        states[number][state] = states[number].get(state, 0) + n
        if state == State.DONE:
            outcomes[number][outcome] = n
    return {
        run.pk: Progress(
            run.total, states[run.pk].get(State.QUEUED, 0), states[run.pk].get(State.RUNNING, 0),
            states[run.pk].get(State.WITHDRAWN, 0), outcomes[run.pk],
        )
        for run in runs
    }  # fmt: skip


def unfinished(*, query: str, actor: Actor) -> VerificationRun | None:
    """The newest run that the actor asked for in these words and that is not over."""
    left = Verification.objects.filter(run=OuterRef("pk"), state__in=UNFINISHED)
    runs = VerificationRun.objects.filter(Exists(left), query=query.strip(), actor=actor.name, cancelled_at=None)
    return runs.order_by("-pk").first()


def may_cancel(run: VerificationRun, actor: Actor) -> bool:
    """Who asked for it may, and who may verify anything."""
    return actor.may(Right.VERIFY) or (run.actor == actor.name and actor.teams_with(Right.VERIFY) != frozenset())


def cancel(run: VerificationRun, *, actor: Actor, at: datetime) -> int:
    """Withdraw what of it still waits; how many. What runs is finished. Raises NotAllowed, and Invalid when nothing waits any more."""
    if not may_cancel(run, actor):
        actor.demand(Right.VERIFY)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        VerificationRun.objects.filter(pk=run.pk, cancelled_at=None).update(cancelled_at=at)
        waiting = Verification.objects.filter(run=run, state=State.QUEUED)
        withdrawn = waiting.update(state=State.WITHDRAWN, finished_at=at)
        if not withdrawn:
            raise Invalid(_("Nothing in %(run)s is waiting any more."), run=str(run))
        log.tell("verification run", run.pk, "cancelled", after={"withdrawn": withdrawn})
    run.refresh_from_db()
    return withdrawn


# --- what came of them --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lack:
    """A permission that an account did not give, and how many findings could not be verified for it. `principal`: who lacks it."""

    missing: str
    account: Account
    principal: str
    findings: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which verifications: by outcome or state, identifier of the account, verifier, run's number; '' and None are any."""

    outcome: str = ""
    account: str = ""
    verifier: str = ""
    run: int | None = None

    def of(self, rows: QuerySet[Verification]) -> QuerySet[Verification]:
        if self.outcome:
            rows = rows.filter(state=self.outcome) if self.outcome in State.values else rows.filter(outcome=self.outcome)
        if self.account:
            rows = rows.filter(finding__account__uid=self.account)
        if self.verifier:
            rows = rows.filter(verifier=self.verifier)
        return rows if self.run is None else rows.filter(run=self.run)


def verifications(wanted: Wanted, *, before: int | None = None, size: int = SHOWN) -> tuple[list[Verification], int | None]:
    """The newest of them, from below `before`, with what a row shows; and where the next page begins."""
    rows = wanted.of(Verification.objects.select_related("finding__check_ref", "finding__asset", "finding__account", "evidence"))
    found = list((rows.filter(pk__lt=before) if before else rows).order_by("-pk")[: size + 1])
    return found[:size], found[size - 1].pk if len(found) > size else None


def lacks(wanted: Wanted, *, size: int = SHOWN) -> list[Lack]:
    """What was denied, unless a later verification of the finding said more, by what was missing: the most findings first.

    Of a run, what it was denied itself, also if later ones were denied something else.
    """
    groups = _denied(wanted).values_list("missing", "finding__account", "principal").annotate(n=Count("finding", distinct=True))
    found = list(groups.order_by("-n", "missing", "finding__account")[:size])
    accounts = Account.objects.in_bulk({account for _missing, account, _principal, _n in found})
    return [Lack(missing, accounts[account], principal, n) for missing, account, principal, n in found]


def lacking(missing: str, *, account: str) -> list[int]:
    """Findings of the account that could not be verified for want of this, and still are not: to be asked for again."""
    rows = _denied(Wanted(account=account)).filter(missing=missing)
    return list(rows.order_by("finding").values_list("finding", flat=True).distinct())


def _denied(wanted: Wanted) -> QuerySet[Verification]:
    telling = ANSWERED if wanted.run else (*ANSWERED, Outcome.DENIED)
    later = Verification.objects.filter(finding=OuterRef("finding"), pk__gt=OuterRef("pk"), outcome__in=telling)
    return wanted.of(Verification.objects.filter(~Exists(later), ~Q(missing=""), outcome=Outcome.DENIED))
