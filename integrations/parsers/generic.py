"""Any CSV or JSON report, by a mapping that says which column or path holds what.

    {
      "format": "csv",                       csv, json or jsonl; by the first character where it is left out
      "delimiter": ";",                      CSV: by the header where it is left out
      "records": "path.to.list",             JSON: where the records are, if not at the top
      "scanner": "acme",                     the tool's name; the same in all its reports
      "complete": false,                     true: what is open and not in the report is gone
      "fields": {
        "check": "Rule ID",                  a column, or a dotted path in a JSON record
        "asset": {"from": ["ARN", "Id"]},    the first of several that is not empty
        "account": {"value": "123456789012"},
        "severity": {"from": "Sev", "map": {"P1": "critical"}, "default": "medium"},
        "verdict": {"from": "State", "map": {"open": "fail", "closed": "pass", "risk accepted": "muted", "draft": "ignore"}},
        "tags": {"from": "Tags", "pairs": ";", "assign": "="},
        "categories": {"from": "Labels", "split": ","},
        "seen_at": {"from": "Date", "time": "%d/%m/%Y %H:%M"}
      }
    }

`check` and `asset` (or `path`, which makes it a report on code) are needed, and an account, here or stated at import. Without a
verdict every record is a failure. The words of `map` are compared without regard to case; a word that it lacks is taken as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, BinaryIO

from django.utils.translation import gettext_noop as _

from integrations.parsers import _cloud, _csv, _json, _prowler
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

LABEL = "CSV or JSON by a mapping"
BY_MAPPING = True  # never found by its content: chosen where a mapping is given

NO_MAPPING = _("A report of this kind needs a mapping that says which column or path holds what.")
NO_OBJECT = _("“%(place)s” in the mapping is not what it should be: %(expected)s.")
UNKNOWN_KEY = _("The mapping has “%(key)s” in “%(place)s”, which has no such key. It can have: %(known)s.")
MISTYPED_KEY = _("The mapping has “%(key)s” in “%(place)s”, which has no such key. Did you mean %(close)s?")
MISSING_KEY = _("The mapping lacks “%(key)s” in “%(place)s”.")
UNKNOWN_WORD = _("The mapping makes the %(field)s “%(word)s”, which is none. It can be: %(known)s.")
NO_COLUMN = _("The mapping takes %(field)s from “%(column)s”, which the report does not have. It has: %(known)s.")
MISTYPED_COLUMN = _("The mapping takes %(field)s from “%(column)s”, which the report does not have. Did you mean %(close)s?")
NO_HEADER = _("The report has no header line with the delimiter “%(delimiter)s”. Check the mapping's format and delimiter.")
NO_HOME = _("Neither the mapping nor the import says which account or repository the report is about. State one of them.")
NOTHING_READ = _("None of the report's records could be read with this mapping, so it says nothing about what was fixed.")
NO_ROWS = _("The report holds no records, so it says nothing about what was fixed.")
NOT_COMPLETE = _("The mapping does not say that the report is complete, so what is missing in it proves nothing.")
EMPTY_FIELD = _("The record has no %(field)s. It was left out.")
NO_SEVERITY = _("The record has the severity “%(word)s”, which the mapping does not know; it was read as medium.")
NO_VERDICT = _("The record has the verdict “%(word)s”, which the mapping does not know. It was left out.")
NO_TIME = _("The record has the time “%(word)s”, which is neither ISO 8601 nor a Unix time; it has no time now.")
WIDTH = _("Line %(line)s has %(found)s cells where the header has %(expected)s. It was left out.")

_TOP = ("format", "delimiter", "records", "scanner", "complete", "fields")
_FORMATS = ("csv", "json", "jsonl")
_SPEC = ("from", "value", "map", "default", "pairs", "assign", "split", "time")
_FIELDS = (
    *("check", "title", "description", "risk", "remediation", "remediation_url", "service", "categories", "weaknesses"),
    *("references", "severity", "verdict", "muted", "asset", "asset_name", "asset_type", "account", "account_name", "provider"),
    *("region", "tags", "seen_at", "message", "alias", "discriminator", "path", "line", "end_line"),
)
_NEEDED = frozenset({"check", "asset", "path"})
_IGNORE = "ignore"
_VERDICTS = {
    "fail": (Verdict.FAIL, False),
    "failed": (Verdict.FAIL, False),
    "pass": (Verdict.PASS, False),
    "passed": (Verdict.PASS, False),
    "manual": (Verdict.MANUAL, False),
    "muted": (Verdict.FAIL, True),
}
_SEVERITIES = ("critical", "high", "medium", "low", "informational", "info")
_DIGITS = 10
_TRUE = frozenset({"true", "yes", "y", "1", "muted", "suppressed", "oui", "vrai"})

Get = Callable[[str], Any]


def sniff(_head: bytes) -> None:
    """None: what a report of any tool means cannot be seen from it."""
    return


def parse(stream: BinaryIO, options: ParseOptions) -> Iterator[Run | Observation | Skipped]:
    """Yield a Run and then what comes of each record. Raises UnreadableReport for a mapping that does not fit."""
    mapping = _mapping(options.mapping)
    reader = _Reader(mapping, options)
    is_csv = mapping.format == "csv" if mapping.format else _begins_as_csv(stream)
    found = _from_csv(stream, reader) if is_csv else _from_json(stream, reader)
    read = False
    begun = False
    for outcome in found:
        read = True
        if not begun and isinstance(outcome, Observation):
            begun = True
            yield reader.run(outcome.seen_at)
        yield outcome
    if not begun:
        yield reader.run(None, Text(NOTHING_READ if read else NO_ROWS))


def _begins_as_csv(stream: BinaryIO) -> bool:
    head = _json.head_text(stream.read(1024)).lstrip()
    stream.seek(0)
    return not head.startswith(("[", "{"))


# --- the mapping --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a field comes from: a constant, or the first of some columns that is not empty, and how its words are to be read."""

    name: str
    columns: tuple[str, ...] = ()
    value: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    pairs: str = ""
    assign: str = "="
    split: str = ","
    time: str = ""

    def raw(self, get: Get) -> Any:
        """What the record holds, '' for nothing."""
        for column in self.columns:
            found = get(column)
            if found not in (None, "", [], {}):
                return found
        return self.value

    def text(self, get: Get) -> str:
        """The record's word, mapped."""
        found = self.raw(get)
        text = str(found).strip() if not isinstance(found, bool) else str(found).lower()
        return self.words.get(text.casefold(), text) or self.default

    def texts(self, get: Get) -> tuple[str, ...]:
        """A JSON list, or a text split."""
        found = self.raw(get)
        parts = found if isinstance(found, list) else str(found).split(self.split)
        return tuple(dict.fromkeys(text for text in (str(part).strip() for part in parts) if text))

    def tags(self, get: Get) -> tuple[tuple[str, str], ...]:
        """A JSON object, a list of `{"key": …, "value": …}`, or a text of pairs."""
        found = self.raw(get)
        if isinstance(found, Mapping):
            return tuple((str(key), "" if value is None else str(value)) for key, value in found.items())
        if isinstance(found, list) and any(isinstance(tag, Mapping) for tag in found):
            lowered = [{str(key).lower(): value for key, value in tag.items()} for tag in found if isinstance(tag, Mapping)]
            return tuple((str(tag.get("key", tag.get("name", ""))), str(tag.get("value", ""))) for tag in lowered)
        parts = found if isinstance(found, list) else str(found).split(self.pairs or ",")
        pairs = (str(part).partition(self.assign) for part in parts if str(part).strip())
        return tuple((key.strip(), value.strip()) for key, _sign, value in pairs)


