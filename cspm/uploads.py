"""Uploads go to disk, under a name that says nothing; what the sender called them is cleaned and kept beside."""

from typing import Any

from django.core.files.uploadhandler import TemporaryFileUploadHandler

LONGEST = 200
NAMELESS = "report"


class ToDisk(TemporaryFileUploadHandler):
    """Django's, but the sender's extension is no part of the temporary file's name: 300 characters of it cannot be one."""

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, NAMELESS, *args, **kwargs)
        self.file.name = safe_name(file_name)


def safe_name(name: str) -> str:
    """The last part of a path, of printable characters alone: no controls, no marks that turn its direction."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(character for character in last if character.isprintable()).strip()[:LONGEST]
    return clean if clean.strip(".") else NAMELESS
