"""`cspm token` at a terminal."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from tests.factories import person
from triage.domain import tokens
from triage.models import ApiToken


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    call_command("token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_secret_alone_is_printed_and_works(db):
    user = person("Ana@Example.com", "triager")

    printed, told = run(
        "create",
        "--user",
        "ana@EXAMPLE.com",
        "--scope",
        "imports:write",
        "--scope",
        "findings:read",
        "--days",
        "7",
        "--name",
        "CI",
    )

    token = tokens.recognise(printed.removesuffix("\n"), at=now())
    assert (token.user, token.name, token.scopes) == (user, "CI", ["findings:read", "imports:write"])
    assert 6 < (token.expires_at - now()).total_seconds() / 86400 < 7
    assert token.prefix in told


def test_the_list_shows_tokens_and_no_secret(db):
    person("ana@example.com", "triager")
    assert run("list")[0] == "There is no token.\n"
    printed, _told = run("create", "--user", "ana@example.com", "--scope", "findings:read")
    prefix = printed.split("_")[1]

    shown, listed = run("list")[0], json.loads(run("list", "--json")[0])

    assert prefix in shown
    assert "ana@example.com" in shown
    assert printed.strip() not in shown + str(listed)
    assert (listed["prefix"], listed["scopes"], listed["revoked_at"]) == (prefix, ["findings:read"], None)


def test_a_revoked_token_is_ended(db):
    person("ana@example.com", "triager")
    printed, _told = run("create", "--user", "ana@example.com", "--scope", "findings:read")

    assert "is revoked" in run("revoke", printed.split("_")[1])[0]

    with pytest.raises(tokens.NotAuthentic):
        tokens.recognise(printed.strip(), at=now())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "--user", "nobody@example.com", "--scope", "findings:read"), 5),
        (("create", "--user", "ana@example.com", "--scope", "findings:read", "--days", "0"), 5),
        (("create", "--user", "ana@example.com", "--scope", "findings:read", "--as", "triager"), 4),
        (("list", "--as", "viewer"), 4),
        (("revoke", "000000000000"), 5),
    ],
)
def test_a_refusal_has_its_exit_code(db, arguments, code):
    person("ana@example.com", "triager")

    with pytest.raises(CommandError) as refused:
        run(*arguments)

    assert refused.value.returncode == code
    assert not ApiToken.objects.exists()
