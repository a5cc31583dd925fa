"""Prowler's CSV of every generation, as written or as saved again by a spreadsheet: v2 (commas, no quotes), v3, v4 and v5.

A v4/v5 row is nine parts metadata of its check, the same in all rows of that check. So the fields before DESCRIPTION are split,
and the rest of the row is compared with what that check's rows ended in before, in one memcmp. Whatever is unusual (a quote or a
line break before DESCRIPTION, an end not seen before, another layout) is read by csv.reader, record by record.
"""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from integrations.parsers import _prowler, _prowler_v2
from integrations.parsers._csv import CHUNK, BrokenRecord, Header, Records, headers, mended, plain_head
from triage.ports import (
    AccountInfo,
    CheckInfo,
    Observation,
    ParseOptions,
    Run,
    Severity,
    Skipped,
    Text,
    Unchanged,
    UnreadableReport,
    Verdict,
)

LABEL = "Prowler CSV"

Row = Observation | Unchanged | Skipped

HEAD_SIZE = 64 << 10

COMPLIANCE = _(
    "This is a Prowler compliance report (output/compliance/…): it repeats each finding once for every requirement of a "
    "framework. Import the findings of the same run instead: output/prowler-output-*.csv."
)
NOT_PROWLER = _("The first line is not the header of a Prowler CSV. Import the file as Prowler wrote it, with its header line.")
EMPTY = _(
    "The report holds a header and no rows. Prowler writes that when no check ran, so it says nothing about what was fixed."
)
NOTHING_READ = _("None of the report's rows could be read, so it says nothing about what was fixed.")
COLUMNS = _("Line %(line)s has %(found)s cells where the header has %(expected)s. It was left out; export the report again.")
CUT_OFF = _(
    "The report ends in the middle of line %(line)s, after %(found)s of %(expected)s cells: it was cut short. Export it again."
)
NO_CHECK = _("Line %(line)s names no check. It was left out.")
NO_STATUS = _("Line %(line)s has the status “%(word)s”, which Prowler does not use. It was left out.")
NOT_UTF8 = _("Line %(line)s is not UTF-8 (perhaps saved again by a spreadsheet); such lines were read as Windows-1252.")
NO_SEVERITY = _("Line %(line)s has the severity “%(word)s”, which Prowler does not use; such rows were read as medium.")
NO_TIME = _("Line %(line)s has the time “%(word)s”, which is not ISO 8601 nor a Unix time; such rows have no time.")
SHIFTED = _("Line %(line)s has commas inside its cells (Prowler 2 does not quote); its cells were put back in place.")

# What we read, and the columns that hold it in v4/v5 and in v3 for AWS, Azure and GCP; the first that is not empty counts.
_FIELDS: dict[str, tuple[str, ...]] = {
    "time": ("TIMESTAMP", "ASSESSMENT_START_TIME"),
    "provider": ("PROVIDER",),
    "account": ("ACCOUNT_UID", "ACCOUNT_ID", "SUBSCRIPTION", "PROJECT_ID"),
    "account_name": ("ACCOUNT_NAME",),
    "email": ("ACCOUNT_EMAIL",),
    "organization": ("ACCOUNT_ORGANIZATION_NAME", "ACCOUNT_ORGANIZATION_UID", "ACCOUNT_ORG", "TENANT_DOMAIN"),
    "unit": ("ACCOUNT_OU_NAME", "ACCOUNT_OU_UID"),
    "account_tags": ("ACCOUNT_TAGS",),
    "alias": ("FINDING_UID", "FINDING_UNIQUE_ID"),
    "status": ("STATUS",),
    "muted": ("MUTED",),
    "message": ("STATUS_EXTENDED",),
    "severity": ("SEVERITY",),
    "kind": ("RESOURCE_TYPE",),
    "asset": ("RESOURCE_UID", "RESOURCE_ARN", "RESOURCE_ID", "RESOURCE_NAME"),
    "name": ("RESOURCE_NAME", "RESOURCE_ID"),
    "tags": ("RESOURCE_TAGS",),
    "region": ("REGION", "LOCATION"),
    "version": ("PROWLER_VERSION",),
}
# The same for what makes a CheckInfo.
_CHECK_FIELDS: dict[str, tuple[str, ...]] = {
    "key": ("CHECK_ID",),
    "title": ("CHECK_TITLE",),
    "service": ("SERVICE_NAME",),
    "description": ("DESCRIPTION",),
    "risk": ("RISK",),
    "remediation": ("REMEDIATION_RECOMMENDATION_TEXT",),
    "url": ("REMEDIATION_RECOMMENDATION_URL",),
    "cli": ("REMEDIATION_CODE_CLI", "REMEDIATION_RECOMMENDATION_CODE_CLI"),
    "terraform": ("REMEDIATION_CODE_TERRAFORM", "REMEDIATION_RECOMMENDATION_CODE_TERRAFORM"),
    "other": ("REMEDIATION_CODE_OTHER", "REMEDIATION_RECOMMENDATION_CODE_OTHER"),
    "native": ("REMEDIATION_CODE_NATIVEIAC", "REMEDIATION_RECOMMENDATION_CODE_NATIVEIAC"),
    "compliance": ("COMPLIANCE",),
    "categories": ("CATEGORIES",),
    "related": ("RELATED_URL",),
    "additional": ("ADDITIONAL_URLS",),
}

