"""Tokens: a person's rights, narrowed; their secret kept nowhere."""

import hashlib
from datetime import timedelta

import pytest

from tests.factories import AT, TRIAGER, person
from triage.domain import tokens
from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid, NotAllowed, NotFound
from triage.models import ApiToken, Event, Role

ADMINISTRATOR = Actor(name="os:0", door="cli", roles=frozenset({Role.ADMINISTRATOR}))
SOON = AT + timedelta(days=1)


def issue(user, *scopes, name="CI", expires_at=SOON, actor=ADMINISTRATOR):
    return tokens.issue(user=user, name=name, scopes=scopes, expires_at=expires_at, actor=actor, at=AT)


def test_the_secret_is_shown_and_only_its_hash_is_kept(db):
    token, secret = issue(person(), "findings:read")

    assert secret.startswith(f"cspm_{token.prefix}_")
    assert bytes(ApiToken.objects.get().sha256) == hashlib.sha256(secret.encode()).digest()
    assert secret not in str(ApiToken.objects.values().get())
    assert not any(secret in str(event) for event in Event.objects.values())


def test_issuing_and_revoking_are_events(db):
    user = person()
    token, _secret = issue(user, "imports:write", "findings:read", "imports:write")
    tokens.revoke(prefix=token.prefix, actor=ADMINISTRATOR, at=AT)
    tokens.revoke(prefix=token.prefix, actor=ADMINISTRATOR, at=SOON)

    issued, revoked = Event.objects.filter(subject="token", subject_id=token.pk).order_by("id")
    assert issued.after == {"user": user.pk, "scopes": ["findings:read", "imports:write"], "expires_at": SOON.isoformat()}
    assert (revoked.kind, revoked.actor) == ("revoked", "os:0")
    token.refresh_from_db()
    assert token.revoked_at == AT


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"scopes": ()}, "needs a scope"),
        ({"scopes": ("findings:erase",)}, "no scope “findings:erase”"),
        ({"name": " "}, "needs a name"),
        ({"name": "a\nb"}, "needs a name"),
        ({"name": "n" * 201}, "needs a name"),
        ({"expires_at": AT}, "over already"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(db, said, message):
    scopes = said.pop("scopes", ("findings:read",))

    with pytest.raises(Invalid, match=message):
        issue(person(), *scopes, **said)


def test_nobody_gets_a_token_who_may_not_come_in(db):
    with pytest.raises(Invalid):
        issue(person(is_active=False), "findings:read")


def test_only_an_administrator_makes_and_ends_tokens(db):
    token, _secret = issue(person(), "findings:read")

    with pytest.raises(NotAllowed):
        issue(token.user, "findings:read", actor=TRIAGER)
    with pytest.raises(NotAllowed):
        tokens.revoke(prefix=token.prefix, actor=TRIAGER, at=AT)
    with pytest.raises(NotFound):
        tokens.revoke(prefix="nothing", actor=ADMINISTRATOR, at=AT)


def test_a_token_is_recognised_until_it_ends(db):
    token, secret = issue(person(), "findings:read")

    assert tokens.recognise(secret, at=SOON - timedelta(seconds=1)) == token
    with pytest.raises(tokens.NotAuthentic):
        tokens.recognise(secret, at=SOON)


def test_a_token_without_end_does_not_end(db):
    token, secret = issue(person(), "findings:read", expires_at=None)

    assert tokens.recognise(secret, at=AT + timedelta(days=10_000)) == token


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda s: s[:-1], lambda s: s + "A", lambda s: s + "\0", lambda s: s.replace("cspm", "CSPM"), lambda _: ""],
)
def test_almost_the_secret_is_not_the_secret(db, change):
    _token, secret = issue(person(), "findings:read")

    with pytest.raises(tokens.NotAuthentic):
        tokens.recognise(change(secret), at=AT)


def test_use_is_noted_once_a_minute(db, django_assert_num_queries):
    token, secret = issue(person(), "findings:read")
    tokens.recognise(secret, at=AT)
    with django_assert_num_queries(1):
        tokens.recognise(secret, at=AT + timedelta(seconds=59))
    token.refresh_from_db()
    assert token.last_used_at == AT

    tokens.recognise(secret, at=AT + timedelta(seconds=60))

    token.refresh_from_db()
    assert token.last_used_at == AT + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("role", "scopes", "rights"),
    [
        ("administrator", ["findings:read"], {Right.VIEW}),
        ("administrator", ["imports:write"], {Right.VIEW, Right.IMPORT}),
        ("viewer", ["imports:write"], {Right.VIEW}),
        ("administrator", ["gone:scope"], set()),
    ],
)
def test_what_a_token_may_is_what_both_scopes_and_roles_allow(db, role, scopes, rights):
    token, _secret = issue(person("a@example.com", role), "findings:read")
    token.scopes = scopes

    actor = tokens.actor_of(token)

    assert {right for right in Right if actor.may(right)} == rights
    assert (actor.name, actor.door, actor.user) == (f"token:{token.pk}", "api", token.user_id)
