"""Findings under a row lock, for whoever changes one; and turns, where only so many may be at something at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain.errors import NotFound, Stale
from triage.models import Finding

NO_FINDING = _("There is no finding F-%(number)s.")


def locked(finding: int, *, version: int | None = None) -> Finding:
    """The finding under a row lock. Raises NotFound, and Stale when somebody changed it since `version`."""
    current = Finding.objects.select_for_update().filter(pk=finding).first()
    if current is None:
        raise NotFound(NO_FINDING, number=f"{finding:06d}")
    if version is not None and current.version != version:
        raise Stale(_("Somebody changed this finding in the meantime. Look at it again and decide anew."))
    return current


@contextmanager
def turn(name: str, *, places: int) -> Iterator[bool]:
    """Whether one of the places at what is called so was free; it is held until the end. Nobody waits.

    Among all processes. A place is an advisory lock of the session: whoever dies gives it back.
    """
    for place in range(places):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, %s))", [name, place])
            if (cursor.fetchone() or (False,))[0]:
                break
    else:
        yield False
        return
    try:
        yield True
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, %s))", [name, place])
