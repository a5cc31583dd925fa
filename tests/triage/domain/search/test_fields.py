"""The registry is the list of what can be asked: complete, unambiguous, in both languages."""

from itertools import combinations

import pytest
from django.core.exceptions import FieldDoesNotExist

from triage.domain.search import FIELDS, parse
from triage.domain.search.fields import ALL, Kind, folded, named
from triage.models import Finding


def test_no_name_means_two_fields() -> None:
    names = [folded(name) for field in ALL for name in {folded(name) for name in (field.name, *field.synonyms)}]

    assert len(names) == len(set(names))
    assert all(named(name.upper()) for name in names)


def test_no_value_means_two_choices() -> None:
    for field in ALL:
        for one, other in combinations(field.choices, 2):
            assert not {folded(name) for name in (one.name, *one.synonyms)} & {
                folded(name) for name in (other.name, *other.synonyms)
            }


@pytest.mark.parametrize("field", ALL, ids=lambda field: field.name)
def test_each_field_has_an_example_that_is_one(field) -> None:
    assert parse(field.example).text() == field.example
    assert field.example.startswith(field.name)
    assert field.kind not in (Kind.CHOICE, Kind.RANKED) or field.choices


@pytest.mark.parametrize("path", sorted({path for field in ALL for path in field.paths if path != "pk"}))
def test_each_path_leads_somewhere(path: str) -> None:
    model = Finding
    for part in path.removesuffix("_id").split("__"):
        try:
            found = model._meta.get_field(part)
        except FieldDoesNotExist:
            pytest.fail(path)
        model = found.related_model or model


def test_the_fields_of_the_product_are_there() -> None:
    assert set(FIELDS) == {
        "id", "status", "presence", "severity", "env", "team", "assignee", "account", "provider", "region", "asset", "type", "service",
        "check", "scanner", "title", "category", "weakness", "framework", "control", "tag", "path", "age", "due", "sla", "first_seen",
        "last_seen", "scan", "is", "has", "score", "exposure", "criticality", "application", "data", "ticket",
    }  # fmt: skip