@dataclass(frozen=True, slots=True)
class _Mapping:
    scanner: str
    fields: Mapping[str, _Source]
    format: str = ""
    delimiter: str = ""
    records: str = ""
    complete: bool = False

    def columns(self) -> dict[str, str]:
        """Each column that is read, and a field that it is read for."""
        return {column: name for name, source in self.fields.items() for column in source.columns}


def _mapping(given: Mapping[str, Any] | None) -> _Mapping:
    if not given:
        raise UnreadableReport(NO_MAPPING)
    _expect_keys(given, _TOP, "mapping")
    for key in ("scanner", "fields"):
        if not given.get(key):
            raise UnreadableReport(MISSING_KEY, key=key, place="mapping")
    for key in ("scanner", "format", "delimiter", "records"):
        if not isinstance(given.get(key, ""), str):
            raise UnreadableReport(NO_OBJECT, place=key, expected="a text")
    if given.get("format", "csv") not in _FORMATS:
        raise _unknown(UNKNOWN_KEY, MISTYPED_KEY, str(given["format"]), _FORMATS, key=str(given["format"]), place="format")
    if not isinstance(given.get("complete", False), bool):
        raise UnreadableReport(NO_OBJECT, place="complete", expected="true or false")
    if not isinstance(given["fields"], Mapping):
        raise UnreadableReport(NO_OBJECT, place="fields", expected="an object of fields")
    _expect_keys(given["fields"], _FIELDS, "fields")
    fields = {name: _source(name, spec) for name, spec in given["fields"].items()}
    for name in ("check", *(() if "path" in fields else ("asset",))):
        if name not in fields:
            raise UnreadableReport(MISSING_KEY, key=name, place="fields")
    return _Mapping(
        scanner=_cloud.slug(given["scanner"]) or given["scanner"],
        fields=fields,
        format=given.get("format", ""),
        delimiter=given.get("delimiter", ""),
        records=given.get("records", ""),
        complete=given.get("complete", False),
    )


