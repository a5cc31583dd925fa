"""A report becomes findings: receive, match, merge, summary.

`receive` keeps the bytes and answers at once; `run` imports them in one transaction, in a worker or in the command line's process.
Whatever dies in between, the next `run` begins anew from the bytes.
"""

from triage.domain.ingest.importing import Matches, preview, receive, run, waiting

__all__ = ["Matches", "preview", "receive", "run", "waiting"]
