"""Which application an asset belongs to, by its tags or its account: asked once for each account and set of tags."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from triage.domain import risk, sla
from triage.domain.access import Actor
from triage.domain.audit import recording
from triage.domain.sets import chunks
from triage.domain.tags import Tags, fold, joined
from triage.models import Application, Finding


@dataclass(frozen=True, slots=True)
class KnownApplication:
    """What follows for an asset from its application."""

    id: int
    slug: str
    criticality: int
    data: str
    frameworks: Collection[str]


class Applications:
    """All living applications, in their order."""

    def __init__(self, rows: Iterable[Application]) -> None:
        self._accounts: dict[str, tuple[int, KnownApplication]] = {}
        self._values: dict[tuple[str, str], tuple[int, KnownApplication]] = {}
        self._beginnings: list[tuple[str, str, int, KnownApplication]] = []
        for position, row in enumerate(rows):
            known = KnownApplication(row.pk, row.slug, row.criticality, row.data, tuple(row.frameworks))
            for account in row.accounts:
                self._accounts.setdefault(account.casefold(), (position, known))
            for key, value in row.tags:
                if value.endswith("*"):
                    self._beginnings.append((fold(key), fold(value[:-1]), position, known))
                else:
                    self._values.setdefault((fold(key), fold(value)), (position, known))

    @classmethod
    def load(cls) -> "Applications":
        return cls(Application.objects.filter(archived_at=None).order_by("position", "slug"))

    def of(self, provider: str, account: str, tags: Tags) -> KnownApplication | None:
        """The first that takes the asset in."""
        if not (self._accounts or self._values or self._beginnings):
            return None
        fitting = []
        if self._accounts and (found := self._accounts.get(f"{provider}:{account}".casefold())):
            fitting.append(found)
        for key, value in joined(tags):
            folded = (fold(key), fold(value))
            if found := self._values.get(folded):
                fitting.append(found)
            fitting += [
                (position, known)
                for name, beginning, position, known in self._beginnings
                if name == folded[0] and folded[1].startswith(beginning)
            ]
        return min(fitting, key=lambda pair: pair[0])[1] if fitting else None


def judge_again(slugs: Collection[str], *, actor: Actor, at: datetime, reason: str) -> None:
    """Dates and scores of what belongs to these applications, after their data or frameworks changed. A transaction a chunk."""
    rows = Finding.objects.filter(asset__application__slug__in=slugs, settled_at=None).order_by("pk").values_list("pk", flat=True)
    for ids in chunks(list(rows)):
        with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
            sla.recompute(ids, at=at)
            risk.rescore(ids, at=at)


def highest(criticality: int, application: KnownApplication | None) -> int:
    """What depends on an asset: what is said of itself, or more if its application has more at stake."""
    return max(criticality, application.criticality) if application else criticality
