"""Real transactions and real deaths: committed rows, and children that may be killed."""

import os
import traceback
from collections.abc import Callable, Iterator

import pytest
from django.db import connections

KEPT = ("triage_tagset", "triage_ownertrail")  # their first rows come with the migrations


@pytest.fixture
def committed(django_db_setup, django_db_blocker) -> Iterator[None]:
    """A database in which the test's transactions are real. What they leave is deleted afterwards, history too."""
    with django_db_blocker.unblock():
        yield
        with connections["default"].cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^(triage|django_q)_'")
            tables = [name for (name,) in cursor.fetchall()]
            cursor.execute("SET session_replication_role = replica")
            for table in tables:
                first = " WHERE digest <> decode(repeat('00', 16), 'hex')" if table in KEPT else ""
                cursor.execute(f'DELETE FROM "{table}"{first}')
        connections.close_all()


def in_child(work: Callable[[], object]) -> int:
    """Run it in a process of its own, with its own connections; how that ended: 0, 1 for an error, -9 when it was killed."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:  # noqa: BLE001 - the parent asserts on the code
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
