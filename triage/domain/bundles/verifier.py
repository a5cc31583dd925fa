#!/usr/bin/env python3
"""Check an evidence bundle of CSPM Triage, or refuse it and say why: `python3 -I verify.py BUNDLE.zip --key KEY`, Python 3.9 or newer.

The key comes from outside of the bundle: whoever runs CSPM Triage tells it (`cspm ledger keys`), by another way than the bundle, or a
witness has it. So does this file: compare its SHA-256 with the one that was published, or read it; it is short on purpose.
`--head FILE`, a head of the log that somebody kept, shows that the history up to it was not written anew.

What a bundle holds, and what each step here proves, is in its README. 0: it holds. 1: refused. 2: usage. 3: consistent, but no key vouches.
"""

import argparse
import base64
import binascii
import csv
import hashlib
import io
import json
import locale
import os
import sys
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Optional

FORMAT = "cspm-bundle/1"
MANIFEST, NOTE = "manifest.json", "manifest.note"
POPULATION, EVENTS, PROOF, KEYS, EXCEPTIONS = "population.csv", "events.jsonl", "proof.json", "keys.json", "exceptions.json"
EVIDENCE = "evidence/"
HOLDS, REFUSED, USAGE, UNTRUSTED = 0, 1, 2, 3
UNPACKED = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)  # what broken ZIPs raise
LARGEST = 4 * 2**30  # bytes of one file, unpacked: what says that it is larger is not read
DASH = "— "

# Columns of population.csv that are computed from the sealed events of a finding, here and by whoever made the bundle.
DERIVED = (
    "detected_at", "detected_scan", "severity", "status", "presence", "team_id", "due_at", "due_original", "acknowledged_at",
    "contained_at", "claimed_at", "settled_at", "grade", "regressions", "sla_id", "status_at_end", "fixed_at", "fixed_by", "fixed_scan",
    "fixed_evidence", "breached", "events",
)  # fmt: skip
MOMENTS = ("due_at", "due_original", "acknowledged_at", "contained_at", "claimed_at", "settled_at")
SEVERITIES = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical"}


class Refused(Exception):
    """The bundle does not hold. `message`: a sentence with %(name)s places, `params`: what goes there."""

    def __init__(self, message: str, **params: object) -> None:
        super().__init__(message % params if params else message)
        self.message, self.params = message, params


class Bundle(NamedTuple):
    """What was checked. `keys`: the verifier keys that may have signed; `trusted`: whether one of them came from outside."""

    manifest: Mapping[str, Any]
    findings: int
    identified: int
    events: int
    evidence: int
    absent: Mapping[str, str]
    trusted: bool
    heads: int
    complete: bool


