"""Running checks again: claimed in batches, the outside asked, what it answered kept, and judged."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain import access, bell, evidence, lifecycle
from triage.domain.audit import recording
from triage.domain.cleansing import clean
from triage.domain.custom_checks import verifying as custom
from triage.domain.locking import turn
from triage.domain.verification import rescanning
from triage.domain.verification.requesting import fitting_for, general
from triage.models import Finding, Grade, Notification, Verification, VerificationRun
from triage.ports import Judgement, Outcome, Target, Text, Verifier

logger = logging.getLogger(__name__)

State = Verification.State
LEASE = timedelta(minutes=10)
SLOW = timedelta(hours=2)  # where a scanner is run again, or a general verifier answers, which may take minutes
ATTEMPTS = 3
BATCH = 50
LIMIT = 100  # of one drain: then others have the worker, too
AT_ONCE = 2  # batches at one account, of all processes
ORDER = (F("run").asc(nulls_first=True), "pk")
SPARE, LONG_SPARE = timedelta(minutes=2), timedelta(minutes=7)  # one more question must not outlive the lease


def run(*, verification: int, clock: Callable[[], datetime]) -> Verification:
    """Run it, if nobody else does and its account has a turn free, and judge. Raises nothing for what the outside does: an outcome.

    Outside of a transaction only: that it runs, and how often it was tried, is committed before the outside is asked.
    """
    which = Q(pk=verification)
    account = _next_account(which, at=clock())
    if account is not None:
        _batch(account, which, clock)
    return Verification.objects.get(pk=verification)


def drain(*, clock: Callable[[], datetime], limit: int = LIMIT, of_run: int | None = None) -> int:
    """Run what is waiting, and what a dead worker left; how many. Any number of processes may drain at once.

    In batches of one account and one verifier, so that the outside is entered once for all of them, and AT_ONCE of them at most at
    one account. What waits for a turn is left to those who have one. `of_run`: of that run alone.
    """
    which = Q() if of_run is None else Q(run=of_run)
    done = 0
    full: list[int] = []
    while done < limit and (account := _next_account(which, at=clock(), but=full)) is not None:
        ran = _batch(account, which, clock)
        done += ran
        if not ran:
            full.append(account)
    return done


def _batch(account: int, which: Q, clock: Callable[[], datetime]) -> int:
    with turn(f"cspm verification {account}", places=AT_ONCE) as mine:
        claimed = _claim(which & Q(finding__account=account), at=clock()) if mine else []
        return _run(claimed, clock) if claimed else 0


def waiting(at: datetime) -> bool:
    """Whether there is anything to drain, and nobody who drains: who does comes back until nothing waits."""
    at_work = Verification.objects.filter(state=State.RUNNING, lease_until__gt=at)
    return Verification.objects.filter(_claimable(at)).exists() and not at_work.exists()


def _next_account(which: Q, *, at: datetime, but: Sequence[int] = ()) -> int | None:
    """The account of the verification whose turn it is, None if nothing waits: what was asked for by itself is before runs of many."""
    rows = Verification.objects.filter(which, _claimable(at)).exclude(finding__account__in=but)
    return rows.order_by(*ORDER).values_list("finding__account", flat=True).first()


def _claimable(at: datetime) -> Q:
    return Q(state=State.QUEUED) | Q(state=State.RUNNING, lease_until__lte=at)


def _claim(which: Q, *, at: datetime) -> list[Verification]:
    """The one whose turn it is, and others of its account that the same verifier answers. Three statements.

    What may have killed its worker is claimed alone, so that it takes no others with it.
    """
    with transaction.atomic(durable=True):
        rows = Verification.objects.filter(which, _claimable(at)).select_for_update(skip_locked=True, of=("self",))
        rows = rows.select_related("finding__check_ref", "finding__asset", "finding__account")
        rows = rows.order_by(*ORDER)
        first = rows.first()
        if first is None:
            return []
        places = rescanning.places()
        found, verifier = [first], fitting_for(first.finding, places) or ""
        if not first.attempts and verifier:
            others = rows.filter(finding__account=first.finding.account_id, attempts=0).exclude(pk=first.pk)
            found += [row for row in others[: BATCH - 1] if fitting_for(row.finding, places) == verifier]
        for row in found:
            row.verifier = verifier
            lease = SLOW if verifier == rescanning.NAME or verifier in general() else LEASE
            row.state, row.started_at, row.lease_until, row.attempts = State.RUNNING, at, at + lease, row.attempts + 1
        Verification.objects.bulk_update(found, ["verifier", "state", "started_at", "lease_until", "attempts"])
    return found


def _run(claimed: Sequence[Verification], clock: Callable[[], datetime]) -> int:
    """How many were judged. Those that the lease has no time for, or that somebody interrupts, are given back."""
    judgements, number = _ask(claimed, clock), 0
    try:
        for number, row in enumerate(claimed):
            if number and row.lease_until is not None and clock() > row.lease_until - _spare(row):
                _give_back(claimed[number:])
                return number
            _conclude(row, next(judgements), clock())
    except KeyboardInterrupt:  # whoever asks again goes on from here, without waiting for a lease to end
        _give_back(claimed[number:])
        raise
    return len(claimed)


def _spare(row: Verification) -> timedelta:
    return SPARE if row.verifier not in general() else LONG_SPARE


def _give_back(left: Sequence[Verification]) -> None:
    """Not tried: they wait again, or are withdrawn with their run, if it was cancelled meanwhile."""
    cancelled = Exists(VerificationRun.objects.filter(pk=OuterRef("run"), cancelled_at__isnull=False))
    mine = Verification.objects.filter(pk__in=[row.pk for row in left], state=State.RUNNING, lease_until=left[0].lease_until)
    mine.update(
        state=Case(When(cancelled, then=Value(State.WITHDRAWN)), default=Value(State.QUEUED)), lease_until=None,
        attempts=F("attempts") - 1,
    )  # fmt: skip


def _conclude(claimed: Verification, judgement: Judgement, at: datetime) -> None:
    """Write what was found and what follows, in one transaction, unless another worker took over."""
    proof = _kept(claimed, judgement, at) if judgement.exchanges else None
    if judgement.outcome == Outcome.FIXED and proof is None:
        judgement = Judgement(Outcome.ERROR, Text(_("The verifier showed no evidence, so its word does not count.")))
    with recording(actor=access.worker().name, at=at, door="task") as log:
        mine = Verification.objects.filter(pk=claimed.pk, state=State.RUNNING, lease_until=claimed.lease_until)
        if mine.update(
            state=State.DONE,
            outcome=judgement.outcome,
            summary=_text(judgement.summary),
            missing=judgement.missing[:200],
            principal=judgement.principal[:300],
            evidence=proof,
            finished_at=at,
            lease_until=None,
        ):
            log.because(str(judgement.summary), evidence=proof)
            if claimed.trigger == Verification.Trigger.PERSON and claimed.run_id is None:
                _tell(claimed, judgement.outcome, at)
            if not _judge(claimed.finding_id, judgement.outcome, at=at):
                named = {"verification": claimed.pk, "outcome": judgement.outcome, "evidence": proof.hex() if proof else None}
                log.note([claimed.finding_id], "checked", after=named, reason=str(judgement.summary))


def _tell(claimed: Verification, outcome: str, at: datetime) -> None:
    """Whoever asked for this one hears what came of it."""
    kind, _colon, number = claimed.actor.partition(":")
    if kind == "user" and number.isdecimal():
        bell.ring(
            [int(number)],
            Notification.Kind.VERIFIED,
            actor=access.worker().name,
            at=at,
            finding=claimed.finding_id,
            about=str(outcome),
        )


def _judge(finding: int, outcome: str, *, at: datetime) -> bool:
    """What the outcome makes of the finding; whether it changed. Denied, error and cannot change nothing."""
    if outcome == Outcome.FIXED:
        return bool(lifecycle.settle([finding], at=at, grade=Grade.PROOF))
    if outcome == Outcome.GONE:
        return bool(lifecycle.lose([finding], at=at))
    if outcome == Outcome.FAILING:
        verbs = (lifecycle.refute, lifecycle.reopen, lifecycle.judge, lifecycle.return_)
        return any([verb([finding], at=at) for verb in verbs])  # noqa: C419 - all of them, not the first that changes something
    return False


def _ask(claimed: Sequence[Verification], clock: Callable[[], datetime]) -> Iterator[Judgement]:
    """A judgement for each, whatever the verifier does."""
    first = claimed[0]
    if first.attempts > ATTEMPTS:
        yield Judgement(Outcome.ERROR, Text(_("It was tried %(n)s times, and the worker died each time."), {"n": ATTEMPTS}))
    elif not first.verifier:
        said = {"check": first.finding.check_ref.key}
        yield Judgement(Outcome.CANNOT, Text(_("No verifier answers check %(check)s. The next scan that covers it will."), said))
    elif first.verifier == rescanning.NAME:
        yield from rescanning.verify([row.finding for row in claimed], clock=clock)
    else:
        yield from _answered(first.verifier, [_target(row.finding) for row in claimed], clock())


def _answered(name: str, targets: Sequence[Target], at: datetime) -> Iterator[Judgement]:
    verifier: Verifier | None = None if name == custom.NAME else plugins.get("verifiers", name)
    verify = verifier.verify if verifier else custom.verify
    left = list(targets)
    while left:
        failed: Exception = LookupError()  # fewer answers than questions
        try:
            for judgement in verify(left, at):
                left = left[1:]
                yield judgement
        except Exception as error:  # a verifier's bug must not leave the finding waiting for ever
            logger.exception("verification by %s", name)
            failed = error
        if left:
            left = left[1:]
            yield Judgement(Outcome.ERROR, Text(_("The verifier failed: %(error)s."), {"error": type(failed).__name__}))


def _target(finding: Finding) -> Target:
    return Target(
        scanner=finding.check_ref.scanner,
        check=finding.check_ref.key,
        provider=finding.account.provider,
        account=finding.account.uid,
        region=finding.region,
        asset=finding.asset.uid,
        asset_name=finding.asset.name,
        options={str(name): str(value) for name, value in finding.account.options.items()},
    )


def _kept(claimed: Verification, judgement: Judgement, at: datetime) -> bytes:
    """The evidence: canonical JSON of who asked what, and what the answer was."""
    finding = claimed.finding
    content = {
        "format": "cspm-verification/1",
        "verification": claimed.pk,
        "finding": str(finding),
        "target": asdict(_target(finding)),
        "trigger": claimed.trigger,
        "requested_by": claimed.actor,
        "requested_at": claimed.requested_at,
        "started_at": claimed.started_at,
        "finished_at": at,
        "verifier": claimed.verifier,
        "tools": judgement.tools,
        "principal": judgement.principal,
        "outcome": judgement.outcome,
        "summary": _text(judgement.summary),
        "missing": judgement.missing,
        "exchanges": [asdict(exchange) for exchange in judgement.exchanges],
    }
    text = json.dumps(clean(content), ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)
    return bytes(evidence.keep(text.encode(), media_type="application/json", at=at).sha256)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(text: Text) -> dict[str, Any]:
    return {"message": text.message, "params": dict(text.params)}
