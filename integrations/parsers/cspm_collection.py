"""What `cspm collect` found in an account and how its own checks judged it: JSON lines, written by `triage.domain.custom_checks`.

The first line is the head: when and where, which checks, what was looked at in full, what could not be read. Each line after it is
an asset with its tags, its facts and the results of the checks that apply to it. The format's name ends in its version.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

import msgspec
from django.utils.translation import gettext_noop as _

from triage.ports import (
    AccountInfo,
    CheckInfo,
    Collected,
    Covered,
    FactValue,
    Observation,
    ParseOptions,
    Run,
    Severity,
    Skipped,
    Text,
    UnreadableReport,
    Verdict,
)

LABEL = "CSPM collection"

SCANNER = "cspm"
COLLECTED = "%s_collected"  # the check that every asset of a kind is named by, whatever else applies to it
LONGEST = 16 << 20  # bytes of a line

_HEAD = re.compile(rb'\s*\{\s*"format"\s*:\s*"cspm-collection/(\d{1,4})"')

OTHER_VERSION = _(
    "This is a collection of version %(version)s, and version 1 is read here. Collect it with this version of CSPM Triage."
)
BROKEN_HEAD = _("The first line of this collection cannot be read: %(problem)s. Collect it again.")
BROKEN_LINE = _("Line %(line)s is not an asset of a collection: %(problem)s. It was left out.")
TOO_LONG = _("Line %(line)s is longer than %(limit)s MiB. That is not an asset: check the file.")
NO_KIND = _("Line %(line)s is of the kind “%(kind)s”, which the first line does not describe. It was left out.")
NO_CHECK = _("Line %(line)s names the check “%(check)s”, which the first line does not describe. That result was left out.")


class _Check(msgspec.Struct):
    key: str
    severity: str
    title: str = ""
    service: str = ""
    description: str = ""
    risk: str = ""
    remediation: str = ""
    remediation_url: str = ""
    controls: list[tuple[str, str]] = []
    exposes: bool = False
    translations: dict[str, dict[str, str]] = {}


class _Scope(msgspec.Struct):
    kind: str
    regions: list[str]
    checks: list[str] = []


class _Kind(msgspec.Struct):
    type: str
    service: str


class _Text(msgspec.Struct):
    message: str
    params: dict[str, str | int] = {}


class _Head(msgspec.Struct):
    at: datetime
    provider: str
    account: str
    version: str = ""
    kinds: dict[str, _Kind] = {}
    checks: list[_Check] = []
    covered: list[_Scope] = []
    notes: list[_Text] = []


class _Asset(msgspec.Struct):
    kind: str
    uid: str
    name: str
    region: str
    facts: dict[str, FactValue]
    tags: list[tuple[str, str]] | None = None
    results: dict[str, Verdict] = {}
    messages: dict[str, str] = {}


def sniff(head: bytes, /) -> str | None:
    found = _HEAD.match(head.removeprefix(b"\xef\xbb\xbf"))
    if found is None:
        return None
    if found[1] != b"1":
        raise UnreadableReport(OTHER_VERSION, version=found[1].decode())
    return "CSPM collection v1"


def parse(stream: BinaryIO, _options: ParseOptions, /) -> Iterator[Run | Observation | Skipped]:
    head, severities = _head(stream)
    account, at = AccountInfo(head.provider, head.account), head.at if head.at.tzinfo else None
    checks = {check.key: _info(check) for check in head.checks}
    inventory = {
        kind: CheckInfo(COLLECTED % kind, title=f"Collected: {kind}", service=about.service) for kind, about in head.kinds.items()
    }
    yield Run(
        SCANNER, "cloud", version=head.version, at=at,
        covered=tuple(
            Covered(
                account, scope.kind, tuple(scope.regions),
                (
                    (inventory[scope.kind], Severity.INFORMATIONAL),
                    *((checks[key], severities[key]) for key in scope.checks if key in checks),
                ),
            )
            for scope in head.covered
            if scope.kind in inventory
        ),
    )  # fmt: skip
    for position, note in enumerate(head.notes):
        yield Skipped(position, Text(note.message, note.params), line=1, lost=False)
    for number, asset in _assets(stream):
        if isinstance(asset, Skipped):
            yield asset
        elif asset.kind not in inventory:
            yield Skipped(number - 2, Text(NO_KIND, {"line": number, "kind": asset.kind[:200]}), line=number)
        else:
            see = _Seer(asset, head.kinds[asset.kind], number - 2, account, at)
            yield see(inventory[asset.kind], Verdict.UNKNOWN, Severity.INFORMATIONAL)
            for key, verdict in asset.results.items():
                if key in checks:
                    yield see(checks[key], verdict, severities[key])
                else:
                    yield Skipped(number - 2, Text(NO_CHECK, {"line": number, "check": key[:200]}), line=number)


def _head(stream: BinaryIO) -> tuple[_Head, dict[str, Severity]]:
    try:
        head = msgspec.json.decode(stream.readline(LONGEST).removeprefix(b"\xef\xbb\xbf"), type=_Head)
        return head, {check.key: Severity[check.severity.upper()] for check in head.checks}
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise UnreadableReport(BROKEN_HEAD, problem=str(error)[:200]) from error


def _assets(stream: BinaryIO) -> Iterator[tuple[int, _Asset | Skipped]]:
    """Assets by their line, from 2."""
    decode = msgspec.json.Decoder(_Asset).decode
    number = 1
    while line := stream.readline(LONGEST):
        number += 1
        if len(line) == LONGEST:
            raise UnreadableReport(TOO_LONG, line=number, limit=LONGEST >> 20)
        if not line.strip():
            continue
        try:
            yield number, decode(line)
        except (msgspec.MsgspecError, ValueError) as error:
            yield number, Skipped(number - 2, Text(BROKEN_LINE, {"line": number, "problem": str(error)[:200]}), line=number)


def _info(check: _Check) -> CheckInfo:
    return CheckInfo(
        key=check.key, title=check.title, service=check.service, description=check.description, risk=check.risk,
        remediation=check.remediation, remediation_url=check.remediation_url, controls=tuple(check.controls), exposes=check.exposes,
        translations=tuple((language, name, text) for language, said in check.translations.items() for name, text in said.items()),
    )  # fmt: skip


class _Seer:
    """What checks say of one asset. All its observations carry the facts, as tags that were read and are none are no omission."""

    def __init__(self, asset: _Asset, kind: _Kind, position: int, account: AccountInfo, at: datetime | None) -> None:
        tags = tuple(asset.tags) if asset.tags is not None else None
        self._asset, self._type, self._position, self._account, self._at = asset, kind.type, position, account, at
        self._collected = Collected(asset.kind, asset.uid, asset.name, asset.region, tags, asset.facts)

    def __call__(self, check: CheckInfo, verdict: Verdict, severity: Severity) -> Observation:
        asset = self._asset
        return Observation(
            position=self._position, check=check, verdict=verdict, severity=severity, account=self._account, region=asset.region,
            asset=asset.uid, asset_name=asset.name, asset_type=self._type, tags=self._collected.tags or (),
            message=asset.messages.get(check.key, ""), seen_at=self._at, collected=self._collected,
        )  # fmt: skip
