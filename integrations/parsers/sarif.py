"""SARIF 2.1.0 as real tools write it: two passes over the stream, first what runs say of themselves, then their results."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, BinaryIO, cast

import msgspec
from django.utils.translation import gettext_noop as _

from integrations.parsers import _json, _sarif_place, _sarif_rule
from integrations.parsers._sarif_place import as_dict, as_list, as_text
from triage.ports import (
    AccountInfo,
    CheckInfo,
    Observation,
    ParseOptions,
    Place,
    Run,
    Severity,
    Skipped,
    Text,
    UnreadableReport,
    Verdict,
)

LABEL = "SARIF"
VERSION = "2.1.0"

MOST_RUNS = 2_000
MOST_RULES = 60_000
MOST_RULE_TEXT = 48 << 20
MOST_FILES = 150_000
MOST_FILE_NAMES = 48 << 20
MOST_EMBEDDED = 24 << 20

NOT_SUPPORTED = _(
    "SARIF %(version)s is not supported, only 2.1.0. Have the tool write 2.1.0, or convert the file with the SARIF Multitool."
)
NO_VERSION = _("The document does not say which version of SARIF it is (“version” must be “2.1.0”). Export it again.")
NO_RUNS = _("“runs” is missing or is not a list: this SARIF document holds no run of a tool. Check that the scanner ended well.")
NO_TOOL = _(
    "Run number %(run)s does not say which tool made it (tool.driver.name is missing), so its results cannot be told from "
    "another tool's. Export it again with the tool's name."
)
TOO_MANY_RUNS = _("The document holds more than %(limit)s runs. No scanner writes that: check the file.")
TOO_MANY_RULES = _(
    "The document describes more rules than can be held in memory (%(limit)s, or %(megabytes)s MiB of text). "
    "Have the tool describe only the rules that its results use."
)
TOO_MANY_FILES = _("The run lists more than %(limit)s files. Have the tool list only those that have results.")
CLOUD_PROWLER = _(
    "Prowler's SARIF of %(provider)s names resources without account, region and ARN: two accounts' resources cannot be told "
    "apart. Import the CSV or the OCSF file that Prowler wrote in the same run."
)
NO_RESULTS = _("The run of %(tool)s has no list of results: the tool did not look, so nothing counts as fixed.")
FAILED = _("The run of %(tool)s says that it failed (executionSuccessful is false), so nothing counts as fixed.")
ELSEWHERE = _("The run of %(tool)s keeps results in other files, which were not imported, so nothing counts as fixed.")
NOT_PRESENT = _("The result is from an earlier run and no longer present (its baselineState is “absent”). It was left out.")
NO_FAILURE = _("The result is not a failure (its kind is “%(kind)s”). It was left out.")
NO_OBJECT = _("The result is not an object. It was left out.")
NO_MESSAGE = _("The result has no message that can be read; the rule's title stands in for it.")
BROKEN_FIELDS = _("Fields of the result are not what they should be and were ignored: %(fields)s.")

# Names under which one tool goes.
_SAME_TOOL = {
    "semgrep-oss": "semgrep",
    "semgrep-pro": "semgrep",
    "opengrep-oss": "opengrep",
    "nodejsscan": "njsscan",
    "prowler": "prowler-iac",  # its findings are places in files; "prowler" is the cloud scanner
    "lgtm-com": "lgtm",
    "markdownlint-cli2": "markdownlint",
}

_slug = re.compile(r"[^a-z0-9]+")
_unique_run = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d{4}-\d{2}-\d{2}|^[\d:.TZ_-]{4,}$|^[0-9a-f]{12,}$|\d{8,}", re.IGNORECASE)
_credentials = re.compile(r"^[^/@]*@")
_EARLIER_VERSION = re.compile(r"(?:1|2)\.\d")


def sniff(head: bytes, /) -> str | None:
    """The format's name, None if it is no SARIF; raises UnreadableReport for versions other than 2.1.0."""
    shown = _json.outline(head)
    schema, version = as_text(shown.get("$schema")), as_text(shown.get("version"))
    runs = "runs" in shown
    if not ("sarif" in schema.lower() or (runs and (version or any(key.startswith("runs[].") for key in shown)))):
        return None
    if version and version != VERSION and _EARLIER_VERSION.match(version):
        raise UnreadableReport(NOT_SUPPORTED, version=version)
    tool = as_text(shown.get("runs[].tool.driver.name"))
    return f"SARIF {VERSION} ({tool})" if tool else f"SARIF {VERSION}"


