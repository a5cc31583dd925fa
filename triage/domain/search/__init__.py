"""The one query language of search box, saved views, policies, API, command line and gate.

    severity>=high env:prod team:payments -tag.env:dev age>30d "public bucket"
    gravité>=haute env:prod équipe:paiements -étiquette.env:dev âge>30j

`parse` reads a text, `findings` asks the database, `Query.text` writes it back. `FIELDS` is everything that can be asked;
`complete` says what may follow. Beside it: `pages.page`, `facets.facets`, `words.index_assets`.
"""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet

from triage.domain.search.asking import Viewer
from triage.domain.search.compiler import condition
from triage.domain.search.completion import Suggestion, complete
from triage.domain.search.fields import FIELDS
from triage.domain.search.grammar import parse
from triage.domain.search.tree import Query, QueryError
from triage.models import Finding

__all__ = ["COUNTED", "FIELDS", "Query", "QueryError", "Suggestion", "complete", "counts", "findings", "parse", "q"]

COUNTED = 10_000


def q(query: Query, *, at: datetime, user: int | None = None, teams: Collection[int] = frozenset()) -> Q:
    """The query as a condition on findings. A few small questions are asked at once: which checks, accounts, teams are meant.

    `user`, `teams`: who `me` and `mine` are. Days begin in the time zone of `at`. Raises QueryError for a team or a person that
    does not exist.
    """
    return condition(query, Viewer(at=at, user=user, teams=frozenset(teams)))


def findings(query: Query, *, at: datetime, user: int | None = None, teams: Collection[int] = frozenset()) -> QuerySet[Finding]:
    """The findings that the query means, in no order. Raises QueryError as `q` does. `statement_timeout` is the caller's."""
    return Finding.objects.filter(q(query, at=at, user=user, teams=teams)).order_by()


def counts(queryset: QuerySet[Finding], limit: int = COUNTED) -> tuple[int, bool]:
    """How many they are, counted up to `limit`, and whether there are more."""
    found = queryset.order_by().values("pk")[: limit + 1].count()
    return min(found, limit), found > limit
