"""What people do to findings, one or many at once: planned, done, told item by item, and taken back.

`verbs`: what each does, and to what it may be done. `planning`: what would come of it. `doing`: done, in chunks. `undoing`: taken back.
`reasons`: why something was left as it is.
"""

from triage.domain.acts.doing import AT_ONCE, ask, one, run, waiting
from triage.domain.acts.planning import Plan, plan
from triage.domain.acts.reasons import reasons
from triage.domain.acts.undoing import can_undo, undo

__all__ = ["AT_ONCE", "Plan", "ask", "can_undo", "one", "plan", "reasons", "run", "undo", "waiting"]