def verify(path: str, *, keys: Sequence[str] = (), head: str = "") -> Bundle:
    """The whole bundle. `keys`: verifier keys from outside; `head`: a signed head from outside, '' for none. Raises Refused."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise Refused("%(path)s is no readable ZIP: %(error)s.", path=path, error=error) from None
    with archive:
        return _verified(archive, keys, head)


def _verified(archive: zipfile.ZipFile, keys: Sequence[str], outside: str) -> Bundle:
    chain = _names(archive)
    trusted = _trusted(_json(archive, KEYS), keys)
    manifest = _manifest(archive, trusted)
    _files(archive, manifest, chain)
    proof = _json(archive, PROOF)
    head = _head(proof["head"], trusted)
    if [head.origin, head.size, head.root.hex()] != [manifest["log"]["origin"], manifest["log"]["size"], manifest["log"]["root"]]:
        raise Refused("The head in proof.json is not the one that the manifest names.")
    found = _events(archive, manifest, head, proof)
    older = _consistent(proof, head, trusted, outside)
    complete = _complete(manifest, found, head, older)
    _evidence(archive, manifest, found)
    _exceptions(_json(archive, EXCEPTIONS), found)
    rows = found.rows.values()
    identified = sum(row["identified"] == "yes" for row in rows)
    return Bundle(
        manifest,
        len(rows),
        identified,
        found.number,
        len(manifest["evidence"]),
        manifest["absent"],
        bool(keys),
        len(older),
        complete,
    )


# --- the archive and its manifest ---------------------------------------------------------------------------------------------


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise Refused("The ZIP holds two files of one name.")
    for info in archive.infolist():
        if info.file_size > LARGEST:
            raise Refused("%(name)s would be larger than %(limit)s bytes.", name=info.filename, limit=LARGEST)
    for name in (MANIFEST, NOTE, POPULATION, EVENTS, PROOF, KEYS, EXCEPTIONS):
        if name not in names:
            raise Refused("%(name)s is missing.", name=name)
    return names


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except UNPACKED as error:
        raise Refused("%(name)s cannot be unpacked: %(error)s.", name=name, error=error) from None


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(_read(archive, name))
    except ValueError:
        raise Refused("%(name)s is no JSON.", name=name) from None


def _manifest(archive: zipfile.ZipFile, trusted: Sequence["Key"]) -> dict[str, Any]:
    raw = _read(archive, MANIFEST)
    said = _opened(_read(archive, NOTE).decode("utf-8", "replace"), trusted)
    if said is None:
        raise Refused("The manifest is not signed by the key.")
    wanted = f"{FORMAT}\n{hashlib.sha256(raw).hexdigest()}\n"
    if said != wanted:
        raise Refused("The manifest was changed: it is not the one that was signed.")
    manifest: dict[str, Any] = json.loads(raw)
    return manifest


def _files(archive: zipfile.ZipFile, manifest: Mapping[str, Any], names: Sequence[str]) -> None:
    """Each file is in the manifest, each of the manifest is here, with the bytes that it says."""
    wanted = manifest["files"]
    for name in names:
        if name not in wanted and name not in (MANIFEST, NOTE):
            raise Refused("%(name)s is no file of this bundle.", name=name)
    for name, digest in wanted.items():
        if name not in names:
            raise Refused("%(name)s is missing.", name=name)
        if _hashed(archive, name) != digest:
            raise Refused("%(name)s was changed: it has another SHA-256 than the manifest says.", name=name)


def _hashed(archive: zipfile.ZipFile, name: str) -> str:
    hashed = hashlib.sha256()
    try:
        with archive.open(name) as stream:
            while block := stream.read(2**20):
                hashed.update(block)
    except UNPACKED as error:
        raise Refused("%(name)s cannot be unpacked: %(error)s.", name=name, error=error) from None
    return hashed.hexdigest()


# --- keys, signatures, heads (C2SP signed-note and tlog-checkpoint) -------------------------------------------------------------


class Key(NamedTuple):
    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.public).digest()[:4]


class Head(NamedTuple):
    """`findings`: how many of the leaves begin a finding."""

    origin: str
    size: int
    root: bytes
    findings: int


def _key(text: str) -> Key:
    """A verifier key: name+hash+base64 of 0x01 and the key."""
    try:
        name, hashed, encoded = text.strip().split("+", 2)  # base64 has plus signs, too
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise Refused("%(key)s is no verifier key: name+hash+key.", key=text.strip()) from None
    key = Key(name, raw[1:])
    if len(raw) != 33 or raw[0] != 1 or key.hash.hex() != hashed:
        raise Refused("%(key)s is no verifier key: name+hash+key.", key=text.strip())
    return key


def _trusted(known: Sequence[Mapping[str, str]], given: Sequence[str]) -> list[Key]:
    """The keys that may sign: those from outside, and those that signed the same head with one of them when keys were changed.

    Without any from outside, those of the bundle.
    """
    chain = [(_key(row["key"]), row["vouched"]) for row in known]  # the oldest first
    if not given:
        return [key for key, _vouched in chain]
    trusted = [_key(text) for text in given]
    pairs = [(before[0], key, vouched) for before, (key, vouched) in zip(chain, chain[1:]) if vouched]
    for _round in pairs:
        for before, key, vouched in pairs:
            if (before in trusted) != (key in trusted) and _opened(vouched, [before]) and _opened(vouched, [key]):
                trusted.append(key if before in trusted else before)
    return trusted


def _opened(note: str, keys: Sequence[Optional[Key]]) -> Optional[str]:
    """The text of a note that one of the keys signed, None if none did."""
    text, _gap, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        name, _space, said = line[len(DASH) :].partition(" ")
        try:
            raw = base64.b64decode(said, validate=True)
        except binascii.Error:
            continue
        for key in keys:
            if (
                key
                and line.startswith(DASH)
                and name == key.name
                and raw[:4] == key.hash
                and signed(key.public, text.encode(), raw[4:])
            ):
                return text
    return None


def _head(note: str, keys: Sequence[Key]) -> Head:
    text = _opened(note, keys)
    if text is None:
        raise Refused("A head of the log is not signed by the key.")
    try:
        origin, size, root, said = text.split("\n")[:4]
        head = Head(origin, int(size), base64.b64decode(root, validate=True), int(said[len("findings ") :]))
    except (ValueError, binascii.Error):
        raise Refused("A head of the log is malformed.") from None
    if len(head.root) != 32 or head.size < 0 or origin not in {key.name for key in keys}:
        raise Refused("A head of the log is malformed.")
    return head


# --- Ed25519 (RFC 8032, 5.1.7) ------------------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key signed the message."""
    if len(signature) != 64 or len(public) != 32:
        return False
    key, commitment, scalar = _point(public), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return _same(_times(scalar, BASE), _plus(commitment, _times(challenge, key)))


