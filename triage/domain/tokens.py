"""Tokens of the API: a person's rights, narrowed to scopes, for a script. Only their SHA-256 is kept."""

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.translation import gettext_noop as _

from triage.domain import access, audit
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.models import ApiToken, User

# What a token may be used for, and the rights that it takes from its person for that.
SCOPES: Mapping[str, frozenset[Right]] = {
    "audit:read": frozenset({Right.VIEW, Right.AUDIT}),
    "audit:write": frozenset({Right.VIEW, Right.AUDIT}),
    "findings:read": frozenset({Right.VIEW}),
    "findings:write": frozenset({Right.VIEW, Right.TRIAGE, Right.CLAIM}),
    "imports:read": frozenset({Right.VIEW}),
    "imports:write": frozenset({Right.VIEW, Right.IMPORT}),
    "verifications:read": frozenset({Right.VIEW}),
    "verifications:write": frozenset({Right.VIEW, Right.VERIFY}),
}
# Who brings a report, or asks for a verification, may see what became of it.
IMPLIED: Mapping[str, frozenset[str]] = {
    "audit:write": frozenset({"audit:read"}), "findings:write": frozenset({"findings:read"}),
    "imports:write": frozenset({"imports:read"}), "verifications:write": frozenset({"verifications:read"}),
}  # fmt: skip
NAME_LENGTH = 200
USE_NOTED = timedelta(minutes=1)
_SHAPE = re.compile(r"cspm_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


class NotAuthentic(TriageError):
    """The token opens nothing: it is none of ours, or it was revoked, is too old, or its person may not come in any more."""


def issue(
    *, user: User, name: str, scopes: Iterable[str], expires_at: datetime | None, actor: Actor, at: datetime
) -> tuple[ApiToken, str]:
    """A new token of this person, and the secret that is shown once and kept nowhere.

    Raises Invalid for scopes that do not exist, no scope, no name, an end that is over, and a person who may not come in.
    """
    actor.demand(Right.ADMINISTER)
    asked = sorted(set(scopes))
    known = ", ".join(sorted(SCOPES))
    if unknown := [scope for scope in asked if scope not in SCOPES]:
        raise Invalid(_("There is no scope “%(scope)s”. Possible are: %(scopes)s."), scope=unknown[0][:80], scopes=known)
    if not asked:
        raise Invalid(_("A token needs a scope. Possible are: %(scopes)s."), scopes=known)
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise Invalid(_("A token needs a name of at most %(length)s characters on one line."), length=NAME_LENGTH)
    if expires_at is not None and expires_at <= at:
        raise Invalid(_("The token's end is over already. Choose a later one."))
    if not user.is_active:
        raise Invalid(_("This person no longer has access, so their token would not work."))
    prefix = secrets.token_hex(6)
    secret = f"cspm_{prefix}_{secrets.token_urlsafe(32)}"
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        token = ApiToken.objects.create(
            user=user, name=name.strip(), prefix=prefix, sha256=_digest(secret), scopes=asked, created_at=at,
            expires_at=expires_at,
        )  # fmt: skip
        until = expires_at.isoformat() if expires_at else None
        log.tell("token", token.pk, "issued", after={"user": user.pk, "scopes": asked, "expires_at": until})
    return token, secret


def revoke(*, prefix: str, actor: Actor, at: datetime) -> ApiToken:
    """The token with this prefix opens nothing from now on. Revoking it twice changes nothing. Raises NotFound."""
    actor.demand(Right.ADMINISTER)
    with audit.recording(actor=actor.name, at=at, door=actor.door) as log:
        token = ApiToken.objects.select_for_update().filter(prefix=prefix).order_by("-pk").first()
        if token is None:
            raise NotFound(_("There is no token “%(prefix)s”."), prefix=prefix[:80])
        if token.revoked_at is None:
            token.revoked_at = at
            token.save(update_fields=["revoked_at"])
            log.tell("token", token.pk, "revoked", after={"user": token.user_id})
    return token


def recognise(secret: str, *, at: datetime) -> ApiToken:
    """The token with this secret, and a note of its use, once a minute at most. Raises NotAuthentic.

    It is looked for by its SHA-256: what the time of the answer could tell is the hash of 256 random bits, which opens nothing.
    """
    token = None
    if _SHAPE.fullmatch(secret):
        token = ApiToken.objects.select_related("user").filter(sha256=_digest(secret)).first()
    if token is None:
        raise NotAuthentic(_("This token is not known here. Look whether it was copied whole: cspm_…_…"))
    if token.revoked_at is not None:
        raise NotAuthentic(_("This token was revoked. Ask an administrator for a new one."))
    if token.expires_at is not None and token.expires_at <= at:
        raise NotAuthentic(_("This token is too old. Ask an administrator for a new one."))
    if not token.user.is_active:
        raise NotAuthentic(_("The person of this token no longer has access."))
    if token.last_used_at is None or token.last_used_at <= at - USE_NOTED:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=at - USE_NOTED)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=at)
    return token


def actor_of(token: ApiToken) -> Actor:
    """Who acts with this token: its person with the roles held now, and never beyond the token's scopes."""
    rights = frozenset(right for scope in token.scopes for right in SCOPES.get(scope, ()))
    return dataclasses.replace(access.of_user(token.user, door="api"), name=f"token:{token.pk}", only=rights)


def has_scope(token: ApiToken, scope: str) -> bool:
    """Whether the token was issued for it, or for more."""
    return any(scope == held or scope in IMPLIED.get(held, ()) for held in token.scopes)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
