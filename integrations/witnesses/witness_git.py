"""A git repository: each head is a commit to a file, pushed where there is a remote. Whoever pulls has the history of heads."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Options, Probe, SealedHead, Setting, Text

LABEL = _("Git repository")
SETTINGS = (
    Setting("folder", _("Folder"), _("A clone that the worker may write and push."), required=True),
    Setting("file", _("File"), default="checkpoint", seldom=True),
)
TIMEOUT = 60


def probe(options: Options, /) -> Iterator[Probe]:
    asked = Text(_("The repository"))
    try:
        _git(options, "rev-parse", "--git-dir")
        yield Probe(asked, True)
        asked = Text(_("Push"))
        if _git(options, "remote"):
            empty = not _git(options, "rev-list", "--all", "--max-count=1")  # then there is nothing yet that could be pushed
            _git(options, *(("ls-remote", "--quiet") if empty else ("push", "--dry-run", "--quiet")))
            yield Probe(asked, True)
    except DeliveryError as error:
        yield Probe(asked, False, Text("%(said)s", {"said": str(error)}))


def leads_to(options: Options, /) -> str:
    """Where its clone is pushed, only git knows."""
    return f"git push ({options.get('folder', '')})"


def publish(head: SealedHead, options: Options, /) -> str:
    name = str(options.get("file") or "checkpoint")
    path = Path(str(options["folder"])) / name
    try:
        if not path.exists() or path.read_text(encoding="utf-8") != head.note:
            path.write_text(head.note, encoding="utf-8")
    except OSError as error:
        raise DeliveryError(f"{type(error).__name__}: {path}") from None
    _git(options, "add", "--", name)
    if _git(options, "status", "--porcelain", "--", name):
        author = ("-c", "user.name=CSPM Triage", "-c", "user.email=ledger@localhost", "-c", "commit.gpgsign=false")
        _git(options, *author, "commit", "--quiet", "--message", f"{head.origin}: {head.size}", "--", name)
    if _git(options, "remote"):
        _git(options, "push", "--quiet")
    return _git(options, "rev-parse", "HEAD")


def _git(options: Options, *words: str) -> str:
    """What git says. Nothing asks anybody for a password, and hooks of the clone do not run."""
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(options["folder"]), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={**os.environ, **quiet})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeliveryError(f"git {words[0]}: {type(error).__name__}") from None
    if done.returncode:
        raise DeliveryError(f"git {words[0]}: {(done.stderr.strip() or done.stdout.strip())[-300:]}")
    return done.stdout.strip()