def parse(stream: BinaryIO, options: ParseOptions, /) -> Iterator[Run | Observation | Skipped]:
    """Yield a Run and its observations; runs of one tool, category and repository are one Run, repeated where they alternate.

    Raises UnreadableReport for another version, no runs, a run without a tool's name, and what `_json.select` refuses.
    """
    start = stream.tell()
    survey = _survey(stream, options)
    stream.seek(start)
    current: Run | None = None
    for number in survey:  # a run without results says something too
        if not survey[number].results and survey[number].run != current:
            current = survey[number].run
            yield current
    for path, record in _json.select(stream, {"runs.*.results.*": _Result}):
        if len(path) < 4 or not isinstance(path[1], int) or not isinstance(path[3], int):
            continue
        facts = survey[path[1]]
        if facts.run != current:
            current = facts.run
            yield current
        if isinstance(record, Skipped):
            yield Skipped(record.position, record.reason, field=record.field, lost=record.lost)
        else:
            yield from _Reader(facts, (path[1], path[3])).outcomes(record)


# --- first pass ---------------------------------------------------------------------------------------------------------------


class _Result(msgspec.Struct, rename="camel"):
    """The properties of a result that matter; any of them may be of any type, and code flows are not decoded."""

    rule_id: Any = None
    rule_index: Any = None
    rule: Any = None
    level: Any = None
    kind: Any = None
    message: Any = None
    locations: Any = None
    analysis_target: Any = None
    fingerprints: Any = None
    partial_fingerprints: Any = None
    suppressions: Any = None
    baseline_state: Any = None
    properties: Any = None
    taxa: Any = None
    guid: Any = None
    correlation_guid: Any = None


class _Glance(msgspec.Struct, rename="camel"):
    """What the first pass wants of a result."""

    rule_id: Any = None
    rule_index: Any = None
    rule: Any = None
    locations: Any = None
    fingerprints: Any = None
    partial_fingerprints: Any = None
    properties: Any = None
    taxa: Any = None


class _Descriptor(msgspec.Struct, rename="camel"):
    id: Any = None
    guid: Any = None
    name: Any = None
    short_description: Any = None
    full_description: Any = None
    help: Any = None
    help_uri: Any = None
    default_configuration: Any = None
    message_strings: Any = None
    properties: Any = None
    relationships: Any = None


class _Invocation(msgspec.Struct, rename="camel"):
    execution_successful: Any = None
    start_time_utc: Any = None
    end_time_utc: Any = None
    working_directory: Any = None


class _Artifact(msgspec.Struct):
    location: Any = None
    contents: Any = None


class _Logical(msgspec.Struct, rename="camel"):
    name: Any = None
    fully_qualified_name: Any = None


_WANTED: dict[str, Any] = {
    "version": Any,
    "runs.*.tool.driver.name": Any,
    "runs.*.tool.driver.version": Any,
    "runs.*.tool.driver.semanticVersion": Any,
    "runs.*.tool.driver.globalMessageStrings": Any,
    "runs.*.tool.driver.rules.*": _Descriptor,
    "runs.*.tool.extensions.*.name": Any,
    "runs.*.tool.extensions.*.guid": Any,
    "runs.*.tool.extensions.*.globalMessageStrings": Any,
    "runs.*.tool.extensions.*.rules.*": _Descriptor,
    "runs.*.artifacts.*": _Artifact,
    "runs.*.logicalLocations.*": _Logical,
    "runs.*.originalUriBaseIds": Any,
    "runs.*.invocations.*": _Invocation,
    "runs.*.versionControlProvenance": Any,
    "runs.*.automationDetails": Any,
    "runs.*.properties": Any,
    "runs.*.externalPropertyFileReferences": Any,
    "runs.*.taxonomies.*.name": Any,
    "runs.*.taxonomies.*.guid": Any,
    "runs.*.taxonomies.*.taxa.*.id": Any,
    "runs.*.results.*": _Glance,
}


