"""The OpenAPI document: committed, valid, served; and the page that people read instead."""

from pathlib import Path

import yaml
from django.test import Client
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from tests.factories import person
from triage.api.docs import described
from triage.api.problems import KINDS

COMMITTED = Path(__file__).parents[3] / "docs/openapi.yaml"


def test_the_committed_document_is_what_the_code_says():
    """After a change: manage.py spectacular --file docs/openapi.yaml"""
    written = OpenApiYamlRenderer().render(described(), renderer_context={}).decode()

    assert written == COMMITTED.read_text()


def test_the_document_is_valid():
    validate_schema(described())


def test_the_document_is_served_to_anybody_in_any_language_the_same(db):
    answers = [Client().get("/api/v1/schema", headers={"Accept-Language": language}) for language in ("fr", "en")]

    assert all(yaml.safe_load(answer.content) == yaml.safe_load(COMMITTED.read_text()) for answer in answers)


def test_the_page_for_people_shows_every_operation_and_problem_without_a_script_of_its_own(client, db):
    client.force_login(person("a@example.com"))
    page = client.get("/api/docs")
    shown = page.content.decode()

    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            assert f'id="{operation["operationId"]}"' in shown
            assert f"{method.upper()} {path}" in shown
    assert all(f'id="problem-{code}"' in shown for code in KINDS)
    assert " style=" not in shown
    assert "<script>" not in shown
    assert "//cdn" not in shown


def test_the_page_for_people_is_for_people_who_signed_in(client, db):
    assert client.get("/api/docs")["Location"] == "/sign-in?next=/api/docs"