# The columns before DESCRIPTION, the same in all of v4 and v5. Another order is read by csv.reader alone.
_HEAD = (
    *("AUTH_METHOD", "TIMESTAMP", "ACCOUNT_UID", "ACCOUNT_NAME", "ACCOUNT_EMAIL", "ACCOUNT_ORGANIZATION_UID"),
    *("ACCOUNT_ORGANIZATION_NAME", "ACCOUNT_TAGS", "FINDING_UID", "PROVIDER", "CHECK_ID", "CHECK_TITLE", "CHECK_TYPE", "STATUS"),
    *(
        "STATUS_EXTENDED",
        "MUTED",
        "SERVICE_NAME",
        "SUBSERVICE_NAME",
        "SEVERITY",
        "RESOURCE_TYPE",
        "RESOURCE_UID",
        "RESOURCE_NAME",
    ),
    *("RESOURCE_DETAILS", "RESOURCE_TAGS", "PARTITION", "REGION"),
)
_AFTER_TIME, _ACCOUNT_COLUMNS = 2, 8
# To be changed with what a row is read as: fingerprints of another reading prove nothing.
READING = b"prowler csv 4"
_OU = ("ACCOUNT_OU_UID", "ACCOUNT_OU_NAME")
# Bytes to split for the cells before DESCRIPTION: enough for most rows, and for nearly all.
_WINDOW, _WIDE = 1536, 16 << 10
# Bytes to split for the cells up to CHECK_ID; of DESCRIPTION, enough to find where it begins.
_SHORT, _BEGINNING = 512, 32

_ESSENTIAL_V4 = frozenset({"ACCOUNT_UID", "CHECK_ID", "STATUS", "RESOURCE_UID"})
_ESSENTIAL_V3 = frozenset({"ASSESSMENT_START_TIME", "CHECK_ID", "STATUS", "RESOURCE_ID"})
_ESSENTIAL_V2 = frozenset({"ACCOUNT_NUM", "TITLE_ID", "CHECK_RESULT", "TITLE_TEXT", "CHECK_RESULT_EXTENDED"})
_ESSENTIAL_COMPLIANCE = frozenset({"PROVIDER", "REQUIREMENTS_ID", "STATUS"})

_V2_RESULT = 4
_V2_TITLE = 7
_V2_SEVERITY = 10
_REMEMBERED = 32 << 20
_OVERHEAD = 500

# A byte is looked for by its number: by b'"' it takes four times as long.
_QUOTE, _LF, _CR, _APOSTROPHE = b"\"\n\r'"
_unusual = re.compile(rb'["\r\n]')


def sniff(head: bytes) -> str | None:
    """The generation's name when the first line is the header of Prowler's findings. Raises UnreadableReport for compliance."""
    header = _recognise(plain_head(head))
    if header is None:
        return None
    if set(header.names) >= _ESSENTIAL_V2:
        return "Prowler CSV v2"
    if set(header.names) >= _ESSENTIAL_V3:
        return "Prowler CSV v3"
    return "Prowler CSV v5" if "ADDITIONAL_URLS" in header.names else "Prowler CSV v4"


