"""The sections `calendars` and `sla` of a file as plain values, for the forms that fill them in."""

from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain.configuration.document import LARGEST
from triage.domain.errors import Invalid

NO_FILE = _("The text is not a configuration file, so the table cannot be put into it.")


def loaded(text: str) -> dict[str, Any]:
    """Raises Invalid for a text that is no such file; what is wrong with its values is told where it is read."""
    if len(text) > LARGEST:
        raise Invalid(NO_FILE)
    try:
        whole = yaml.safe_load(text)
    except yaml.YAMLError:
        raise Invalid(NO_FILE) from None
    if not isinstance(whole, dict):
        raise Invalid(NO_FILE)
    return whole


def section(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """By slug. What is put into it stands in the file. Raises Invalid for a section that is no mapping."""
    found = whole.get(name)
    if not found:
        found = whole[name] = {}
    if not isinstance(found, dict):
        raise Invalid(NO_FILE)
    return found


def dumped(whole: dict[str, Any]) -> str:
    """The file again. Its comments are gone."""
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=110)
