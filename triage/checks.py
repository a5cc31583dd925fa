"""`manage.py check`: each plugin has its port's parts."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from triage import plugins

PARTS = {
    "parsers": ("LABEL", "sniff", "parse"),
    "tickets": ("LABEL", "SETTINGS", "probe", "create", "find", "fetch", "comment", "close", "reopen"),
    "notifiers": ("LABEL", "SETTINGS", "REPEATABLE", "probe", "send", "find"),
    "verifiers": ("LABEL", "CHECKS", "verify"),
    "collectors": ("LABEL", "PROVIDER", "KINDS", "collect", "look"),
    "sources": ("LABEL", "MAKES", "SETTINGS", "probe", "offered", "fetch"),
    "witnesses": ("LABEL", "SETTINGS", "probe", "publish"),
    "archives": ("LABEL", "probe", "store", "fetch", "hold", "delete"),
    "directories": ("LABEL", "sniff", "read"),
}


@register
def plugins_have_their_parts(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E001: a plugin lacks a part of its port."""
    return [
        Error(f"Plugin {kind}/{name} lacks {part}.", hint="triage/ports.py says what it must have.", id="triage.E001")
        for kind, parts in PARTS.items()
        for name in plugins.names(kind)
        for part in parts
        if not hasattr(plugins.get(kind, name), part)
    ]
