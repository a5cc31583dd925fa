"""The person's language at a terminal, from LC_ALL, LC_MESSAGES or LANG: French or English. Needs no Django."""

import gettext as catalogs
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LOCALE_DIR = Path(__file__).resolve().parent.parent / "triage" / "locale"


def preferred(environ: Mapping[str, str]) -> str:
    """Either "fr" or "en"."""
    name = next((environ[variable] for variable in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(variable)), "")
    return "fr" if name.lower().startswith("fr") else "en"


@cache
def _catalog(language: str) -> catalogs.NullTranslations:
    return catalogs.translation("django", LOCALE_DIR, [language], fallback=True)


def gettext(message: str) -> str:
    """The message in the person's language; itself where there is no translation."""
    return _catalog(preferred(os.environ)).gettext(message)


def gettext_noop(message: str) -> str:
    """Mark for translation."""
    return message
