"""Where the product keeps its state: CSPM_HOME, private to the user who runs it."""

import base64
import os
import secrets
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cspm.embedded.cluster import SERVER_ID


def home() -> Path:
    """CSPM_HOME, default `var` beside manage.py; made with mode 0700 when missing."""
    path = Path(os.environ.get("CSPM_HOME") or Path(__file__).resolve().parent.parent / "var").expanduser().resolve()
    if not path.exists():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to be root; its own account may pass through, to its own folder
            with suppress(PermissionError):  # a root that can't, in a container: a server of one's own needs no passing
                os.chown(path, 0, SERVER_ID)
                path.chmod(0o710)
    return path


def folder(base: Path, name: str) -> Path:
    """A folder in CSPM_HOME, made when missing."""
    path = base / name
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def secret_key(base: Path) -> str:
    """The installation's secret, drawn once."""
    return _drawn(base / "secret_key", lambda: secrets.token_urlsafe(50))


def encryption_keys(base: Path) -> list[str]:
    """Keys for secrets at rest (44 characters of base64 each), one a line, the first one is used for what is new. Drawn once."""
    return _drawn(base / "encryption_keys", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()).split()


def commands(path: str) -> dict[str, dict[str, Any]]:
    """Scanners to be run, by name: the tables of a TOML file, {} for no path. `argv` are words, no shell reads them.

    Raises ValueError saying what is wrong with it.
    """
    if not path:
        return {}
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"CSPM_SCAN_COMMANDS, {path}: {error}") from None
    for name, table in found.items():
        argv = table.get("argv") if isinstance(table, dict) else None
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise ValueError(f"CSPM_SCAN_COMMANDS, {path}: [{name}] needs argv, a list of words.")
        if unknown := table.keys() - {"argv", "seconds", "exits", "env"}:
            raise ValueError(f"CSPM_SCAN_COMMANDS, {path}: [{name}] knows no {min(unknown)}; argv, seconds, exits, env.")
    return found


def _drawn(path: Path, draw: Callable[[], str]) -> str:
    """What the file says. Written beside and renamed when missing, so that a reader sees all of it or nothing."""
    while not path.exists():
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # of mode 0600
        draft = Path(name)
        with os.fdopen(handle, "w") as file:
            file.write(draw())
            file.flush()
            os.fsync(handle)
        try:
            os.link(draft, path)  # fails where another process was first: then its secret is the secret
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
