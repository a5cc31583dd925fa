"""Plugins by kind and name: the file name is the registration.

A kind is a port (parsers, tickets, notifiers, sources, witnesses, archives, verifiers, collectors, directories). Settings name the
packages to look in; entry points of the group `cspm.<kind>` add what other distributions bring. A module is imported on first use.
"""

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from django.conf import settings


@cache
def _modules(kind: str) -> dict[str, str]:
    found = {
        module.name: f"{package}.{module.name}"
        for package in settings.PLUGIN_PACKAGES[kind]
        for module in pkgutil.iter_modules(import_module(package).__path__)
        if not module.name.startswith("_")
    }
    return found | {point.name: point.value for point in entry_points(group=f"cspm.{kind}")}


def names(kind: str) -> list[str]:
    """Names of all plugins of a kind, sorted."""
    return sorted(_modules(kind))


def get(kind: str, name: str) -> Any:
    """The plugin, imported. Raises KeyError for a name that no file has."""
    return _load(_modules(kind)[name])


@cache
def _load(module: str) -> ModuleType:
    return import_module(module)
