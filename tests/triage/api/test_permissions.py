"""Who may come through the door: the token's scope and its person's right, both, and no cookie."""

import pytest
from django.test import Client
from django.utils.timezone import now
from rest_framework.permissions import BasePermission

from tests.factories import AT, finding, person, team
from tests.triage.api.conftest import ADMINISTRATOR, Caller
from tests.triage.api.test_imports import form
from triage.api import urls
from triage.api.permissions import Denied
from triage.domain import tokens
from triage.models import RoleGrant, Scan, Verification, VerificationRun

DOORS = {
    ("get", "/api/v1/findings"): ("findings:read", {"viewer", "contributor", "triager", "approver", "auditor", "administrator"}),
    ("get", "/api/v1/findings/F-{finding:06d}"): (
        "findings:read",
        {"viewer", "contributor", "triager", "approver", "auditor", "administrator"},
    ),
    ("get", "/api/v1/imports"): ("imports:read", {"viewer", "contributor", "triager", "approver", "auditor", "administrator"}),
    ("post", "/api/v1/imports"): ("imports:write", {"triager", "administrator"}),
    ("post", "/api/v1/findings/F-{finding:06d}/verifications"): (
        "verifications:write",
        {"contributor", "triager", "administrator"},
    ),
    ("post", "/api/v1/verifications"): ("verifications:write", {"contributor", "triager", "administrator"}),
    ("get", "/api/v1/verifications/V-{verification}"): (
        "verifications:read",
        {"viewer", "contributor", "triager", "approver", "auditor", "administrator"},
    ),
    ("get", "/api/v1/verification-runs/R-{run}"): (
        "verifications:read",
        {"viewer", "contributor", "triager", "approver", "auditor", "administrator"},
    ),
    ("post", "/api/v1/verification-runs/R-{run}/cancellation"): ("verifications:write", {"triager", "administrator"}),
}


@pytest.fixture
def knock(db, nudges):
    """Asks at a door; the status of its answer."""
    row = finding(owner=team("web"))
    run = VerificationRun.objects.create(trigger="person", actor="user:0", requested_at=AT, total=1)
    verification = Verification.objects.create(
        finding=finding(bucket="x"), run=run, trigger="person", actor="user:0", requested_at=AT
    )  # fmt: skip

    def ask(caller, method, path):
        path = path.format(finding=row.pk, verification=verification.pk, run=run.pk)
        if path == "/api/v1/verifications":
            return caller.post(path, {"query": "is:open"}, content_type="application/json")
        return caller.call(method, path, form() if path == "/api/v1/imports" and method == "post" else None)

    return ask


@pytest.mark.parametrize("role", ["viewer", "contributor", "triager", "approver", "auditor", "administrator"])
@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_a_role_opens_the_doors_that_it_should_and_no_other(knock, door, role):
    answer = knock(Caller(person("a@example.com", role, of=team("web"))), *door)

    done = 202 if door[0] == "post" and not door[1].endswith("cancellation") else 200
    assert answer.status_code == (done if role in DOORS[door][1] else 403)


@pytest.mark.parametrize("scope", sorted(tokens.SCOPES))
@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_a_scope_opens_its_own_door_and_what_it_implies(knock, door, scope):
    answer = knock(Caller(person("a@example.com", "administrator"), scope), *door)

    needed = DOORS[door][0]
    opens = scope == needed or needed == scope.replace(":write", ":read")
    assert (answer.status_code < 300) is opens
    if not opens:
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
        assert needed in answer.json()["detail"]


def test_rights_that_the_person_lost_are_lost_to_the_token(caller):
    assert caller.get("/api/v1/findings").status_code == 200
    RoleGrant.objects.all().delete()

    assert caller.get("/api/v1/findings").status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer cspm_000000000000_" + "A" * 43,
        "Bearer nonsense",
        "Bearer " + "x" * 5000,
        "Bearer cspm_\udcff",
        "Token {secret}",
        "Bearer {secret}x",
        "Bearer {secret} {secret}",
    ],
)
def test_without_a_token_of_ours_the_door_stays_shut_and_says_how_it_opens(caller, header):
    caller.secret, secret = None, caller.secret
    said = (
        {}
        if header is None
        else {"Authorization": header.format(secret=secret).encode("utf-8", "surrogateescape").decode("latin-1")}
    )

    answer = caller.post("/api/v1/imports", form(), headers=said)

    assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated")
    assert answer["WWW-Authenticate"].startswith('Bearer realm="CSPM Triage"')
    assert secret not in answer.content.decode()
    assert not Scan.objects.exists()


def test_the_scheme_is_read_whatever_its_case(caller):
    caller.secret, secret = None, caller.secret

    assert caller.get("/api/v1/findings", headers={"Authorization": f"bearer  {secret}"}).status_code == 200


def test_revoked_old_and_dismissed_tokens_open_nothing_and_say_why(caller):
    tokens.revoke(prefix=caller.token.prefix, actor=ADMINISTRATOR, at=now())
    revoked = caller.get("/api/v1/findings")
    old = Caller(person("b@example.com", "viewer"))
    type(old.token).objects.filter(pk=old.token.pk).update(expires_at=now())
    dismissed = Caller(person("c@example.com", "administrator"))
    type(dismissed.user).objects.filter(pk=dismissed.user.pk).update(is_active=False)

    assert "was revoked" in revoked.json()["detail"]
    assert "too old" in old.get("/api/v1/findings").json()["detail"]
    assert "no longer has access" in dismissed.get("/api/v1/findings").json()["detail"]
    assert 'error="invalid_token"' in revoked["WWW-Authenticate"]


def test_no_cookie_opens_the_door(client, db):
    client.force_login(person("a@example.com", "administrator"))

    assert client.get("/api/v1/findings").status_code == 401
    assert client.post("/api/v1/imports", form()).status_code == 401


def test_beside_a_cookie_the_token_is_who_acts(db, nudges):
    caller = Caller(person("weak@example.com", "viewer"))
    caller.client.force_login(person("strong@example.com", "administrator"))

    assert caller.post("/api/v1/imports", form()).status_code == 403


def test_no_token_opens_a_page(caller):
    answer = Client().get("/scans", headers={"Authorization": f"Bearer {caller.secret}"})

    assert (answer.status_code, answer["Location"]) == (302, "/sign-in?next=/scans")


def test_a_method_that_a_door_does_not_have_is_said(caller):
    answer = caller.call("delete", "/api/v1/imports")

    assert (answer.status_code, answer.json()["code"], answer["Allow"]) == (405, "method-not-allowed", "GET, POST")


def test_a_view_that_says_nothing_is_denied(settings):
    assert settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == ["triage.api.permissions.Denied"]
    assert not Denied().has_permission(None, None)


def test_every_door_but_the_document_and_the_void_asks_who_may():
    views = [pattern.callback.cls for pattern in urls.urlpatterns if hasattr(pattern.callback, "cls")]

    open_ones = {view.__name__ for view in views if not getattr(view, "needs", None)}
    assert open_ones == {"SpectacularYAMLAPIView", "Nothing"}
    assert all(issubclass(kind, BasePermission) for view in views for kind in view.permission_classes)


def test_looking_is_as_good_as_getting_and_nobody_else_keeps_the_answer(caller):
    answer = caller.client.head("/api/v1/findings", headers={"Authorization": f"Bearer {caller.secret}"})

    assert (answer.status_code, answer.content, answer["Cache-Control"]) == (200, b"", "no-store")
