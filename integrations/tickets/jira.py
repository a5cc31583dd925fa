"""Jira, Cloud and Data Center.

A ticket carries our mark as a label, by which it can be searched, and as an entity property, in the same POST; its identity is the
numeric id, since keys change when it moves. Ways through a workflow are found by categories of statuses, never by names. Texts are
wiki markup over REST v2, which both kinds take.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.tickets import _jira_fields as wanting
from integrations.tickets._jira_client import Client, Rejected
from triage.ports import (
    DeliveryError,
    Forged,
    Heard,
    Options,
    Probe,
    Refused,
    Setting,
    Severity,
    Text,
    TicketCategory,
    TicketDraft,
    TicketState,
    Unconfigured,
)

LABEL = "Jira"
PER_SECOND = 4.0
READ_EVERY = 600  # seconds; a webhook makes it sooner
SETTINGS = (
    Setting("server", _("Address of Jira"), _("https://acme.atlassian.net, or your own."), required=True),
    Setting("deployment", _("Kind"), default="cloud", choices=("cloud", "server"), labels=("Jira Cloud", "Jira Data Center")),
    Setting("email", _("E-mail address of the account"), _("For Cloud. Empty for a personal access token of Data Center.")),
    Setting("token", _("API token"), required=True, secret=True),
    Setting("project", _("Project"), _("Its key, such as OPS."), required=True, team=True),
    Setting("issue_type", _("Issue type"), default="Task", team=True),
    Setting(
        "priorities", _("Priorities"), _("Lines of severity=priority, such as critical=Highest. Else by their names and order."),
        many=True, team=True, seldom=True),
    Setting(
        "fields", _("More fields"),
        _("Lines of field=value, by id or name. {severity}, {due}, {team}, {account}, {check}, {link}, {title} are filled in."),
        many=True, team=True, seldom=True),
    Setting("labels", _("More labels"), team=True, seldom=True),
    Setting(
        "security_level", _("Security level"), _("Its id. Without it no ticket is opened, if one is configured."), team=True, seldom=True,
    ),
    Setting("resolution", _("Resolution of closed tickets"), _("Where the workflow asks for one."), seldom=True),
    Setting("done_transition", _("Transition to done"), _("Preferred where several lead there."), seldom=True),
    Setting("declined", _("Resolutions that mean “won't do”"), _("Separated by commas, beside the usual ones."), seldom=True),
    Setting("webhook_secret", _("Secret of the webhook"), secret=True),
    Setting("webhook_secret_old", _("Previous secret"), _("Also accepted while it is being changed."), secret=True, seldom=True),
)  # fmt: skip

SEEN = "status,resolution,assignee,updated,labels,project"
STEPS = 5  # through a workflow, at most
AT_ONCE = 100  # of a bulk fetch
COMMENTS_LOOKED_AT = 100
# The session says that all it sends is JSON; a file is not, and Jira answers 415 to one that says so.
AS_PARTS = {"X-Atlassian-Token": "no-check", "Content-Type": None}
DECLINED = frozenset({
    "won't do", "won't fix", "wont do", "wontfix", "will not do", "declined", "rejected", "not a bug", "invalid", "cancelled", "canceled",
    "abandoned", "ne sera pas fait", "ne sera pas traité", "ne sera pas corrigé", "non applicable", "refusé", "rejeté", "annulé",
    "abandonné", "wird nicht erledigt", "wird nicht behoben", "abgelehnt",
})  # fmt: skip
FIXED = ("done", "fixed", "resolved", "fertig", "erledigt", "terminé", "corrigé", "résolu")
NEW, STARTED, DONE = "new", "indeterminate", "done"


# --- writing ------------------------------------------------------------------------------------------------------------------


def create(draft: TicketDraft, options: Options, /) -> TicketState:
    """A new issue. What it wants is asked before, so that nothing is opened half; the answer of the POST is all that is needed."""
    client = Client(options)
    try:
        screen = wanting.wanted(client, options)
        fields = wanting.filled(draft, options, screen)
        made = _post(client, fields, draft.mark)
    except Rejected as error:
        made = _second_try(client, draft, options, error)
    if not isinstance(made, dict) or not made.get("id"):
        raise DeliveryError("what it answered names no issue", unknown=True)
    key = str(made.get("key", ""))
    return TicketState(str(made["id"]), key, f"{client.server}/browse/{key}", TicketCategory.NEW)


def _second_try(client: Client, draft: TicketDraft, options: Options, error: Rejected) -> Any:
    """Once more by what the screen wants now, without the optional fields that it objects to."""
    screen = wanting.wanted(client, options, anew=True)
    if error.status == 403:
        client.signed_in()
        raise Unconfigured(f"no right to create there: {error}", subject=wanting.subject_of(options)) from None
    objects = error.fields.keys() - wanting.required_of(screen) - {"summary", "labels", "project", "issuetype"}
    fields = wanting.filled(draft, options, screen, without=objects)
    try:
        return _post(client, fields, draft.mark)
    except Rejected as again:
        if again.fields or again.status in (403, 404):
            raise Unconfigured(str(again), subject=wanting.subject_of(options)) from None
        raise DeliveryError(str(again), permanent=True) from None


def _post(client: Client, fields: Mapping[str, Any], mark: str) -> Any:
    return client.write("POST", "issue", {"fields": fields, "properties": [{"key": wanting.PROPERTY, "value": {"mark": mark}}]})


def comment(remote_id: str, key: str, body: str, options: Options, /) -> None:
    """The last line names our message, by which a comment that is there already is known."""
    client = Client(options)
    sign = f"cspm:{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    try:
        told = client.get(f"issue/{remote_id}/comment", maxResults=COMMENTS_LOOKED_AT, orderBy="-created") or {}
        if not any(sign in str(each.get("body", "")) for each in told.get("comments", [])):
            client.write("POST", f"issue/{remote_id}/comment", {"body": f"{wanting.text(body)}\n\n{sign}"})
    except Rejected as error:
        raise _lost(client, error) from None


def attach(remote_id: str, name: str, data: bytes, options: Options, /) -> None:
    client = Client(options)
    try:
        there = client.get(f"issue/{remote_id}", fields="attachment")["fields"].get("attachment") or []
        if not any(each.get("filename") == name for each in there):
            client.write("POST", f"issue/{remote_id}/attachments", files={"file": (name, data)}, headers=AS_PARTS)
    except Rejected as error:
        raise _lost(client, error) from None


def link(remote_id: str, draft: TicketDraft, options: Options, /) -> None:
    """A link back to our page, known by its globalId: a second one replaces the first."""
    client = Client(options)
    about = {"url": draft.link, "title": wanting.one_line(draft.title)[: wanting.SUMMARY]}
    body = {
        "globalId": f"system=cspm-triage&id={draft.mark}", "application": {"type": "cspm-triage", "name": "CSPM Triage"}, "object": about,
    }  # fmt: skip
    try:
        client.write("POST", f"issue/{remote_id}/remotelink", body)
    except Rejected as error:
        raise _lost(client, error) from None


def amend(remote_id: str, draft: TicketDraft, options: Options, /) -> None:
    """Due date and priority, as far as the edit screen has them and they differ."""
    client = Client(options)
    try:
        has = (client.get(f"issue/{remote_id}/editmeta") or {}).get("fields", {})
        now = client.get(f"issue/{remote_id}", fields="duedate,priority")["fields"]
        fields: dict[str, Any] = {}
        if "duedate" in has and draft.due_at is not None and now.get("duedate") != draft.due_at.date().isoformat():
            fields["duedate"] = draft.due_at.date().isoformat()
        wanted = wanting.priority(draft.severity, options, has["priority"]) if "priority" in has else None
        if wanted and (now.get("priority") or {}).get("id") != wanted.get("id"):
            fields["priority"] = wanted
        if fields:
            client.write("PUT", f"issue/{remote_id}", {"fields": fields})
    except Rejected as error:
        raise _lost(client, error) from None


def merge(remote_id: str, into: str, options: Options, /) -> None:
    """Close a twin, and say of what."""
    client = Client(options)
    state = _fetched(client, remote_id)
    kept = _fetched(client, into)
    if state.category in (TicketCategory.DONE, TicketCategory.DECLINED, TicketCategory.DELETED):
        return
    comment(remote_id, f"{remote_id} twin of {into}", f"The same as {kept.key}, which goes on. This one is closed.", options)
    with suppress(Rejected):  # a Jira without that type of link: the comment says it
        client.write(
            "POST", "issueLink",
            {"type": {"name": "Duplicate"}, "inwardIssue": {"key": state.key}, "outwardIssue": {"key": kept.key}},
        )  # fmt: skip
    _go(client, remote_id, options, goal=DONE)


def close(remote_id: str, options: Options, /) -> TicketState:
    return _go(Client(options), remote_id, options, goal=DONE)


def reopen(remote_id: str, options: Options, /) -> TicketState:
    return _go(Client(options), remote_id, options, goal=NEW)


def _go(client: Client, remote_id: str, options: Options, *, goal: str) -> TicketState:
    """Through the workflow by categories of statuses: straight if it can be, else by what is in progress, at most STEPS steps.

    Raises DeliveryError (permanent) when there is no way.
    """
    been: set[str] = set()
    for _step in range(STEPS + 1):
        issue = _issue(client, remote_id)
        status = issue["fields"]["status"]
        category = str((status.get("statusCategory") or {}).get("key", NEW))
        if (category == DONE) == (goal == DONE):
            return _state(client, issue, options)
        been.add(str(status.get("id")))
        try:
            told = client.get(f"issue/{remote_id}/transitions", expand="transitions.fields") or {}
        except Rejected as error:
            raise _lost(client, error) from None
        if not _step_on(client, remote_id, told.get("transitions", []), options, goal=goal, been=been):
            break
    raise DeliveryError(f"no transition that we may make leads from “{status.get('name')}” to {goal}", permanent=True)


def _step_on(
    client: Client, remote_id: str, transitions: Sequence[Mapping[str, Any]], options: Options, *, goal: str, been: set[str]
) -> bool:
    """One transition, the best first; whether one was taken."""
    preferred = str(options.get("done_transition", "")).casefold()

    def rank(each: Mapping[str, Any]) -> tuple[int, bool, int]:
        required = sum(1 for field in (each.get("fields") or {}).values() if field.get("required"))
        return _nearness(_category_of(each), goal), str(each.get("name", "")).casefold() != preferred, required

    for each in sorted((each for each in transitions if _nearness(_category_of(each), goal) < 9), key=rank):
        arrives = str((each.get("to") or {}).get("id"))
        fields = _screen(each.get("fields") or {}, options, goal)
        if fields is None or (arrives in been and _category_of(each) != goal):
            continue
        body: dict[str, Any] = {"transition": {"id": str(each["id"])}}
        try:
            client.write("POST", f"issue/{remote_id}/transitions", body | ({"fields": fields} if fields else {}))
        except Rejected as error:
            if error.status in (401, 403, 404):
                raise _lost(client, error) from None
            continue  # a condition or a validator says no: another way may be free
        return True
    return False


def _nearness(category: str, goal: str) -> int:
    """0 is there, 9 leads nowhere: what is done leads to no reopening, what is new is no step to done."""
    if goal == DONE:
        return {DONE: 0, STARTED: 1}.get(category, 9)
    return {NEW: 0, STARTED: 1}.get(category, 9)


def _category_of(transition: Mapping[str, Any]) -> str:
    return str(((transition.get("to") or {}).get("statusCategory") or {}).get("key", ""))


def _screen(fields: Mapping[str, Mapping[str, Any]], options: Options, goal: str) -> dict[str, Any] | None:
    """What the transition's screen asks for; None when it wants what nothing says."""
    filled: dict[str, Any] = {}
    for number, field in fields.items():
        allowed = [each for each in field.get("allowedValues") or () if isinstance(each, Mapping)]
        if number == "resolution" and goal == DONE and allowed and (field.get("required") or options.get("resolution")):
            names = [str(each.get("name", "")).casefold() for each in allowed]
            good = next(
                (names.index(word) for word in (str(options.get("resolution", "")).casefold(), *FIXED) if word in names), None
            )
            if good is None:
                good = next((index for index, name in enumerate(names) if name not in DECLINED), 0)
            filled["resolution"] = {"id": str(allowed[good]["id"])}
        elif field.get("required") and not field.get("hasDefaultValue"):
            value = (options.get("fields") or {}).get(number) or (options.get("fields") or {}).get(str(field.get("name")))
            if value is None:
                return None
            filled[number] = wanting.in_form(str(value), field)
    return filled


