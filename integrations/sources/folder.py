"""A folder into which a scanner, a CI job or a person puts reports."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Offered, Options, Probe, Setting, Text

LABEL = _("Folder")
MAKES = False
SETTINGS = (
    Setting(
        "folder", _("Folder"), _("Inside one of CSPM_SOURCE_FOLDERS. Files there are read and left as they are."), required=True
    ),
    Setting("pattern", _("File names"), _("`*` matches anything; `**/*.json` also looks into subfolders."), default="*"),
)
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
SETTLED = 10  # seconds without a change: whoever writes it is done


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        folder = _folder(options)
        passed = os.access(folder, os.R_OK | os.X_OK)
        said = None if passed else Text(_("%(folder)s cannot be read."), {"folder": str(folder)})
    except DeliveryError as error:
        passed, said = False, Text("%(said)s", {"said": str(error)})
    yield Probe(Text(_("The folder")), passed, said)


def leads_to(options: Options, /) -> str:  # noqa: ARG001 - inside, whatever it is
    return ""


def offered(slot: str, options: Options, /) -> Iterator[Offered]:  # noqa: ARG001 - what lies there, whenever it is asked
    folder = _folder(options)
    found: list[tuple[int, str, int]] = []
    for path in folder.glob(str(options.get("pattern") or "*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in name.split("/")) or name.endswith(UNFINISHED):
            continue
        try:
            stat = path.stat()
        except OSError:  # taken away since it was listed
            continue
        inside = path.resolve().is_relative_to(folder)  # no link leads out of the folder
        if path.is_file() and inside and stat.st_size and time.time() - stat.st_mtime >= SETTLED:
            found.append((stat.st_mtime_ns, name, stat.st_size))
    for changed, name, size in sorted(found):
        yield Offered(name, f"{changed}-{size}", size)


def fetch(offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]:  # noqa: ARG001 - a copy ends soon
    folder = _folder(options)
    path = (folder / offered.name).resolve()
    if not path.is_relative_to(folder):
        raise DeliveryError(f"{offered.name} leads out of the folder", permanent=True)
    try:
        shutil.copyfile(path, into)
    except FileNotFoundError:
        raise DeliveryError(f"{offered.name} is not there any more", permanent=True) from None
    except OSError as error:
        raise DeliveryError(f"{offered.name}: {error.strerror}") from None
    return ()


def _folder(options: Options) -> Path:
    """Raises DeliveryError for one that the server does not open, so that nobody reads its other files as reports."""
    wanted = Path(str(options["folder"])).expanduser()
    opened = [Path(each) for each in options["server"]["folders"]]
    folder = (wanted if wanted.is_absolute() or not opened else opened[0] / wanted).resolve()
    if not any(folder.is_relative_to(each.resolve()) for each in opened):
        raise DeliveryError(
            f"{wanted} is inside none of CSPM_SOURCE_FOLDERS ({', '.join(map(str, opened)) or 'none'})", permanent=True
        )
    if not folder.is_dir():
        raise DeliveryError(f"There is no folder {folder}")
    return folder
