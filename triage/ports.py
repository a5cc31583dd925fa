"""What the outside must look like to the product, in the product's own words.

Everything in `integrations/` imports this module and nothing else of `triage`. A port is a small protocol of plain functions
(a plugin is a module, its file name is its name); what passes through it is one of the dataclasses here.

Texts for people are `Text`: an English message id marked with `gettext_noop` and its parameters, translated where it is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import IntEnum, StrEnum
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Protocol


class Severity(IntEnum):
    """Five levels, as Prowler, OCSF and Security Hub have them; larger is worse."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class Verdict(StrEnum):
    """What a scanner says of one check on one asset. MANUAL: a person has to look. UNKNOWN: it could not judge: nothing changes."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    MANUAL = "manual"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence for a person: `message` is a gettext id with `%(name)s` places, `params` what goes there."""

    message: str
    params: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message % self.params if self.params else self.message


class UnreadableReport(Exception):
    """The whole report is refused: nothing of it is imported.

    Its text says what the document is or what is broken in it, where (line, column or record), and what to do.
    """

    def __init__(self, message: str, **params: str | int) -> None:
        self.text = Text(message, params)
        super().__init__(str(self.text))


# --- parsers ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class CheckInfo:
    """What a scanner tests, as the report describes it. Compared by identity: a parser yields one object for equal metadata.

    `key` is the scanner's id of the check (`s3_bucket_public_access`, `B602`). `controls` holds (framework, control) pairs as
    the scanner spells them. `weaknesses` holds `CWE-79` style ids. `exposes`: a failure means reachable from the internet.
    `translations`: (language, name, text) of title, description, risk and remediation, where they are said in others.
    """

    key: str
    title: str = ""
    service: str = ""
    description: str = ""
    risk: str = ""
    remediation: str = ""
    remediation_url: str = ""
    remediation_cli: str = ""
    remediation_terraform: str = ""
    remediation_other: str = ""
    categories: tuple[str, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()
    weaknesses: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    exposes: bool = False
    translations: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AccountInfo:
    """Where assets live: AWS account, subscription, project, cluster, tenant, repository. One object for one (provider, uid).

    `provider`: aws, azure, gcp, kubernetes, github, m365 …, or `code` for a repository (`uid` is then the repository).
    """

    provider: str
    uid: str
    name: str = ""
    email: str = ""
    organization: str = ""
    unit: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in code. Lines and columns are 1-based, 0 when unknown. `end_column`: of `end_line`, behind the last character.

    `path`: relative to the checkout, `/` as separator. `address`: resource address (`aws_s3_bucket.logs`) or logical location.
    `snippet`: the flagged text as written, at most 4,000 characters; `context`: it with the lines around, the same limit.
    `fingerprints`: (name, value) pairs that the tool gave, placeholders already dropped.
    `trusted`: name of the first fingerprint whose value belongs to one place only in this run, '' if none does.
    """

    path: str
    start_line: int = 0
    end_line: int = 0
    start_column: int = 0
    address: str = ""
    snippet: str = ""
    context: str = ""
    fingerprints: tuple[tuple[str, str], ...] = ()
    trusted: str = ""
    end_column: int = 0


@dataclass(slots=True)
class Observation:
    """One record of a report: this check on this asset had this verdict.

    `position`: 0-based record number, or (run, result) in SARIF. `asset` is the asset's uid (ARN, resource id, path for code).
    `tags`: (key, value) pairs in the report's order, one tuple object for equal tags where that is cheap.
    `alias`: the scanner's own id of the finding, a look-up name and never an identity. `discriminator`: what tells two findings
    of one check on one asset apart when the asset's name does not. `stand_in`: the row stands for a thing that does not exist
    ("no trail", "no detector"). `muted`: the scanner muted it. `review`: the tool asks for a person's look.
    `place`, `places`: for code, the main place and all of them. `fingerprint`: 16 bytes that are the same only if the record says
    the same in all but its time and the run's own ids; b"" where the parser has none. `collected`: the asset's facts, where the
    report has them.
    """

    position: int | tuple[int, int]
    check: CheckInfo
    verdict: Verdict
    severity: Severity
    account: AccountInfo
    region: str
    asset: str
    asset_name: str
    asset_type: str
    tags: tuple[tuple[str, str], ...]
    message: str
    seen_at: datetime | None
    muted: bool = False
    alias: str = ""
    discriminator: str = ""
    stand_in: bool = False
    review: bool = False
    place: Place | None = None
    places: tuple[Place, ...] = ()
    fingerprint: bytes = b""
    collected: "Collected | None" = None


# A record whose fingerprint is in `ParseOptions.unchanged`: (fingerprint, value there, check, account). A tuple, because
# there is one for nearly every record of a daily report.
Unchanged = tuple[bytes, int, CheckInfo, AccountInfo]


@dataclass(frozen=True, slots=True)
class Covered:
    """What a run looked at in full: each asset of this kind in these regions ('' is that of what has none), by these checks."""

    account: AccountInfo
    kind: str
    regions: tuple[str, ...]
    checks: tuple[tuple[CheckInfo, Severity], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """The head of a run: yielded before its observations, once or (SARIF with several runs) several times.

    `scanner`: lower-case slug of the tool ("prowler", "checkov"), the same through all its formats and versions.
    `kind`: `cloud` findings are identified by a computed key, `code` findings by the staged matcher.
    `reports_passes`: the format can say PASS; when False the absence of a result is the only sign of a fix.
    `conclusive`: False when the run failed, was partial or has no results property; `inconclusive_because` then says why.
    `category`, `repository`, `branch`, `revision`: scope of a code run as the report declares it, '' where it does not.
    `covered`: scope of a cloud run, where the report declares it; None where its rows alone tell.
    """

    scanner: str
    kind: str
    version: str = ""
    reports_passes: bool = True
    conclusive: bool = True
    inconclusive_because: Text | None = None
    at: datetime | None = None
    category: str = ""
    repository: str = ""
    branch: str = ""
    revision: str = ""
    covered: tuple[Covered, ...] | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that could not be read (`lost`), or one that was read with something mended (not `lost`)."""

    position: int | tuple[int, int]
    reason: Text
    line: int = 0
    field: str = ""
    lost: bool = True


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What the person who imports knows and the report does not say.

    `zone`: zone of times without one. `mapping`: column or path names for the generic parsers, None for all others.
    `repository`, `branch`, `category`, `account`: used where the report has none. `unchanged`: fingerprints of records that said
    the same in the last report; it fills while the report is read. A parser with fingerprints may yield an Unchanged for such a
    record and spare itself the reading.
    """

    zone: tzinfo
    mapping: Mapping[str, Any] | None = None
    account: str = ""
    repository: str = ""
    branch: str = ""
    category: str = ""
    unchanged: Mapping[bytes, int] = field(default_factory=dict)


class Parser(Protocol):
    """Reads one family of report formats. A module in `integrations/parsers/` with these three names.

    `sniff` gets the first 64 KiB (less if the report is shorter), BOM and all, and answers the exact format's name
    ("Prowler CSV v4") when the report is for this parser, else None. It raises UnreadableReport for a document that it knows and
    that holds no findings (a compliance CSV, SARIF 1.0).

    `parse` gets a seekable binary stream at its start and yields a Run before the first Observation. Memory must not grow with
    the report. A broken record becomes a Skipped; a broken document raises UnreadableReport.
    """

    LABEL: str

    def sniff(self, head: bytes, /) -> str | None: ...

    def parse(self, stream: BinaryIO, options: ParseOptions, /) -> Iterator[Run | Observation | Skipped]: ...


# --- verifiers ----------------------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What a re-run of a check found. Only FIXED, with evidence, closes a finding."""

    FIXED = "fixed"
    FAILING = "failing"
    GONE = "gone"
    DENIED = "denied"
    ERROR = "error"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Target:
    """The check and the asset to look at again, and how to reach them. `options` is the account's connection, without secrets."""

    scanner: str
    check: str
    provider: str
    account: str
    region: str
    asset: str
    asset_name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question to the outside and its answer, as kept in evidence. Credentials are already out of it."""

    service: str
    operation: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    request_id: str
    region: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the verifier found: the outcome, why in a sentence, and the exchanges that prove it.

    `principal`: who asked (caller ARN). `missing`: the permission that was denied, such as `s3:GetBucketAcl`.
    """

    outcome: Outcome
    summary: Text
    exchanges: tuple[Exchange, ...] = ()
    principal: str = ""
    missing: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)