class _Checks:
    """One CheckInfo object for equal metadata, over all runs of the report."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], CheckInfo] = {}
        self._bare: dict[str, CheckInfo] = {}

    def of(self, rule: _sarif_rule.Rule | None, key: str) -> CheckInfo:
        if rule is not None and rule.check is not None and rule.check.key == key:
            return rule.check
        if rule is None and key in self._bare:
            return self._bare[key]
        found = _sarif_rule.check_of(rule, key)
        found = self._known.setdefault(tuple(getattr(found, each.name) for each in fields(found)), found)
        if len(self._known) > MOST_RULES:
            raise UnreadableReport(TOO_MANY_RULES, limit=MOST_RULES, megabytes=MOST_RULE_TEXT >> 20)
        if rule is None:
            self._bare[key] = found
        else:
            rule.check = found
        return found


@dataclass(slots=True)
class _Facts:
    """What one run says of itself, and what its results have in common."""

    files: _sarif_place.Files
    tool: str = ""
    version: str = ""
    rules: _sarif_rule.Rules = field(default_factory=_sarif_rule.Rules)
    taxonomies: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    listed: bool = False
    results: int = 0
    failed: bool = False
    elsewhere: bool = False
    at: datetime | None = None
    started: datetime | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    category: str = ""
    image: str = ""
    one_uri: str | None = None
    many_uris: bool = False
    repeats: _sarif_place.Repeats = field(default_factory=_sarif_place.Repeats)
    taxa: dict[str, set[tuple[str, str, int, int]]] = field(default_factory=dict)
    # Set when all is known.
    run: Run = field(default_factory=lambda: Run(scanner="", kind="code"))
    account: AccountInfo = field(default_factory=lambda: AccountInfo("code", ""))
    checks: _Checks = field(default_factory=_Checks)


class _Surveyor:
    """Takes in what the first pass yields, within bounds."""

    def __init__(self, options: ParseOptions) -> None:
        self.options = options
        self.version: Any = None
        self.runs: bool = False
        self.facts: dict[int, _Facts] = {}
        self._rules = self._rule_text = self._file_names = self._embedded = 0

    def take(self, path: _json.Path, value: Any) -> None:
        if path == ("version",):
            self.version = value
        elif path == ("runs",):
            self.runs = True
        elif len(path) > 2 and isinstance(path[1], int):
            facts = self._run(path[1])
            if isinstance(value, Skipped):
                return
            if path[2] == "tool":
                self._tool(facts, path[3:], value)
            elif path[2] == "results":
                self._result(facts, value)
            elif value is not None:
                self._other(facts, path[2:], value)

    def _run(self, number: int) -> _Facts:
        facts = self.facts.get(number)
        if facts is None:
            if len(self.facts) >= MOST_RUNS:
                raise UnreadableReport(TOO_MANY_RUNS, limit=MOST_RUNS)
            facts = self.facts[number] = _Facts(_sarif_place.Files(_sarif_place.Roots(self.options.repository)))
        return facts

    def _tool(self, facts: _Facts, path: _json.Path, value: Any) -> None:
        component = facts.rules.driver
        if path[0] == "extensions":
            if len(path) < 3 or not isinstance(path[1], int):
                return
            if path[1] >= MOST_RUNS:
                raise UnreadableReport(TOO_MANY_RULES, limit=MOST_RULES, megabytes=MOST_RULE_TEXT >> 20)
            component, path = facts.rules.extension(path[1]), path[1:]
        name = path[1]
        if name == "rules":
            if isinstance(value, _Descriptor) and isinstance(path[2], int):
                self._rule(component, path[2], value)
        elif name == "globalMessageStrings":
            component.messages = {key: as_text(as_dict(text).get("text")) for key, text in list(as_dict(value).items())[:1000]}
        elif path[0] == "driver":
            if name == "name":
                facts.tool = as_text(value).strip()[:200]
            elif name == "semanticVersion" or not facts.version:
                facts.version = as_text(value)[:100] or facts.version
        elif name == "name":
            component.name = as_text(value)
        elif name == "guid":
            component.guid = as_text(value)

    def _rule(self, component: _sarif_rule.Component, index: int, descriptor: _Descriptor) -> None:
        rule = _sarif_rule.read_rule(
            {
                "id": descriptor.id,
                "guid": descriptor.guid,
                "name": descriptor.name,
                "shortDescription": descriptor.short_description,
                "fullDescription": descriptor.full_description,
                "help": descriptor.help,
                "helpUri": descriptor.help_uri,
                "defaultConfiguration": descriptor.default_configuration,
                "messageStrings": descriptor.message_strings,
                "properties": descriptor.properties,
                "relationships": descriptor.relationships,
            }
        )
        self._rules += 1
        self._rule_text += rule.size()
        if self._rules > MOST_RULES or self._rule_text > MOST_RULE_TEXT or index > 2 * MOST_RULES:
            raise UnreadableReport(TOO_MANY_RULES, limit=MOST_RULES, megabytes=MOST_RULE_TEXT >> 20)
        component.put(index, rule)

    def _result(self, facts: _Facts, glance: _Glance | None) -> None:
        facts.listed = True
        if glance is None:
            return
        facts.results += 1
        facts.repeats.see(_sarif_place.fingerprints(glance.fingerprints, glance.partial_fingerprints))
        for location in as_list(glance.locations)[:1]:
            artifact = as_dict(as_dict(as_dict(location).get("physicalLocation")).get("artifactLocation"))
            uri = as_text(artifact.get("uri"))
            if facts.one_uri is None:
                facts.one_uri = uri
            elif uri != facts.one_uri:
                facts.many_uris = True
            path = _sarif_place.local_path(uri)
            if _sarif_place.is_absolute(path):
                facts.files.roots.see(path)
        self._weakness(facts, glance)

    def _weakness(self, facts: _Facts, glance: _Glance) -> None:
        """Some tools give the CWE with each result: it is the rule's all the same."""
        targets = _sarif_rule.taxa_targets(glance.taxa)
        properties = as_dict(glance.properties)
        named = _sarif_rule.weaknesses((), properties) if any("cwe" in key.lower() for key in properties) else []
        if targets or named:
            rule, key = facts.rules.find(glance.rule_id, glance.rule_index, glance.rule)
            if rule is not None:
                rule.weaknesses += [each for each in named if each not in rule.weaknesses][: 20 - len(rule.weaknesses)]
            if len(facts.taxa) < MOST_RULES:
                held = facts.taxa.setdefault(key, set())
                held.update(targets[: 20 - len(held)] if len(held) < 20 else ())

    def _other(self, facts: _Facts, path: _json.Path, value: Any) -> None:
        name = path[0]
        if name == "artifacts" and isinstance(value, _Artifact):
            self._artifact(facts, cast("int", path[1]), value)
        elif name == "logicalLocations" and isinstance(value, _Logical):
            self._logical(facts, cast("int", path[1]), value)
        elif name == "originalUriBaseIds":
            self._bases(facts, as_dict(value))
        elif name == "invocations" and isinstance(value, _Invocation):
            self._invocation(facts, value)
        elif name == "versionControlProvenance":
            facts.provenance = as_dict((as_list(value) or [None])[0])
        elif name == "automationDetails":
            facts.category = _category(as_text(as_dict(value).get("id")))
        elif name == "properties":
            facts.image = _sarif_place.image_name(as_text(as_dict(value).get("imageName")))[:500]
        elif name == "externalPropertyFileReferences":
            facts.elsewhere = bool(as_list(as_dict(value).get("results")))
        elif name == "taxonomies" and len(path) > 2:
            _taxonomy(facts, path, value)

    def _artifact(self, facts: _Facts, index: int, artifact: _Artifact) -> None:
        location = as_dict(artifact.location)
        name = (as_text(location.get("uri"))[:2000], as_text(location.get("uriBaseId"))[:100])
        self._hold(index, len(name[0]))
        facts.files.uris.extend([("", "")] * (index + 1 - len(facts.files.uris)))
        facts.files.uris[index] = name
        path = _sarif_place.local_path(name[0])
        if _sarif_place.is_absolute(path):
            facts.files.listed.see(path)
        text = as_text(as_dict(artifact.contents).get("text"))
        if text and name[0] and self._embedded + len(text) <= MOST_EMBEDDED:
            self._embedded += len(text)
            facts.files.embedded.append((name, text))

    def _logical(self, facts: _Facts, index: int, logical: _Logical) -> None:
        text = (as_text(logical.fully_qualified_name) or as_text(logical.name))[:500]
        self._hold(index, len(text))
        facts.files.logical.extend([""] * (index + 1 - len(facts.files.logical)))
        facts.files.logical[index] = text

    def _hold(self, index: int, length: int) -> None:
        self._file_names += length + 200
        if index >= MOST_FILES or self._file_names > MOST_FILE_NAMES:
            raise UnreadableReport(TOO_MANY_FILES, limit=MOST_FILES)

    def _bases(self, facts: _Facts, bases: dict[str, Any]) -> None:
        for name, value in list(bases.items())[:100]:
            base = as_dict(value)
            uri = as_text(base.get("uri")).strip()
            facts.files.bases[name] = (_sarif_place.local_path(uri) if uri else "", as_text(base.get("uriBaseId")))
            if uri:
                facts.files.roots.declare(uri)

    def _invocation(self, facts: _Facts, invocation: _Invocation) -> None:
        facts.failed |= invocation.execution_successful is False
        for name in ("at", "started"):
            written = invocation.end_time_utc if name == "at" else invocation.start_time_utc
            moment = _moment(written, self.options)
            if moment and moment > (getattr(facts, name) or moment.min.replace(tzinfo=moment.tzinfo)):
                setattr(facts, name, moment)
        folder = as_text(as_dict(invocation.working_directory).get("uri"))
        if folder:
            facts.files.roots.declare(folder)


