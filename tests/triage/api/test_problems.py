"""Every failure is a problem document, in the caller's language, without a secret."""

import logging

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework.exceptions import Throttled
from rest_framework.test import APIRequestFactory

from tests.triage.api.test_imports import form
from triage.api import problems
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale
from triage.domain.sign_in import TooManyAttempts

FINDINGS = "/api/v1/findings"


def told(exc):
    """The document that an exception becomes."""
    return problems.handler(exc, {"request": APIRequestFactory().get(FINDINGS)})


def test_a_problem_has_every_part_that_the_standard_names_and_ours(caller):
    answer = caller.get(FINDINGS, {"q": "severty:high"})

    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert {name: problem[name] for name in ("type", "title", "status", "instance", "code")} == {
        "type": "/api/docs#problem-invalid",
        "title": "The request does not say what it should",
        "status": 400,
        "instance": FINDINGS,
        "code": "invalid",
    }
    (error,) = problem["errors"]
    assert (error["parameter"], error["position"], error["length"]) == ("q", 0, 7)
    assert "severity" in error["suggestions"]
    assert error["detail"] == problem["detail"]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("fr", "La requête est incorrecte"),
        ("fr-CA,fr;q=0.9,en;q=0.1", "La requête est incorrecte"),
        ("en-GB", "The request does not say what it should"),
        ("de", "The request does not say what it should"),
    ],
)
def test_a_problem_speaks_the_callers_language(caller, language, title):
    answer = caller.get(FINDINGS, {"limit": "0"}, headers={"Accept-Language": language})

    assert answer.json()["title"] == title
    assert answer["Content-Language"] == ("fr" if "fr" in language else "en")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", sorted(problems.KINDS))
def test_every_kind_of_problem_is_explained_in_both_languages(kind, language):
    from django.utils.translation import gettext, override  # noqa: PLC0415

    about = problems.KINDS[kind]
    with override(language):
        assert (gettext(about.title) != about.title) is (language == "fr")
        assert (gettext(about.advice) != about.advice) is (language == "fr")


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Invalid("x"), 400, "invalid"),
        (NotAllowed("x"), 403, "not-allowed"),
        (NotFound("x"), 404, "not-found"),
        (Stale("x"), 409, "stale"),
        (TooManyAttempts("x"), 429, "too-many-requests"),
        (Throttled(30), 429, "too-many-requests"),
        (Http404(), 404, "not-found"),
        (RequestDataTooBig("x"), 413, "too-large"),
        (SuspiciousOperation("/secret/path"), 400, "unreadable"),
    ],
)
def test_each_failure_has_its_status_and_code(exc, status, code):
    answer = told(exc)

    assert (answer.status_code, answer.data["status"], answer.data["code"]) == (status, status, code)
    assert "/secret/path" not in str(answer.data)


def test_a_failure_that_nobody_expected_is_logged_under_a_number_and_not_told(caller, monkeypatch, caplog):
    def broken(*_args, **_kwargs):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("triage.api.findings.search.findings", broken)
    with caplog.at_level(logging.ERROR):
        answer = caller.get(FINDINGS)

    assert answer.status_code == 500
    assert "hunter2" not in answer.content.decode()
    (record,) = [record for record in caplog.records if record.name == "triage.api.problems"]
    assert answer.json()["trace_id"] in record.getMessage()
    assert caller.secret not in caplog.text


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1", "/api/v1/nothing", "/api/v1/imports/", "/api/v2/imports", "/api/v1/findings/../x"]
)
def test_a_wrong_address_is_a_problem_document_too(caller, path):
    for method in ("get", "post", "options"):
        answer = caller.call(method, path)
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_the_answer_is_json_whatever_is_accepted(caller):
    for accepted in ("text/html", "application/problem+json", "application/xml;q=0.5", "nonsense"):
        assert caller.get(FINDINGS, headers={"Accept": accepted})["Content-Type"] == "application/json"
        assert caller.get(FINDINGS, {"x": 1}, headers={"Accept": accepted})["Content-Type"] == "application/problem+json"


def test_too_many_fields_are_the_callers_problem(caller):
    assert caller.post("/api/v1/imports", form(mapping="x" * 6_000_000)).json()["code"] == "too-large"
    assert caller.post("/api/v1/imports", {f"f{n}": "x" for n in range(2000)}).status_code == 400
