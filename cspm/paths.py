"""Where the product keeps its state: CSPM_HOME, private to the user who runs it."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

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
    """The installation's secret, drawn once. Written beside and renamed, so that a reader sees all of it or nothing."""
    path = base / "secret_key"
    while not path.exists():
        handle, name = tempfile.mkstemp(prefix="secret_key.", dir=base)  # of mode 0600
        draft = Path(name)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(handle)
        try:
            os.link(draft, path)  # fails where another process was first: then its secret is the secret
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
