"""What is suggested fits where it is put."""

import pytest

from triage.domain import search

from .world import World, build


@pytest.fixture
def world(db: None) -> World:
    return build()


def accepted(text: str, cursor: int | None = None) -> list[str]:
    """The text after each suggestion is taken."""
    cursor = len(text) if cursor is None else cursor
    return [text[: found.start] + found.text + text[found.end :] for found in search.complete(text, cursor)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("env:prod sev", "env:prod severity:"),
        ("grav", "gravité:"),
        ("-ta", "-tag."),
        ("(is:open or est:en_r", "(is:open or est:en_retard"),
        ("over", "is:overdue"),
        ("severity:high,cr", "severity:high,critical"),
        ("sévérité>=h", "sévérité>=high"),
        ("team:PAY", "team:payments"),
        ("team:n", "team:none"),
        ("assignee:bo", "assignee:bob@example.com"),
        ("account:data", "account:sub-3333"),
        ("check:s3_bucket_v", "check:s3_bucket_versioning"),
        ("framework:PCI", 'framework:"PCI 4.0"'),
        ("category:int", "category:internet-exposed"),
        ("service:", "service:iam"),
        ("provider:a", "provider:azure"),
        ("due<", "due<7d"),
        ("age>", "age>30d"),
    ],
)
def test_a_suggestion_goes_on_where_the_cursor_is(world: World, text: str, wanted: str) -> None:
    assert wanted in accepted(text)


def test_what_stands_behind_the_cursor_stays(world: World) -> None:
    assert accepted("sev env:prod", 3) == ["severity: env:prod"]


@pytest.mark.parametrize("text", ["xyzzy:", "severity:zzz", "zzzz", "(", "", "tag.env:", '"a', "a:b:c"])
def test_anything_may_stand_there(world: World, text: str) -> None:
    for cursor in range(-1, len(text) + 2):
        assert len(search.complete(text, cursor)) <= 10


def test_values_that_are_suggested_are_values(world: World) -> None:
    for field in search.FIELDS.values():
        start = (
            f"{field.name}.env:"
            if field.keyed
            else f"{field.name}>"
            if field.name == "age"
            else f"{field.name}<"
            if field.name in ("due", "first_seen", "last_seen")
            else f"{field.name}:"
        )
        for text in accepted(start):
            if text != "due<none":
                search.parse(text)
