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
            "description": f"A token created with `cspm token create`. It has scopes ({scopes}) and never more rights than its person.",
        }


class FindingRow(serializers.Serializer[Any]):
    """The same fields as `cspm findings --json`."""

    id = serializers.RegexField(r"^F-[0-9]{6,}$")
    status = serializers.ChoiceField(Status.choices)
    presence = serializers.ChoiceField(Presence.choices, help_text="What the last scan that covered it reported.")
    severity = serializers.ChoiceField([level.name.lower() for level in Severity])
    check = serializers.CharField(help_text="The scanner's id for the check.")
    title = serializers.CharField()
    asset = serializers.CharField(help_text="The asset's identifier, such as an ARN or a repository.")
    account = serializers.CharField()
    region = serializers.CharField(allow_blank=True)
    environment = serializers.ChoiceField(Environment.choices, allow_blank=True)
    team = serializers.CharField(allow_null=True, help_text="The owner's slug; null if nobody owns it.")
    owner_reason = serializers.CharField(help_text="Why this team owns it, in the language requested by Accept-Language.")
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True)
    sla = serializers.ChoiceField(SLA, help_text="`stopped`: it has a due date, and its clock is no longer running.")


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
    page = serializers.URLField(help_text="The page for people.")


# Fields named after what the import counts: what is counted there is said here.
ImportCounts = type(
    "ImportCounts",
    (serializers.Serializer,),
    {name: serializers.IntegerField(required=False) for name in Summary().as_json()}
    | {
        "__doc__": "Empty until the import is done. `open`: findings to fix in the report's scope afterwards.",
        "__module__": __name__,
    },
)


class ImportJob(serializers.Serializer[Any]):
    """An imported report, and its outcome."""

    id = serializers.RegexField(r"^S-[0-9]+$")
    state = serializers.ChoiceField(
        ScanState.choices,
        help_text="`received` and `running` are in progress; `done`, `duplicate` (the same bytes were imported before) "
        "and `failed` are final.",
    )
    file_name = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    declared = serializers.DictField(help_text="What the sender declared about it.")
    scanner = serializers.CharField(allow_blank=True)
    format = serializers.CharField(allow_blank=True)
    version = serializers.CharField(allow_blank=True)
    scanned_at = serializers.DateTimeField(allow_null=True, help_text="When the scanner ran.")
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
    Outcome.FIXED: "the check passes, with evidence",
    Outcome.FAILING: "it still fails",
    Outcome.GONE: "the asset no longer exists",
    Outcome.DENIED: "the permission in `missing` was lacking",
    Outcome.ERROR: "no answer",
    Outcome.CANNOT: "no verifier supports this check",
}


class LedgerStanding(serializers.Serializer[Any]):
    """The state of the sealed audit trail."""

    size = serializers.IntegerField(help_text="Sealed events.")
    head = serializers.CharField(
        allow_null=True, help_text="The newest signed checkpoint (C2SP tlog-checkpoint), as witnesses have it."
    )
    waiting = serializers.IntegerField(help_text="Events that are not sealed yet.")
    stalled_since = serializers.DateTimeField(
        allow_null=True, help_text="Since when an event has been waiting that should have been sealed."
    )
    checked_at = serializers.DateTimeField(allow_null=True, help_text="When the whole ledger was last recomputed.")
    fault = serializers.CharField(allow_null=True, help_text="The first thing found broken then; null: intact.")
    keys = serializers.ListField(child=serializers.CharField(), help_text="Verifier keys, the newest first.")


class BundleLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    file = serializers.URLField(allow_null=True, help_text="The ZIP, once it is ready.")


class BundleWish(serializers.Serializer[Any]):
    """What an evidence bundle should contain."""

    since = serializers.DateField(help_text="The first day of the period.")
    until = serializers.DateField(help_text="The last day of the period, inclusive.")
    query = serializers.CharField(required=False, help_text="Which findings; all if omitted.")
    framework = serializers.CharField(required=False, help_text="A framework whose controls are mapped to checks.")
    sample = serializers.IntegerField(required=False, min_value=0, help_text="How many findings are sampled; 0 for all.")
    seed = serializers.CharField(required=False, help_text="The seed of the sample, so that it can be drawn again.")
    head = serializers.CharField(
        required=False, help_text="A checkpoint that somebody kept; the bundle proves that the ledger grew from it."
    )


