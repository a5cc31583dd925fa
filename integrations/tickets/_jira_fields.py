"""What Jira wants of a new issue of a project and type, and our draft in those fields."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from integrations.tickets._jira_client import Client, Rejected
from integrations.tickets._jira_wiki import of_markdown
from triage.ports import Options, Severity, TicketDraft, Unconfigured

SUMMARY, TEXT = 240, 30_000  # characters; Jira takes 255 and 32,767
KEPT_FOR = 3600.0  # seconds that what Jira wants is remembered
PROPERTY = "cspm"
_WANTED: dict[str, tuple[float, "Wanted"]] = {}
_PLACES = re.compile(r"\{(severity|due|team|account|check|link|title)\}")
# Names that Jira's projects have from the start, for severities; else by their order.
_PRIORITIES = {
    5: ("highest", "blocker", "critical"),
    4: ("high", "major"),
    3: ("medium", "minor"),
    2: ("low",),
    1: ("lowest", "trivial"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fields of the create screen by id, and the ids of project and type."""

    project: str
    issue_type: str
    fields: Mapping[str, Mapping[str, Any]]


def subject_of(options: Options) -> str:
    """What a lack of configuration applies to."""
    return f"{options.get('project', '')}/{options.get('issue_type') or 'Task'}"


def wanted(client: Client, options: Options, *, anew: bool = False) -> Wanted:
    """What the create screen has, remembered for an hour. Raises Unconfigured for a project or type that is not there."""
    key = hashlib.sha256(json.dumps(dict(options), sort_keys=True, default=str).encode()).hexdigest()
    known = _WANTED.get(key)
    if known and not anew and time.monotonic() - known[0] < KEPT_FOR:
        return known[1]
    found = _asked(client, options)
    _WANTED[key] = (time.monotonic(), found)
    return found


def _asked(client: Client, options: Options) -> Wanted:
    project, name = str(options.get("project", "")), str(options.get("issue_type") or "Task")
    if not project:
        raise Unconfigured("no project is configured", subject=subject_of(options))
    try:
        types = list(_pages(client, f"issue/createmeta/{project}/issuetypes", "issueTypes"))
    except Rejected as error:
        if error.status not in (403, 404):
            raise
        client.signed_in()  # an expired sign-in is told that the project does not exist
        types = _asked_of_old(client, project)
        if not types:
            raise Unconfigured(
                f"there is no project {project}, or no right to create in it", subject=subject_of(options)
            ) from None
    chosen = next(
        (each for each in types if name.casefold() in (str(each.get("name", "")).casefold(), str(each.get("id")))), None
    )
    if chosen is None:
        there = ", ".join(str(each.get("name")) for each in types)
        raise Unconfigured(f"project {project} has no issue type {name}; it has: {there}", subject=subject_of(options))
    if isinstance(chosen.get("fields"), dict):
        return Wanted(project, str(chosen["id"]), chosen["fields"])
    fields = _pages(client, f"issue/createmeta/{project}/issuetypes/{chosen['id']}", "fields")
    return Wanted(project, str(chosen["id"]), {str(each.get("fieldId") or each.get("key")): each for each in fields})


def _asked_of_old(client: Client, project: str) -> list[dict[str, Any]]:
    """As Data Center before 8.4 says it."""
    try:
        told = client.get("issue/createmeta", projectKeys=project, expand="projects.issuetypes.fields")
    except Rejected:
        return []
    return [each for found in (told or {}).get("projects", []) for each in found.get("issuetypes", [])]


def _pages(client: Client, path: str, name: str) -> Iterable[dict[str, Any]]:
    """All of a paged list: Cloud calls it by its name, Data Center `values`."""
    start = 0
    while True:
        told = client.get(path, startAt=start, maxResults=50) or {}
        page = told.get(name) or told.get("values") or []
        yield from page
        start += len(page)
        if not page or told.get("isLast") or start >= int(told.get("total", 0)):
            return