def _point(encoded: bytes) -> Optional[Point]:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _plus(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _plus(found, point)
        point = _plus(point, point)
        scalar >>= 1
    return found


def _same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


_BASE_Y = 4 * pow(5, P - 2, P) % P
BASE: Point = _point(_BASE_Y.to_bytes(32, "little")) or (0, 1, 1, 0)


# --- the log (RFC 9162, section 2) ----------------------------------------------------------------------------------------------


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Mapping[int, bytes], size: int, nodes: Sequence[str]) -> bytes:
    """The root over `size` leaves, of which some are known. `nodes`: hashes of the largest parts without a known leaf, left to right.

    So it is an inclusion proof of all of them at once.
    """
    numbers, left = sorted(leaves), iter(nodes)

    def over(begin: int, end: int) -> bytes:
        first = bisect_left(numbers, begin)
        if first == len(numbers) or numbers[first] >= end:
            return bytes.fromhex(next(left))
        if end - begin == 1:
            return leaves[begin]
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)
        before = over(begin, middle)
        return node_hash(before, over(middle, end))

    try:
        root = over(0, size)
    except (StopIteration, ValueError):
        raise Refused("The proof that the events are in the log is incomplete.") from None
    if next(left, None) is not None:
        raise Refused("The proof that the events are in the log has parts too many.")
    return root


def grown(old: Head, new: Head, path: Sequence[str]) -> bool:
    """Whether the new tree begins with the old one (2.1.4.2)."""
    if not 0 < old.size <= new.size:
        return False
    if old.size == new.size:
        return not path and old.root == new.root
    parts = [bytes.fromhex(part) for part in path]
    if old.size & (old.size - 1) == 0:
        parts = [old.root, *parts]
    at, last = old.size - 1, new.size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not parts:
        return False
    first = second = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, part)
        at, last = at >> 1, last >> 1
    return (first, second, last) == (old.root, new.root, 0)


def _consistent(proof: Mapping[str, Any], head: Head, keys: Sequence[Key], outside: str) -> list[Head]:
    """Heads that were signed before are heads of this log, and so is the one that was kept outside."""
    older = [(_head(each["note"], keys), each["path"]) for each in proof["heads"]]
    for old, path in older:
        if not grown(old, head, path):
            raise Refused(
                "The log does not begin with the %(n)s leaves that were signed before: it was written anew.", n=old.size
            )
    heads = [old for old, _path in older]
    if not outside:
        return heads
    kept = _head(outside, keys)
    if kept.size > head.size:
        raise Refused(
            "The head that you kept is of %(n)s leaves, the bundle's is older: of %(here)s.", n=kept.size, here=head.size
        )
    if kept == head or kept in heads:
        return heads
    if kept.size in {head.size, *(old.size for old in heads)}:
        raise Refused("The head that you kept is not one of this log: what came before it was changed.")
    raise Refused(
        "The bundle has no proof for the head of %(n)s leaves that you kept: have it exported with --head.", n=kept.size
    )


def _complete(manifest: Mapping[str, Any], found: "Found", head: Head, older: Sequence[Head]) -> bool:
    """Whether it is shown that no finding of the period is left out: each that began after the head before it is here, by its number.

    Those that began earlier are in the bundle of the period before. A population that was chosen by a query is not complete.
    """
    population = manifest["population"]
    if population["query"] or population["framework"]:
        return False
    before = population["before"]
    first = 0
    if before:
        first = next((old.findings for old in older if old.size == before), -1)
        edge = found.edge
        if first < 0 or edge is None:
            raise Refused("The head of %(n)s leaves from before the period is missing.", n=before)
        if moment(edge["recorded_at"]) >= moment(population["from"]):
            raise Refused("The head of %(n)s leaves is not from before the period.", n=before)
    left_out = set(range(first + 1, head.findings + 1)) - found.begun
    if left_out:
        raise Refused(
            "%(n)s findings that began in the period are left out: the first is number %(nth)s.",
            n=len(left_out),
            nth=min(left_out),
        )
    return True


# --- events and what follows from them ------------------------------------------------------------------------------------------


