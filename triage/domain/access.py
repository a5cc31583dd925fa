"""Roles and what they may do. Deny first: whoever has no right is told so, in the domain and at each door."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext_noop as _

from triage.domain import audit
from triage.domain.errors import NotAllowed
from triage.models import Event, Role, RoleGrant, Team, User


class Right(StrEnum):
    """What can be asked for. Rights on findings are asked with the finding's team."""

    VIEW = "view"
    TRIAGE = "triage"  # status, owner, severity of a finding
    CLAIM = "claim"  # say that work began or that it is fixed
    VERIFY = "verify"
    IMPORT = "import"
    APPROVE = "approve"
    CONFIGURE = "configure"  # teams, accounts, rules
    AUDIT = "audit"  # events, evidence
    ADMINISTER = "administer"  # people, tokens, connections


RIGHTS: dict[str, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.VIEW}),
    Role.CONTRIBUTOR: frozenset({Right.VIEW, Right.CLAIM, Right.VERIFY}),  # the last two in the own team alone
    Role.TRIAGER: frozenset({Right.VIEW, Right.TRIAGE, Right.CLAIM, Right.VERIFY, Right.IMPORT}),
    Role.APPROVER: frozenset({Right.VIEW, Right.APPROVE}),  # up to high; exceptions.deciding.RANKS
    Role.SENIOR_APPROVER: frozenset({Right.VIEW, Right.APPROVE}),
    Role.AUDITOR: frozenset({Right.VIEW, Right.AUDIT}),
    Role.ADMINISTRATOR: frozenset(Right),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, through which door, with which rights. `name`: what events record. `teams`: of its contributor roles.

    `only`: rights beyond which no role goes, such as those of a token's scopes; None limits nothing.
    """

    name: str
    door: str
    roles: frozenset[str]
    teams: frozenset[int] = field(default_factory=frozenset)
    user: int | None = None
    only: frozenset[Right] | None = None

    def may(self, right: Right, *, team: int | None = None) -> bool:
        """Whether a role grants the right; a contributor's rights beyond reading hold in the own teams only."""
        if self.only is not None and right not in self.only:
            return False
        return any(
            right in RIGHTS[role] and (role != Role.CONTRIBUTOR or right == Right.VIEW or team in self.teams)
            for role in self.roles
        )

    def teams_with(self, right: Right) -> frozenset[int] | None:
        """The teams in which a role grants the right; None when it does everywhere."""
        if self.may(right):
            return None
        return frozenset(team for team in self.teams if self.may(right, team=team))

    def demand(self, right: Right, *, team: int | None = None) -> None:
        """Raises NotAllowed without the right."""
        if not self.may(right, team=team):
            raise NotAllowed(
                _("You have no right to do this (%(right)s). An administrator can give you a role that has it."), right=right
            )


def of_user(user: User, *, door: str) -> Actor:
    """The person, with the roles held now."""
    grants = list(RoleGrant.objects.filter(user=user).values_list("role", "team_id")) if user.is_active else []
    return Actor(
        name=user.actor,
        door=door,
        roles=frozenset(role for role, _team in grants),
        teams=frozenset(team for _role, team in grants if team is not None),
        user=user.pk,
    )


def of_machine(uid: int, *, roles: frozenset[str] | None = None) -> Actor:
    """The operating-system user at the command line: an administrator, unless `--as` lowers it."""
    return Actor(name=f"os:{uid}", door="cli", roles=frozenset({Role.ADMINISTRATOR}) if roles is None else roles)


def worker() -> Actor:
    """The service itself: imports, verifications and deliveries that somebody asked for before."""
    return Actor(name="worker", door="task", roles=frozenset({Role.ADMINISTRATOR}))


@dataclass(frozen=True, slots=True)
class Held:
    """A role that somebody had: in a team or everywhere, given when and by whom."""

    role: str
    team: str | None
    since: datetime
    given_by: str


def roles_on(*, user: User, on: datetime, actor: Actor) -> list[Held]:
    """The roles that the person had at that moment, by the trail of what was given and taken. Raises NotAllowed."""
    if not actor.may(Right.AUDIT):
        actor.demand(Right.ADMINISTER)
    held: dict[tuple[str, str | None], Held] = {}
    events = Event.objects.filter(subject="user", subject_id=user.pk, kind__in=("role given", "role taken"), at__lte=on)
    for event in events.order_by("at", "pk"):
        said = (event.after if event.kind == "role given" else event.before) or {}
        key = (str(said.get("role")), said.get("team"))
        held.pop(key, None)
        if event.kind == "role given":
            held[key] = Held(*key, event.at, event.actor)
    return sorted(held.values(), key=lambda each: (each.role, each.team or ""))


def give(*, user: User, role: str, team: Team | None, actor: Actor, at: datetime) -> None:
    """Give a role. Giving it twice changes nothing."""
    actor.demand(Right.ADMINISTER)
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        _grant, new = RoleGrant.objects.get_or_create(user=user, role=role, team=team)
        if new:
            log.tell("user", user.pk, "role given", after={"role": role, "team": team.slug if team else None})


def take(*, user: User, role: str, team: Team | None, actor: Actor, at: datetime) -> None:
    """Take a role away."""
    actor.demand(Right.ADMINISTER)
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        gone, _by_model = RoleGrant.objects.filter(user=user, role=role, team=team).delete()
        if gone:
            log.tell("user", user.pk, "role taken", before={"role": role, "team": team.slug if team else None})