class Verifier(Protocol):
    """Answers a family of checks on assets. A module in `integrations/verifiers/`.

    `CHECKS` names the (scanner, check key) pairs that it answers; a family that cannot be listed, it has `answers(scanner, check) -> bool`
    for, which is asked of what no other verifier names. `verify` gets targets of one account with the same options, and
    yields one Judgement for each, in their order; what they have in common is asked once. It never raises for what the outside
    does: a refusal is DENIED, a fault is ERROR.

    A verifier may have `REACH`, by provider the settings of an account that lead there (a role to assume, a region); none is a
    secret. They are a target's `options`. And `GRANTS`, by provider two functions: `policy() -> str`, what whoever asks has to be
    allowed, and `trust(principal, external_id) -> str`, who may become the one who asks; as the provider wants to have them.
    """

    LABEL: str
    CHECKS: frozenset[tuple[str, str]]

    def verify(self, targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]: ...


# --- collectors ---------------------------------------------------------------------------------------------------------------


class FactType(StrEnum):
    """What a fact's value is, and so how it can be compared.

    AGE: the moment from which days are counted, as ISO text, '' for none; compared as a number of days. TEXTS: a list of texts. PATTERNS: a
    list of names in which `*` and `?` stand for others, as AWS writes actions and principals. PORTS: a list of ports and ranges,
    `22`, `8000-8100`.
    """

    FLAG = "flag"
    NUMBER = "number"
    TEXT = "text"
    AGE = "age"
    TEXTS = "texts"
    PATTERNS = "patterns"
    PORTS = "ports"