class Found:
    """What the events say, gathered while they are read."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.leaves: dict[int, bytes] = {}
        self.proven: dict[str, set[str]] = {}  # evidence, and the findings whose events name it ('' for other subjects)
        self.reports: dict[str, str] = {}  # scan, and the SHA-256 of its report
        self.decisions: dict[int, list[dict[str, Any]]] = {}
        self.erased: set[int] = set()
        self.wordless: set[int] = set()
        self.begun: set[int] = set()  # numbers of the findings that are here, in the order in which the log has them
        self.edge: Optional[Mapping[str, Any]] = None  # the last event before the period
        self.number = 0


class Said(NamedTuple):
    """An event: what was sealed, and the words that belong to it, {} when they were erased."""

    leaf: int
    sealed: Mapping[str, Any]
    words: Mapping[str, Any]

    @property
    def changes(self) -> Mapping[str, Any]:
        after: Mapping[str, Any] = self.sealed.get("after") or {}
        return after


def _events(archive: zipfile.ZipFile, manifest: Mapping[str, Any], head: Head, proof: Mapping[str, Any]) -> Found:
    found = Found()
    for line in csv.DictReader(io.StringIO(_read(archive, POPULATION).decode("utf-8-sig"))):
        found.rows[line["finding"]] = dict(line)
    if len(found.rows) != manifest["population"]["count"]:
        raise Refused(
            "The population has %(here)s findings, the manifest says %(n)s.",
            here=len(found.rows),
            n=manifest["population"]["count"],
        )
    end, until = manifest["population"]["to"], manifest["population"]["until"]
    if moment(until) != min(moment(end), moment(manifest["made_at"])):
        raise Refused("The manifest judges deadlines at another time than the end of the period or when it was made.")
    left = set(found.rows)
    for finding, events in _grouped(archive, found, head):
        if finding is None:
            _others(events, found)
            continue
        row = found.rows.get(finding)
        found.begun.add(events[0].sealed.get("nth", 0))
        if (
            row is None
            and len(events) == 1
            and events[0].sealed["kind"] == "opened"
            and moment(events[0].sealed["at"]) >= moment(end)
        ):
            continue  # after the period: it is here to be seen so
        if row is None or finding not in left:
            raise Refused("%(finding)s has events and is not in the population, or has them twice.", finding=finding)
        left.discard(finding)
        _finding(finding, events, row, until)
    if left:
        raise Refused("%(finding)s is in the population and has no events.", finding=min(left))
    if found.wordless - found.erased:
        raise Refused(
            "Event %(event)s has lost its words, and no event says that they were erased.",
            event=min(found.wordless - found.erased),
        )
    _edge(proof.get("edge"), manifest["population"]["before"], found)
    if root_of(found.leaves, head.size, proof["nodes"]) != head.root:
        raise Refused("The events are not those of the log: the root over them is another one.")
    _sample(found, manifest)
    return found


def _edge(said: Optional[str], before: int, found: Found) -> None:
    """The last leaf before the period's head says when that head was signed, as heads bear no date."""
    if said is not None and before:
        found.edge = json.loads(said)
        found.leaves[before - 1] = hashlib.sha256(b"\x00" + said.encode()).digest()


def _grouped(archive: zipfile.ZipFile, found: Found, head: Head) -> Iterator[tuple[Optional[str], list[Said]]]:
    """Events of one finding after the other, then those of everything else one by one (None)."""
    current: Optional[str] = None
    events: list[Said] = []
    for said in _said(archive, found, head):
        finding = f"F-{said.sealed['subject_id']:06d}" if said.sealed["subject"] == "finding" else None
        if events and (finding != current or finding is None):
            yield current, events
            events = []
        current = finding
        events.append(said)
    if events:
        yield current, events


def _said(archive: zipfile.ZipFile, found: Found, head: Head) -> Iterator[Said]:
    stream = io.TextIOWrapper(io.BytesIO(_read(archive, EVENTS)), encoding="utf-8", newline="\n")
    for number, line in enumerate(stream, 1):
        try:
            row = json.loads(line)
            content = row["content"].encode()
            sealed = json.loads(content)
            leaf, event = int(row["leaf"]), int(sealed["event"])
            words = _words(row, sealed, event, found)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused("events.jsonl, line %(n)s cannot be read.", n=number) from None
        if not 0 <= leaf < head.size or leaf in found.leaves:
            raise Refused("events.jsonl, line %(n)s: leaf %(leaf)s is there twice or not in the log.", n=number, leaf=leaf)
        found.leaves[leaf] = hashlib.sha256(b"\x00" + content).digest()
        found.number += 1
        _note_evidence(sealed, words, found)
        yield Said(leaf, sealed, words)


def _words(row: Mapping[str, Any], sealed: Mapping[str, Any], event: int, found: Found) -> dict[str, Any]:
    if row["salt"] is None:
        found.wordless.add(event)
        return {}
    if hashlib.sha256(bytes.fromhex(row["salt"]) + row["words"].encode()).hexdigest() != sealed["words"]:
        raise Refused("Event %(event)s: its words are not those that were sealed.", event=event)
    words: dict[str, Any] = json.loads(row["words"])
    return words


def _note_evidence(sealed: Mapping[str, Any], words: Mapping[str, Any], found: Found) -> None:
    """Which evidence an event commits to: by its own column, or by what it tells (a check that changed nothing, a report received)."""
    after = words.get("after") or {}
    finding = f"F-{sealed['subject_id']:06d}" if sealed["subject"] == "finding" else ""
    named = [sealed.get("evidence"), after.get("evidence") if sealed["kind"] == "checked" else None]
    if sealed["subject"] == "scan" and after.get("sha256"):
        named.append(after["sha256"])
        found.reports[str(sealed["subject_id"])] = after["sha256"]
    for digest in named:
        if digest:
            found.proven.setdefault(digest, set()).add(finding)


