"""Bundles that are ordered on a page: a worker makes them, and they stay to be fetched."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import translation
from django.utils.translation import gettext_noop as _

from triage.domain import search
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.bundles.exporting import export
from triage.domain.bundles.population import Wanted, controls_of_checks
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.models import Bundle, Role

LEASE = timedelta(minutes=30)
ATTEMPTS = 3
SHOWN = 100
LONGEST_SEED, LONGEST_HEAD = 100, 4_000
State = Bundle.State


def order(*, wanted: Wanted, sample: int, seed: str = "", head: str = "", language: str, actor: Actor, at: datetime) -> Bundle:
    """Note that a bundle is wanted; a worker makes it. Raises NotAllowed, Invalid, QueryError."""
    actor.demand(Right.AUDIT)
    if len(seed) > LONGEST_SEED:
        raise Invalid(_("The seed is longer than %(most)s characters."), most=LONGEST_SEED)
    if len(head) > LONGEST_HEAD or "\0" in head:
        raise Invalid(_("The head is a signed note of a few lines; this is something else."))
    search.q(search.parse(wanted.query), at=at)
    if wanted.framework:
        controls_of_checks(wanted.framework)
    return Bundle.objects.create(
        since=wanted.since, to=wanted.to, query=wanted.query, framework=wanted.framework, sample=sample, seed=seed, head=head,
        language=language, actor=actor.name, door=actor.door, requested_at=at,
    )  # fmt: skip


def listed(*, actor: Actor) -> list[Bundle]:
    """The newest. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return list(Bundle.objects.order_by("-pk")[:SHOWN])


def fetch(*, bundle: int, actor: Actor, at: datetime) -> tuple[Bundle, BinaryIO]:
    """The ZIP, to be closed by the caller. That it was fetched is an event. Raises NotAllowed, NotFound."""
    actor.demand(Right.AUDIT)
    row = Bundle.objects.filter(pk=bundle, state=State.DONE).first()
    try:
        stream = path_of(bundle).open("rb") if row else None
    except FileNotFoundError:
        stream = None
    if row is None or stream is None:
        raise NotFound(_("There is no such bundle, or its file is gone. Create it again."))
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        log.tell("bundle", row.pk, "fetched", after={"sha256": bytes(row.sha256).hex() if row.sha256 else ""})
    return row, stream


def waiting(at: datetime) -> list[int]:
    """Those that nobody makes: ordered, or left by a worker that died."""
    return list(Bundle.objects.filter(_claimable(at)).order_by("pk").values_list("pk", flat=True))


def make(*, bundle: int, clock: Callable[[], datetime]) -> None:
    """Make it, if nobody else does. What is wrong with the order is said on it; outside of a transaction only."""
    row = _claimed(bundle, clock())
    if row is None:
        return
    path = path_of(row.pk)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for left in (path, path.with_name(path.name + ".part")):  # of a worker that died
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    # Whoever ordered it had the right then; the order is what a worker acts on.
    actor = Actor(name=row.actor, door=row.door, roles=frozenset({Role.AUDITOR}))
    try:
        with translation.override(row.language):
            made = export(
                path=path, wanted=Wanted(row.since, row.to, row.query, row.framework), sample=row.sample, seed=row.seed,
                heads=[row.head] if row.head else [], number=row.pk, actor=actor, at=clock(),
            )  # fmt: skip
    except TriageError as error:
        problem = {"message": error.text.message, "params": dict(error.text.params)}
        Bundle.objects.filter(pk=row.pk).update(state=State.FAILED, problem=problem, finished_at=clock(), lease_until=None)
        return
    path.chmod(0o600)
    Bundle.objects.filter(pk=row.pk).update(
        state=State.DONE, finished_at=clock(), lease_until=None, sha256=bytes.fromhex(made.sha256), size=path.stat().st_size,
        findings=made.findings, sampled=made.sampled, events=made.events, absent=dict(made.absent),
    )  # fmt: skip


def path_of(bundle: int) -> Path:
    return Path(settings.CSPM_HOME) / "bundles" / f"B-{bundle}.zip"


def _claimable(at: datetime) -> Q:
    return Q(state=State.WAITING) | Q(state=State.RUNNING, lease_until__lte=at)


def _claimed(bundle: int, at: datetime) -> Bundle | None:
    with transaction.atomic(durable=True):
        mine = Bundle.objects.filter(_claimable(at), pk=bundle)
        if mine.filter(attempts__gte=ATTEMPTS).update(
            state=State.FAILED, finished_at=at, lease_until=None,
            problem={"message": _("It was tried %(n)s times, and the worker died each time."), "params": {"n": ATTEMPTS}},
        ):  # fmt: skip
            return None
        if not mine.update(state=State.RUNNING, lease_until=at + LEASE, attempts=F("attempts") + 1):
            return None
        return Bundle.objects.get(pk=bundle)
