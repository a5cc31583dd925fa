"""Sentences of the domain in the caller's language (Accept-Language)."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from triage.ports import Text


def said(text: Text | Mapping[str, Any]) -> str:
    """A Text, or one that was stored as JSON."""
    message, params = (text.message, text.params) if isinstance(text, Text) else (str(text["message"]), text["params"])
    return gettext(message) % params if params else gettext(message)
