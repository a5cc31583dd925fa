"""The first start: an administrator who can come in, and a demonstration that tells three weeks of an estate's life.

The demonstration's reports are those of demo/ (made by demo/make.py from real runs), moved in time so that the last one is of now. It
is begun once in the life of an installation, and taken up again where it was interrupted: the moment that counts as now is kept, so
that the same reports have the same bytes, and an import of the same bytes changes nothing.
"""

import csv
import gzip
import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from triage.domain import access, audit, ingest, users
from triage.domain.access import Actor
from triage.domain.configuration.applying import apply
from triage.domain.search import words
from triage.models import Event, Role, RoleGrant, Scan, User

ADMINISTRATOR = "admin@localhost"
BEGUN, FINISHED, REFUSED = "demonstration begun", "demonstration finished", "demonstration refused"
# Scanners run for some minutes, and their reports arrive later still.
AGE = timedelta(minutes=20)
DELIVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Step:
    """A report of the demonstration, `days` before now."""

    file: str
    days: int
    declared: Mapping[str, Any] = field(default_factory=dict)


STEPS = (
    Step("production-1.csv.gz", 21, {"zone": "UTC"}),
    Step("sandbox.csv.gz", 14, {"zone": "UTC"}),
    Step("infrastructure.sarif.gz", 10, {"repository": "acme/infrastructure", "branch": "main"}),
    Step("production-2.csv.gz", 7, {"zone": "UTC"}),
    Step("production-3.csv.gz", 0, {"zone": "UTC"}),
)


def administrator(*, actor: Actor, at: datetime) -> User:
    """Somebody who may do everything: the first who was made, or admin@localhost, made now and without a password."""
    grants = RoleGrant.objects.filter(role=Role.ADMINISTRATOR, user__is_active=True).select_related("user")
    first = grants.order_by("user_id").first()
    if first is not None:
        return first.user
    user = User.objects.filter(email=ADMINISTRATOR).first()
    if user is None:
        user = users.create(email=ADMINISTRATOR, name="Administrator", actor=actor, at=at)
    users.let_in(user=user, yes=True, actor=actor, at=at)
    access.give(user=user, role=Role.ADMINISTRATOR, team=None, actor=actor, at=at)
    return user


def demonstration_is_due() -> bool:
    """Nothing was ever imported and nobody refused; or it was begun and not finished."""
    told = set(Event.objects.filter(subject="installation", subject_id=1, seq=None).values_list("kind", flat=True))
    if BEGUN in told:
        return FINISHED not in told
    return REFUSED not in told and not Scan.objects.exists()


def refuse_demonstration(*, actor: Actor, at: datetime) -> None:
    """Never show it in this installation."""
    if demonstration_is_due():
        _tell(REFUSED, actor=actor, at=at)


def demonstrate(*, actor: Actor, at: datetime) -> Iterator[Scan]:
    """Teams and accounts, then one report after the other, each as if it had come on its day. Yields each import when it is done."""
    begun = Event.objects.filter(subject="installation", subject_id=1, seq=None, kind=BEGUN).order_by("id").first()
    now = datetime.fromisoformat((begun.after or {})["now"]) if begun else at.replace(microsecond=0)
    if begun is None:
        _tell(BEGUN, actor=actor, at=at, now=now.isoformat())
    folder = Path(settings.BASE_DIR) / "demo"
    apply(
        text=(folder / "config.yaml").read_text(encoding="utf-8"), name="demo/config.yaml", actor=actor,
        at=now - timedelta(days=STEPS[0].days + 1),
    )  # fmt: skip
    for step in STEPS:
        yield _import(folder / step.file, step, now=now, actor=actor)
    while words.index_assets():
        pass
    _tell(FINISHED, actor=actor, at=at)


def _import(path: Path, step: Step, *, now: datetime, actor: Actor) -> Scan:
    seen = now - timedelta(days=step.days) - AGE
    arrived = seen + DELIVERY
    with _at(path, seen) as stream:
        name = path.name.removesuffix(".gz")
        scan = ingest.receive(stream=stream, name=name, declared=step.declared, actor=actor, at=arrived)
    return ingest.run(scan.pk, clock=lambda: arrived)


@contextmanager
def _at(path: Path, seen: datetime) -> Iterator[BinaryIO]:
    """The report with its rows' times moved to `seen`, written in UTC; a SARIF names no time, and is as it is."""
    if ".csv" not in path.suffixes:
        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]
        return
    with (
        gzip.open(path, "rt", newline="", encoding="utf-8") as source,
        tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as moved,
    ):
        rows = csv.DictReader(source, delimiter=";")
        text = io.TextIOWrapper(moved, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, fieldnames=rows.fieldnames or [], delimiter=";")
        writer.writeheader()
        written = seen.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        writer.writerows({**row, "TIMESTAMP": written} for row in rows)
        text.detach()
        moved.seek(0)
        yield moved


def _tell(kind: str, *, actor: Actor, at: datetime, **after: str) -> None:
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        log.tell("installation", 1, kind, after=after or None)