def _source(name: str, spec: object) -> _Source:
    if isinstance(spec, str):
        return _Source(name, columns=(spec,))
    if not isinstance(spec, Mapping):
        raise UnreadableReport(NO_OBJECT, place=name, expected="a column, or an object with “from” or “value”")
    _expect_keys(spec, _SPEC, name)
    if ("from" in spec) == ("value" in spec):
        raise UnreadableReport(NO_OBJECT, place=name, expected="either “from” or “value”")
    columns = spec.get("from", [])
    columns = [columns] if isinstance(columns, str) else columns
    words = spec.get("map", {})
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise UnreadableReport(NO_OBJECT, place=f"{name}.from", expected="a column, or a list of columns")
    if not isinstance(words, Mapping):
        raise UnreadableReport(NO_OBJECT, place=f"{name}.map", expected="an object from the report's words to ours")
    texts = {key: str(spec[key]) for key in ("value", "default", "pairs", "assign", "split", "time") if key in spec}
    source = _Source(name, tuple(columns), words={str(key).casefold(): str(word) for key, word in words.items()}, **texts)
    _expect_words(source)
    return source


def _expect_words(source: _Source) -> None:
    known: tuple[str, ...] = ()
    if source.name == "severity":
        known = _SEVERITIES
    elif source.name == "verdict":
        known = (*_VERDICTS, _IGNORE)
    for word in (*source.words.values(), source.default) if known else ():
        if word and word.lower() not in known:
            raise UnreadableReport(UNKNOWN_WORD, field=source.name, word=word, known=", ".join(known))


