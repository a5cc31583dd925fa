"""The two changes that give most orphans an owner: a tag's value becomes another name of a team, an account is given to one.

By the door of the configuration file, so that they are told and follow as everything that stands there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor
from triage.domain.configuration.applying import Applied, apply
from triage.domain.errors import NotFound
from triage.domain.ownership.assigning import team_named
from triage.models import Account


def add_alias(*, alias: str, team: str, actor: Actor, at: datetime, follow: bool = True) -> Applied:
    """From now on this value of an owner tag means the team. `follow`: as `apply` has it.

    Raises NotFound, WrongConfiguration, NotAllowed.
    """
    named = team_named(team)
    aliases = sorted({*named.aliases, alias.casefold()})
    return _apply(
        {"teams": [{"slug": named.slug, "aliases": aliases}]}, f"“{alias[:100]}” means {named.slug}", actor, at, follow=follow
    )


def give_account(*, account: int, team: str, actor: Actor, at: datetime, follow: bool = True) -> Applied:
    """The team owns the account, and what no rule before says otherwise in it. `follow`: as `apply` has it.

    Raises NotFound, WrongConfiguration, NotAllowed.
    """
    named = team_named(team)
    row = Account.objects.filter(pk=account).first()
    if row is None:
        raise NotFound(_("There is no such account."))
    said: Sequence[Mapping[str, Any]] = [{"provider": row.provider, "uid": row.uid, "team": named.slug}]
    return _apply({"accounts": said}, f"{row.uid} belongs to {named.slug}", actor, at, follow=follow)


def _apply(sections: Mapping[str, Any], reason: str, actor: Actor, at: datetime, *, follow: bool) -> Applied:
    text = yaml.safe_dump({"version": 1, **sections}, allow_unicode=True)
    return apply(text=text, name="page", actor=actor, at=at, reason=reason, follow=follow)
