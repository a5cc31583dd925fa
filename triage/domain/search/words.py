"""Words for text search: one way of splitting identifiers, for the indexes and for what people type."""

from collections.abc import Sequence

from django.db import connection

# As spaces, the text-search parser meets nothing but runs of letters and digits: left alone it would read host names, paths,
# addresses and signed numbers as one word each. The percent sign is no part of it, as it is one for every `execute` with
# parameters; the parser takes it for a space by itself.
SEPARATORS = "_-./:@=,;()[]{}<>|\\\"'`#&*+?!~^$"
SPLIT_SQL = "translate(%s, '" + SEPARATORS.replace("'", "''") + "', '" + " " * len(SEPARATORS) + "')"
_SPLIT = str.maketrans(dict.fromkeys(SEPARATORS + "%\0", " "))
MAX_INDEXED = 20_000  # characters; a text search vector holds no more than 1 MB

CHECK_COLUMNS = ("key", "title")
# Of an asset also what its account is called: a word of either is then one question to one index.
ASSET_COLUMNS = ("a.name", "a.uid", "c.name", "c.uid")
ASSETS = "triage_asset a JOIN triage_account c ON c.id = a.account_id"


def vector_sql(columns: Sequence[str]) -> str:
    """SQL of the tsvector of these text columns: what `Check.words` and `AssetSearch.words` hold."""
    text = f"left(concat_ws(' ', {', '.join(columns)}), {MAX_INDEXED})"
    return f"to_tsvector('simple', {SPLIT_SQL % text})"


def split(text: str) -> list[str]:
    """The words of a text, as the indexes split it."""
    return text.translate(_SPLIT).split()


def index_assets(limit: int = 20_000) -> int:
    """Write the words of assets that have none yet, oldest first. Returns how many; 0 when all are indexed.

    The first statement looks above the newest indexed asset alone, which costs nothing when there is none. The second finds what
    two imports at once, or `forget`, have left below.
    """
    insert = f"INSERT INTO triage_assetsearch (asset_id, words) SELECT a.id, {vector_sql(ASSET_COLUMNS)} FROM {ASSETS} WHERE "
    above = "a.id > (SELECT coalesce(max(asset_id), 0) FROM triage_assetsearch)"
    below = "NOT EXISTS (SELECT 1 FROM triage_assetsearch s WHERE s.asset_id = a.id)"
    with connection.cursor() as cursor:
        for which in (above, below):
            cursor.execute(f"{insert}{which} ORDER BY a.id LIMIT %s ON CONFLICT DO NOTHING", [limit])
            written = int(cursor.rowcount)
            if written:
                return written
    return 0


def forget(*, assets: Sequence[int] = (), accounts: Sequence[int] = ()) -> None:
    """These assets, and those of these accounts, have other names now: their words are to be written anew."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM triage_assetsearch WHERE asset_id = ANY(%s)"
            " OR asset_id IN (SELECT id FROM triage_asset WHERE account_id = ANY(%s))",
            [list(assets), list(accounts)],
        )