def _taxonomy(facts: _Facts, path: _json.Path, value: Any) -> None:
    number = cast("int", path[1])
    if number > 50:
        return
    name, guid, ids = facts.taxonomies.get(number, ("", "", []))
    if path[2] == "taxa":
        if len(ids) < 20_000:
            ids.append(as_text(value)[:50])
    elif path[2] == "name":
        name = as_text(value)[:200]
    else:
        guid = as_text(value)[:100]
    facts.taxonomies[number] = (name, guid, ids)


def _survey(stream: BinaryIO, options: ParseOptions) -> dict[int, _Facts]:
    """The facts of each run by its number; refuses what is no readable SARIF 2.1.0."""
    surveyor = _Surveyor(options)
    for path, value in _json.select(stream, _WANTED):
        surveyor.take(path, value)
    version = surveyor.version
    if version != VERSION:
        if isinstance(version, str) and version:
            raise UnreadableReport(NOT_SUPPORTED, version=version[:50])
        raise UnreadableReport(NO_VERSION)
    if not surveyor.runs:
        raise UnreadableReport(NO_RUNS)
    for number, facts in surveyor.facts.items():
        _settle(facts, number, options)
    _merge(list(surveyor.facts.values()))
    return surveyor.facts


def _settle(facts: _Facts, number: int, options: ParseOptions) -> None:
    """What follows from a run's facts once they are all known."""
    if not facts.tool:
        raise UnreadableReport(NO_TOOL, run=number + 1)
    scanner = _slug.sub("-", facts.tool.lower()).strip("-") or facts.tool.lower()
    scanner = _SAME_TOOL.get(scanner, scanner)[:100]
    if scanner == "prowler-iac":
        _refuse_cloud(facts)
    facts.files.settle()
    for rule in facts.rules.every():
        for target in (*rule.targets, *sorted(facts.taxa.get(rule.id, ()))):
            weakness = _sarif_rule.taxon_weakness(target, facts.taxonomies)
            if weakness and weakness not in rule.weaknesses:
                rule.weaknesses.append(weakness)
    facts.repeats.close()
    repository = _repository(as_text(facts.provenance.get("repositoryUri")) or options.repository or options.account)
    facts.run = Run(
        scanner=scanner,
        kind="code",
        version=facts.version,
        reports_passes=False,
        conclusive=facts.listed and not facts.failed and not facts.elsewhere,
        inconclusive_because=_inconclusive(facts),
        at=facts.at or facts.started,
        category=facts.category or options.category,
        repository=repository,
        branch=(as_text(facts.provenance.get("branch")) or options.branch).removeprefix("refs/heads/")[:300],
        revision=as_text(facts.provenance.get("revisionId"))[:100],
    )


