"""How the ledger stands: its newest head, what waits, who has seen it, and whether it held when it was last computed again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from triage.domain.access import Actor, Right
from triage.domain.ledger import keys, sealing, witnessing
from triage.domain.ledger.witnessing import Witnessed
from triage.models import Checkpoint, LedgerCheck, LedgerKey


@dataclass(frozen=True, slots=True)
class Standing:
    """`head`, `check`: the newest ones, None before the first. `waiting`: events that are not sealed yet; `stalled`: since when an
    event waits that should have been sealed, None while sealing keeps up.
    """

    head: Checkpoint | None
    check: LedgerCheck | None
    waiting: int
    stalled: datetime | None
    witnesses: Sequence[Witnessed]


def standing(*, actor: Actor, at: datetime) -> Standing:
    """Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    head = Checkpoint.objects.order_by("-size").first()
    check = LedgerCheck.objects.order_by("-pk").first()
    return Standing(head, check, sealing.waiting(), sealing.stalled(at=at), witnessing.witnesses())


def metrics(*, at: datetime) -> str:
    """The ledger's numbers in Prometheus' text format: leaves, events that wait, for how long, and whether it held."""
    head = Checkpoint.objects.order_by("-size").values_list("size", flat=True).first() or 0
    check = LedgerCheck.objects.order_by("-pk").first()
    since = sealing.stalled(at=at)
    numbers = (
        ("leaves", "Sealed events.", head),
        ("waiting", "Events that are not sealed yet.", sealing.waiting()),
        ("stalled_seconds", "How long an event has waited that should have been sealed, 0 while sealing keeps up.",
         (at - since).total_seconds() if since else 0),
        ("holds", "Whether the log held when it was last computed again; 1 before the first time.", int(not (check and check.fault))),
    )  # fmt: skip
    lines = [
        f"# HELP cspm_ledger_{name} {told}\n# TYPE cspm_ledger_{name} gauge\ncspm_ledger_{name} {value}"
        for name, told, value in numbers
    ]
    return "\n".join(lines) + "\n"


def checks(*, actor: Actor) -> list[LedgerCheck]:
    """The last ten times that the whole log was computed again, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return list(LedgerCheck.objects.order_by("-pk")[:10])


def keys_on_record(*, actor: Actor) -> list[tuple[LedgerKey, str]]:
    """All that ever signed, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return [(row, keys.described(row)) for row in keys.public()]
