"""Tickets as Markdown files in a folder: a person marks one done by writing `status: done` into its head.

The head is a few `name: value` lines between two lines of `---`; below it is the text, to which comments are appended. Whatever
a person did to the file by hand is kept, and read with patience. Options: `folder`.
"""

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Options, Probe, Setting, Text, TicketCategory, TicketDraft, TicketState

LABEL = _("Markdown files")
SETTINGS = (Setting("folder", _("Folder"), _("The folder of the files; leave empty for “tickets” in CSPM_HOME.")),)
PER_SECOND = 100.0

OPEN, PROGRESS, DONE, DECLINED = "open", "in progress", "done", "declined"
# What people write, in the two languages of the product.
WORDS = {
    TicketCategory.DONE: {DONE, "closed", "fixed", "resolved", "completed", "fait", "clos", "corrigé", "résolu", "terminé"},
    TicketCategory.DECLINED: {DECLINED, "wontfix", "won't fix", "wont do", "won't do", "rejected", "refusé", "rejeté"},
    TicketCategory.IN_PROGRESS: {PROGRESS, "in-progress", "doing", "started", "wip", "en cours"},
}
HEAD = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^[ \t]*([A-Za-z_]+)[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
MARK = re.compile(r"[A-Za-z0-9_-]{6,100}")


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        folder = _folder(options)
        passed, said = os.access(folder, os.W_OK), Text(_("%(folder)s cannot be written."), {"folder": str(folder)})
    except DeliveryError as error:
        passed, said = False, Text("%(said)s", {"said": str(error)})
    yield Probe(Text(_("The folder")), passed, None if passed else said)


def create(draft: TicketDraft, options: Options, /) -> TicketState:
    """A new file; the one that is there when the mark is known."""
    known = find(draft.mark, options)
    if known:
        return known[0]
    path = _folder(options) / f"{_slug(draft.title)}.{_checked(draft.mark)}.md"
    head = {
        "id": draft.mark,
        "status": OPEN,
        "severity": draft.severity.name.lower(),
        "due": draft.due_at.isoformat(timespec="minutes") if draft.due_at else "",
        "labels": ", ".join(draft.labels),
    }
    lines = "".join(f"{name}: {value}\n" for name, value in head.items() if value)
    _write(path, f"---\n{lines}---\n\n# {draft.title}\n\n{draft.body.rstrip()}\n", new=True)
    return _state(path, draft.mark)


def find(mark: str, options: Options, /) -> tuple[TicketState, ...]:
    """By the mark in the file's name; if somebody renamed it, by the id in its head."""
    path = _path(_checked(mark), options)
    return (_state(path, mark),) if path else ()


def fetch(remote_id: str, options: Options, /) -> TicketState:
    path = _path(_checked(remote_id), options)
    if path is None:
        return TicketState(remote_id=remote_id, key="", url="", category=TicketCategory.DELETED)
    return _state(path, remote_id)


def comment(remote_id: str, key: str, body: str, options: Options, /) -> None:
    """Append to the text. A comment whose key is there already is not written again."""
    path = _there(remote_id, options)
    text = _read(path)
    marker = f"<!-- comment {key} -->"
    if marker not in text:
        _write(path, f"{text.rstrip()}\n\n---\n\n{marker}\n{body.rstrip()}\n")


def close(remote_id: str, options: Options, /) -> TicketState:
    return _set_status(remote_id, DONE, options)


def reopen(remote_id: str, options: Options, /) -> TicketState:
    return _set_status(remote_id, OPEN, options)


def _set_status(remote_id: str, status: str, options: Options) -> TicketState:
    path = _there(remote_id, options)
    if _category(_head(_read(path)).get("status", "")) != _category(status):
        _write(path, _with_status(_read(path), status))
    return _state(path, remote_id)


def _with_status(text: str, status: str) -> str:
    """The text with another status in its head; with a head, if a person took it away."""
    head = HEAD.match(text)
    if head is None:
        return f"---\nstatus: {status}\n---\n\n{text}"
    lines, found = re.subn(r"(?im)^([ \t]*status[ \t]*:[ \t]*).*?(\r?)$", rf"\g<1>{status}\g<2>", head[1], count=1)
    return text[: head.start(1)] + (lines if found else f"status: {status}\n{lines}") + text[head.end(1) :]


def _folder(options: Options) -> Path:
    if not options.get("folder"):
        raise DeliveryError("the connection names no folder", permanent=True)
    folder = Path(options["folder"])
    try:
        folder.mkdir(mode=0o770, parents=True, exist_ok=True)
    except OSError as error:
        raise DeliveryError(f"{folder}: {error.strerror}") from error
    return folder


def _checked(mark: str) -> str:
    """Marks become parts of file names: nothing else than their own alphabet."""
    if not MARK.fullmatch(mark):
        raise DeliveryError(f"not a mark: {mark[:100]!r}", permanent=True)
    return mark


def _path(mark: str, options: Options) -> Path | None:
    folder = _folder(options)
    named = sorted(folder.glob(f"*.{mark}.md"))
    if named:
        return named[0]
    return next((path for path in sorted(folder.glob("*.md")) if _head(_read(path)).get("id") == mark), None)


def _there(remote_id: str, options: Options) -> Path:
    path = _path(_checked(remote_id), options)
    if path is None:
        raise DeliveryError(f"the file of ticket {remote_id} is not there any more", permanent=True)
    return path


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DeliveryError(f"{path.name}: {error.strerror}") from error


def _write(path: Path, text: str, *, new: bool = False) -> None:
    """Readers see the whole text or none of it. A new file never replaces one that came first."""
    draft = path.with_name(f".{path.name[-60:]}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(draft, path)
        else:
            draft.replace(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise DeliveryError(f"{path.name}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _state(path: Path, mark: str) -> TicketState:
    head = _head(_read(path))
    status = head.get("status", "")
    return TicketState(
        remote_id=mark,
        key=path.stem,
        url="",
        category=_category(status),
        status=status,
        assignee=head.get("assignee", ""),
    )


def _head(text: str) -> dict[str, str]:
    """Names in lower case; values without quotes and trailing remarks."""
    head = HEAD.match(text)
    if head is None:
        return {}
    return {name.lower(): re.sub(r"\s+#.*$", "", value).strip("\"' ") for name, value in LINE.findall(head[1])}


def _category(status: str) -> TicketCategory:
    word = " ".join(status.casefold().replace("’", "'").split()).strip(".!")
    return next((category for category, words in WORDS.items() if word in words), TicketCategory.NEW)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "ticket"