def _others(events: Sequence[Said], found: Found) -> None:
    for said in events:
        if said.sealed["subject"] == "exception":
            found.decisions.setdefault(said.sealed["subject_id"], []).append(
                {
                    "kind": said.sealed["kind"],
                    "actor": said.sealed["actor"],
                    "at": said.sealed["at"],
                    "after": said.words.get("after") or {},
                }
            )
        elif said.sealed["subject"] == "event" and said.sealed["kind"] == "words erased":
            found.erased.add(said.sealed["subject_id"])


def _finding(finding: str, events: Sequence[Said], row: Mapping[str, str], until: str) -> None:
    for number, said in enumerate(events, 1):
        if said.sealed["seq"] != number:
            raise Refused(
                "%(finding)s: event %(n)s is missing or out of its place (there is %(here)s).",
                finding=finding,
                n=number,
                here=said.sealed["seq"],
            )
    if events[0].sealed["kind"] != "opened":
        raise Refused("%(finding)s does not begin with being opened.", finding=finding)
    if row["identified"] != identified(row, events[0]):
        raise Refused("%(finding)s was opened for another check or asset than the population says.", finding=finding)
    for name, value in derived(events, until).items():
        if row[name] != value:
            raise Refused(
                "%(finding)s: %(column)s is %(here)r in the population, and %(sealed)r by its events.",
                finding=finding, column=name, here=row[name], sealed=value,
            )  # fmt: skip


def identified(row: Mapping[str, str], opened: Said) -> str:
    """Whether the row's check and asset are those of the identity that was sealed; `no` where they are not in it, as for code.

    BLAKE2b-128 over asset, check and qualifier; the asset's over provider, account and id.
    """
    asset = hashlib.blake2b(f"{row['provider']}\x1f{row['account']}\x1f{row['asset_in_key']}".encode(), digest_size=16).digest()
    qualifier = json.loads(row["qualifier"])
    finding = hashlib.blake2b(asset + f"{row['scanner']}\x1f{row['check']}\x1f{qualifier}".encode(), digest_size=16).hexdigest()
    return "yes" if finding == opened.sealed.get("identity") else "no"


def derived(events: Sequence[Said], until: str) -> dict[str, str]:
    """The columns that follow from a finding's events: replayed, the last one wins.

    `until`: the end of the period, or when the bundle was made if that was earlier, RFC 3339.
    """
    state: dict[str, Any] = {}
    at_end, fixed = "", None
    for said in events:
        if moment(said.sealed["at"]) <= moment(until):
            at_end = said.changes.get("status", at_end)
        state.update(said.changes)
        if said.changes.get("status") == "verified":
            fixed = said
        elif "status" in said.changes:
            fixed = None
    found = {name: _cell(state.get(name)) for name in ("status", "presence", "grade")}
    found.update({name: _moment(state.get(name)) for name in MOMENTS})
    found["detected_at"], found["detected_scan"] = _moment(events[0].sealed["at"]), _cell(events[0].sealed["scan"])
    found["severity"] = SEVERITIES[state["severity"]]
    found["team_id"], found["sla_id"] = _cell(state.get("team_id")), _cell(state.get("sla_id"))
    found["regressions"] = str(state.get("regressions") or 0)
    found["status_at_end"] = at_end
    found["fixed_at"] = _moment(fixed.sealed["at"]) if fixed else ""
    found["fixed_by"] = fixed.sealed["actor"] if fixed else ""
    found["fixed_scan"] = _cell(fixed.sealed["scan"]) if fixed else ""
    found["fixed_evidence"] = _cell(fixed.sealed["evidence"]) if fixed else ""
    stopped = min(moment(state.get("settled_at") or until), moment(until))
    found["breached"] = "yes" if state.get("due_at") and moment(state["due_at"]) < stopped else "no"
    found["events"] = str(len(events))
    return found


def moment(text: str) -> datetime:
    """RFC 3339; `Z` and fractions of any length, as Python before 3.11 reads neither."""
    text = text.strip().replace("Z", "+00:00")
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    return datetime.fromisoformat(text)


def _moment(text: Optional[str]) -> str:
    """In UTC, to the second."""
    if not text:
        return ""
    found = moment(text)
    offset = found.utcoffset()
    return (found - offset if offset else found).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def drawn(findings: Sequence[str], seed: str, number: int) -> list[str]:
    """The sample: the first so many by the SHA-256 of seed, colon and finding. Whoever chooses the seed chose nothing else."""
    return sorted(sorted(findings, key=lambda each: hashlib.sha256(f"{seed}:{each}".encode()).digest())[:number])


def _sample(found: Found, manifest: Mapping[str, Any]) -> None:
    said = manifest["sample"]
    wanted = drawn(list(found.rows), said["seed"], said["number"])
    if said["findings"] != wanted or [name for name, row in sorted(found.rows.items()) if row["sampled"] == "yes"] != wanted:
        raise Refused("The sample is not the one that its seed gives.")


