"""People of this installation: made, given a password, kept out. Roles are `access`, coming in is `sign_in`."""

from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop as _

from triage.domain import access, audit, comments
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotFound
from triage.models import ApiToken, Finding, Notification, Preference, RoleGrant, SignInLink, User


def named(email: str) -> User:
    """The person with this e-mail address. Raises NotFound."""
    user = User.objects.filter(email=email.strip().casefold()).first()
    if user is None:
        raise NotFound(
            _("There is nobody with the address %(email)s. `cspm user list` shows who there is."), email=email.strip()[:200]
        )
    return user


def create(*, email: str, name: str, actor: Actor, at: datetime) -> User:
    """A person without password and without role: nobody comes in by being created. Raises Invalid for an address that is none or taken."""
    actor.demand(Right.ADMINISTER)
    address = email.strip().casefold()
    if not address:
        raise Invalid(_("An e-mail address is missing."))
    try:
        validate_email(address)
    except ValidationError:
        raise Invalid(_("“%(email)s” is not an e-mail address."), email=email.strip()[:200]) from None
    try:
        with transaction.atomic(), audit.recording(actor=actor.name, at=at, door=actor.door) as log:
            user = User.objects.create_user(address, name=name.strip()[:200])
            log.tell("user", user.pk, "created")
    except IntegrityError:
        raise Invalid(_("There is somebody with the address %(email)s already."), email=address) from None
    return user


def set_password(*, user: User, password: str, actor: Actor, at: datetime) -> None:
    """Raises Invalid, with all reasons, for a password that is easy to guess."""
    actor.demand(Right.ADMINISTER)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("%(problem)s", problem=" ".join(error.messages)) from None
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        user.set_password(password)
        user.save(update_fields=["password"])
        log.tell("user", user.pk, "password set")


def erase(*, user: User, reason: str, actor: Actor, at: datetime) -> None:
    """Name, address, comments and every way to come in are gone, for ever; what the person did stays, by a number that nobody can
    resolve. What was given to this person is given to nobody.

    Raises NotAllowed, Invalid without a reason. The reason stays in the trail.
    """
    actor.demand(Right.ADMINISTER)
    if not reason.strip():
        raise Invalid(_("Say why the person is erased: it stays in the trail."))
    with audit.recording(actor=actor.name, at=at, door=actor.door, reason=reason.strip()[:500]) as log:
        comments.erase(user, log=log, at=at)
        given = Finding.objects.filter(assignee=user).order_by("pk").select_for_update()
        Finding.objects.filter(pk__in=list(given.values_list("pk", flat=True))).update(assignee=None, changed_at=at)
        for grant in RoleGrant.objects.filter(user=user).select_related("team"):
            access.take(user=user, role=grant.role, team=grant.team, actor=actor, at=at)
        ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=at)
        ApiToken.objects.filter(user=user).update(name="")
        SignInLink.objects.filter(user=user).delete()
        Preference.objects.filter(user=user).delete()
        Notification.objects.filter(user=user).delete()
        user.email, user.name, user.is_active = f"erased-{user.pk}@invalid.invalid", "", False
        user.erased_at = at
        user.set_unusable_password()
        user.save(update_fields=["email", "name", "is_active", "erased_at", "password"])
        log.tell("user", user.pk, "erased", reason=reason.strip()[:500])


def let_in(*, user: User, yes: bool, actor: Actor, at: datetime) -> None:
    """Keep a person out, or let in again. The person's sessions end with the next page."""
    actor.demand(Right.ADMINISTER)
    if user.is_active == yes:
        return
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        user.is_active = yes
        user.save(update_fields=["is_active"])
        log.tell("user", user.pk, "let in" if yes else "kept out")
