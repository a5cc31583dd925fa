"""Secrets of connections: `env:NAME` stays a name, what was typed is kept encrypted, and neither is ever shown again.

Encrypted by Fernet (AES-128-CBC and HMAC-SHA256; https://github.com/fernet/spec) under the first of the installation's keys; all of
them open. The keys are not in the database, so that its dump gives nothing away.
"""

import os
import re
from collections.abc import Iterable, Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.translation import gettext_noop as _

from triage.domain.errors import Invalid

FROM_ENVIRONMENT = "env:"
SEALED = "sealed:"
HIDDEN = "•••"
SHORTEST_HIDDEN = 6  # characters: hiding shorter ones would blacken half of every text
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def seal(value: str) -> str:
    """As it is kept: a name of the environment as it is, anything else encrypted. Raises Invalid for what is no name."""
    if value.startswith(FROM_ENVIRONMENT):
        if not _NAME.fullmatch(value.removeprefix(FROM_ENVIRONMENT)):
            raise Invalid(_("“%(value)s” does not name a variable of the environment. Write env:NAME."), value=value[:80])
        return value
    return SEALED + _box().encrypt(value.encode()).decode("ascii")


def opened(kept: str, *, name: str) -> str:
    """The secret itself, for the moment of its use. Raises Invalid when the variable is not set or no key opens it."""
    if kept.startswith(FROM_ENVIRONMENT):
        variable = kept.removeprefix(FROM_ENVIRONMENT)
        value = os.environ.get(variable, "")
        if not value:
            raise Invalid(_("The variable %(variable)s is not set where CSPM Triage runs: “%(name)s” is read from it."),
                          variable=variable, name=name)  # fmt: skip
        return value
    try:
        return _box().decrypt(kept.removeprefix(SEALED).encode("ascii")).decode()
    except InvalidToken:
        raise Invalid(_("No key of this installation opens “%(name)s”. Type it again."), name=name) from None


def sealed_anew(kept: str) -> str:
    """Under the first key. Raises Invalid when no key opens it."""
    if kept.startswith(FROM_ENVIRONMENT):
        return kept
    try:
        return SEALED + _box().rotate(kept.removeprefix(SEALED).encode("ascii")).decode("ascii")
    except InvalidToken:
        raise Invalid(_("No key of this installation opens “%(name)s”. Type it again."), name="…") from None


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, should the outside have repeated one."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    return text


def described(kept: Mapping[str, str]) -> dict[str, str]:
    """What may be shown of secrets: where they come from."""
    return {name: value if value.startswith(FROM_ENVIRONMENT) else HIDDEN for name, value in kept.items()}


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRET_KEYS])
