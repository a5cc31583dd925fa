"""Real deaths: work in children that may be killed. For tests whose transactions are real."""

import os
import traceback
from collections.abc import Callable

from django.db import connections


def in_child(work: Callable[[], object]) -> int:
    """Run it in a process of its own, with its own connections; how that ended: 0, 1 for an error, -9 when it was killed."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        code = 1
        # What is still open belongs to the parent: two processes on one connection wait for each other's answers.
        inherited = [(each, each.connection) for each in connections.all(initialized_only=True)]
        for each, _connection in inherited:
            each.connection = None
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
