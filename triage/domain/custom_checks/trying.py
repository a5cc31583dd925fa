"""What a check would say of the facts that are kept: nothing is asked outside, nothing is changed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from triage.domain.access import Actor, Right
from triage.domain.custom_checks import truth
from triage.domain.custom_checks.collecting import judged
from triage.domain.custom_checks.files import CustomCheck
from triage.domain.tags import of_json
from triage.models import AssetFacts
from triage.ports import Collected, Verdict

READ_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Tried:
    """What a check says of an asset. `said`: the facts that decide, or the names of those that are missing."""

    check: CustomCheck
    asset: int
    name: str
    uid: str
    account: str
    verdict: Verdict
    said: str


def attempt(*, checks: Collection[CustomCheck], actor: Actor, at: datetime) -> Iterator[Tried]:
    """The results of all checks on all assets of their kinds, asset by asset. Raises NotAllowed. One statement, read in chunks."""
    actor.demand(Right.VIEW)
    rows = AssetFacts.objects.filter(kind__in={check.kind for check in checks}).order_by("kind", "pk")
    rows = rows.select_related("asset__tag_set", "account")
    for row in rows.iterator(chunk_size=READ_AT_ONCE):
        asset, tags = row.asset, of_json(row.asset.tag_set.tags) if row.tags_read else None
        subject = truth.subject(Collected(row.kind, asset.uid, asset.name, asset.region, tags, row.facts), row.account.uid)
        for check in checks:
            if check.kind == row.kind:
                verdict = judged(check, subject, at)
                missing = ", ".join(truth.missing(check.condition, subject)) if verdict is Verdict.UNKNOWN else ""
                said = missing or truth.said(check.condition, subject, at)
                yield Tried(check, asset.pk, asset.name, asset.uid, row.account.uid, verdict, said)