class BundleJob(serializers.Serializer[Any]):
    """An evidence bundle, requested or ready."""

    id = serializers.RegexField(r"^B-[0-9]+$")
    state = serializers.ChoiceField(Bundle.State.choices)
    since = serializers.DateTimeField()
    to = serializers.DateTimeField(help_text="Exclusive.")
    query = serializers.CharField(allow_blank=True)
    framework = serializers.CharField(allow_blank=True)
    sample = serializers.IntegerField()
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    findings = serializers.IntegerField(allow_null=True)
    events = serializers.IntegerField(allow_null=True)
    size = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    sha256 = serializers.CharField(allow_null=True, help_text="Of the ZIP.")
    problem = serializers.CharField(allow_null=True, help_text="Why there is no bundle.")
    links = BundleLinks()


class BundleList(serializers.Serializer[Any]):
    bundles = BundleJob(many=True)


class ActLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    page = serializers.URLField(help_text="The page for people: what happened to each finding.")


class ActWish(serializers.Serializer[Any]):
    """The action, and the findings it applies to."""

    verb = serializers.ChoiceField(["assign", "release", "move", "acknowledge"])
    query = serializers.CharField(help_text="Written as in the triage queue.")
    team = serializers.CharField(required=False, help_text="For `assign`: a team's slug, or `-` for nobody.")
    to = serializers.CharField(required=False, help_text="For `move`: the new status.")
    reason = serializers.CharField(required=False)
    dry_run = serializers.BooleanField(required=False, help_text="Return what would happen, and change nothing.")


class ActJob(serializers.Serializer[Any]):
    """What was done to many findings at once."""

    id = serializers.RegexField(r"^A-[0-9]+$")
    verb = serializers.ChoiceField(Act.Verb.choices)
    params = serializers.DictField(child=serializers.CharField())
    query = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(Act.State.choices)
    total = serializers.IntegerField(help_text="Findings selected.")
    done = serializers.IntegerField(help_text="Findings changed.")
    skipped = serializers.IntegerField(help_text="Findings left unchanged; the page says why.")
    at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    links = ActLinks()


class ActSkipped(serializers.Serializer[Any]):
    why = serializers.CharField(help_text="In the language requested by Accept-Language.")
    n = serializers.IntegerField()


class ActTeam(serializers.Serializer[Any]):
    team = serializers.CharField(allow_null=True, help_text="Their present owner; null for nobody.")
    n = serializers.IntegerField()


class ActPlan(serializers.Serializer[Any]):
    """What would happen."""

    total = serializers.IntegerField()
    changes = serializers.IntegerField()
    tickets = serializers.IntegerField(help_text="How many of the changed findings are in an open ticket.")
    skipped = ActSkipped(many=True)
    teams = ActTeam(many=True)


class SourceReportRow(serializers.Serializer[Any]):
    """A report from a source."""

    name = serializers.CharField()
    version = serializers.CharField(help_text="Changes as soon as the content may have changed.")
    state = serializers.ChoiceField(SourceReport.State.choices)
    found_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)
    said = serializers.ListField(child=serializers.CharField(), help_text="Remarks about it, or why it was not imported.")

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | {"import": serializers.URLField(allow_null=True)}


class SourceRow(serializers.Serializer[Any]):
    """A source of reports."""

    name = serializers.CharField()
    plugin = serializers.CharField()
    state = serializers.ChoiceField(Connection.State.choices)
    last_report = serializers.DateTimeField(allow_null=True)
    next = serializers.DateTimeField(allow_null=True, help_text="When it is next fetched.")
    waiting = serializers.IntegerField(help_text="Reports found and not yet fetched.")
    alarms = serializers.ListField(child=serializers.CharField())
    reports = SourceReportRow(many=True, help_text="The newest report.")


class SourceList(serializers.Serializer[Any]):
    sources = SourceRow(many=True)


class SourceLook(SourceRow):
    """The source after the fetch."""

    found = serializers.IntegerField(help_text="New reports.")


class VerificationLinks(serializers.Serializer[Any]):
    self = serializers.URLField()
    page = serializers.URLField(help_text="The page for people: the finding.")


class VerificationJob(serializers.Serializer[Any]):
    """A check that is rerun, and its outcome."""

    id = serializers.RegexField(r"^V-[0-9]+$")
    finding = serializers.RegexField(r"^F-[0-9]{6,}$")
    run = serializers.CharField(allow_null=True, help_text="The run it belongs to.")
    trigger = serializers.ChoiceField(Verification.Trigger.choices)
    state = serializers.ChoiceField(
        Verification.State.choices, help_text="`queued` and `running` are in progress; `done` and `withdrawn` are final."
    )
    outcome = serializers.ChoiceField(
        list(Outcome), allow_null=True, help_text="; ".join(f"`{outcome}`: {what}" for outcome, what in OUTCOMES.items()) + "."
    )
    summary = serializers.CharField(allow_null=True, help_text="In the language requested by Accept-Language.")
    missing = serializers.CharField(allow_null=True, help_text="The permission to grant.")
    principal = serializers.CharField(allow_null=True, help_text="The identity that asked, and would need it.")
    verifier = serializers.CharField(allow_null=True)
    evidence = serializers.RegexField(r"^[0-9a-f]{64}$", allow_null=True, help_text="SHA-256 of the request and the answer.")
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
    | {"__doc__": "How many had this outcome.", "__module__": __name__},
)