# --- evidence and exceptions ------------------------------------------------------------------------------------------------------


def _evidence(archive: zipfile.ZipFile, manifest: Mapping[str, Any], found: Found) -> None:
    """Each piece is named by an event, each that an event of the sample names is here or said to be absent."""
    here = {name[len(EVIDENCE) :] for name in manifest["files"] if name.startswith(EVIDENCE)}
    if sorted(here) != sorted(manifest["evidence"]):
        raise Refused("The manifest does not agree with itself about the evidence.")
    for digest in sorted(here):
        if digest not in found.proven:
            raise Refused("Evidence %(digest)s is named by no event.", digest=digest)
        if manifest["files"][EVIDENCE + digest] != digest:
            raise Refused("Evidence %(digest)s is not what its name says.", digest=digest)
    sampled = set(manifest["sample"]["findings"])
    for digest, findings in found.proven.items():
        if findings & sampled and digest not in here and digest not in manifest["absent"]:
            raise Refused(
                "Evidence %(digest)s is missing: an event of %(finding)s names it.",
                digest=digest,
                finding=min(findings & sampled),
            )
    for finding in sorted(sampled):
        row = found.rows[finding]
        for scan in filter(None, (row["detected_scan"], row["fixed_scan"])):
            report = found.reports.get(scan)
            if report not in here and report not in manifest["absent"]:
                raise Refused("The report of scan S-%(scan)s is missing: %(finding)s came of it.", scan=scan, finding=finding)
        if row["fixed_evidence"] in here:
            _about(_read(archive, EVIDENCE + row["fixed_evidence"]), finding, row)


def _about(raw: bytes, finding: str, row: Mapping[str, str]) -> None:
    """A verification's evidence is about this finding, and says that it is fixed."""
    try:
        said = json.loads(raw)
    except ValueError:
        return  # not ours: an attestation may be of any form
    if not isinstance(said, dict) or said.get("format") != "cspm-verification/1":
        return
    target = said["target"]
    here = (finding, row["check"], row["account"], row["asset"], "fixed")
    if (said["finding"], target["check"], target["account"], target["asset"], said["outcome"]) != here:
        raise Refused(
            "%(finding)s is closed by evidence that is about something else, or that does not say that it is fixed.",
            finding=finding,
        )


def _exceptions(exceptions: Sequence[Mapping[str, Any]], found: Found) -> None:
    """Who approved an exception, and that nobody approved what he asked for, is what the events say."""
    for each in exceptions:
        decided = {row["kind"]: row for row in found.decisions.get(each["id"], [])}
        approval = decided.get("approved")
        if bool(each["approved_by"]) != bool(approval) or (approval and approval["actor"] != each["approved_by"]):
            raise Refused("Exception X-%(n)s: its events do not say who approved it as the list does.", n=each["id"])
        asked = decided.get("requested")
        if asked and approval and asked["actor"] == approval["actor"]:
            raise Refused("Exception X-%(n)s was approved by whom it was asked for by.", n=each["id"])


# --- the command line -----------------------------------------------------------------------------------------------------------


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=told("Check an evidence bundle of CSPM Triage, or refuse it and say why."))
    parser.add_argument("bundle", metavar="BUNDLE.zip")
    parser.add_argument(
        "--key", action="append", default=[], help=told("the ledger's key, from outside of the bundle (text, or a file with it)")
    )
    parser.add_argument("--head", default="", metavar="FILE", help=told("a head of the log that somebody kept"))
    options = parser.parse_args(arguments)
    try:
        keys = [_text_of(key) if os.path.isfile(key) else key for key in options.key]
        found = verify(
            options.bundle,
            keys=[line for key in keys for line in key.split()],
            head=_text_of(options.head) if options.head else "",
        )
    except OSError as error:
        print(told("%(path)s cannot be read: %(error)s.") % {"path": error.filename, "error": error.strerror}, file=sys.stderr)
        return USAGE
    except Refused as refused:
        print(told("REFUSED: ") + told(refused.message) % refused.params, file=sys.stderr)
        return REFUSED
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:  # what nobody wrote may have any shape
        print(told("REFUSED: ") + told("the bundle is malformed (%(error)r).") % {"error": error}, file=sys.stderr)
        return REFUSED
    for line in report(found):
        print(line)
    return HOLDS if found.trusted else UNTRUSTED