def _expect_keys(given: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in given:
        if key not in known:
            raise _unknown(UNKNOWN_KEY, MISTYPED_KEY, str(key), known, key=str(key), place=place)


def _unknown(message: str, mistyped: str, word: str, known: Iterable[str], **params: str) -> UnreadableReport:
    """The error that names the closest of the known words, or all of them."""
    folded = {name.casefold(): name for name in known}
    close = [folded[name] for name in get_close_matches(word.casefold(), folded, n=3, cutoff=0.6)]
    if close:
        return UnreadableReport(mistyped, close=", ".join(f"“{name}”" for name in close), **params)
    return UnreadableReport(message, known=", ".join(f"“{name}”" for name in folded.values()), **params)


# --- the two formats ----------------------------------------------------------------------------------------------------------


def _from_csv(stream: BinaryIO, reader: "_Reader") -> Iterator[Observation | Skipped]:
    records = _csv.Records(stream)
    columns = reader.mapping.columns()
    layouts = [header for header in _csv.headers(records.peek(64 << 10)) if reader.mapping.delimiter in ("", header.delimiter)]
    if not layouts:
        raise UnreadableReport(NO_HEADER, delimiter=reader.mapping.delimiter or "; , tab |")
    header = max(layouts, key=lambda layout: len(columns.keys() & set(layout.names)))
    for column, name in columns.items():
        if column not in header.names:
            raise _unknown(NO_COLUMN, MISTYPED_COLUMN, column, header.names, field=name, column=column)
    records.begin(header)
    index = {name: number for number, name in reversed(list(enumerate(header.names)))}
    position = 0
    while (row := _row(records, position, len(header.names))) is not None:
        if isinstance(row, Skipped):
            yield row
        elif row:
            yield from reader.observe(position, partial(_cell, row, index), records.first_line)
        else:
            continue
        position += 1


def _cell(row: list[str], index: Mapping[str, int], column: str) -> str:
    return row[index[column]]


def _row(records: _csv.Records, position: int, width: int) -> list[str] | Skipped | None:
    """The next row's cells, [] for a blank line, None at the end."""
    try:
        row = records.record()
    except _csv.BrokenRecord as broken:
        return Skipped(position, broken.text, line=records.first_line)
    if row and any(row) and (len(row) < width or any(row[width:])):
        text = Text(WIDTH, {"line": records.first_line, "found": len(row), "expected": width})
        return Skipped(position, text, line=records.first_line)
    return row if row is None or any(row) else []


def _from_json(stream: BinaryIO, reader: "_Reader") -> Iterator[Observation | Skipped]:
    paths = (reader.mapping.records,) if reader.mapping.records else ()
    unseen = {name: source.columns for name, source in reader.mapping.fields.items() if source.columns}
    first: dict[str, Any] = {}
    position = -1
    for position, record in _json.records(stream, dict[str, Any], *paths):
        if isinstance(record, Skipped):
            yield record
            continue
        first = first or record
        get = partial(_at, record)
        unseen = {name: columns for name, columns in unseen.items() if all(get(column) is None for column in columns)}
        yield from reader.observe(position, get, 0)
    for name, columns in unseen.items() if first else ():
        error = _unknown(NO_COLUMN, MISTYPED_COLUMN, columns[0], _paths(first), field=name, column=columns[0])
        if name in _NEEDED:
            raise error
        yield Skipped(position, error.text, field=name, lost=False)


def _at(record: Any, path: str) -> Any:
    """What stands at a dotted path (keys, and numbers in lists); a key that holds the dots itself comes first."""
    if not isinstance(record, dict):
        return record[int(path)] if isinstance(record, list) and path.isdecimal() and int(path) < len(record) else None
    if path in record:
        return record[path]
    key, dot, rest = path.partition(".")
    if not dot or key not in record:
        return None
    below = record[key]
    if isinstance(below, list):
        number, _dot, further = rest.partition(".")
        item = _at(below, number)
        return _at(item, further) if further else item
    return _at(below, rest)


def _paths(record: dict[str, Any], prefix: str = "", depth: int = 3) -> Iterator[str]:
    for key, value in record.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict) and depth:
            yield from _paths(value, f"{prefix}{key}.", depth - 1)


# --- records ------------------------------------------------------------------------------------------------------------------


