"""The archive that the settings name: where evidence is copied to, and how. What goes there when is `archiving`'s."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain.errors import Invalid
from triage.ports import Archive

MODES = ("COMPLIANCE", "GOVERNANCE")
SHORTEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """An archive with its options. `days`: how long what is kept there is locked, counted from when it was kept."""

    plugin: Archive
    options: Mapping[str, str]
    days: int

    @property
    def address(self) -> str:
        return self.options["address"]

    def until(self, kept_at: datetime, *, at: datetime) -> datetime:
        """The lock's end. A day from now at least: no archive takes one that is over."""
        return max(kept_at + timedelta(days=self.days), at + SHORTEST)


def configured() -> Place | None:
    """None where evidence stays on disk alone. Raises Invalid where the settings contradict themselves."""
    address = settings.EVIDENCE_ARCHIVE
    if not address:
        return None
    scheme, _colon, where = address.partition("://")
    if scheme not in plugins.names("archives") or not where.strip("/"):
        raise Invalid(_("CSPM_EVIDENCE_ARCHIVE: “%(address)s” is not an archive, such as s3://bucket/prefix."), address=address)
    if settings.EVIDENCE_ARCHIVE_MODE not in MODES:
        raise Invalid(
            _("CSPM_EVIDENCE_ARCHIVE_MODE: “%(mode)s” is neither COMPLIANCE nor GOVERNANCE."), mode=settings.EVIDENCE_ARCHIVE_MODE
        )
    days = settings.EVIDENCE_ARCHIVE_DAYS or settings.KEEP_EVIDENCE_DAYS
    if days <= 0:
        raise Invalid(
            _("Say with CSPM_EVIDENCE_ARCHIVE_DAYS how long evidence is locked in the archive: nobody can shorten it afterwards.")
        )
    options = {
        "address": address,
        "region": settings.EVIDENCE_ARCHIVE_REGION,
        "endpoint_url": settings.EVIDENCE_ARCHIVE_ENDPOINT_URL,
        "mode": settings.EVIDENCE_ARCHIVE_MODE,
    }
    return Place(plugins.get("archives", scheme), options, days)


def name_of(sha256: bytes) -> str:
    """What the object is called behind the address: ab/cdef…, as on disk. Its bytes are those that were kept, not compressed."""
    name = sha256.hex()
    return f"{name[:2]}/{name[2:]}"
