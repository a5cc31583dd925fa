"""Findings under a row lock, for whoever changes one."""

from django.utils.translation import gettext_noop as _

from triage.domain.errors import NotFound, Stale
from triage.models import Finding

NO_FINDING = _("There is no finding F-%(number)s.")


def locked(finding: int, *, version: int | None = None) -> Finding:
    """The finding under a row lock. Raises NotFound, and Stale when somebody changed it since `version`."""
    current = Finding.objects.select_for_update().filter(pk=finding).first()
    if current is None:
        raise NotFound(NO_FINDING, number=f"{finding:06d}")
    if version is not None and current.version != version:
        raise Stale(_("Somebody changed this finding in the meantime. Look at it again and decide anew."))
    return current