def report(found: Bundle) -> Iterator[str]:
    """What was checked, for people."""
    log, population, sample = (found.manifest[name] for name in ("log", "population", "sample"))
    yield (
        told("The bundle holds.")
        if found.trusted
        else told("The bundle agrees with itself, but NO KEY VOUCHES FOR IT: give --key.")
    )
    yield told("  log         %(origin)s, %(size)s leaves") % log
    yield told("  population  %(n)s findings from %(begin)s to %(end)s") % {
        "n": found.findings, "begin": population["from"], "end": population["to"],
    }  # fmt: skip
    if population["query"] or population["framework"]:
        yield told("  chosen by   %(these)s") % {"these": " ".join(filter(None, (population["query"], population["framework"])))}
    yield told("  identity    %(n)s of them are shown to be about the check and asset they name") % {"n": found.identified}
    yield (
        told("  complete    no finding of the period is left out")
        if found.complete
        else told("  complete    not shown: chosen by a query")
    )
    yield told("  sample      %(n)s of them, seed %(seed)s") % {"n": len(sample["findings"]), "seed": sample["seed"]}
    yield told("  events      %(n)s, each in the log, none missing of a finding") % {"n": found.events}
    yield told("  evidence    %(n)s pieces, each named by an event; %(absent)s not in the bundle") % {
        "n": found.evidence, "absent": len(found.absent),
    }  # fmt: skip
    for digest, why in sorted(found.absent.items())[:20]:
        yield f"              {digest}: {why}"
    yield told("  heads       %(n)s that were sent out before are heads of this log") % {"n": found.heads}


def _text_of(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def told(message: str) -> str:
    """In French where the machine speaks it."""
    return FRENCH.get(message, message) if _french() else message


def _french() -> bool:
    named = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "") or (
        locale.getlocale()[0] or ""
    )
    return named.lower().startswith("fr")