def filled(draft: TicketDraft, options: Options, screen: Wanted, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of the new issue. Raises Unconfigured when one is required that nothing says."""
    has = screen.fields
    subject = subject_of(options)
    if "labels" not in has:
        raise Unconfigured(
            "the field Labels is not on the create screen: tickets could not be found again by it", subject=subject
        )
    fields: dict[str, Any] = {
        "project": {"key": screen.project}, "issuetype": {"id": screen.issue_type}, "summary": one_line(draft.title)[:SUMMARY],
        "labels": labels([draft.mark, *draft.labels, *str(options.get("labels", "")).split()]),
    }  # fmt: skip
    if "description" in has:
        fields["description"] = text(draft.body)
    if draft.due_at is not None and "duedate" in has:
        fields["duedate"] = draft.due_at.date().isoformat()
    if "priority" in has and (chosen := priority(draft.severity, options, has["priority"])):
        fields["priority"] = chosen
    if level := str(options.get("security_level", "")):
        allowed = {str(each.get("id")) for each in has.get("security", {}).get("allowedValues") or ()}
        if level not in allowed:
            raise Unconfigured(f"the security level {level} is not to be had: no ticket is opened without it", subject=subject)
        fields["security"] = {"id": level}
    for name, value in (options.get("fields") or {}).items():
        number = _field_id(name, has)
        if number is None:
            raise Unconfigured(f"the create screen has no field {name}", subject=subject)
        fields[number] = in_form(_PLACES.sub(lambda found: _said(found[1], draft), str(value)), has[number])
    for name in without:
        fields.pop(name, None)
    missing = [
        f"{each.get('name', number)} ({number})" for number, each in has.items()
        if each.get("required") and not each.get("hasDefaultValue") and number not in fields and number != "reporter"
    ]  # fmt: skip
    if missing:
        raise Unconfigured(f"required, and not said by the connection: {', '.join(sorted(missing))}", subject=subject)
    return fields


def required_of(screen: Wanted) -> set[str]:
    return {number for number, each in screen.fields.items() if each.get("required")}


def priority(severity: Severity, options: Options, field: Mapping[str, Any]) -> dict[str, str] | None:
    """By the connection's own mapping, by name, else by the place in the project's list; None where there is none."""
    allowed = [each for each in field.get("allowedValues") or () if isinstance(each, Mapping)]
    own = str((options.get("priorities") or {}).get(severity.name.lower(), "")).strip().casefold()
    for each in allowed:
        if own and own in (str(each.get("id")), str(each.get("name", "")).casefold()):
            return {"id": str(each["id"])}
    if own and not allowed:
        return {"id": own} if own.isdecimal() else {"name": own}
    by_name = {str(each.get("name", "")).casefold(): each for each in allowed}
    found = next((by_name[name] for name in _PRIORITIES[int(severity)] if name in by_name), None)
    if found is None and len(allowed) >= 2:
        found = allowed[round((5 - int(severity)) * (len(allowed) - 1) / 4)]
    return {"id": str(found["id"])} if found else None


def _field_id(name: str, has: Mapping[str, Mapping[str, Any]]) -> str | None:
    if name in has:
        return name
    return next((number for number, each in has.items() if str(each.get("name", "")).casefold() == name.casefold()), None)


def in_form(said: str, field: Mapping[str, Any]) -> Any:
    """A text in the form that the field's type wants: https://developer.atlassian.com/server/jira/platform/jira-rest-api-examples"""
    said = said.strip()
    if said[:1] in "{[":
        try:
            return json.loads(said)
        except ValueError:
            pass
    schema = field.get("schema") or {}
    kind, items = schema.get("type"), schema.get("items")
    if kind == "array":
        parts = [part.strip() for part in said.split(",") if part.strip()]
        return parts if items == "string" else [_one(part, str(items), field) for part in parts]
    return _one(said, str(kind), field)


def _one(said: str, kind: str, field: Mapping[str, Any]) -> Any:
    if kind == "number":
        try:
            return float(said)
        except ValueError:
            return said
    if kind in ("option", "component", "version", "priority", "securitylevel", "user", "group"):
        allowed = field.get("allowedValues") or ()
        for each in allowed:
            if isinstance(each, Mapping) and said.casefold() in (
                str(each.get("id")),
                str(each.get("value", each.get("name", ""))).casefold(),
            ):
                return {"id": str(each["id"])}
        return {"value": said} if kind == "option" else {"id": said} if said.isdecimal() else {"name": said}
    return said


def _said(name: str, draft: TicketDraft) -> str:
    if name == "severity":
        return draft.severity.name.lower()
    if name == "due":
        return draft.due_at.date().isoformat() if draft.due_at else ""
    return {"link": draft.link, "title": one_line(draft.title)}.get(name) or str(draft.fields.get(name, ""))


def labels(words: Iterable[str]) -> list[str]:
    """Without what a label cannot hold, each once, in their order."""
    kept = (re.sub(r"[^\w.:@/+-]+", "-", clean(word)).strip("-")[:255] for word in words)
    return list(dict.fromkeys(word for word in kept if word))


def one_line(said: str) -> str:
    return re.sub(r"\s+", " ", clean(said)).strip() or "–"


def text(markdown: str) -> str:
    """Wiki markup within Jira's length, cut at the end of a line, outside of code."""
    whole = of_markdown(clean(markdown))
    if len(whole) <= TEXT:
        return whole
    kept = whole[:TEXT].rpartition("\n")[0]
    for macro in ("{noformat}", "{code}"):
        opened = len(re.findall(r"\{code(?::\w+)?\}" if macro == "{code}" else r"\{noformat\}", kept))
        if opened % 2:
            kept += f"\n{macro}"
    return f"{kept}\n\n…"


def clean(said: str) -> str:
    """Without what is no character: NUL and other controls, halves of surrogate pairs."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "", said)
