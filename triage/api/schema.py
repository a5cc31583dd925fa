"""What the OpenAPI document says: the shapes of answers, the words of operations. Tests hold every answer against it."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from triage.api import uploads
from triage.api.problems import KINDS, MEDIA_TYPE
from triage.api.views import LARGEST_PAGE, PAGE
from triage.domain import tokens
from triage.domain.ingest.summary import Summary
from triage.domain.rows import SLA
from triage.domain.search.pages import COUNTED, ORDERS
from triage.models import Act, Bundle, Connection, Environment, Presence, ScanState, Severity, SourceReport, Status, Verification
from triage.ports import Outcome


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers by being defined
    target_class = "triage.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002 - the framework's signature
        scopes = ", ".join(f"`{scope}`" for scope in sorted(tokens.SCOPES))
        return {
            "type": "http",
            "scheme": "bearer",
            "description": f"A token made with `cspm token create`. It has scopes ({scopes}) and never more rights than its person.",
        }


class FindingRow(serializers.Serializer[Any]):
    """The same fields as `cspm findings --json`."""

    id = serializers.RegexField(r"^F-[0-9]{6,}$")
    status = serializers.ChoiceField(Status.choices)
    presence = serializers.ChoiceField(Presence.choices, help_text="What the last scan that covered it saw.")
    severity = serializers.ChoiceField([level.name.lower() for level in Severity])
    check = serializers.CharField(help_text="The scanner's id of the check.")
    title = serializers.CharField()
    asset = serializers.CharField(help_text="The asset's identifier, such as an ARN or a repository.")
    account = serializers.CharField()
    region = serializers.CharField(allow_blank=True)
    environment = serializers.ChoiceField(Environment.choices, allow_blank=True)
    team = serializers.CharField(allow_null=True, help_text="The owner's slug; null when nobody owns it.")
    owner_reason = serializers.CharField(help_text="Why the owner is the owner, in the language of Accept-Language.")
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True)
    sla = serializers.ChoiceField(SLA, help_text="`stopped`: it has a due date whose clock does not run any more.")


class FindingPage(serializers.Serializer[Any]):
    results = FindingRow(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    total = serializers.IntegerField(help_text=f"How many match, counted up to {COUNTED}.")
    total_is_capped = serializers.BooleanField(help_text="There are more than `total`.")


class ImportProgress(serializers.Serializer[Any]):
    stage = serializers.CharField()
    rows = serializers.IntegerField()
    bytes = serializers.IntegerField()
    percent = serializers.IntegerField(min_value=0, max_value=99)


class ImportLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    page = serializers.URLField(help_text="For people.")


# Fields named after what the import counts: what is counted there is said here.
ImportCounts = type(
    "ImportCounts",
    (serializers.Serializer,),
    {name: serializers.IntegerField(required=False) for name in Summary().as_json()}
    | {
        "__doc__": "Empty until the import is done. `open`: to be fixed in the report's scope afterwards.",
        "__module__": __name__,
    },
)


class ImportJob(serializers.Serializer[Any]):
    """A report that was brought, and what became of it."""

    id = serializers.RegexField(r"^S-[0-9]+$")
    state = serializers.ChoiceField(
        ScanState.choices,
        help_text="`received` and `running` go on; `done`, `duplicate` (the same bytes were imported before) and `failed` stay.",
    )
    file_name = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    declared = serializers.DictField(help_text="What its sender said of it.")
    scanner = serializers.CharField(allow_blank=True)
    format = serializers.CharField(allow_blank=True)
    version = serializers.CharField(allow_blank=True)
    scanned_at = serializers.DateTimeField(allow_null=True, help_text="When the scanner looked.")
    received_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = ImportProgress(allow_null=True)
    counts = ImportCounts()
    notes = serializers.ListField(child=serializers.CharField(), help_text="What the report could not prove, and why.")
    problem = serializers.CharField(allow_null=True, help_text="Why it was refused.")
    duplicate_of = serializers.CharField(allow_null=True)
    links = ImportLinks()


class ImportPage(serializers.Serializer[Any]):
    results = ImportJob(many=True)
    next = serializers.URLField(allow_null=True)


OUTCOMES = {
    Outcome.FIXED: "the check passes, with evidence", Outcome.FAILING: "it still fails", Outcome.GONE: "the asset is not there any more",
    Outcome.DENIED: "`missing` was lacking", Outcome.ERROR: "no answer", Outcome.CANNOT: "nothing can answer this check",
}  # fmt: skip


class LedgerStanding(serializers.Serializer[Any]):
    """How the sealed audit trail stands."""

    size = serializers.IntegerField(help_text="Events sealed.")
    head = serializers.CharField(
        allow_null=True, help_text="The newest signed checkpoint (C2SP tlog-checkpoint), as witnesses have it."
    )
    waiting = serializers.IntegerField(help_text="Events that are not sealed yet.")
    stalled_since = serializers.DateTimeField(
        allow_null=True, help_text="Since when an event waits that should have been sealed."
    )
    checked_at = serializers.DateTimeField(allow_null=True, help_text="When the whole log was last computed again.")
    fault = serializers.CharField(allow_null=True, help_text="The first thing that was broken then; null: it held.")
    keys = serializers.ListField(child=serializers.CharField(), help_text="Verifier keys, the newest first.")


class BundleLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    file = serializers.URLField(allow_null=True, help_text="The ZIP, once it is ready.")


class BundleWish(serializers.Serializer[Any]):
    """What an evidence bundle should hold."""

    since = serializers.DateField(help_text="The first day of the period.")
    until = serializers.DateField(help_text="The last day, which counts.")
    query = serializers.CharField(required=False, help_text="Which findings; all without it.")
    framework = serializers.CharField(required=False, help_text="A framework whose controls are mapped.")
    sample = serializers.IntegerField(required=False, min_value=0, help_text="How many findings are drawn; 0 is all.")
    seed = serializers.CharField(required=False, help_text="Of the draw, so that it can be drawn again.")
    head = serializers.CharField(
        required=False, help_text="A checkpoint that somebody kept; the bundle proves that it grew from it."
    )


class BundleJob(serializers.Serializer[Any]):
    """An evidence bundle, ordered or made."""

    id = serializers.RegexField(r"^B-[0-9]+$")
    state = serializers.ChoiceField(Bundle.State.choices)
    since = serializers.DateTimeField()
    to = serializers.DateTimeField(help_text="Excluded.")
    query = serializers.CharField(allow_blank=True)
    framework = serializers.CharField(allow_blank=True)
    sample = serializers.IntegerField()
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    findings = serializers.IntegerField(allow_null=True)
    events = serializers.IntegerField(allow_null=True)
    size = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    sha256 = serializers.CharField(allow_null=True, help_text="Of the ZIP.")
    problem = serializers.CharField(allow_null=True, help_text="Why there is none.")
    links = BundleLinks()


class BundleList(serializers.Serializer[Any]):
    bundles = BundleJob(many=True)


class ActLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    page = serializers.URLField(help_text="For people: what became of each finding.")


class ActWish(serializers.Serializer[Any]):
    """What to do to which findings."""

    verb = serializers.ChoiceField(["assign", "release", "move", "acknowledge"])
    query = serializers.CharField(help_text="In the language of the queue.")
    team = serializers.CharField(required=False, help_text="Of `assign`: a team's slug, `-` for nobody.")
    to = serializers.CharField(required=False, help_text="Of `move`: the status.")
    reason = serializers.CharField(required=False)
    dry_run = serializers.BooleanField(required=False, help_text="Answer what would follow, and do nothing.")


class ActJob(serializers.Serializer[Any]):
    """What was done to many findings."""

    id = serializers.RegexField(r"^A-[0-9]+$")
    verb = serializers.ChoiceField(Act.Verb.choices)
    params = serializers.DictField(child=serializers.CharField())
    query = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(Act.State.choices)
    total = serializers.IntegerField(help_text="Findings that were meant.")
    done = serializers.IntegerField(help_text="Those that changed.")
    skipped = serializers.IntegerField(help_text="Those that were left as they are; the page says why.")
    at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    links = ActLinks()


class ActSkipped(serializers.Serializer[Any]):
    why = serializers.CharField(help_text="In the language of Accept-Language.")
    n = serializers.IntegerField()


class ActTeam(serializers.Serializer[Any]):
    team = serializers.CharField(allow_null=True, help_text="Who has them now; null is nobody.")
    n = serializers.IntegerField()


class ActPlan(serializers.Serializer[Any]):
    """What would follow."""

    total = serializers.IntegerField()
    changes = serializers.IntegerField()
    tickets = serializers.IntegerField(help_text="Of those that change, how many are in an open ticket.")
    skipped = ActSkipped(many=True)
    teams = ActTeam(many=True)


class SourceReportRow(serializers.Serializer[Any]):
    """A report that a source brought. (`import`: added below, as the word is Python's.)"""

    name = serializers.CharField()
    version = serializers.CharField(help_text="Another one as soon as its bytes may be others.")
    state = serializers.ChoiceField(SourceReport.State.choices)
    found_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)
    said = serializers.ListField(child=serializers.CharField(), help_text="What is to be known of it, or why it was not taken.")

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | {"import": serializers.URLField(allow_null=True)}