FRENCH: dict[str, str] = {
    "%(finding)s is closed by evidence that is about something else, or that does not say that it is fixed.":
        "%(finding)s est clos par une preuve qui porte sur autre chose, ou qui ne dit pas que c’est corrigé.",
    "Event %(event)s has lost its words, and no event says that they were erased.":
        "L’événement %(event)s a perdu ses mots, et aucun événement ne dit qu’ils ont été effacés.",
    "%(finding)s does not begin with being opened.": "%(finding)s ne commence pas par son ouverture.",
    "%(finding)s has events and is not in the population, or has them twice.":
        "%(finding)s a des événements sans être dans la population, ou les a deux fois.",
    "%(finding)s is in the population and has no events.": "%(finding)s est dans la population sans aucun événement.",
    "%(finding)s was opened for another check or asset than the population says.":
        "%(finding)s a été ouvert pour un autre test ou une autre ressource que ne le dit la population.",
    "%(key)s is no verifier key: name+hash+key.": "%(key)s n’est pas une clé de vérification : nom+empreinte+clé.",
    "%(name)s cannot be unpacked: %(error)s.": "%(name)s ne peut pas être décompressé : %(error)s.",
    "%(name)s is missing.": "%(name)s manque.",
    "%(name)s is no JSON.": "%(name)s n’est pas du JSON.",
    "%(name)s is no file of this bundle.": "%(name)s n’est pas un fichier de ce dossier.",
    "%(name)s was changed: it has another SHA-256 than the manifest says.":
        "%(name)s a été modifié : son SHA-256 n’est pas celui du manifeste.",
    "%(name)s would be larger than %(limit)s bytes.": "%(name)s dépasserait %(limit)s octets.",
    "%(path)s is no readable ZIP: %(error)s.": "%(path)s n’est pas un ZIP lisible : %(error)s.",
    "A head of the log is malformed.": "Une tête du registre est mal formée.",
    "A head of the log is not signed by the key.": "Une tête du registre n’est pas signée par la clé.",
    "Event %(event)s: its words are not those that were sealed.": "Événement %(event)s : ses mots ne sont pas ceux qui ont été scellés.",
    "Evidence %(digest)s is named by no event.": "Aucun événement ne nomme la preuve %(digest)s.",
    "Evidence %(digest)s is not what its name says.": "La preuve %(digest)s n’est pas ce que dit son nom.",
    "Exception X-%(n)s was approved by whom it was asked for by.": "La dérogation X-%(n)s a été approuvée par celui qui la demandait.",
    "Exception X-%(n)s: its events do not say who approved it as the list does.":
        "Dérogation X-%(n)s : ses événements ne disent pas, comme la liste, qui l’a approuvée.",
    "The head of %(n)s leaves from before the period is missing.": "La tête de %(n)s feuilles d’avant la période manque.",
    "The head of %(n)s leaves is not from before the period.": "La tête de %(n)s feuilles n’est pas d’avant la période.",
    "The manifest judges deadlines at another time than the end of the period or when it was made.":
        "Le manifeste juge les échéances à un autre moment que la fin de la période ou sa propre création.",
    "%(n)s findings that began in the period are left out: the first is number %(nth)s.":
        "%(n)s constats apparus dans la période sont omis : le premier est le numéro %(nth)s.",
    "  complete    no finding of the period is left out": "  complétude   aucun constat de la période n’est omis",
    "  complete    not shown: chosen by a query": "  complétude   non démontrée : choisie par une requête",
    "The ZIP holds two files of one name.": "Le ZIP contient deux fichiers du même nom.",
    "The events are not those of the log: the root over them is another one.":
        "Les événements ne sont pas ceux du registre : leur racine est autre.",
    "The head in proof.json is not the one that the manifest names.": "La tête de proof.json n’est pas celle que nomme le manifeste.",
    "The head that you kept is not one of this log: what came before it was changed.":
        "La tête que vous avez gardée n’est pas de ce registre : ce qui la précède a été modifié.",
    "The manifest does not agree with itself about the evidence.": "Le manifeste se contredit au sujet des preuves.",
    "The manifest is not signed by the key.": "Le manifeste n’est pas signé par la clé.",
    "The manifest was changed: it is not the one that was signed.": "Le manifeste a été modifié : ce n’est pas celui qui a été signé.",
    "The proof that the events are in the log has parts too many.": "La preuve que les événements sont au registre a des parties en trop.",
    "The proof that the events are in the log is incomplete.": "La preuve que les événements sont au registre est incomplète.",
    "The report of scan S-%(scan)s is missing: %(finding)s came of it.": "Le rapport du scan S-%(scan)s manque : %(finding)s en vient.",
    "The sample is not the one that its seed gives.": "L’échantillon n’est pas celui que donne sa graine.",
    "events.jsonl, line %(n)s cannot be read.": "events.jsonl, ligne %(n)s : illisible.",
    "events.jsonl, line %(n)s: leaf %(leaf)s is there twice or not in the log.":
        "events.jsonl, ligne %(n)s : la feuille %(leaf)s est en double ou hors du registre.",
    "The log does not begin with the %(n)s leaves that were signed before: it was written anew.":
        "Le registre ne commence pas par les %(n)s feuilles signées auparavant : il a été réécrit.",
    "The head that you kept is of %(n)s leaves, the bundle's is older: of %(here)s.":
        "La tête que vous avez gardée est de %(n)s feuilles ; celle du dossier est plus ancienne : %(here)s.",
    "The bundle has no proof for the head of %(n)s leaves that you kept: have it exported with --head.":
        "Le dossier n’a pas de preuve pour la tête de %(n)s feuilles que vous avez gardée : faites-le exporter avec --head.",
    "The population has %(here)s findings, the manifest says %(n)s.":
        "La population compte %(here)s constats, le manifeste en annonce %(n)s.",
    "%(finding)s: event %(n)s is missing or out of its place (there is %(here)s).":
        "%(finding)s : l’événement %(n)s manque ou n’est pas à sa place (on y trouve %(here)s).",
    "%(finding)s: %(column)s is %(here)r in the population, and %(sealed)r by its events.":
        "%(finding)s : %(column)s vaut %(here)r dans la population, et %(sealed)r selon ses événements.",
    "Evidence %(digest)s is missing: an event of %(finding)s names it.":
        "La preuve %(digest)s manque : un événement de %(finding)s la nomme.",
    "  chosen by   %(these)s": "  selon        %(these)s",
    "  events      %(n)s, each in the log, none missing of a finding":
        "  événements   %(n)s, tous au registre, aucun ne manque à un constat",
    "  evidence    %(n)s pieces, each named by an event; %(absent)s not in the bundle":
        "  preuves      %(n)s, chacune nommée par un événement ; %(absent)s hors du dossier",
    "  heads       %(n)s that were sent out before are heads of this log":
        "  têtes        %(n)s publiées auparavant sont bien de ce registre",
    "  identity    %(n)s of them are shown to be about the check and asset they name":
        "  identité     %(n)s d’entre eux portent, preuve à l’appui, sur le test et la ressource qu’ils nomment",
    "  log         %(origin)s, %(size)s leaves": "  registre     %(origin)s, %(size)s feuilles",
    "  population  %(n)s findings from %(begin)s to %(end)s": "  population   %(n)s constats, de %(begin)s à %(end)s",
    "  sample      %(n)s of them, seed %(seed)s": "  échantillon  %(n)s d’entre eux, graine %(seed)s",
    "%(path)s cannot be read: %(error)s.": "%(path)s ne peut pas être lu : %(error)s.",
    "Check an evidence bundle of CSPM Triage, or refuse it and say why.":
        "Vérifier un dossier de preuves de CSPM Triage, ou le refuser en disant pourquoi.",
    "REFUSED: ": "REFUSÉ : ",
    "The bundle agrees with itself, but NO KEY VOUCHES FOR IT: give --key.":
        "Le dossier est cohérent, mais AUCUNE CLÉ N’EN RÉPOND : donnez --key.",
    "The bundle holds.": "Le dossier tient.",
    "a head of the log that somebody kept": "une tête du registre que quelqu’un a gardée",
    "the bundle is malformed (%(error)r).": "le dossier est mal formé (%(error)r).",
    "the ledger's key, from outside of the bundle (text, or a file with it)":
        "la clé du registre, obtenue hors du dossier (son texte, ou un fichier qui la contient)",
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