def parse(stream: BinaryIO, options: ParseOptions, chunk: int = CHUNK) -> Iterator[Run | Row]:
    """Yield a Run, then an Observation or a Skipped for each row. `chunk`: bytes to read at a time."""
    records = Records(stream, chunk)
    header = _recognise(records.peek(HEAD_SIZE))
    if header is None:
        raise UnreadableReport(NOT_PROWLER)
    records.begin(header)
    table = _Table(header, options)
    batches = _old_rows(records, table) if set(header.names) >= _ESSENTIAL_V2 else _rows(records, table)
    # chain hands a batch's rows on without a generator in between: that is a tenth of a row's time.
    rows = chain.from_iterable(batches)
    return chain(_beginning(rows, table), rows)


def _beginning(rows: Iterator[Row], table: "_Table") -> Iterator[Run | Row]:
    """Take rows up to the first observation, and put the Run before that."""
    unread = False
    for row in rows:
        if isinstance(row, Observation):
            yield Run(_prowler.SCANNER, "cloud", version=table.version, at=row.seen_at)
            yield row
            return
        unread = unread or (isinstance(row, Skipped) and row.lost)
        yield row
    because = Text(NOTHING_READ if unread else EMPTY)
    yield Run(_prowler.SCANNER, "cloud", version=table.version, conclusive=False, inconclusive_because=because)


def _recognise(head: bytes) -> Header | None:
    for header in headers(head):
        names = set(header.names)
        if names >= _ESSENTIAL_COMPLIANCE:
            raise UnreadableReport(COMPLIANCE)
        if any(names >= essential for essential in (_ESSENTIAL_V4, _ESSENTIAL_V3, _ESSENTIAL_V2)):
            return header
    return None


# --- v3, v4, v5 ---------------------------------------------------------------------------------------------------------------


def _rows(records: Records, table: "_Table") -> Iterator[Iterable[Row]]:
    """The rows of a v3, v4 or v5 report in batches. After a broken record the lines that are no whole rows are its remains."""
    known = _Known(table.header.names) if _is_standard(table.header) else None
    # The position that comes next after a broken record, until a whole row has taken it.
    astray = -1
    while True:
        if known:
            yield _known_rows(records, known, table)
        try:
            cells = records.record()
        except BrokenRecord as broken:
            if astray != table.position:
                yield [Skipped(table.next(), broken.text, records.first_line)]
            astray = table.position
            continue
        if cells is None:
            return
        if not any(cells) or (astray == table.position and not table.fits(cells)):
            continue
        astray = -1
        if not table.fits(cells):
            yield [table.misfit(records, len(cells))]
        elif not table.is_header(cells):
            row = table.observe(cells, records)
            yield [*table.noted(records), row]
            if known and isinstance(row, Observation):
                known.learn(records.data[records.start : records.at], row)


def _is_standard(header: Header) -> bool:
    return header.names[: len(_HEAD)] == _HEAD and header.delimiter == ";" and header.line_end == b"\n"


