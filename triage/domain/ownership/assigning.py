"""A hand that gives a finding to a team, against the chain, until it is released."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from django.utils.translation import gettext_noop as _

from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.domain.locking import locked
from triage.domain.ownership.chain import Chain, account_facts
from triage.domain.ownership.steps import Resolution, Result, Step, resolution
from triage.domain.ownership.trails import trail_ids
from triage.domain.sla import clocks
from triage.domain.tags import of_json
from triage.models import Asset, Finding, Team
from triage.ports import Text

HAND = "hand"
BY_HAND = _("Assigned by hand")
HAND_DECIDED = _("A person gave it to the team %(team)s; the rules do not apply until it is released.")
HAND_TOOK = _("A person took it from its team; the rules do not apply until it is released.")
NOT_OURS = _("Not ours")
HAND_DISOWNED = _("The team %(team)s says it is not theirs; the rules do not apply until it is released or assigned to a team.")
GAVE = _("It gave it to the team %(team)s.")
NO_TEAM = _("There is no team “%(team)s”.")
NO_TEAM_BUT = _("There is no team “%(team)s”. Did you mean “%(close)s”?")
NOT_PINNED = _("%(finding)s was not assigned by hand: it follows the rules already.")


def assign(
    *, finding: int, team: Team | None, actor: Actor, at: datetime, reason: str = "", version: int | None = None
) -> Finding:
    """Give it to the team (None: to nobody) and keep it there whatever the rules say.

    `version`: what the person saw; raises Stale when it is another now, NotAllowed without the right to triage for the present
    team, Invalid for an archived team, NotFound for an unknown finding. What is so already is not written.
    """
    if team is not None and team.archived_at is not None:
        raise Invalid(_("The team “%(team)s” is archived. Choose another one."), team=team.slug)
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
        current = locked(finding, version=version)
        actor.demand(Right.TRIAGE, team=current.team_id)
        clocks.seen([current.pk], at=at)
        wanted = team.pk if team else None
        if not current.pinned or current.team_id != wanted:
            _write(current, by_hand(team), pinned=True, at=at)
    current.refresh_from_db()
    return current


def release(*, finding: int, actor: Actor, at: datetime, reason: str = "", version: int | None = None) -> Finding:
    """Back to the owner that the rules name now. Raises as `assign` does, and Invalid when no hand holds it."""
    with recording(actor=actor.name, at=at, door=actor.door, reason=reason):
        current = locked(finding, version=version)
        actor.demand(Right.TRIAGE, team=current.team_id)
        if not current.pinned:
            raise Invalid(NOT_PINNED, finding=str(current))
        clocks.seen([current.pk], at=at)
        _write(current, resolved(current.asset), pinned=False, at=at)
    current.refresh_from_db()
    return current


def resolved(asset: Asset, chain: Chain | None = None) -> Resolution:
    """What the chain says of this asset now."""
    return (chain or Chain.load()).resolve(
        account=account_facts(asset.account), tags=of_json(asset.tag_set.tags), asset=asset.uid, path=path_of(asset)
    )


def path_of(asset: Asset) -> str:
    """A file is an asset of its repository, and its uid is the path there; anything else has none."""
    return asset.uid if asset.account.provider == "code" else ""


def team_named(slug: str) -> Team:
    """The team of that slug, archived or not. Raises NotFound, with the nearest one there is."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        close = difflib.get_close_matches(slug, Team.objects.filter(archived_at=None).values_list("slug", flat=True), n=1)
        raise NotFound(NO_TEAM_BUT, team=slug, close=close[0]) if close else NotFound(NO_TEAM, team=slug)
    return team


def by_hand(team: Team | None) -> Resolution:
    """What is said of a finding that a person gave to this team, or took from its own."""
    params: Mapping[str, str] = {"team": team.slug} if team else {}
    why = Text(HAND_DECIDED if team else HAND_TOOK, params)
    return resolution(team.pk if team else None, [Step(None, HAND, BY_HAND, Result.MATCHED, why)])


def disowned(team: Team, steps: Iterable[Step]) -> Resolution:
    """What is said of a finding that this team gives back. `steps`: how it came to them, of which the one that decided stays."""
    params = {"team": team.slug}
    gave = next((step for step in steps if step.result == Result.MATCHED), None)
    told = [Step(None, HAND, NOT_OURS, Result.MATCHED, Text(HAND_DISOWNED, params))]
    if gave is not None:
        told.append(replace(gave, result=Result.SKIPPED, why=Text(GAVE, params)))
    return resolution(None, told)


def _write(current: Finding, answer: Resolution, *, pinned: bool, at: datetime) -> None:
    Finding.objects.filter(pk=current.pk).update(
        team_id=answer.team_id, trail_id=trail_ids([answer])[answer.digest], pinned=pinned, changed_at=at
    )
