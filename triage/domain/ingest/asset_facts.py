"""Facts of assets, as a collector read them: kept beside the assets, set by set. Rows that say what they said are not written."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import connection

from triage.domain.ingest.cleaning import one_line
from triage.domain.interning import as_json
from triage.domain.sets import chunks
from triage.models import AssetFacts
from triage.ports import Collected, FactValue

WRITTEN_AT_ONCE = 2_000  # facts are some kilobytes

_KEEP = (
    "INSERT INTO triage_assetfacts AS f (asset_id, account_id, kind, region, facts, tags_read, since)"
    " SELECT (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, (r->4)::jsonb, (r->>5)::boolean, %s FROM json_array_elements(%s) AS r"
    " ON CONFLICT (asset_id) DO UPDATE SET kind = excluded.kind, region = excluded.region, facts = excluded.facts,"
    " tags_read = excluded.tags_read, since = CASE WHEN f.facts = excluded.facts THEN f.since ELSE excluded.since END"
    " WHERE (f.kind, f.region, f.facts, f.tags_read) IS DISTINCT FROM"
    " (excluded.kind, excluded.region, excluded.facts, excluded.tags_read)"
)


def keep(read: Iterable[tuple[int, int, str, Collected]], *, at: datetime) -> None:
    """Keep the facts of these (asset, account, region, what was read). One statement for 2,000."""
    for chunk in chunks(read, WRITTEN_AT_ONCE):
        rows = [
            (asset, account, one_line(told.kind)[:40], region, _clean(told), told.tags is not None)
            for asset, account, region, told in chunk
        ]
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, [at, as_json(rows)])


def forget(*, account: int, kind: str, regions: Iterable[str], seen: Collection[int]) -> None:
    """Let go of the facts of what is there no more: it was not `seen`, though its kind was looked at in its region."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM triage_assetfacts WHERE account_id = %s AND kind = %s AND region = ANY(%s) AND asset_id <> ALL(%s::bigint[])",
            [account, kind, list(regions), list(seen)],
        )


def tagged(assets: Sequence[int]) -> set[int]:
    """Of these assets those whose tags a collector has read."""
    found: set[int] = set()
    for chunk in chunks(assets):
        found.update(AssetFacts.objects.filter(asset__in=chunk, tags_read=True).values_list("asset", flat=True))
    return found


def _clean(told: Collected) -> dict[str, FactValue]:
    return {one_line(name)[:80]: _fit(value) for name, value in told.facts.items()}


def _fit(value: FactValue) -> FactValue:
    if isinstance(value, list):
        return [one_line(each) for each in value]
    return one_line(value) if isinstance(value, str) else value
