"""The API for people: a page made from the same document that machines read. Plain HTML, so the strict CSP has nothing to say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from triage.api.problems import KINDS

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter or a field. `shape`: its type in a few words."""

    name: str
    shape: str
    place: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Value]
    bodies: list[str]
    answers: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A document that is answered."""

    name: str
    description: str
    fields: list[Value]


# drf-spectacular loads its extensions when they are first asked, and two threads that ask at once break each other.
_one_at_a_time = Lock()


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """Operations, documents, problems."""
    document = described()
    shown = {
        "info": document["info"], "operations": list(_operations(document)), "shapes": list(_shapes(document)), "problems": KINDS,
    }  # fmt: skip
    return render(request, "triage/api/docs.html", shown)


def in_words(text: str) -> str:
    """A text of the document in the reader's language, paragraph by paragraph (`check_translations` gathers them)."""
    return "\n\n".join(gettext(part) if part else "" for part in text.split("\n\n"))


def described() -> dict[str, Any]:
    """The OpenAPI document. It depends on nothing but the code."""
    with _one_at_a_time:
        return _described()


@cache
def _described() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # the package has no types
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in (method for method in METHODS if method in methods):
            said = methods[method]
            yield Operation(
                id=said["operationId"],
                method=method.upper(),
                path=path,
                summary=in_words(said.get("summary", "")),
                description=in_words(said.get("description", "")),
                parameters=[
                    Value(p["name"], _words(p["schema"]), p["in"], bool(p.get("required")), in_words(p.get("description", "")))
                    for p in said.get("parameters", ())
                ],
                bodies=list(said.get("requestBody", {}).get("content", ())),
                answers=[
                    (status, _words(content["schema"]), in_words(answer.get("description", "")))
                    for status, answer in said["responses"].items()
                    for content in answer.get("content", {}).values()
                ],
            )


def _shapes(document: Mapping[str, Any]) -> Iterator[Shape]:
    for name, said in document["components"]["schemas"].items():
        required = said.get("required", ())
        fields = [
            Value(field, _words(about), "", field in required, in_words(about.get("description", "")))
            for field, about in said.get("properties", {}).items()
        ]
        if fields:
            yield Shape(name, in_words(said.get("description", "")), fields)


def _words(about: Mapping[str, Any]) -> str:
    """A schema's type: the name of a document, or what JSON calls it, with its choices."""
    if "$ref" in about:
        name = str(about["$ref"]).rsplit("/", 1)[-1]
        meant: dict[str, Any] = described()["components"]["schemas"][name]
        return _words(meant) if "enum" in meant else name
    for several in ("oneOf", "anyOf", "allOf"):
        if several in about:
            return " | ".join(_words(one) for one in about[several])
    if "enum" in about:
        return " | ".join(f"“{one}”" if isinstance(one, str) else "null" for one in about["enum"])
    kind = about.get("type", "")
    if kind == "array":
        return f"[{_words(about['items'])}]"
    words = " | ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{words} ({about['format']})" if "format" in about else words
