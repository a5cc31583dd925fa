"""A folder: heads as files that are written once. Best on a disk that the database's administrators cannot write."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Options, Probe, SealedHead, Setting, Text

LABEL = _("Folder")
SETTINGS = (Setting("folder", _("Folder"), _("Where heads are written, one file each."), required=True),)


def probe(options: Options, /) -> Iterator[Probe]:
    folder = Path(str(options.get("folder", "")))
    passed = folder.is_dir() and os.access(folder, os.W_OK)
    said = None if passed else Text(_("%(folder)s cannot be written."), {"folder": str(folder)})
    yield Probe(Text(_("The folder")), passed, said)


def publish(head: SealedHead, options: Options, /) -> str:
    folder = Path(str(options["folder"]))
    path = folder / f"{head.size:012d}.checkpoint"
    try:
        if path.exists():
            if path.read_text(encoding="utf-8") != head.note:
                raise DeliveryError(f"{path.name} is there and says something else: this is not the same ledger", permanent=True)
            return str(path)
        draft = folder / f".{secrets.token_hex(8)}"
        with draft.open("x", encoding="utf-8") as file:
            file.write(head.note)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o444)
        draft.rename(path)
    except OSError as error:
        raise DeliveryError(f"{type(error).__name__}: {folder}") from None
    return str(path)
