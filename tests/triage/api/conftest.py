"""A caller of the API whose every answer is held against the OpenAPI document."""

import re
from datetime import timedelta

import jsonschema
import pytest
from django.test import Client
from django.utils.timezone import now

from tests.factories import person
from triage.api.docs import described
from triage.domain import tokens
from triage.domain.access import Actor
from triage.models import Role

ADMINISTRATOR = Actor(name="os:0", door="cli", roles=frozenset({Role.ADMINISTRATOR}))
EVERYTHING = ("findings:read", "imports:read", "imports:write", "verifications:read", "verifications:write")


class Caller:
    """Calls with a token's secret. `person`: whose it is."""

    def __init__(self, user, *scopes, secret=None, days=1):
        self.user = user
        if secret is None:
            self.token, secret = tokens.issue(
                user=user,
                name="CI",
                scopes=scopes or EVERYTHING,
                expires_at=now() + timedelta(days=days),
                actor=ADMINISTRATOR,
                at=now(),
            )
        self.secret = secret
        self.client = Client(raise_request_exception=False)

    def get(self, path, parameters=None, **headers):
        return self.call("get", path, parameters, **headers)

    def post(self, path, data=None, **more):
        return self.call("post", path, data, **more)

    def call(self, method, path, data=None, *, headers=None, **more):
        said = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        answer = getattr(self.client, method)(path, data, headers={**said, **(headers or {})}, **more)
        return as_documented(method, path, answer)


def as_documented(method, path, answer):
    """The answer, if the document foresees it."""
    if path.startswith("/api/v1/") and not answer.headers["Content-Type"].startswith("application/vnd.oai"):
        operation = _operation(method, path.partition("?")[0])
        content = (
            operation["responses"][str(answer.status_code)]["content"] if operation else {"application/problem+json": PROBLEM}
        )
        schema = content[answer.headers["Content-Type"]]["schema"]
        root = {**schema, "components": described()["components"]}
        if schema.get("format") != "binary":
            jsonschema.Draft202012Validator(root, format_checker=jsonschema.FormatChecker()).validate(answer.json())
        assert answer.headers["Cache-Control"] == "no-store" or not operation
        if answer.status_code >= 400:
            assert answer.json()["status"] == answer.status_code
            assert answer.json()["instance"] == path.partition("?")[0]
    return answer


PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}


def _operation(method, path):
    for template, methods in described()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return methods.get(method) or next(iter(methods.values()))
    return None


@pytest.fixture
def caller(db):
    """A triager's token with every scope."""
    return Caller(person("tess@example.com", "triager"))


@pytest.fixture
def nudges(monkeypatch):
    """Names and arguments of the tasks that were asked for."""
    asked = []
    for module in ("acts", "audit", "imports", "sources", "verifications"):
        monkeypatch.setattr(f"triage.api.{module}.async_task", lambda *task: asked.append(task))
    return asked