class _Reader:
    """Turns records into observations; keeps one object for each check, account and set of tags."""

    def __init__(self, mapping: _Mapping, options: ParseOptions) -> None:
        self.mapping = mapping
        self.options = options
        self.is_code = "path" in mapping.fields
        self._checks = _cloud.Checks()
        self._accounts: dict[tuple[str, str], AccountInfo] = {}
        self._tags: _prowler.Interned[tuple[tuple[str, str], ...]] = _prowler.Interned()
        if "account" not in mapping.fields and not (options.repository if self.is_code else options.account):
            raise UnreadableReport(NO_HOME)

    def run(self, at: datetime | None, because: Text | None = None) -> Run:
        verdict = self.mapping.fields.get("verdict")
        words = {verdict.default, verdict.value, *verdict.words.values()} if verdict else set()
        if because is None and not self.mapping.complete:
            because = Text(NOT_COMPLETE)
        return Run(
            self.mapping.scanner,
            "code" if self.is_code else "cloud",
            reports_passes="pass" in words or (verdict is not None and not verdict.words),
            conclusive=because is None,
            inconclusive_because=because,
            at=at,
            category=self.options.category if self.is_code else "",
            repository=self.options.repository if self.is_code else "",
            branch=self.options.branch if self.is_code else "",
        )

    def observe(self, position: int, get: Get, line: int) -> Iterator[Observation | Skipped]:
        """What comes of a record: an Observation after notes on what was mended, or a lost Skipped; nothing if it is ignored."""
        row = _Row(self.mapping.fields, get)
        word = row.word("verdict", _VERDICTS).casefold() if "verdict" in self.mapping.fields else "fail"
        if word == _IGNORE:
            return
        asset = row.text("asset") or row.text("path")
        account = self._account(row, asset)
        lacking = next((name for name in ("check", "path" if self.is_code else "asset") if not row.text(name)), "")
        if account is None or lacking or word not in _VERDICTS:
            name = lacking or ("account" if account is None else "verdict")
            message = NO_VERDICT if name == "verdict" else EMPTY_FIELD
            yield Skipped(position, Text(message, {"field": name, "word": word}), line=line, field=name)
            return
        severity = _prowler.severity(row.word("severity", _SEVERITIES)) if "severity" in self.mapping.fields else Severity.MEDIUM
        seen_at = _time(self.mapping.fields.get("seen_at"), row, self.options)
        for name, message, read in (
            ("severity", NO_SEVERITY, severity),
            ("seen_at", NO_TIME, seen_at or not row.text("seen_at")),
        ):
            if not read:
                yield Skipped(position, Text(message, {"word": row.text(name)}), line=line, field=name, lost=False)
        verdict, muted = _VERDICTS[word]
        place = _place(row) if self.is_code else None
        yield Observation(
            position=position,
            check=self._checks(row.text("check"), lambda: _check(row)),
            verdict=verdict,
            severity=severity or Severity.MEDIUM,
            account=account,
            region=row.text("region"),
            asset=asset if place is None else row.text("asset") or place.path,
            asset_name=row.text("asset_name"),
            asset_type=row.text("asset_type"),
            tags=self._tag_pairs(row),
            message=row.text("message") or row.text("title"),
            seen_at=seen_at,
            muted=muted or row.text("muted").casefold() in _TRUE,
            alias=row.text("alias"),
            discriminator=row.text("discriminator"),
            place=place,
            places=(place,) if place else (),
        )

    def _account(self, row: "_Row", asset: str) -> AccountInfo | None:
        if self.is_code:
            provider, uid = "code", row.text("account") or self.options.repository
        else:
            provider, uid = _cloud.provider_of(row.text("provider"), asset), row.text("account") or self.options.account
        if not uid:
            return None
        uid = _prowler.account_uid(provider, uid)
        if (provider, uid) not in self._accounts:
            self._accounts[provider, uid] = AccountInfo(provider, uid, name=row.text("account_name"))
        return self._accounts[provider, uid]

    def _tag_pairs(self, row: "_Row") -> tuple[tuple[str, str], ...]:
        source = self.mapping.fields.get("tags")
        if source is None:
            return ()
        pairs = source.tags(row.get)
        return self._tags(tuple(part for pair in pairs for part in pair), lambda: pairs)


@dataclass(frozen=True, slots=True)
class _Row:
    """One record, asked for by our names of its fields."""

    fields: Mapping[str, _Source]
    get: Get

    def text(self, name: str) -> str:
        return self.fields[name].text(self.get) if name in self.fields else ""

    def word(self, name: str, known: Iterable[str]) -> str:
        """The mapped word, or the mapping's default for one that is not known."""
        word, default = self.text(name), self.fields[name].default
        return default if default and word.casefold() not in known else word

    def texts(self, name: str) -> tuple[str, ...]:
        return self.fields[name].texts(self.get) if name in self.fields else ()

    def number(self, name: str) -> int:
        text = self.text(name)
        return int(text) if text.isdecimal() and len(text) < _DIGITS else 0


def _check(row: _Row) -> CheckInfo:
    categories = row.texts("categories")
    return CheckInfo(
        key=row.text("check"),
        title=row.text("title") or row.text("check"),
        service=row.text("service"),
        description=row.text("description"),
        risk=row.text("risk"),
        remediation=row.text("remediation"),
        remediation_url=row.text("remediation_url"),
        categories=categories,
        weaknesses=tuple(f"CWE-{text}" if text.isdecimal() else text for text in row.texts("weaknesses")),
        references=row.texts("references"),
        exposes="internet-exposed" in categories,
    )


def _place(row: _Row) -> Place:
    path = row.text("path").replace("\\", "/").removeprefix("./")
    return Place(path, start_line=row.number("line"), end_line=row.number("end_line") or row.number("line"))


def _time(source: _Source | None, row: _Row, options: ParseOptions) -> datetime | None:
    if source is None:
        return None
    text = row.text("seen_at")
    if not source.time:
        return _cloud.time_of(text, options.zone) if text else None
    try:
        at = datetime.strptime(text, source.time)  # noqa: DTZ007 - the format need not have a zone
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=options.zone)
