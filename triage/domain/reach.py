"""How an account is reached for verifications: which role to assume, where; as the verifiers of its provider declare."""

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache

from django.utils.translation import gettext_noop as _

from triage import plugins
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.models import Account
from triage.ports import Setting

LONGEST = 2_000


@cache
def settings_of(provider: str) -> tuple[Setting, ...]:
    """What can be said of an account of this provider, () for nothing."""
    found: dict[str, Setting] = {}
    for name in plugins.names("verifiers"):
        declared = getattr(plugins.get("verifiers", name), "REACH", {})
        found |= {setting.name: setting for setting in declared.get(provider, ())}
    return tuple(found.values())


def checked(provider: str, given: Mapping[str, str]) -> dict[str, str]:
    """What was given, without what is empty. Raises Invalid for a name that no verifier knows."""
    known = [setting.name for setting in settings_of(provider)]
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise Invalid(
                _("An account of %(provider)s has no “%(name)s”. Possible are: %(these)s."),
                provider=provider, name=name[:80], these=", ".join(near or known) or "–",
            )  # fmt: skip
        if len(value) > LONGEST or not value.isprintable():
            raise Invalid(_("“%(name)s” is too long or has characters that cannot be shown."), name=name)
    return {name: value.strip() for name, value in given.items() if value.strip()}


def reach(*, account: int, given: Mapping[str, str], actor: Actor, at: datetime) -> Account:
    """Say how an account is reached; what is empty is forgotten, what is not named stays. Raises NotAllowed, NotFound, Invalid."""
    actor.demand(Right.CONFIGURE)
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        row = Account.objects.select_for_update().filter(pk=account).first()
        if row is None:
            raise NotFound(_("There is no such account."))
        before = dict(row.options)
        after = checked(row.provider, before | dict(given))
        if before != after:
            row.options = after
            row.save(update_fields=["options"])
            log.tell("account", row.pk, "changed", before={"reach": before}, after={"reach": after})
    return row


def policy(*, provider: str) -> str:
    """What whoever verifies has to be allowed, as the provider wants to have it. Raises NotFound."""
    return str(_grants(provider)[0]())


def trust(*, provider: str, principal: str, external_id: str) -> str:
    """Who may become the one who verifies, as the provider wants to have it. Raises NotFound, Invalid."""
    if not principal.strip() or "*" in principal:
        raise Invalid(_("Name whoever runs the worker; everybody may not verify."))
    return str(_grants(provider)[1](principal.strip(), external_id.strip()))


def _grants(provider: str) -> tuple[Callable[[], str], Callable[[str, str], str]]:
    for name in plugins.names("verifiers"):
        declared = getattr(plugins.get("verifiers", name), "GRANTS", {})
        if provider in declared:
            found: tuple[Callable[[], str], Callable[[str, str], str]] = declared[provider]
            return found
    raise NotFound(_("No verifier here reaches accounts of %(provider)s."), provider=provider)