def _known_rows(records: Records, known: "_Known", table: "_Table") -> Iterator[Observation | Unchanged]:  # noqa: C901, PLR0915 - a call a row costs a tenth
    """Yield rows as long as they end like one seen before, and stop before the first that does not.

    A row's fingerprint is of all its bytes but AUTH_METHOD and TIMESTAMP. Of one that was in the last report nothing is decoded, and
    only the cells up to CHECK_ID are split, unless they are long or its description stands in a cell before.

    Sound because csv.reader, at the start of a field, makes the same of the same bytes: without quote and line break in the head,
    DESCRIPTION starts a field there; the stem is what csv.reader read from such a start before, and the ending closes the record.
    """
    checks, accounts, tags, kinds, regions = known.checks, known.accounts, known.tags, known.kinds, known.regions
    statuses, mutes, severities = known.statuses, known.mutes, known.severities
    position, unchanged, digest = table.position, table.options.unchanged, hashlib.blake2b
    while (limit := records.ahead()) > records.at:
        data, at, line = records.data, records.at, records.line
        while at < limit:
            if unchanged:
                short = data[at : at + _SHORT]
                cells = short.split(b";", 11)
                try:
                    stem, size, lines, salt, known_title, _service, info, beginning = checks[cells[10]]
                    prefix, ending, account_salt, known_provider, account, _seen_at = accounts[cells[2]]
                    # Behind the title, as many a description begins with the same words. Where this is not where DESCRIPTION begins,
                    # the fingerprint is none that there was, and the row goes the long way.
                    start = data.find(beginning, at + len(short) - len(cells[11]) + len(known_title), at + _WIDE) + 1
                except (KeyError, IndexError):
                    start = 0
                if (
                    start and cells[9] == known_provider and data.startswith(stem, start)
                    and data.startswith(ending, start + size) and data.startswith(prefix, at)
                ):  # fmt: skip
                    fingerprint = digest(salt + account_salt + data[at + len(prefix) : start], digest_size=16).digest()
                    value = unchanged.get(fingerprint)
                    if value is not None:
                        at, line, position = start + size + len(ending), line + lines, position + 1
                        yield fingerprint, value, info, account
                        continue
            window = data[at : at + _WINDOW]
            cells = window.split(b";", 26)
            if len(cells) <= len(_HEAD):
                window = data[at : at + _WIDE]
                cells = window.split(b";", 26)
            try:
                stem, size, lines, salt, known_title, known_service, info, _beginning = checks[cells[10]]
                prefix, ending, account_salt, known_provider, account, seen_at = accounts[cells[2]]
                start = at + len(window) - len(cells[26])
                if not (data.startswith(stem, start) and data.startswith(ending, start + size) and window.startswith(prefix)):
                    break
                fingerprint = digest(salt + account_salt + data[at + len(prefix) : start], digest_size=16).digest()
                if fingerprint in unchanged and cells[9] == known_provider:
                    at, line, position = start + size + len(ending), line + lines, position + 1
                    yield fingerprint, unchanged[fingerprint], info, account
                    continue
                (_auth, _time, _uid, _name, _mail, _org, _org_name, _labels, alias, provider, _check, title, _type, status, message,
                 muted, service, _part, word, kind, asset, name, _details, labels, _partition, region, _rest,
                 ) = cells  # fmt: skip
                verdict, is_muted, severity = statuses[status], mutes[muted], severities[word]
                finding, text, thing, label = alias.decode(), message.decode(), asset.decode(), name.decode()
                where, sort, pairs = regions[region], kinds[kind], tags[labels] if labels in tags else known.tags_of(labels)
            except (ValueError, KeyError, IndexError):
                break
            head = data[at:start]
            if (
                title != known_title or service != known_service or provider != known_provider
                or _QUOTE in head or _LF in head or _CR in head or (_APOSTROPHE in head and b";'" in head)
            ):  # fmt: skip
                break
            at, line, thing = start + size + len(ending), line + lines, thing or label
            yield Observation(
                position, info, verdict, severity, account, where, thing, label, sort, pairs, text, seen_at, is_muted,
                _prowler.clean_alias(finding) if "<" in finding else finding, "", _prowler.is_stand_in(thing, label, account.uid),
                False, None, (), fingerprint,
            )  # fmt: skip
            position += 1
        records.at, records.line, table.position = at, line, position
        if at < limit:
            return


