"""People: who may come in, with which roles; a link that signs in once."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import access, people, sign_in, users
from triage.domain.access import Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.ownership.assigning import team_named
from triage.models import Role, Team, User
from triage.web.requests import PageRequest, needs

LINK_HOURS = 24


@require_safe
@needs(Right.ADMINISTER)
def people_list(request: PageRequest) -> HttpResponse:
    return _page(request)


@require_POST
@needs(Right.ADMINISTER)
def person_new(request: PageRequest) -> HttpResponse:
    """Fields: `email`, `name`, `role`, and `team` for a contributor. The link to come in is shown this once."""
    try:
        role = _role(request)
        user = users.create(
            email=request.POST.get("email", ""), name=request.POST.get("name", "").strip(), actor=request.actor, at=now()
        )
        if role:
            access.give(user=user, role=role[0], team=role[1], actor=request.actor, at=now())
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
        return redirect("people")
    return _page(request, came=user, link=_link(request, user))


@require_POST
@needs(Right.ADMINISTER)
def person_do(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `give` with `role` and `team`; `take`, as `role:team`; `link`; `keep-out`, `let-in`."""
    user = get_object_or_404(User, pk=number, erased_at=None)
    if "link" in request.POST:
        return _page(request, came=user, link=_link(request, user))
    try:
        messages.success(request, _done(request, user))
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    return redirect("people")


def _done(request: PageRequest, user: User) -> str:
    """Do what the form asks for; what to say of it. Raises Invalid, NotFound."""
    by: dict[str, Any] = {"actor": request.actor, "at": now()}
    if "give" in request.POST:
        role = _role(request)
        if role is None:
            raise Invalid(_("Say which role."))
        access.give(user=user, role=role[0], team=role[1], **by)
        return gettext("%(person)s has the role.") % {"person": user}
    if "take" in request.POST:
        name, _colon, slug = request.POST["take"].partition(":")
        if user == request.user and name == Role.ADMINISTRATOR:
            raise Invalid(_("You cannot remove this role from yourself. Ask another administrator."))
        access.take(user=user, role=name, team=team_named(slug) if slug else None, **by)
        return gettext("%(person)s no longer has the role.") % {"person": user}
    if user == request.user:
        raise Invalid(_("You cannot suspend your own access. Ask another administrator."))
    users.let_in(user=user, yes="let-in" in request.POST, **by)
    said = _("%(person)s has access.") if user.is_active else _("Access is suspended for %(person)s.")
    return gettext(said) % {"person": user}


def _role(request: PageRequest) -> tuple[str, Team | None] | None:
    """Raises Invalid, NotFound for a role without its team, or a team with another role."""
    role, slug = request.POST.get("role", ""), request.POST.get("team", "")
    if not role:
        return None
    if role not in Role.values:
        raise Invalid(_("There is no such role."))
    if role == Role.CONTRIBUTOR and not slug:
        raise Invalid(_("A contributor is one of a team: say which."))
    return role, team_named(slug) if role == Role.CONTRIBUTOR else None


def _link(request: PageRequest, user: User) -> str:
    token = sign_in.issue_link(user=user, at=now(), hours=LINK_HOURS, actor=request.actor.name, door=request.actor.door)
    return request.build_absolute_uri(reverse("sign-in-link", args=[token]))


def _page(request: PageRequest, *, came: User | None = None, link: str = "") -> HttpResponse:
    rows = list(User.objects.filter(erased_at=None).prefetch_related("grants__team").order_by("-is_active", "name", "email"))
    teams = people.teams_of(rows)
    shown = {
        "people": [(person, teams.get(person.pk, [])) for person in rows],
        "roles": Role.choices, "teams": Team.objects.filter(archived_at=None), "came": came, "link": link,
        "hours": LINK_HOURS, "at": now(),
    }  # fmt: skip
    return render(request, "triage/people/list.html", shown)