class SourceRow(serializers.Serializer[Any]):
    """A source of reports."""

    name = serializers.CharField()
    plugin = serializers.CharField()
    state = serializers.ChoiceField(Connection.State.choices)
    last_report = serializers.DateTimeField(allow_null=True)
    next = serializers.DateTimeField(allow_null=True, help_text="When it is looked at again.")
    waiting = serializers.IntegerField(help_text="Reports that were found and not fetched yet.")
    alarms = serializers.ListField(child=serializers.CharField())
    reports = SourceReportRow(many=True, help_text="The newest.")


class SourceList(serializers.Serializer[Any]):
    sources = SourceRow(many=True)


class SourceLook(SourceRow):
    """As it is after the look."""

    found = serializers.IntegerField(help_text="Reports that are new.")


class VerificationLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    page = serializers.URLField(help_text="For people: the finding.")


class VerificationJob(serializers.Serializer[Any]):
    """A check that is run again, and what it said."""

    id = serializers.RegexField(r"^V-[0-9]+$")
    finding = serializers.RegexField(r"^F-[0-9]{6,}$")
    run = serializers.CharField(allow_null=True, help_text="The run that it is of.")
    trigger = serializers.ChoiceField(Verification.Trigger.choices)
    state = serializers.ChoiceField(
        Verification.State.choices, help_text="`queued` and `running` go on; `done` and `withdrawn` stay."
    )
    outcome = serializers.ChoiceField(
        list(Outcome), allow_null=True, help_text="; ".join(f"`{outcome}`: {what}" for outcome, what in OUTCOMES.items()) + "."
    )
    summary = serializers.CharField(allow_null=True, help_text="In the language of Accept-Language.")
    missing = serializers.CharField(allow_null=True, help_text="The permission to give.")
    principal = serializers.CharField(allow_null=True, help_text="Who asked, and would need it.")
    verifier = serializers.CharField(allow_null=True)
    evidence = serializers.RegexField(r"^[0-9a-f]{64}$", allow_null=True, help_text="SHA-256 of what was asked and answered.")
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    links = VerificationLinks()