def _salt(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\x1f".join([READING, *parts]), digest_size=16).digest()


class _Known:
    """What rows read so far have in common, by their bytes and in bounded memory.

    `checks`: id to (bytes from DESCRIPTION to where the account's columns or the line's end begin, their length, the lines of the
    row, salt, title, service, CheckInfo, delimiter and first bytes of DESCRIPTION). `accounts`: uid to (bytes before FINDING_UID,
    bytes that end the row, salt, provider, AccountInfo, time). A salt is a digest of what a fingerprint does not hash anew in each
    row. The others: a cell to what it means; `statuses` holds those that mute nothing.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._organised = tuple(names[-2:]) == _OU
        self._room = _REMEMBERED
        self.checks: dict[bytes, tuple[bytes, int, int, bytes, bytes, bytes, CheckInfo, bytes]] = {}
        self.accounts: dict[bytes, tuple[bytes, bytes, bytes, bytes, AccountInfo, datetime | None]] = {}
        self.tags: dict[bytes, tuple[tuple[str, str], ...]] = {}
        self.kinds: dict[bytes, str] = {}
        self.regions: dict[bytes, str] = {}
        self.severities: dict[bytes, Severity] = {}
        self.statuses: dict[bytes, Verdict] = {}
        self.mutes = {b"False": False, b"True": True}

    def learn(self, raw: bytes, row: Observation) -> None:
        """Remember a row that csv.reader made of `raw`, if its head is plain and its end is that of a row."""
        *cells, tail = raw.split(b";", len(_HEAD))
        if len(cells) < len(_HEAD) or _unusual.search(raw, 0, len(raw) - len(tail)):
            return
        if self._organised:
            # Without quotes in them, the last two delimiters are csv.reader's as well.
            *_front, unit_uid, unit_name = tail.rsplit(b";", 2)
            if b'"' in unit_uid or b'"' in unit_name:
                return
            ending = unit_uid + b";" + unit_name
        else:
            ending = tail[len(tail.rstrip(b"\r\n")) :]
        stem = tail[: len(tail) - len(ending)]
        self._make_room(len(raw))
        beginning = b";" + stem[:_BEGINNING]
        self.checks[cells[10]] = (stem, len(stem), tail.count(b"\n"), _salt(stem), cells[11], cells[16], row.check, beginning)
        prefix = b";".join(cells[:_ACCOUNT_COLUMNS]) + b";"
        salt = _salt(*cells[_AFTER_TIME:_ACCOUNT_COLUMNS], ending)
        self.accounts[cells[2]] = (prefix, ending, salt, cells[9], row.account, row.seen_at)
        if _prowler.verdict(cells[13].decode("latin-1")) == (row.verdict, False):
            self.statuses[cells[13]] = row.verdict
        self.severities[cells[18]] = row.severity
        self.kinds[cells[19]] = row.asset_type
        self.regions[cells[25]] = row.region

    def tags_of(self, cell: bytes) -> tuple[tuple[str, str], ...]:
        """The tags of a cell; the ones read lately are kept. Raises UnicodeDecodeError."""
        self._make_room(len(cell))
        tags = self.tags[cell] = _prowler.tags_of(_prowler.unescaped(cell.decode()))
        return tags

    def _make_room(self, size: int) -> None:
        self._room -= size + _OVERHEAD
        if self._room < 0:
            self._room = _REMEMBERED
            for memo in (self.checks, self.accounts, self.tags, self.kinds, self.regions, self.severities, self.statuses):
                memo.clear()


class _Columns:
    """Where a table's fields stand in a row, each in the first of its columns that is not empty."""

    def __init__(self, fields: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> None:
        places = [[names.index(column) for column in columns if column in names] for columns in fields.values()]
        # -1 is the empty cell that `of` puts behind a row.
        self._firsts = itemgetter(*[place[0] if place else -1 for place in places])
        self._others = [(field, place[1:]) for field, place in enumerate(places) if len(place) > 1]

    def of(self, cells: list[str]) -> list[str]:
        """The row's cells in the order of the fields, '' for what the table does not have."""
        found = list(self._firsts([*cells, ""]))
        for field, others in self._others:
            if not found[field]:
                found[field] = next((cells[at] for at in others if cells[at]), "")
        return found


class _Table:
    """The columns of a v3, v4 or v5 report, and what one of its rows says."""

    def __init__(self, header: Header, options: ParseOptions) -> None:
        self.header = header
        self.position = 0
        self.version = "3" if "ASSESSMENT_START_TIME" in header.names else ""
        self.options = options
        self._row = _Columns(_FIELDS, header.names)
        self._check = _Columns(_CHECK_FIELDS, header.names)
        self._checks = _prowler.Interned[CheckInfo]()
        self._accounts = _prowler.Interned[AccountInfo]()
        self._notes: dict[str, tuple[str, str]] = {}
        self._noted: set[str] = set()

    def fits(self, cells: list[str]) -> bool:
        """True if the record has the header's cells; empty ones too many, as spreadsheets write them, are cut off."""
        width = len(self.header.names)
        if len(cells) > width and not any(cells[width:]):
            del cells[width:]
        return len(cells) == width

    def next(self) -> int:
        """The position of the row at hand; the next has another."""
        self.position += 1
        return self.position - 1

    def misfit(self, records: Records, width: int) -> Skipped:
        """Why a record of another width was left out."""
        names = self.header.names
        cut = width < len(names) and records.ended and records.at == len(records.data) and not records.data.endswith(b"\n")
        text = Text(CUT_OFF if cut else COLUMNS, {"line": records.first_line, "found": width, "expected": len(names)})
        return Skipped(self.next(), text, records.first_line, names[width - 1] if cut else "")

    def is_header(self, cells: list[str]) -> bool:
        """True for the header once more, in reports that were put one behind the other."""
        return tuple(cell.strip() for cell in cells) == self.header.names

    def observe(self, cells: list[str], records: Records) -> Observation | Skipped:
        """The row as an observation, or why it is none."""
        (
            time,
            provider,
            account_uid,
            account_name,
            email,
            organization,
            unit,
            labels,
            alias,
            status,
            muted,
            message,
            severity,
            kind,
            asset,
            name,
            tags,
            region,
            version,
        ) = self._read(cells, self._row, records)
        check = tuple(self._read(cells, self._check, records))
        verdict = _prowler.verdict(status)
        position, line = self.next(), records.first_line
        if not check[0]:
            return Skipped(position, Text(NO_CHECK, {"line": line}), line, "CHECK_ID")
        if verdict is None:
            return Skipped(position, Text(NO_STATUS, {"line": line, "word": status[:40]}), line, "STATUS")
        self.version = self.version or ("" if version.startswith("<") else version)
        provider = provider.strip().lower() or "aws"
        uid = _prowler.account_uid(provider, account_uid or self.options.account)
        name_of = _prowler.account_name(account_name)
        account = self._accounts(
            (provider, uid), lambda: AccountInfo(provider, uid, name_of, email, organization, unit, _tags_of_account(labels))
        )
        return Observation(
            position,
            self._checks(check, lambda: _check(check)),
            verdict[0],
            self.severity(severity),
            account,
            _prowler.region_of(region),
            asset,
            name,
            kind,
            _prowler.tags_of(tags),
            message,
            self.time(time),
            verdict[1] or muted.strip().lower() == "true",
            _prowler.clean_alias(alias),
            "",
            _prowler.is_stand_in(asset, name, account.uid),
        )

    def noted(self, records: Records) -> Iterator[Skipped]:
        """What was mended in the row read last, each kind once a report."""
        for message, (field, word) in self._notes.items():
            text = Text(message, {"line": records.first_line, "word": word[:40]})
            yield Skipped(self.position - 1, text, records.first_line, field, lost=False)
        self._notes.clear()

    def _read(self, cells: list[str], columns: _Columns, records: Records) -> list[str]:
        texts = columns.of(cells)
        if records.foreign:
            as_read, texts = texts, [mended(text) for text in texts]
            if as_read != texts:
                self.note(NOT_UTF8)
        return [_prowler.unescaped(text) if text[:1] == "'" else text for text in texts]

    def severity(self, word: str) -> Severity:
        severity = _prowler.severity(word)
        if severity is None:
            self.note(NO_SEVERITY, "SEVERITY", word)
        return severity or Severity.MEDIUM

    def time(self, text: str) -> datetime | None:
        time = _prowler.time_of(text, self.options.zone)
        if time is None and text:
            self.note(NO_TIME, "TIMESTAMP", text)
        return time

    def note(self, message: str, field: str = "", word: str = "") -> None:
        """Keep for `noted` that something was mended, the first time that it was."""
        if message not in self._noted:
            self._noted.add(message)
            self._notes[message] = (field, word)


def _check(texts: tuple[str, ...]) -> CheckInfo:
    (key, title, service, description, risk, remediation, url, cli, terraform, other, native, compliance, categories, related,
     additional) = texts  # fmt: skip
    words = _listed(categories)
    return CheckInfo(
        key, title, service, description, risk, remediation, url, cli, terraform,
        remediation_other="\n\n".join(filter(None, (other, native))),
        categories=words,
        controls=_prowler.controls_in(compliance),
        references=tuple(dict.fromkeys((*_listed(related), *_listed(additional)))),
        exposes="internet-exposed" in words,
    )  # fmt: skip


def _tags_of_account(text: str) -> tuple[tuple[str, str], ...]:
    """v4 and v5 join `key:value` with bars, v3 with commas."""
    return _prowler.tags_of(text if " | " in text else text.strip(",").replace(",", " | "), ":")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word for word in map(str.strip, text.split(" | ")) if word)


# --- v2 -----------------------------------------------------------------------------------------------------------------------


def _old_rows(records: Records, table: _Table) -> Iterator[Iterable[Row]]:
    """The rows of a v2 report, one a line: it was written without quotes, so that a quote need not be one."""
    table.version = _prowler_v2.VERSION
    observer = _prowler_v2.Observer()
    while True:
        try:
            line = records.text_line()
        except BrokenRecord as broken:
            yield [Skipped(table.next(), broken.text, records.first_line)]
            continue
        if line is None:
            return
        if not line.strip(f" \t\r\n{table.header.delimiter}"):
            continue
        cells = _old_cells(mended(line).rstrip("\r\n") if records.foreign else line.rstrip("\r\n"), table.header)
        if records.foreign:
            table.note(NOT_UTF8)
        if len(cells) > len(table.header.names):
            cells = _put_back(cells, table.header.names) or cells
            table.note(SHIFTED)
        if len(cells) != len(table.header.names):
            yield [table.misfit(records, len(cells))]
        elif not table.is_header(cells):
            row = _old_row(cells, table, observer, records.first_line)
            yield [*table.noted(records), row]


def _old_cells(line: str, header: Header) -> list[str]:
    """The cells of a line, read with quotes (a spreadsheet's) if that gives the header's number, else without."""
    width = len(header.names)
    readings = [line.split(header.delimiter)]
    with suppress(csv.Error):
        readings.insert(0, next(csv.reader([line], delimiter=header.delimiter)))
    for cells in readings:
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) == width:
            return cells
    return readings[-1]


