"""Who must have done what by when.

`targets` says how long a clock may run and when that ends, `sets` the same in SQL for many findings. `clocks` starts, stops and
pauses them; `policies` publishes versions; `notices` tells what was reached; `explaining`, `simulating` and `reporting` only read.
"""

from triage.domain.sla.clocks import recompute, restart, stop
from triage.domain.sla.notices import Ladders
from triage.domain.sla.targets import Circumstances, Due, Targets

__all__ = ["Circumstances", "Due", "Ladders", "Targets", "recompute", "restart", "stop"]