class VerificationRunLinks(serializers.Serializer[Any]):
    self = serializers.URLField()


# Fields named after outcomes: as many of them as there were.
VerificationOutcomes = type(
    "VerificationOutcomes",
    (serializers.Serializer,),
    {str(outcome): serializers.IntegerField(required=False, help_text=what) for outcome, what in OUTCOMES.items()}
    | {"__doc__": "How many were judged so.", "__module__": __name__},
)


class VerificationRunJob(serializers.Serializer[Any]):
    """Verifications that were asked for at once."""

    id = serializers.RegexField(r"^R-[0-9]+$")
    query = serializers.CharField(allow_blank=True)
    trigger = serializers.ChoiceField(Verification.Trigger.choices)
    state = serializers.ChoiceField(["running", "done", "cancelled"])
    total = serializers.IntegerField(help_text="Verifications that were asked for.")
    barred = serializers.IntegerField(help_text="Findings that the token's person may not verify.")
    unanswered = serializers.IntegerField(help_text="Findings whose check no verifier answers.")
    joined = serializers.IntegerField(help_text="Findings whose verification was on its way already.")
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    outcomes = VerificationOutcomes()
    percent = serializers.IntegerField(min_value=0, max_value=100)
    seconds_left = serializers.IntegerField(allow_null=True, help_text="By the pace of late; null if nobody can say.")
    requested_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    links = VerificationRunLinks()


class VerificationWish(serializers.Serializer[Any]):
    query = serializers.CharField(help_text="In the language of the search box, such as `status:fix_claimed team:payments`.")
    limit = serializers.IntegerField(required=False, min_value=1, help_text="So many at most, the worst first.")