def _put_back(cells: list[str], names: tuple[str, ...]) -> list[str] | None:
    """The cells of a row with commas inside them, put together by what cannot be mistaken: status, severity, the doc's link.

    None if there are no such marks. A title, a sentence, a risk and a remediation may have lost their commas to each other.
    """
    risky = _V2_SEVERITY + 4
    marks = [at for at in range(_V2_SEVERITY, len(cells) - 6) if _prowler.severity(cells[at])]
    if not marks or _prowler.verdict(cells[_V2_RESULT]) is None:
        return None
    behind = len(names) - names.index("CHECK_DOC") - 1
    severity = marks[0]
    doc = next((at for at in range(severity + 5, len(cells)) if cells[at].startswith("http")), len(cells) - behind - 1)
    title, *sentence, compliance = cells[_V2_TITLE:severity]
    risk, remediation = cells[severity + 4 : doc - 1], cells[doc - 1]
    row = [*cells[:_V2_TITLE], title, ",".join(sentence), compliance, *cells[severity : severity + risky - _V2_SEVERITY]]
    row += [",".join(risk), remediation, *cells[doc:]]
    return row if len(row) == len(names) else None


def _old_row(cells: list[str], table: _Table, observer: _prowler_v2.Observer, line: int) -> Observation | Skipped:
    row = dict(zip(table.header.names, cells, strict=True))
    record = _prowler_v2.Record(
        account=row["ACCOUNT_NUM"] or table.options.account,
        region=row["REGION"],
        control=row["TITLE_TEXT"],
        status=row["CHECK_RESULT"],
        message=row["CHECK_RESULT_EXTENDED"],
        severity=table.severity(row.get("CHECK_SEVERITY", "")),
        service=row.get("CHECK_SERVICENAME", ""),
        kind=row.get("CHECK_ASFF_RESOURCE_TYPE", ""),
        compliance=row.get("CHECK_ASFF_COMPLIANCE_TYPE", ""),
        risk=row.get("CHECK_RISK", ""),
        remediation=row.get("CHECK_REMEDIATION", ""),
        doc=row.get("CHECK_DOC", ""),
        resource=row.get("CHECK_RESOURCE_ID", ""),
        at=table.time(row.get("PROWLER_START_TIME", "")),
        email=row.get("ACCOUNT_DETAILS_EMAIL", ""),
        name=row.get("ACCOUNT_DETAILS_NAME", ""),
        organization=row.get("ACCOUNT_DETAILS_ORG", ""),
        labels=row.get("ACCOUNT_DETAILS_TAGS", ""),
    )
    position = table.next()
    try:
        return observer(record, position)
    except ValueError as error:
        fault, field = (NO_STATUS, "CHECK_RESULT") if _prowler_v2.check_of(record.control)[0] else (NO_CHECK, "TITLE_TEXT")
        return Skipped(position, Text(fault, {"line": line, "word": str(error)[:40]}), line, field)