def _inconclusive(facts: _Facts) -> Text | None:
    if facts.failed:
        return Text(FAILED, {"tool": facts.tool})
    if facts.elsewhere:
        return Text(ELSEWHERE, {"tool": facts.tool})
    return None if facts.listed else Text(NO_RESULTS, {"tool": facts.tool})


def _refuse_cloud(facts: _Facts) -> None:
    """Prowler marks each rule with its provider; only files have a place that means something."""
    for rule in facts.rules.every():
        for tag in rule.tags:
            provider = tag.removeprefix("prowler/")
            if provider != tag and provider not in ("iac", "image", "llm"):
                raise UnreadableReport(CLOUD_PROWLER, provider=provider[:50])


def _merge(all_facts: list[_Facts]) -> None:
    """Runs of one tool, category, repository and branch are one scan: give them one Run, account and set of checks."""
    groups: dict[tuple[str, str, str, str], list[_Facts]] = {}
    for facts in all_facts:
        run = facts.run
        groups.setdefault((run.scanner, run.category, run.repository, run.branch), []).append(facts)
    checks = _Checks()
    accounts: dict[str, AccountInfo] = {}
    for group in groups.values():
        runs = [facts.run for facts in group]
        doubtful = next((run for run in runs if not run.conclusive), None)
        first = runs[0]
        run = Run(
            scanner=first.scanner,
            kind=first.kind,
            version=first.version,
            reports_passes=False,
            conclusive=doubtful is None,
            inconclusive_because=doubtful.inconclusive_because if doubtful else None,
            at=max((each.at for each in runs if each.at), default=None),
            category=first.category,
            repository=first.repository,
            branch=first.branch,
            revision=next((each.revision for each in runs if each.revision), ""),
        )
        for facts in group:
            facts.run, facts.checks = run, checks
            facts.account = accounts.setdefault(run.repository, AccountInfo("code", run.repository))


