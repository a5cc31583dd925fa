"""A check run again on its asset, what was asked and answered kept, and judged: only a check that passes verifies a fix.

`requesting`: asked for, one by one or by the thousand. `running`: done, by any number of processes. `runs`: how far a run of many is,
and what was missing.
"""

from triage.domain.verification.requesting import fitting, fitting_for, request, request_all
from triage.domain.verification.running import LIMIT, drain, run, waiting

__all__ = ["LIMIT", "drain", "fitting", "fitting_for", "request", "request_all", "run", "waiting"]