class ProblemPlace(serializers.Serializer[Any]):
    """One thing that is wrong, and where."""

    detail = serializers.CharField()
    pointer = serializers.CharField(required=False, help_text="A field of the body, as `#/name`.")
    parameter = serializers.CharField(required=False, help_text="A parameter of the address.")
    position = serializers.IntegerField(required=False, help_text="Where in the text, from 0.")
    length = serializers.IntegerField(required=False)
    suggestions = serializers.ListField(child=serializers.CharField(), required=False)


class Problem(serializers.Serializer[Any]):
    """RFC 9457. `code` is stable; `title` and `detail` are in the language of Accept-Language."""

    type = serializers.CharField(help_text="Where this kind of problem is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.ChoiceField(list(KINDS))
    errors = ProblemPlace(many=True)  # type: ignore[assignment]  # a declared field, which the metaclass takes away
    trace_id = serializers.CharField(required=False, help_text="Under which the log knows more (500).")


LANGUAGE = OpenApiParameter(
    "Accept-Language", str, OpenApiParameter.HEADER, description="`fr` or `en`: the language of sentences."
)
CURSOR = OpenApiParameter("cursor", str, description="From `next` or `previous` of another page.")
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}, description="Results on a page."
)
LINK = OpenApiParameter("Link", str, OpenApiParameter.HEADER, response=[200], description="The neighbouring pages (RFC 8288).")
CHOICES = {"complete": {"type": "boolean"}, "mapping": {"type": "string"}}
MEANINGS = {
    "complete": "Whether the report is everything that the scanner looked at. Left out, the report itself has to show it.",
    "mapping": "For a CSV or JSON of any other shape: a JSON object that says which column holds what.",
    "account": "Whose report it is, where it does not say so itself.",
    "branch": "Code: the branch that was scanned.",
    "category": "Code: what tells two runs of the same tool on one repository apart.",
    "repository": "Code: the repository that was scanned.",
    "zone": "The time zone of times that name none, such as Europe/Paris.",
}


def _answers(good: dict[Any, Any], *problems: int) -> dict[Any, Any]:
    """The good answers, and the problems that may come instead."""
    bad = {
        (status, MEDIA_TYPE): OpenApiResponse(
            Problem, "; ".join(f"`{code}`" for code, kind in KINDS.items() if kind.status == status)
        )
        for status in sorted({400, 401, 403, 405, 500, *problems})
    }
    return {**good, **bad}


def _number(letter: str, description: str) -> OpenApiParameter:
    shape = {"type": "string", "pattern": f"^([{letter}{letter.lower()}]-)?[0-9]{{1,18}}$"}
    return OpenApiParameter("number", shape, OpenApiParameter.PATH, description=description)


IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description="The same key with the same request is answered the same, and done once. Kept for seven days.",
)  # fmt: skip


def _asking(status: int) -> list[OpenApiParameter]:
    """What an operation has that is done once and watched from then on."""
    return [LANGUAGE, IDEMPOTENCY, _answered("Location", status, "What to poll."), _replayed(status)]


def _replayed(status: int) -> OpenApiParameter:
    return _answered("Idempotency-Replayed", status, "`true`: answered before.")


def _answered(name: str, status: int, description: str) -> OpenApiParameter:
    """A header of the answer."""
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[status], description=description)


_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": [uploads.FILE],
    "additionalProperties": False,
    "properties": {
        uploads.FILE: {**_FILE, "description": "The scanner's report; .gz and .zip as well."},
        **{name: {**CHOICES.get(name, {"type": "string"}), "description": MEANINGS[name]} for name in uploads.FIELDS},
    },
}