FactValue = bool | int | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of each asset of a kind: a snake_case name, and a message id that says what it is."""

    name: str
    type: FactType
    description: str


@dataclass(frozen=True, slots=True)
class AssetKind:
    """A kind of asset that a collector enumerates. `type`, `service`: as scanners call them, so that an asset looks the same to all."""

    name: str
    label: str
    type: str
    service: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """An asset as it is. `tags` None: they could not be read. A fact that could not be read is not among `facts`."""

    kind: str
    uid: str
    name: str
    region: str
    tags: tuple[tuple[str, str], ...] | None
    facts: Mapping[str, FactValue]


@dataclass(frozen=True, slots=True)
class Uncollected:
    """What could not be read and why: a kind in a region; with `facts`, these of `asset` alone. `missing`: the permission denied."""

    kind: str
    region: str
    why: Text
    missing: str = ""
    asset: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """Each asset of this kind in these regions was yielded: one that was not, is not there. '' is the region of what has none."""

    kind: str
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """One asset looked at again, and what `judgement` rests on: its exchanges, who asked.

    `collected` None: the judgement says why, GONE or otherwise. Else its outcome is CANNOT until somebody has judged the facts;
    `unread` are those that are missing.
    """

    collected: Collected | None
    judgement: Judgement
    unread: tuple[Uncollected, ...] = ()


class Collector(Protocol):
    """Enumerates an account. A module in `integrations/collectors/`.

    `PROVIDER`: whose accounts it knows. `KINDS`: what it enumerates, by name. `collect` gets a target that names the account and
    its options alone; it never raises for what the outside does: that is an Uncollected, and no Listed. `look` reads single assets
    of the same account again, each with its kind, and yields in their order.
    """

    LABEL: str
    PROVIDER: str
    KINDS: Mapping[str, AssetKind]

    def collect(self, target: Target, at: datetime, /) -> Iterator[Collected | Uncollected | Listed]: ...

    def look(self, targets: Sequence[tuple[str, Target]], at: datetime, /) -> Iterator[Looked]: ...


# --- connections: ticket systems and notifiers -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that a connection of this kind is configured with. A plugin's `SETTINGS` are what forms, files and the CLI ask for.

    `secret`: kept encrypted, given as `env:NAME` or typed once, never shown. `choices`: nothing else is allowed; `labels`: what a
    form calls them, in their order, where they are no words themselves. `many`: lines of `name=value`, which the plugin gets as a
    mapping. `team`: a team may have its own value. `seldom`: few need it.
    """

    name: str
    label: str
    help: str = ""
    required: bool = False
    secret: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False
    team: bool = False
    seldom: bool = False
    labels: tuple[str, ...] = ()

    @property
    def labelled(self) -> list[tuple[str, str]]:
        """Each choice with what a form calls it."""
        return list(zip(self.choices, self.labels or self.choices, strict=True))


