"""A report on its way in: to disk, never into memory, with what its sender says of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_noop as _
from rest_framework.parsers import DataAndFiles, FileUploadParser
from rest_framework.request import Request

from triage.api.problems import Problem, invalid_field
from triage.api.views import parameters
from triage.ports import Text

# What a body that is the report itself may say it is. What it really is, its content tells.
RAW_TYPES = (
    "application/octet-stream", "application/json", "application/x-ndjson", "application/sarif+json", "application/gzip",
    "application/zip", "text/csv",
)  # fmt: skip
MULTIPART = "multipart/form-data"
FILE, NAME = "file", "name"
TEXTS = ("account", "branch", "category", "repository", "zone")
FIELDS = ("complete", "mapping", *TEXTS)
LONGEST = 300
ENVELOPE = 6 * 2**20  # what a multipart body may hold beside the file: DATA_UPLOAD_MAX_MEMORY_SIZE and some air
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RawReport(FileUploadParser):
    """The body is the report. Its name and fields stand in the address."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        essence = (media_type or "").partition(";")[0].strip().lower()
        if essence not in RAW_TYPES:
            known = ", ".join((MULTIPART, *RAW_TYPES))
            raise Problem(
                "unsupported-media-type",
                Text(
                    _("A body of the type “%(type)s” is not read here, but any of: %(types)s."),
                    {"type": essence[:80], "types": known},
                ),
            )
        request = parser_context["request"]
        try:
            file = super().parse(stream, media_type, parser_context).files["file"]
        except OSError:
            for handler in request.upload_handlers:
                handler.upload_interrupted()
            raise
        files = MultiValueDict({FILE: [file]})
        request._request._files = files  # noqa: SLF001 - as for a form: closed, and with that deleted, when the request ends
        if file.size != int(request.META["CONTENT_LENGTH"]):
            raise Problem("unreadable", Text(_("The body ended before its announced length. Send it again whole.")))
        return DataAndFiles({}, files)

    def get_filename(self, stream: IO[Any], media_type: str | None, parser_context: Any) -> str:  # noqa: ARG002
        return str(parser_context["request"].query_params.get(NAME) or "report")


@dataclass(frozen=True, slots=True)
class Upload:
    """A report on disk, what it is called, and what its sender declares of it."""

    file: TemporaryUploadedFile
    name: str
    declared: dict[str, Any]

    @property
    def path(self) -> Path:
        return Path(self.file.temporary_file_path())

    def sha256(self) -> str:
        """Of the report's bytes."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def read(request: Request) -> Upload:
    """The report of a request. Raises Problem for everything that is none; nothing is read of a body that is too large."""
    _check_length(request)
    multipart = (request.content_type or "").lower().startswith(MULTIPART)
    said = parameters(request, () if multipart else (NAME, *FIELDS))
    if multipart:
        said = _fields(request)
    files = [file for _name, found in request.FILES.lists() for file in found]
    if len(files) != 1 or FILE not in request.FILES:
        raise invalid_field(FILE, Text(_("One report has to come with the request, as the field “file” or as the body.")))
    file = files[0]
    if file.size > settings.REPORT_MAX_BYTES:
        raise _too_large()
    return Upload(file, file.name, _declared(said, in_address=not multipart))


def _check_length(request: Request) -> None:
    if "Transfer-Encoding" in request.headers and not request.META.get("CONTENT_LENGTH"):
        raise Problem("length-required", Text(_("The request has to say how long its body is (Content-Length).")))
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not str(length).isdecimal():
        raise Problem("unreadable", Text(_("Content-Length has to be a number.")))
    if int(length) > settings.REPORT_MAX_BYTES + ENVELOPE:
        raise _too_large()


def _too_large() -> Problem:
    return Problem(
        "too-large", Text(_("The report is larger than the limit of %(limit)s bytes."), {"limit": settings.REPORT_MAX_BYTES})
    )


def _fields(request: Request) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, values in request.POST.lists():
        if name not in FIELDS:
            text = Text(
                _("There is no field “%(name)s” here. There are: %(names)s."), {"name": name[:80], "names": ", ".join(FIELDS)}
            )
            raise invalid_field(name[:80], text)
        if len(values) > 1:
            raise invalid_field(name, Text(_("“%(name)s” has to be one text."), {"name": name}))
        said[name] = values[0]
    return said


def _declared(said: Mapping[str, str], *, in_address: bool) -> dict[str, Any]:
    """What the sender says of the report, without what was left empty."""
    declared: dict[str, Any] = {}
    for name in (name for name in TEXTS if said.get(name, "").strip()):
        declared[name] = said[name].strip()
        if not declared[name].isprintable() or len(declared[name]) > LONGEST:
            text = Text(_("“%(name)s” has to be one line of at most %(length)s characters."), {"name": name, "length": LONGEST})
            raise invalid_field(name, text, in_address=in_address)
    if whole := said.get("complete", "").strip().lower():
        if whole not in TRUTH:
            raise invalid_field("complete", Text(_("“complete” has to be true or false.")), in_address=in_address)
        declared["complete"] = TRUTH[whole]
    if written := said.get("mapping", "").strip():
        declared["mapping"] = _mapping(written, in_address=in_address)
    return declared


def _mapping(written: str, *, in_address: bool) -> dict[str, Any]:
    try:
        mapping = json.loads(written, parse_constant=_no_number)
        # The database keeps neither U+0000 nor half a character, and would say so much later.
        storable = "\0" not in json.dumps(mapping, ensure_ascii=False).replace("\\u0000", "\0").encode().decode()
    except (ValueError, RecursionError) as error:
        text = Text(_("The mapping is not valid JSON: %(reason)s."), {"reason": str(error)[:200]})
        raise invalid_field("mapping", text, in_address=in_address) from error
    if not isinstance(mapping, dict) or not storable:
        text = Text(_('The mapping has to be a JSON object: {"check": "column", …}.'))
        raise invalid_field("mapping", text, in_address=in_address)
    return mapping


def _no_number(name: str) -> None:
    raise ValueError(name)