class VerificationRunJob(serializers.Serializer[Any]):
    """Verifications requested together."""

    id = serializers.RegexField(r"^R-[0-9]+$")
    query = serializers.CharField(allow_blank=True)
    trigger = serializers.ChoiceField(Verification.Trigger.choices)
    state = serializers.ChoiceField(["running", "done", "cancelled"])
    total = serializers.IntegerField(help_text="Verifications requested.")
    barred = serializers.IntegerField(help_text="Findings that the token's person may not verify.")
    unanswered = serializers.IntegerField(help_text="Findings whose check no verifier supports.")
    joined = serializers.IntegerField(help_text="Findings already being verified.")
    waiting = serializers.IntegerField()
    running = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    outcomes = VerificationOutcomes()
    percent = serializers.IntegerField(min_value=0, max_value=100)
    seconds_left = serializers.IntegerField(allow_null=True, help_text="At the recent pace; null if unknown.")
    requested_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    links = VerificationRunLinks()


class VerificationWish(serializers.Serializer[Any]):
    query = serializers.CharField(help_text="Written as in the search box, such as `status:fix_claimed team:payments`.")
    limit = serializers.IntegerField(required=False, min_value=1, help_text="At most this many, worst first.")


class ProblemPlace(serializers.Serializer[Any]):
    """One thing that is wrong, and where."""

    detail = serializers.CharField()
    pointer = serializers.CharField(required=False, help_text="A field of the body, as `#/name`.")
    parameter = serializers.CharField(required=False, help_text="A query parameter.")
    position = serializers.IntegerField(required=False, help_text="The position in the text, from 0.")
    length = serializers.IntegerField(required=False)
    suggestions = serializers.ListField(child=serializers.CharField(), required=False)


class Problem(serializers.Serializer[Any]):
    """RFC 9457. `code` is stable; `title` and `detail` are in the language requested by Accept-Language."""

    type = serializers.CharField(help_text="Where this kind of problem is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.ChoiceField(list(KINDS))
    errors = ProblemPlace(many=True)  # type: ignore[assignment]  # a declared field, which the metaclass takes away
    trace_id = serializers.CharField(required=False, help_text="The reference under which the log has details (500).")


LANGUAGE = OpenApiParameter(
    "Accept-Language", str, OpenApiParameter.HEADER, description="`fr` or `en`: the language of messages."
)
CURSOR = OpenApiParameter("cursor", str, description="From `next` or `previous` of another page.")
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}, description="Results per page."
)
LINK = OpenApiParameter(
    "Link", str, OpenApiParameter.HEADER, response=[200], description="The previous and next pages (RFC 8288)."
)
CHOICES = {"complete": {"type": "boolean"}, "mapping": {"type": "string"}}
MEANINGS = {
    "complete": "Whether the report covers everything the scanner looked at. If omitted, the report itself has to show it.",
    "mapping": "For any other CSV or JSON: a JSON object that says which column holds what.",
    "account": "The account, if the report does not name it.",
    "branch": "Code: the branch that was scanned.",
    "category": "Code: what distinguishes two runs of the same tool on one repository.",
    "repository": "Code: the repository that was scanned.",
    "zone": "The time zone of times that do not give one, such as Europe/Paris.",
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
    description="Repeating the same request with the same key returns the same answer; the action is done once. Keys "
                "are kept for seven days.",
)  # fmt: skip


def _asking(status: int) -> list[OpenApiParameter]:
    """What an operation has that is done once and watched from then on."""
    return [LANGUAGE, IDEMPOTENCY, _answered("Location", status, "The address to poll."), _replayed(status)]


def _replayed(status: int) -> OpenApiParameter:
    return _answered("Idempotency-Replayed", status, "`true`: this answer was given before.")


def _answered(name: str, status: int, description: str) -> OpenApiParameter:
    """A header of the answer."""
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[status], description=description)


_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": [uploads.FILE],
    "additionalProperties": False,
    "properties": {
        uploads.FILE: {**_FILE, "description": "The scanner's report; also as .gz or .zip."},
        **{name: {**CHOICES.get(name, {"type": "string"}), "description": MEANINGS[name]} for name in uploads.FIELDS},
    },
}

