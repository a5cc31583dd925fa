"""Ticket files whose answers get lost: a test says in FAULTS what happens to the next calls that write."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from integrations.tickets import files
from triage.ports import DeliveryError, TicketDraft, TicketState

LABEL = "Faulty files"
SETTINGS = files.SETTINGS
probe = files.probe
FAULTS: list[str] = []
LAG: list[bool] = []  # True: the next look does not find it yet


def create(draft: TicketDraft, options: Mapping[str, str], /) -> TicketState:
    _note(options, f"create {draft.mark}")
    fault = FAULTS.pop(0) if FAULTS else ""
    _before(fault)
    # A second write must be seen, so this one does not look whether the mark is known.
    number = len(list(Path(options["folder"]).glob(f"*.{draft.mark}.md"))) if Path(options["folder"]).exists() else 0
    if number:
        (Path(options["folder"]) / f"double-{number}.{draft.mark}.md").write_text("---\nstatus: open\n---\n")
    state = files.create(draft, options)
    _after(fault)
    return state


def find(mark: str, options: Mapping[str, str], /) -> tuple[TicketState, ...]:
    _note(options, f"find {mark}")
    return () if LAG and LAG.pop(0) else files.find(mark, options)


def fetch(remote_id: str, options: Mapping[str, str], /) -> TicketState:
    if FAULTS and FAULTS[0] == "unreadable":
        raise DeliveryError(FAULTS.pop(0))
    return files.fetch(remote_id, options)


def comment(remote_id: str, key: str, body: str, options: Mapping[str, str], /) -> None:
    _note(options, f"comment {key}")
    fault = FAULTS.pop(0) if FAULTS else ""
    _before(fault)
    files.comment(remote_id, key, body, options)
    _after(fault)


def close(remote_id: str, options: Mapping[str, str], /) -> TicketState:
    _note(options, f"close {remote_id}")
    return files.close(remote_id, options)


def reopen(remote_id: str, options: Mapping[str, str], /) -> TicketState:
    _note(options, f"reopen {remote_id}")
    return files.reopen(remote_id, options)


def _before(fault: str) -> None:
    if fault == "refused":
        raise DeliveryError("project does not exist", permanent=True)
    if fault == "down":
        raise DeliveryError("connection refused")
    if fault == "busy":
        raise DeliveryError("too many requests", retry_after=1800)


def _after(fault: str) -> None:
    if fault == "dropped":
        raise DeliveryError("connection reset", unknown=True)
    if fault == "bug":
        raise ValueError("not JSON")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def _note(options: Mapping[str, str], line: str) -> None:
    """One line a call, in the order in which they came, whichever process they came from."""
    with Path(options["folder"] + ".log").open("a") as log:
        log.write(f"{line}\n")