# A plugin of a connection may say where it leads, for the list of what leaves the house: `leads_to(options) -> str`, a host or the
# like, '' for inside. Without it, that is the setting `server`, `url` or `base_url`. Its options are those that are no secrets.

# What a plugin is called with: its settings by name, secrets among them. Those with `many` are mappings, all others are text.
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that a connection needs (reach, sign-in, project, create …), and whether it is there. `said`: what is missing."""

    what: Text
    passed: bool
    said: Text | None = None


class DeliveryError(Exception):
    """The outside did not take a message. `permanent`: trying again will not help. `unknown`: it may have taken it all the same.

    `retry_after`: seconds that the outside asked to wait, None if it did not say.
    """

    def __init__(self, message: str, *, permanent: bool = False, unknown: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.unknown = unknown
        self.retry_after = retry_after


class Limited(DeliveryError):
    """The outside is there and asks for patience (429). Nothing was taken. Without `retry_after` it did not say for how long."""


class Refused(DeliveryError):
    """The sign-in does not hold any more, or does not allow this. Nothing more is sent until somebody mends it."""


class Unconfigured(DeliveryError):
    """The outside wants what the connection does not say. `subject`: to what that applies ("OPS/Bug"): the rest goes on.

    Raised before anything was taken. Messages of this subject wait until the connection is configured anew.
    """

    def __init__(self, message: str, *, subject: str) -> None:
        super().__init__(message)
        self.subject = subject


class Unreachable(DeliveryError):
    """Whom it is for is not there (any more): an archived channel, somebody who left. Nothing was taken; another may be told."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class Withdrawn(DeliveryError):
    """The other end says that it never wants to be asked again: its connection is switched off."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class Forged(Exception):
    """What was sent to us is not signed by whom it should be, or too old: nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A delivery to us that is authentic. `delivery_id`: the same when it is repeated. `remote_ids`: what to look at again.

    It is a hint and no more: what counts is what is there when we look.
    """

    delivery_id: str
    remote_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TicketDraft:
    """A ticket to write. `mark` is our idempotency mark: the system must be able to find the ticket by it. `body`: Markdown.

    `link`: the page here that the ticket is about.
    """

    mark: str
    title: str
    body: str
    severity: Severity
    due_at: datetime | None = None
    labels: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""


class TicketCategory(StrEnum):
    """Where a ticket stands, whatever its system calls it."""

    NEW = "new"
    IN_PROGRESS = "indeterminate"
    DONE = "done"
    DECLINED = "declined"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class TicketState:
    """A remote ticket as it is now. `remote_id` never changes, `key` may."""

    remote_id: str
    key: str
    url: str
    category: TicketCategory
    status: str = ""
    assignee: str = ""
    updated_at: datetime | None = None


class TicketSystem(Protocol):
    """Where fixes are planned. A module in `integrations/tickets/`. `options` is the connection's configuration.

    Each may raise DeliveryError. `find` looks tickets up by our mark, the oldest first: it is what makes a repeated `create`
    unnecessary. `fetch` answers DELETED for what is not there while the sign-in holds. All others may be repeated: a `comment`
    whose `key` is there already, a `close` of what is closed, a `reopen` of what is open do nothing.

    `PER_SECOND`: calls that it bears, unless the connection says otherwise. A system that can, has more: `fetch_many(remote_ids,
    options) -> Mapping[str, TicketState]`, `attach(remote_id, name, data, options)`, `amend(remote_id, draft, options)` (due date and
    priority), `link(remote_id, draft, options)` (back to our page), `merge(remote_id, into, options)` (close a twin), `hear(headers,
    body, options) -> Heard` (a webhook; raises Forged).
    """

    LABEL: str
    SETTINGS: tuple[Setting, ...]

    def probe(self, options: Options, /) -> Iterator[Probe]: ...

    def create(self, draft: TicketDraft, options: Options, /) -> TicketState: ...

    def find(self, mark: str, options: Options, /) -> tuple[TicketState, ...]: ...

    def fetch(self, remote_id: str, options: Options, /) -> TicketState: ...

    def comment(self, remote_id: str, key: str, body: str, options: Options, /) -> None: ...

    def close(self, remote_id: str, options: Options, /) -> TicketState: ...

    def reopen(self, remote_id: str, options: Options, /) -> TicketState: ...


@dataclass(frozen=True, slots=True)
class Button:
    """Something that the reader may do at once. `value`: opaque, comes back when it is pressed. `url`: it leads there instead."""

    action: str
    label: str
    value: str = ""
    url: str = ""
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a message about one finding or ticket: its name, where it leads, and what is said of it."""

    name: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell, in the recipient's language, as plain text. `key` is our idempotency mark: the same when it is sent again.

    `to`: whom, as the connection knows people and channels (a channel's name or id, an address, '' for a webhook's own).
    `thread`: what `send` answered for the message that this one belongs to, '' for a new one. `about`: a stable name of the thing,
    by which systems of incidents know it again; `resolves`: it is over. `facts`: for machines.
    """

    key: str
    to: str
    title: str
    text: str = ""
    rows: tuple[Row, ...] = ()
    more: str = ""
    url: str = ""
    severity: Severity = Severity.INFORMATIONAL
    buttons: tuple[Button, ...] = ()
    thread: str = ""
    about: str = ""
    resolves: bool = False
    at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Notifier(Protocol):
    """Tells a person or a channel. A module in `integrations/notifiers/`. Each may raise DeliveryError.

    `REPEATABLE`: a notice that was sent twice is known as one by its key over there. `send` answers with the outside's name of the
    message. `find` looks it up by its key, None where it is not (or cannot be looked up, if it is repeatable).

    `PER_SECOND` as for ticket systems; `LANE_GAP`: seconds between two messages to one recipient. A notifier that can, has more:
    `update(remote, notice, options)` (the same message says something else now; may be repeated), `address(email, options) -> str |
    None` (how the connection knows this person), `hear` as ticket systems.
    """

    LABEL: str
    SETTINGS: tuple[Setting, ...]
    REPEATABLE: bool

    def probe(self, options: Options, /) -> Iterator[Probe]: ...

    def send(self, notice: Notice, options: Options, /) -> str: ...

    def find(self, notice: Notice, options: Options, /) -> str | None: ...


# --- witnesses ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedHead:
    """A signed head of the ledger over `size` leaves. `note`: the C2SP checkpoint, which is what a witness keeps."""

    origin: str
    size: int
    note: str
    at: datetime


class Witness(Protocol):
    """Keeps heads of the ledger where its administrators cannot change them. A module in `integrations/witnesses/`.

    `publish` answers where the head lies now, or with what proves it: a `data:` URI, such as a time stamp's. It may be repeated: the
    same head is one there. It may raise DeliveryError.
    """

    LABEL: str
    SETTINGS: tuple[Setting, ...]

    def probe(self, options: Options, /) -> Iterator[Probe]: ...

    def publish(self, head: SealedHead, options: Options, /) -> str: ...


# --- archives -----------------------------------------------------------------------------------------------------------------


class ArchiveError(Exception):
    """The archive did not do what was asked. Its text says why and, where a permission is missing, which one."""

    def __init__(self, message: str, **params: str | int) -> None:
        self.text = Text(message, params)
        super().__init__(str(self.text))


class Locked(ArchiveError):
    """What should be deleted is locked: its time is not over, or a legal hold is on it."""


class Unfit(ArchiveError):
    """Not taken is this piece alone: other bytes have its name, it is too large, it arrived changed. Others may be."""


class Absent(ArchiveError):
    """There is no such object, or no such version of it."""


class Archive(Protocol):
    """Keeps evidence where nobody may change or delete it before its time. A module in `integrations/archives/`, named as the
    scheme of its addresses.

    Options: `address` (`s3://bucket/prefix`), `region`, `endpoint_url`, `mode` (COMPLIANCE or GOVERNANCE); credentials are what its
    library finds. Every function may raise ArchiveError; threads may call them at once.

    `store` writes `stream`, a seekable file at its start, under `name` and answers its version. It never overwrites: the same bytes
    under that name, which it knows by `sha256`, are taken as stored; for others it raises Unfit. Either way they are locked until
    `retain_until`, or longer. `fetch` writes a version's bytes to `into`; somebody waits for them. `hold` sets or lifts its legal
    hold. `delete` raises Locked while it is locked; what is not there is deleted. Each of them may be repeated.
    """

    LABEL: str

    def probe(self, options: Options, /) -> Iterator[Probe]: ...

    def store(self, name: str, stream: BinaryIO, sha256: bytes, retain_until: datetime, options: Options, /) -> str: ...

    def fetch(self, name: str, version: str, into: BinaryIO, options: Options, /) -> None: ...

    def hold(self, name: str, version: str, on: bool, options: Options, /) -> None: ...  # noqa: FBT001 - as S3 has it

    def delete(self, name: str, version: str, options: Options, /) -> None: ...


# --- sources ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offered:
    """A report that a source has, or would make. `version` is another one as soon as its bytes may be others (an ETag, a time)."""

    name: str
    version: str
    size: int | None = None


class Source(Protocol):
    """Where reports come from without anybody carrying them. A module in `integrations/sources/`.

    `MAKES`: it has a scanner run (once for each `slot`, which is the moment that it was due for), instead of looking for what lies
    there. `offered` yields what is complete. `fetch` writes the bytes to `into`, a new file in an empty folder of its own, and answers
    with what is to be known of them; it may raise DeliveryError. Both may take hours, and `stop` is set when they have to end.

    Beside the connection's own settings, its options hold `server`, what stands on the server alone (`folders`, `commands`,
    `prowler`), and `reach`, the options of each account by provider and uid.
    """

    LABEL: str
    MAKES: bool
    SETTINGS: tuple[Setting, ...]

    def probe(self, options: Options, /) -> Iterator[Probe]: ...

    def offered(self, slot: str, options: Options, /) -> Iterator[Offered]: ...

    def fetch(self, offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]: ...


# --- directories --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DirectoryAccount:
    """What a directory knows of an account. `owner`: as it is written there, a team's name or address; '' where it says nothing.

    `environment`, `criticality`: in any spelling that people use. `place`: where in the file it stands, for messages.
    """

    provider: str
    uid: str
    name: str = ""
    email: str = ""
    organization: str = ""
    unit: str = ""
    owner: str = ""
    environment: str = ""
    criticality: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    place: str = ""


class Directory(Protocol):
    """Reads one kind of list of accounts. A module in `integrations/directories/` with these three names.

    `sniff` gets the whole text and answers the exact format's name when it is for this directory, else None. `read` yields the
    accounts; a broken entry becomes a Skipped, a broken document raises UnreadableReport.
    """

    LABEL: str

    def sniff(self, text: str, /) -> str | None: ...

    def read(self, text: str, /) -> Iterator[DirectoryAccount | Skipped]: ...