# --- reading ------------------------------------------------------------------------------------------------------------------


def find(mark: str, options: Options, /) -> tuple[TicketState, ...]:
    client = Client(options)
    query = f'labels = "{mark}" ORDER BY created ASC'
    issues: list[Mapping[str, Any]] = []
    page: dict[str, Any] = {}
    while True:
        page = _searched(client, query, page, len(issues))
        found = page.get("issues") or []
        issues += found
        last = not page.get("nextPageToken") if client.cloud else len(issues) >= int(page.get("total", 0))
        if not found or last:
            break
    return tuple(sorted((_state(client, each, options) for each in issues), key=lambda state: int(state.remote_id)))


def _searched(client: Client, query: str, page: Mapping[str, Any], start: int) -> dict[str, Any]:
    try:
        if client.cloud:
            more = {"nextPageToken": page["nextPageToken"]} if page else {}
            told = client.get("search/jql", jql=query, fields=SEEN, maxResults=50, **more)
        else:
            told = client.get("search", jql=query, fields=SEEN, maxResults=50, startAt=start)
    except Rejected as error:
        client.signed_in()
        raise DeliveryError(f"the search was rejected: {error}") from None
    if not isinstance(told, dict) or "issues" not in told:
        raise DeliveryError("what the search answered is no list of issues")
    return told


