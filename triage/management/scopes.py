"""What `--scope` says: where a report belongs that does not say it itself, and whether it is whole."""

import difflib
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from triage.management.base import USAGE

NAMES = ("repository", "branch", "category")
PROVIDERS = (
    "account", "aws", "azure", "gcp", "kubernetes", "m365", "github", "oraclecloud", "oci", "alibabacloud", "mongodbatlas", "cloudflare",
    "googleworkspace", "openstack", "nhn",
)  # fmt: skip
WHOLE = {"complete": True, "partial": False}

SCOPE_HELP = _(
    "aws:123456789012 (any provider and its account), repository:NAME, branch:NAME, category:NAME, complete, partial; several times"
)
UNKNOWN = _("There is no scope “%(scope)s”.%(hint)s It may be: %(scopes)s.")


def declared(scopes: Iterable[str]) -> dict[str, Any]:
    """The scopes as `ingest.receive` wants them. Raises CommandError for one that is unknown, empty or said twice."""
    said: dict[str, Any] = {}
    for scope in scopes:
        key, value = _read(scope)
        if key in said and said[key] != value:
            raise CommandError(gettext("--scope says %(key)s twice.") % {"key": key}, returncode=USAGE)
        said[key] = value
    return said


def _read(scope: str) -> tuple[str, Any]:
    word, colon, value = scope.strip().partition(":")
    word, value = word.strip().casefold(), value.strip()
    if not colon and word in WHOLE:
        return "complete", WHOLE[word]
    if value and word in NAMES:
        return word, value
    if value and word in PROVIDERS:
        return "account", value
    close = difflib.get_close_matches(word, [*NAMES, *PROVIDERS, *WHOLE], n=1)
    hint = gettext(" Did you mean %(close)s?") % {"close": close[0] + ("" if close[0] in WHOLE else ":…")} if close else ""
    values = {"scope": scope, "hint": hint, "scopes": gettext(SCOPE_HELP)}
    raise CommandError(gettext(UNKNOWN) % values, returncode=USAGE)