def _category(name: str) -> str:
    """The part of automationDetails.id that is the same in each run: `nightly/scan/2026-11-21` is run 2026-11-21 of one."""
    name = name.strip()[:300]
    folder, slash, last = name.rpartition("/")
    if slash and (not last or any(character.isdigit() for character in last)):
        return folder
    return "" if _unique_run.search(name) else name


def _repository(uri: str) -> str:
    """`host/owner/name` of a repository's address, however it is spelled and without the credentials that it may hold."""
    bare = uri.strip().removesuffix("/").removesuffix(".git")
    scheme, separator, rest = bare.partition("://")
    if separator:
        return _credentials.sub("", rest if scheme.lower() != "file" else rest.lstrip("/"))[:500]
    user, at, rest = bare.partition("@")
    if at and ":" in rest and "/" not in user:
        return rest.replace(":", "/", 1)[:500]
    return bare[:500]


def _moment(written: Any, options: ParseOptions) -> datetime | None:
    try:
        found = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=options.zone)


# --- second pass --------------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads one result."""

    def __init__(self, facts: _Facts, position: tuple[int, int]) -> None:
        self.facts = facts
        self.position = position
        self.broken: list[str] = []

    def outcomes(self, result: _Result) -> Iterator[Observation | Skipped]:
        """The result's observation, and what has to be said of it."""
        if result.baseline_state == "absent":
            yield Skipped(self.position, Text(NOT_PRESENT), field="baselineState", lost=False)
            return
        kind = as_text(result.kind) or "fail"
        if kind in ("notApplicable", "informational"):
            yield Skipped(self.position, Text(NO_FAILURE, {"kind": kind}), field="kind", lost=False)
            return
        observation = self._observation(result, kind)
        if self.broken:
            text = Text(NO_MESSAGE) if self.broken == ["message"] else Text(BROKEN_FIELDS, {"fields": ", ".join(self.broken)})
            yield Skipped(self.position, text, field=self.broken[0], lost=False)
        yield observation

    def _observation(self, result: _Result, kind: str) -> Observation:
        facts = self.facts
        rule, key = facts.rules.find(result.rule_id, result.rule_index, result.rule)
        check = facts.checks.of(rule, key)
        message = _sarif_rule.message(result.message, rule, facts.rules)
        if not isinstance(result.message, dict):
            self.broken.append("message")
        message = message or check.title
        properties = self._dict(result.properties, "properties")
        places = self._places(result, message)
        main = places[0] if places else None
        asset, asset_type = self._asset(result, main)
        package = main.address if main and (asset_type == "image" or not facts.many_uris) else ""
        return Observation(
            position=self.position,
            check=check,
            verdict=Verdict.PASS if kind == "pass" else Verdict.FAIL,
            severity=self._severity(result, kind, properties, rule),
            account=facts.account,
            region="",
            asset=asset,
            asset_name=asset.rpartition("/")[2] or asset,
            asset_type=asset_type,
            tags=(),
            message=message,
            seen_at=facts.run.at,
            muted=_suppressed(result.suppressions),
            alias=(as_text(result.guid) or as_text(result.correlation_guid))[:100],
            discriminator=package,
            review=kind in ("review", "open"),
            place=main,
            places=tuple(places),
        )

    def _severity(self, result: _Result, kind: str, properties: Mapping[str, Any], rule: _sarif_rule.Rule | None) -> Severity:
        level = _sarif_rule.effective_level(result.level, kind, rule)
        return _sarif_rule.severity(level, properties, rule)

    def _places(self, result: _Result, message: str) -> list[Place]:
        """The result's places, all with its fingerprints; the file that was analysed if it names no place."""
        locations = self._list(result.locations, "locations")
        found = _sarif_place.places(locations, self.facts.files, message)
        target = as_dict(result.analysis_target)
        if not found and target:
            found = _sarif_place.places([{"physicalLocation": {"artifactLocation": target}}], self.facts.files, message)
        pairs = _sarif_place.fingerprints(
            self._dict(result.fingerprints, "fingerprints"), self._dict(result.partial_fingerprints, "partialFingerprints")
        )
        if not pairs:
            return found
        trusted = self.facts.repeats.trusted(pairs)
        return [_sarif_place.signed(place, pairs, trusted) for place in found or [Place(path="")]]

    def _asset(self, result: _Result, main: Place | None) -> tuple[str, str]:
        """Uid and type of what the result is in: an image, a file, else the repository or what the tool names."""
        image = self.facts.image or _image(result.locations)
        if image:
            return image, "image"
        if main and main.path:
            kind = "image" if self.facts.run.scanner.endswith("-container") else "file"
            return main.path[:1000], kind
        if main and main.address:
            return main.address, "resource"
        return self.facts.run.repository or self.facts.run.scanner, "repository"

    def _dict(self, value: Any, name: str) -> dict[str, Any]:
        if value is not None and not isinstance(value, dict):
            self.broken.append(name)
        return as_dict(value)

    def _list(self, value: Any, name: str) -> list[Any]:
        if value is not None and not isinstance(value, list):
            self.broken.append(name)
        return as_list(value)


def _image(locations: Any) -> str:
    """The image whose digest the first logical location names."""
    for location in as_list(locations)[:1]:
        for logical in as_list(as_dict(location).get("logicalLocations"))[:1]:
            name, digest, _rest = as_text(as_dict(logical).get("fullyQualifiedName")).partition("@sha256:")
            if digest:
                return _sarif_place.image_name(name)[:500]
    return ""


def _suppressed(suppressions: Any) -> bool:
    """Suppressed unless the list is empty or somebody has still to agree, or has refused."""
    found = as_list(suppressions)
    return bool(found) and not any(as_dict(each).get("status") in ("underReview", "rejected") for each in found)
