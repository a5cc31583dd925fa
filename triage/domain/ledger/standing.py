"""How the ledger stands: its newest head, what waits, who has seen it, and whether it held when it was last computed again."""

from collections.abc import Sequence
from dataclasses import dataclass

from triage.domain.access import Actor, Right
from triage.domain.ledger import keys, sealing, witnessing
from triage.domain.ledger.witnessing import Witnessed
from triage.models import Checkpoint, LedgerCheck, LedgerKey


@dataclass(frozen=True, slots=True)
class Standing:
    """`head`, `check`: the newest ones, None before the first. `waiting`: events that are not sealed yet."""

    head: Checkpoint | None
    check: LedgerCheck | None
    waiting: int
    witnesses: Sequence[Witnessed]


def standing(*, actor: Actor) -> Standing:
    """Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    head = Checkpoint.objects.order_by("-size").first()
    check = LedgerCheck.objects.order_by("-pk").first()
    return Standing(head, check, sealing.waiting(), witnessing.witnesses())


def checks(*, actor: Actor) -> list[LedgerCheck]:
    """The last ten times that the whole log was computed again, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return list(LedgerCheck.objects.order_by("-pk")[:10])


def keys_on_record(*, actor: Actor) -> list[tuple[LedgerKey, str]]:
    """All that ever signed, the newest first. Raises NotAllowed."""
    actor.demand(Right.AUDIT)
    return [(row, keys.described(row)) for row in keys.public()]