def fetch(remote_id: str, options: Options, /) -> TicketState:
    return _fetched(Client(options), remote_id, options)


def fetch_many(remote_ids: Sequence[str], options: Options, /) -> Mapping[str, TicketState]:
    """By bulk where there is one (at most AT_ONCE); what is missing in it is asked for one by one before it counts as deleted."""
    client = Client(options)
    found: dict[str, TicketState] = {}
    for start in range(0, len(remote_ids), AT_ONCE):
        some = remote_ids[start : start + AT_ONCE]
        for issue in _bulk(client, some):
            found[str(issue["id"])] = _state(client, issue, options)
    for remote_id in remote_ids:
        if remote_id not in found:
            found[remote_id] = _fetched(client, remote_id, options)
    return found


def _bulk(client: Client, remote_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    try:
        if client.cloud:
            told = client.ask("issue/bulkfetch", {"issueIdsOrKeys": list(remote_ids), "fields": SEEN.split(",")})
        else:
            query = f"id in ({', '.join(remote_ids)})"
            told = client.get("search", jql=query, fields=SEEN, maxResults=len(remote_ids), validateQuery="false")
    except Rejected:
        client.signed_in()
        return []
    return list((told or {}).get("issues") or [])


def _fetched(client: Client, remote_id: str, options: Options | None = None) -> TicketState:
    """DELETED when it is not there while the sign-in holds: to nobody, Jira says 404, too."""
    try:
        issue = client.get(f"issue/{remote_id}", fields=SEEN)
    except Rejected as error:
        client.signed_in()
        if error.status == 404:
            return TicketState(remote_id, "", "", TicketCategory.DELETED)
        raise DeliveryError(str(error)) from None
    return _state(client, issue, options or {})


def _issue(client: Client, remote_id: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = client.get(f"issue/{remote_id}", fields=SEEN)
    except Rejected as error:
        raise _lost(client, error) from None
    return found


def _lost(client: Client, error: Rejected) -> DeliveryError:
    """What a rejection of something about one issue means: nobody is signed in, or this can't be."""
    if error.status in (401, 403, 404):
        try:
            client.signed_in()
        except DeliveryError as refusal:
            return refusal
    return DeliveryError(str(error), permanent=True)


def _state(client: Client, issue: Mapping[str, Any], options: Options) -> TicketState:
    fields = issue.get("fields") or {}
    status, key = fields.get("status") or {}, str(issue.get("key", ""))
    resolution = str((fields.get("resolution") or {}).get("name", ""))
    return TicketState(
        remote_id=str(issue["id"]), key=key, url=f"{client.server}/browse/{key}",
        category=_category(status, resolution, options), status=str(resolution or status.get("name", "")),
        assignee=str((fields.get("assignee") or {}).get("displayName", "")), updated_at=_moment(fields.get("updated")),
    )  # fmt: skip


def _category(status: Mapping[str, Any], resolution: str, options: Options) -> TicketCategory:
    key = (status.get("statusCategory") or {}).get("key", NEW)
    if key != DONE:
        return TicketCategory.IN_PROGRESS if key == STARTED else TicketCategory.NEW
    declined = DECLINED | {word.strip().casefold() for word in str(options.get("declined", "")).split(",") if word.strip()}
    said = {resolution.replace("’", "'").casefold(), str(status.get("name", "")).replace("’", "'").casefold()}
    return TicketCategory.DECLINED if said & declined else TicketCategory.DONE


def _moment(written: object) -> datetime | None:
    """`2026-11-26T09:00:00.000+0000`, as Jira writes it."""
    try:
        return datetime.strptime(str(written), "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return None


# --- webhooks -----------------------------------------------------------------------------------------------------------------


def hear(headers: Mapping[str, str], body: bytes, options: Options, /) -> Heard:
    """Signed by HMAC-SHA256 of the raw body (X-Hub-Signature). The id is the same when Jira repeats a delivery."""
    given = {name.lower(): value for name, value in headers.items()}
    method, _equals, digest = given.get("x-hub-signature", "").partition("=")
    known = [secret for secret in (options.get("webhook_secret"), options.get("webhook_secret_old")) if secret]
    if not known:
        raise Forged("no secret of the webhook is configured")
    if method.strip().lower() != "sha256" or not any(_signs(str(secret), body, digest.strip()) for secret in known):
        raise Forged("the signature is not right")
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    issue = told.get("issue") if isinstance(told, dict) else None
    number = str(issue.get("id", "")) if isinstance(issue, dict) else ""
    delivery = given.get("x-atlassian-webhook-identifier") or hashlib.sha256(body).hexdigest()
    return Heard(delivery, (number,) if number else ())


def _signs(secret: str, body: bytes, digest: str) -> bool:
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), digest.lower().encode())


# --- testing ------------------------------------------------------------------------------------------------------------------


def probe(options: Options, /) -> Iterator[Probe]:
    """Reach, sign-in, project and type, each right, required fields, labels, the webhook. It writes nothing."""
    client = Client(options)
    try:
        who = client.signed_in()
    except Refused as error:
        yield Probe(Text(_("It answers")), True)
        yield Probe(Text(_("Sign-in")), False, Text("%(said)s", {"said": str(error)}))
        return
    except DeliveryError as error:
        yield Probe(Text(_("It answers")), False, Text("%(said)s", {"said": str(error)}))
        return
    yield Probe(Text(_("It answers")), True)
    yield Probe(Text(_("Sign-in")), True, Text("%(who)s", {"who": str(who.get("displayName") or who.get("name") or "")}))
    subject = wanting.subject_of(options)
    try:
        screen = wanting.wanted(client, options, anew=True)
    except (DeliveryError, Rejected) as error:
        yield Probe(Text(_("Project and issue type")), False, Text("%(said)s", {"said": str(error)}))
        return
    yield Probe(Text(_("Project and issue type")), True, Text("%(subject)s", {"subject": subject}))
    yield from _rights(client, str(options.get("project", "")))
    try:
        wanting.filled(TicketDraft("cspm-test", "test", "test", Severity.HIGH), options, screen)
        yield Probe(Text(_("Required fields")), True)
    except Unconfigured as error:
        yield Probe(Text(_("Required fields")), False, Text("%(said)s", {"said": str(error)}))
    told = Text(_("Without a secret, tickets are read every ten minutes."))
    yield Probe(Text(_("Webhook")), True, None if options.get("webhook_secret") else told)


def _rights(client: Client, project: str) -> Iterator[Probe]:
    wanted = {
        "CREATE_ISSUES": _("Right to create"), "TRANSITION_ISSUES": _("Right to change the status"),
        "ADD_COMMENTS": _("Right to comment"), "CREATE_ATTACHMENTS": _("Right to attach files"),
        "LINK_ISSUES": _("Right to link"), "EDIT_ISSUES": _("Right to edit"),
    }  # fmt: skip
    try:
        told = client.get("mypermissions", projectKey=project, permissions=",".join(wanted)) or {}
    except (DeliveryError, Rejected) as error:
        yield Probe(Text(_("Rights")), False, Text("%(said)s", {"said": str(error)}))
        return
    has = told.get("permissions") or {}
    for name, label in wanted.items():
        passed = bool((has.get(name) or {}).get("havePermission"))
        said = Text(_("The account has no permission %(name)s in %(project)s."), {"name": name, "project": project})
        yield Probe(Text(label), passed, None if passed else said)