IMPORT_REPORT: dict[str, Any] = {
    "operation_id": "import_report",
    "summary": "Import a report",
    "description": "Accepts a scanner's report in any known format, stores it, and returns the job that imports it. The "
                   "format is recognised from the content. Send it as a form with the field `file`, or as the body "
                   "itself with `name` and the other fields in the query string. Sending the same bytes with the same "
                   "fields again changes nothing: that job ends as `duplicate`.\n\nScope: `imports:write`.",
    "parameters": [
        LANGUAGE,
        IDEMPOTENCY,
        OpenApiParameter(uploads.NAME, str, description="The file's name, if the body is the report."),
        *(
            OpenApiParameter(name, CHOICES.get(name, str), description=f"If the body is the report. {MEANINGS[name]}")
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
    "summary": "Get an import",
    "description": "The job to poll: ask again after the number of seconds in Retry-After, until that header is "
                   "absent.\n\nScope: `imports:read`.",
    "parameters": [
        _number("S", "`S-12` or 12."),
        LANGUAGE,
        OpenApiParameter("Retry-After", int, OpenApiParameter.HEADER, response=[200], description="Seconds to wait, while it "
                                                                                                  "is running."),
    ],
    "responses": _answers({200: ImportJob}, 404),
}  # fmt: skip
LIST_FINDINGS: dict[str, Any] = {
    "operation_id": "list_findings",
    "summary": "List findings",
    "description": "Findings that match a query, written as in the search box: `severity>=high env:prod team:payments "
    "age>30d`. Without a query, all findings.\n\nScope: `findings:read`.",
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
    "summary": "Get a finding",
    "description": "A finding that was merged into another is still found under its old id.\n\nScope: `findings:read`.",
    "parameters": [
        _number("F", "`F-000123` or 123."),
        LANGUAGE,
        OpenApiParameter("Content-Location", str, OpenApiParameter.HEADER, response=[200], description="The address under "
                                                                                                       "its current id."),
    ],
    "responses": _answers({200: FindingRow}, 404),
}  # fmt: skip
ACT: dict[str, Any] = {
    "operation_id": "act",
    "summary": "Apply a bulk action to everything a query matches",
    "description": "Assigns findings to a team, releases them to the rules, changes their status, or acknowledges them. "
    "Findings that the token's person may not change are left unchanged and counted. It can be undone "
    "within one day.\n\nScope: `findings:write`.",
    "parameters": _asking(202),
    "request": {"application/json": ActWish},
    "responses": _answers({200: ActPlan, 202: ActJob}, 403, 404, 409, 415, 422),
}
READ_LEDGER: dict[str, Any] = {
    "operation_id": "read_ledger",
    "summary": "Get the state of the ledger",
    "description": "Its newest head, what is waiting to be sealed, and whether it was intact when last "
    "recomputed.\n\nScope: `audit:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: LedgerStanding}),
}
LIST_BUNDLES: dict[str, Any] = {
    "operation_id": "list_bundles",
    "summary": "List evidence bundles",
    "description": "The newest first, with their state.\n\nScope: `audit:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: BundleList}),
}
ORDER_BUNDLE: dict[str, Any] = {
    "operation_id": "order_bundle",
    "summary": "Create an evidence bundle",
    "description": "The findings of a period with the evidence of each, as a ZIP that `verify.py` checks without this "
    "software. A worker builds it.\n\nScope: `audit:write`.",
    "parameters": _asking(202),
    "request": {"application/json": BundleWish},
    "responses": _answers({202: BundleJob}, 409, 415, 422),
}
READ_BUNDLE: dict[str, Any] = {
    "operation_id": "read_bundle",
    "summary": "Get an evidence bundle",
    "description": "Poll as for a verification.\n\nScope: `audit:read`.",
    "parameters": [_number("B", "`B-3` or 3."), LANGUAGE],
    "responses": _answers({200: BundleJob}, 404),
}
FETCH_BUNDLE: dict[str, Any] = {
    "operation_id": "fetch_bundle",
    "summary": "Download an evidence bundle",
    "description": "Each download is recorded in the audit trail.\n\nScope: `audit:read`.",
    "parameters": [_number("B", "`B-3` or 3."), LANGUAGE],
    "responses": _answers({(200, "application/zip"): OpenApiTypes.BINARY}, 404),
}
READ_EVIDENCE: dict[str, Any] = {
    "operation_id": "read_evidence",
    "summary": "Get the evidence of a verification",
    "description": "The bytes as stored: request, answer, principal, time and versions, without credentials. Their "
    "SHA-256 is the one in the audit trail. Each read is recorded.\n\nScope: `verifications:read`.",
    "parameters": [_number("V", "`V-12` or 12."), LANGUAGE],
    "responses": _answers({(200, "application/octet-stream"): OpenApiTypes.BINARY}, 404, 503),
}
READ_ACT: dict[str, Any] = {
    "operation_id": "read_act",
    "summary": "Get a bulk action",
    "description": "Your own actions; all of them if you triage. Poll as for a verification.\n\nScope: `findings:write`.",
    "parameters": [_number("A", "`A-12` or 12."), LANGUAGE],
    "responses": _answers({200: ActJob}, 404),
}
UNDO_ACT: dict[str, Any] = {
    "operation_id": "undo_act",
    "summary": "Undo a bulk action",
    "description": "Within one day. Findings that somebody has changed since are left unchanged.\n\nScope: `findings:write`.",
    "parameters": [_number("A", "`A-12` or 12."), LANGUAGE],
    "request": None,
    "responses": _answers({200: ActJob}, 404, 422),
}
LIST_SOURCES: dict[str, Any] = {
    "operation_id": "list_sources",
    "summary": "List sources",
    "description": "Sources that import reports automatically, when each last delivered one, and what is "
    "wrong.\n\nScope: `imports:read`.",
    "parameters": [LANGUAGE],
    "responses": _answers({200: SourceList}),
}
LOOK_AT_SOURCE: dict[str, Any] = {
    "operation_id": "look_at_source",
    "summary": "Fetch from a source now",
    "description": "Whatever its interval. If the source runs a scanner, the scanner is run. New reports are then "
    "fetched and imported; asking twice imports nothing twice.\n\nScope: `imports:write`.",
    "parameters": [OpenApiParameter("name", str, OpenApiParameter.PATH), LANGUAGE],
    "request": None,
    "responses": _answers({202: SourceLook}, 404, 422),
}
RETRY = OpenApiParameter(
    "Retry-After", int, OpenApiParameter.HEADER, response=[200], description="Seconds to wait, while it is running."
)
VERIFY_FINDING: dict[str, Any] = {
    "operation_id": "verify_finding",
    "summary": "Verify a finding",
    "description": "Reruns the finding's check on its asset. If a verification is already under way, it is returned. "
                   "The token's person needs the right to verify findings of the finding's team.\n\nScope: "
                   "`verifications:write`.",
    "parameters": [_number("F", "`F-000123` or 123."), *_asking(202)],
    "request": None,
    "responses": _answers({202: VerificationJob}, 404, 409, 422),
}  # fmt: skip
VERIFY_FINDINGS: dict[str, Any] = {
    "operation_id": "verify_findings",
    "summary": "Verify everything a query matches",
    "description": "Reruns the checks of all findings that match the query, worst first, as one run. Findings that the "
    "token's person may not verify, or that no verifier supports, are counted and left out.\n\nScope: "
    "`verifications:write`.",
    "parameters": _asking(202),
    "request": {"application/json": VerificationWish},
    "responses": _answers({202: VerificationRunJob}, 409, 415, 422),
}
READ_VERIFICATION: dict[str, Any] = {
    "operation_id": "read_verification",
    "summary": "Get a verification",
    "description": "The address to poll: ask again after the number of seconds in Retry-After, until that header is "
    "absent.\n\nScope: `verifications:read`.",
    "parameters": [_number("V", "`V-12` or 12."), LANGUAGE, RETRY],
    "responses": _answers({200: VerificationJob}, 404),
}
READ_VERIFICATION_RUN: dict[str, Any] = {
    "operation_id": "read_verification_run",
    "summary": "Get a run of verifications",
    "description": "Its progress and results. Poll as for a verification.\n\nScope: `verifications:read`.",
    "parameters": [_number("R", "`R-12` or 12."), LANGUAGE, RETRY],
    "responses": _answers({200: VerificationRunJob}, 404),
}
CANCEL_VERIFICATION_RUN: dict[str, Any] = {
    "operation_id": "cancel_verification_run",
    "summary": "Cancel a run of verifications",
    "description": "Withdraws the verifications that are still waiting; those already running are finished. For the "
                   "person who requested the run, and anybody who may verify every finding.\n\nScope: "
                   "`verifications:write`.",
    "parameters": [
        _number("R", "`R-12` or 12."), LANGUAGE, IDEMPOTENCY, _replayed(200),
    ],
    "request": None,
    "responses": _answers({200: VerificationRunJob}, 404, 409, 422),
}  # fmt: skip