IMPORT_REPORT: dict[str, Any] = {
    "operation_id": "import_report",
    "summary": "Import a report",
    "description": "Takes a scanner's report of any known format, keeps it, and answers with the job that imports it. Its format is "
    "known by its content. Send it as a form with the field `file`, or as the body itself with `name` and the fields in the "
    "address. The same bytes with the same fields change nothing when they come again: such a job ends as `duplicate`.\n\n"
    "Scope: `imports:write`.",
    "parameters": [
        LANGUAGE,
        IDEMPOTENCY,
        OpenApiParameter(uploads.NAME, str, description="The file's name, where the body is the report."),
        *(
            OpenApiParameter(name, CHOICES.get(name, str), description=f"Where the body is the report. {MEANINGS[name]}")
            for name in uploads.FIELDS
        ),
        _answered("Location", 202, "The job to poll."),
        _replayed(202),
    ],
    "request": {uploads.MULTIPART: _FORM, **dict.fromkeys(uploads.RAW_TYPES, _FILE)},
    "responses": _answers({202: ImportJob}, 409, 411, 413, 415, 422),
}  # fmt: skip
LIST_IMPORTS: dict[str, Any] = {
    "operation_id": "list_imports",
    "summary": "List imports",
    "description": "Newest first.\n\nScope: `imports:read`.",
    "parameters": [LANGUAGE, CURSOR, LIMIT, LINK],
    "responses": _answers({200: ImportPage}),
}
READ_IMPORT: dict[str, Any] = {
    "operation_id": "read_import",
    "summary": "Look at an import",
    "description": "The job to poll: ask again after as many seconds as Retry-After says, until that header is missing.\n\n"
    "Scope: `imports:read`.",
    "parameters": [
        _number("S", "`S-12` or 12."),
        LANGUAGE,
        OpenApiParameter("Retry-After", int, OpenApiParameter.HEADER, response=[200], description="Seconds, while it goes on."),
    ],
    "responses": _answers({200: ImportJob}, 404),
}  # fmt: skip
LIST_FINDINGS: dict[str, Any] = {
    "operation_id": "list_findings",
    "summary": "List findings",
    "description": "Those that a query means, in the language of the search box: `severity>=high env:prod team:payments age>30d`. "
    "Without one, all.\n\nScope: `findings:read`.",
    "parameters": [
        LANGUAGE,
        OpenApiParameter("q", str, description="The query, in English or French."),
        OpenApiParameter("order", str, enum=list(ORDERS), default="score"),
        CURSOR,
        LIMIT,
        LINK,
    ],
    "responses": _answers({200: FindingPage}),
}
READ_FINDING: dict[str, Any] = {
    "operation_id": "read_finding",
    "summary": "Look at a finding",
    "description": "One that was merged into another is found under its old id.\n\nScope: `findings:read`.",
    "parameters": [
        _number("F", "`F-000123` or 123."),
        LANGUAGE,
        OpenApiParameter("Content-Location", str, OpenApiParameter.HEADER, response=[200], description="Its address under its own id."),
    ],
    "responses": _answers({200: FindingRow}, 404),
}  # fmt: skip
ACT: dict[str, Any] = {
    "operation_id": "act",
    "summary": "Do something to all that a query means",
    "description": "Gives findings to a team, lets the rules decide again, moves their status, or acknowledges them. What the token's "
    "person may not change is left as it is, and counted. It can be taken back within a day.\n\nScope: `findings:write`.",
    "parameters": _asking(202),
    "request": {"application/json": ActWish},
    "responses": _answers({200: ActPlan, 202: ActJob}, 403, 404, 409, 415, 422),
}
READ_LEDGER: dict[str, Any] = {
    "operation_id": "read_ledger",
    "summary": "How the sealed log stands",
    "description": "Its newest head, what waits to be sealed, and whether it held when it was last computed again.\n\nScope: `audit:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: LedgerStanding}),
}
LIST_BUNDLES: dict[str, Any] = {
    "operation_id": "list_bundles",
    "summary": "Look at the evidence bundles",
    "description": "The newest, with what became of them.\n\nScope: `audit:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: BundleList}),
}
ORDER_BUNDLE: dict[str, Any] = {
    "operation_id": "order_bundle",
    "summary": "Order an evidence bundle",
    "description": "The findings of a period with the proof of each, as a ZIP that `verify.py` checks without this software. A worker "
    "makes it.\n\nScope: `audit:write`.",
    "parameters": _asking(202),
    "request": {"application/json": BundleWish},
    "responses": _answers({202: BundleJob}, 409, 415, 422),
}
READ_BUNDLE: dict[str, Any] = {
    "operation_id": "read_bundle",
    "summary": "Look at an evidence bundle",
    "description": "Poll as a verification.\n\nScope: `audit:read`.",
    "parameters": [_number("B", "`B-3` or 3."), LANGUAGE],
    "responses": _answers({200: BundleJob}, 404),
}
FETCH_BUNDLE: dict[str, Any] = {
    "operation_id": "fetch_bundle",
    "summary": "Fetch an evidence bundle",
    "description": "That it was fetched is an event of the audit trail.\n\nScope: `audit:read`.",
    "parameters": [_number("B", "`B-3` or 3."), LANGUAGE],
    "responses": _answers({(200, "application/zip"): OpenApiTypes.BINARY}, 404),
}
READ_EVIDENCE: dict[str, Any] = {
    "operation_id": "read_evidence",
    "summary": "The evidence of a verification",
    "description": "The bytes as they were kept: request, answer, principal, time and versions, without credentials. Their SHA-256 is "
    "the one in the audit trail. That they were read is an event.\n\nScope: `verifications:read`.",
    "parameters": [_number("V", "`V-12` or 12."), LANGUAGE],
    "responses": _answers({(200, "application/octet-stream"): OpenApiTypes.BINARY}, 404, 503),
}
READ_ACT: dict[str, Any] = {
    "operation_id": "read_act",
    "summary": "Look at an act",
    "description": "One's own; any for who triages. Poll as a verification.\n\nScope: `findings:write`.",
    "parameters": [_number("A", "`A-12` or 12."), LANGUAGE],
    "responses": _answers({200: ActJob}, 404),
}
UNDO_ACT: dict[str, Any] = {
    "operation_id": "undo_act",
    "summary": "Take an act back",
    "description": "Within a day. What somebody has changed since is left as it is.\n\nScope: `findings:write`.",
    "parameters": [_number("A", "`A-12` or 12."), LANGUAGE],
    "request": None,
    "responses": _answers({200: ActJob}, 404, 422),
}
LIST_SOURCES: dict[str, Any] = {
    "operation_id": "list_sources",
    "summary": "Look at the sources",
    "description": "Where reports come from by themselves, when each last brought one, and what is wrong.\n\nScope: `imports:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: SourceList}),
}
LOOK_AT_SOURCE: dict[str, Any] = {
    "operation_id": "look_at_source",
    "summary": "Look at a source now",
    "description": "Whatever its interval. One that has a scanner run has it run. What is new is fetched and imported afterwards; asking "
    "twice takes nothing in twice.\n\nScope: `imports:write`.",
    "parameters": [OpenApiParameter("name", str, OpenApiParameter.PATH), LANGUAGE],
    "request": None,
    "responses": _answers({202: SourceLook}, 404, 422),
}
RETRY = OpenApiParameter("Retry-After", int, OpenApiParameter.HEADER, response=[200], description="Seconds, while it goes on.")
VERIFY_FINDING: dict[str, Any] = {
    "operation_id": "verify_finding",
    "summary": "Verify a finding",
    "description": "Runs the finding's check again, on its asset. One that is on its way already is answered as it is. The token's person "
    "needs the right to verify in the finding's team.\n\nScope: `verifications:write`.",
    "parameters": [_number("F", "`F-000123` or 123."), *_asking(202)],
    "request": None,
    "responses": _answers({202: VerificationJob}, 404, 409, 422),
}  # fmt: skip
VERIFY_FINDINGS: dict[str, Any] = {
    "operation_id": "verify_findings",
    "summary": "Verify all that a query means",
    "description": "Runs the checks again of all findings that the query means, the worst first, as one run. What the token's person may "
    "not verify, and what nothing can answer, is counted and left out.\n\nScope: `verifications:write`.",
    "parameters": _asking(202),
    "request": {"application/json": VerificationWish},
    "responses": _answers({202: VerificationRunJob}, 409, 415, 422),
}
READ_VERIFICATION: dict[str, Any] = {
    "operation_id": "read_verification",
    "summary": "Look at a verification",
    "description": "What to poll: ask again after as many seconds as Retry-After says, until that header is missing.\n\n"
    "Scope: `verifications:read`.",
    "parameters": [_number("V", "`V-12` or 12."), LANGUAGE, RETRY],
    "responses": _answers({200: VerificationJob}, 404),
}
READ_VERIFICATION_RUN: dict[str, Any] = {
    "operation_id": "read_verification_run",
    "summary": "Look at a run of verifications",
    "description": "How far it is and what came of it. Poll as a verification.\n\nScope: `verifications:read`.",
    "parameters": [_number("R", "`R-12` or 12."), LANGUAGE, RETRY],
    "responses": _answers({200: VerificationRunJob}, 404),
}
CANCEL_VERIFICATION_RUN: dict[str, Any] = {
    "operation_id": "cancel_verification_run",
    "summary": "Cancel a run of verifications",
    "description": "Withdraws what of it still waits; what runs already is finished. For who asked for it, and whoever may verify anything."
    "\n\nScope: `verifications:write`.",
    "parameters": [
        _number("R", "`R-12` or 12."), LANGUAGE, IDEMPOTENCY, _replayed(200),
    ],
    "request": None,
    "responses": _answers({200: VerificationRunJob}, 404, 409, 422),
}  # fmt: skip
