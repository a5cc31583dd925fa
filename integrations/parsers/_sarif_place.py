"""Where a SARIF result is: paths relative to the checkout, lines, the flagged text, resource address, package, fingerprints."""

import posixpath
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from triage.ports import Place

LONGEST_TEXT = 4000
MOST_PLACES = 50
MOST_FINGERPRINTS = 10
MOST_COUNTED = 6_000_000

_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=//|/|$)")
_drive = re.compile(r"/?([A-Za-z]:)(?=/|$)")
_escaped = re.compile(r"%[0-9A-Fa-f]{2}")

# Folders that CI services check out to, what follows is the repository's own path.
_CHECKOUTS = re.compile(
    r"/(?:github/workspace|home/runner/work/[^/]+/[^/]+|home/vsts/work/\d+/s|bitbucket/pipelines/agent/build|drone/src"
    r"|codebuild/output/src\d+/src/[^/]+/[^/]+(?:/[^/]+)?|var/jenkins_home/workspace/[^/]+|home/jenkins/(?:agent/)?workspace/[^/]+)/"
    r"|[A-Za-z]:/a/(?:\d+/s|[^/]+/[^/]+)/"
)

# What tools write where a fingerprint is wanted and they have none.
_NO_VALUES = frozenset({"", "0", "default", "requires login", "unknown", "none", "null", "undefined", "n/a", "-"})

# Fingerprints by name only: facts about the commit or the column, which many results share or which move.
_NO_IDENTITY = frozenset({"commitsha", "author", "email", "date", "commitmessage", "primarylocationstartcolumnfingerprint"})

_hcl_block = re.compile(r'\s*(resource|data|module|provider|variable|output)\s+"([^"\n]+)"(?:\s+"([^"\n]+)")?\s*\{')
_key = re.compile(r"""["']?([A-Za-z0-9]+)["']?\s*:\s*\{?""")
_cloudformation_type = re.compile(r"""["']?Type["']?\s*:\s*["']?(?:AWS|Alexa|Custom)::""")
_package = re.compile(r"^(?:Package: |PkgName: )(\S+)$|^Package '([^']+)' is vulnerable", re.MULTILINE)
_digest = re.compile(r"@sha256:[0-9a-f]{8,}")


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def as_number(value: Any) -> int:
    """A line, column or index; -1 for what is none (SARIF writes -1 for "not set" too)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else -1


# --- paths --------------------------------------------------------------------------------------------------------------------


def local_path(uri: str) -> str:
    r"""A file's path of any spelling (file:///C:/a%20b, C:\a b, ./a b) with `/`; other URLs (https, pkg) as they are."""
    path = uri.strip()
    if "\\" in path:
        path = path.replace("\\", "/")
    scheme = _scheme.match(path)
    if scheme and scheme[1].lower() != "file":
        return path
    if scheme:
        rest = path[scheme.end() :]
        path = "/" + rest[2:].partition("/")[2] if rest.startswith("//") else rest
    if _escaped.search(path):
        path = unquote(path, errors="replace")
    drive = _drive.match(path)
    if drive:
        path = drive[1].upper() + path[drive.end() :]
    absolute = "/" if path.startswith("/") else ""
    path = posixpath.normpath(path.lstrip("/")) if path.strip("/") else ""
    while path.startswith("../"):
        path = path[3:]
    return absolute + ("" if path in (".", "..") else path)


def is_absolute(path: str) -> bool:
    return path.startswith("/") or path[1:3] == ":/"


class Roots:
    """Finds the checkout's folder in absolute paths: from what the run declares, else what all paths have in common."""

    def __init__(self, repository: str = "") -> None:
        self._segment = f"/{repository.rstrip('/').rpartition('/')[2]}/" if repository else ""
        self._declared: list[str] = []
        self.common: str | None = None

    def prefer(self, listed: str | None) -> None:
        """Take the folder that all listed files have in common, if it means something: results alone may be in one corner."""
        if listed and self.common and listed.count("/") > 2 and self.common.startswith(listed):
            self.common = listed

    def declare(self, uri: str) -> None:
        """A folder that the run names as a base: an originalUriBaseId or the working directory."""
        path = local_path(uri)
        if is_absolute(path) and path not in ("/", "") and not path.endswith(":/"):
            self._declared.append(path.rstrip("/") + "/")

    def see(self, path: str) -> None:
        """Count an absolute path among those that may have a folder in common."""
        if self.common is None:
            self.common = path[: path.rfind("/") + 1]
        while not path.startswith(self.common):
            self.common = self.common[: self.common.rstrip("/").rfind("/") + 1]
            if not self.common:
                return

    def relative(self, path: str) -> str:
        if not is_absolute(path):
            return path
        for root in sorted(self._declared, key=len, reverse=True):
            if path.startswith(root) and len(path) > len(root):
                return path[len(root) :]
        checkout = _CHECKOUTS.match(path)
        if checkout and checkout.end() < len(path):
            return path[checkout.end() :]
        at = path.find(self._segment) if self._segment else -1
        if at >= 0 and at + len(self._segment) < len(path):
            return path[at + len(self._segment) :]
        if self.common and path.startswith(self.common) and len(path) > len(self.common):
            path = path[len(self.common) :]
        return path.lstrip("/")


@dataclass(slots=True)
class Files:
    """What a run's tables say of files and logical places: uris with bases, texts that the report embeds, bases, roots.

    `uri` and `path` may be asked once the tables are complete, which they need not be before the results.
    """

    roots: Roots
    listed: Roots = field(default_factory=Roots)
    uris: list[tuple[str, str]] = field(default_factory=list)
    embedded: list[tuple[tuple[str, str], str]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    logical: list[str] = field(default_factory=list)
    bases: dict[str, tuple[str, str]] = field(default_factory=dict)
    _paths: dict[tuple[str, str], str] = field(default_factory=dict)

    def uri(self, location: Mapping[str, Any]) -> str:
        """The location's uri below its bases, still absolute if it is so; "" if it has none."""
        uri, base = as_text(location.get("uri")), as_text(location.get("uriBaseId"))
        if not uri:
            index = as_number(location.get("index"))
            uri, base = self.uris[index] if 0 <= index < len(self.uris) else ("", "")
        found = self._paths.get((uri, base))
        if found is None:
            found = self._below_bases(uri, base)
            if len(self._paths) > 20_000:
                self._paths.clear()
            self._paths[uri, base] = found
        return found

    def settle(self) -> None:
        """All tables are complete."""
        self.roots.prefer(self.listed.common)
        self.texts = {self._below_bases(*name): text for name, text in self.embedded}

    def path(self, location: Mapping[str, Any]) -> str:
        return self.roots.relative(self.uri(location))

    def _below_bases(self, uri: str, base: str) -> str:
        path = local_path(uri)
        for _ in range(8):  # bases may refer to each other in a circle
            if not base or is_absolute(path) or base not in self.bases:
                break
            parent, base = self.bases[base]
            if is_absolute(parent) or _scheme.match(parent):
                break  # the folder that the checkout is in
            path = local_path(f"{parent.rstrip('/')}/{path}") if parent else path
        return path


# --- places -------------------------------------------------------------------------------------------------------------------


def places(locations: Sequence[Any], files: Files, message: str) -> list[Place]:
    """The result's places without fingerprints, the main one first. One without file, line and address is left out."""
    found = (_place(as_dict(location), files, message) for location in locations[:MOST_PLACES])
    return [place for place in found if place.path or place.address or place.start_line]


def _place(location: Mapping[str, Any], files: Files, message: str) -> Place:
    physical = as_dict(location.get("physicalLocation"))
    artifact = as_dict(physical.get("artifactLocation"))
    region, around = as_dict(physical.get("region")), as_dict(physical.get("contextRegion"))
    start, end = max(as_number(region.get("startLine")), 0), max(as_number(region.get("endLine")), 0)
    end = max(start, end)
    snippet, context = _snippet(region), _snippet(around)
    if not snippet and context and start:
        snippet = _lines(context, start - max(as_number(around.get("startLine")), 1), end - start + 1)
    text = files.texts.get(files.uri(artifact)) if files.texts and start else None
    if text is not None:
        snippet = snippet or _lines(text, start - 1, end - start + 1)
        context = context or _lines(text, max(start - 4, 0), end - start + 1 + min(start - 1, 3) + 3)
    return Place(
        path=files.path(artifact),
        start_line=start,
        end_line=end,
        start_column=max(as_number(region.get("startColumn")), 0),
        end_column=max(as_number(region.get("endColumn")), 0),
        address=_logical(location, files) or _resource(snippet) or _named_package(message),
        snippet=snippet[:LONGEST_TEXT],
        context=context[:LONGEST_TEXT],
    )


def _snippet(region: Mapping[str, Any]) -> str:
    return as_text(as_dict(region.get("snippet")).get("text"))


def _lines(text: str, first: int, count: int) -> str:
    """Lines `first` (0-based) and following of a text, with their line ends."""
    if first < 0:
        return ""
    return "".join(text.splitlines(keepends=True)[first : first + count])


def _logical(location: Mapping[str, Any], files: Files) -> str:
    """The first logical location's full name, without the digest of an image, which changes with each build."""
    for logical in as_list(location.get("logicalLocations")):
        fields = as_dict(logical)
        name = as_text(fields.get("fullyQualifiedName"))
        index = as_number(fields.get("index"))
        if not name and 0 <= index < len(files.logical):
            name = files.logical[index]
        name = name or as_text(fields.get("name"))
        if name:
            return without_digest(name)[:500]
    return ""


def without_digest(name: str) -> str:
    """A name like Grype's `image:tag@sha256:…:/path in it` without tag and digest; any other as it is."""
    digest = _digest.search(name)
    return image_name(name[: digest.start()]) + name[digest.end() :] if digest else name


def image_name(name: str) -> str:
    """An image's name without digest and tag: both change with each build."""
    folder, slash, last = name.partition("@")[0].rpartition("/")
    return folder + slash + last.partition(":")[0]


def _resource(snippet: str) -> str:
    """The address of the resource whose block begins the snippet: Terraform, CloudFormation, Kubernetes; else ""."""
    block = _hcl_block.match(snippet)
    if block:
        kind, first, second = block[1], block[2], block[3]
        parts = [first, second] if kind == "resource" else [kind, first, second]
        return ".".join(part for part in parts if part)
    if snippet.lstrip().startswith(("apiVersion", "kind", "---")):
        return _kubernetes(snippet[:1500])
    lines = [line.strip() for line in snippet[:1000].splitlines()[:5]]
    name = _key.fullmatch(lines[0]) if lines else None
    return name[1] if name and any(map(_cloudformation_type.match, lines[1:])) else ""


def _kubernetes(manifest: str) -> str:
    kind, name, inside = "", "", False
    for line in manifest.splitlines():
        key, _colon, value = line.partition(":")
        if not line.startswith((" ", "\t")):
            inside = key == "metadata"
            kind = kind or (value.strip() if key == "kind" else "")
        elif inside and key.strip() == "name":
            name = name or value.strip().strip("\"'")
    return f"{kind}.{name}" if kind and name else ""


def _named_package(message: str) -> str:
    """The package that Trivy and osv-scanner name in the message only."""
    found = _package.search(message[:2000])
    return (found[1] or found[2])[:500] if found else ""


def signed(place: Place, pairs: tuple[tuple[str, str], ...], trusted: str) -> Place:
    """The place with the result's fingerprints."""
    return replace(place, fingerprints=pairs, trusted=trusted)


# --- fingerprints -------------------------------------------------------------------------------------------------------------


def fingerprints(*bags: Any) -> tuple[tuple[str, str], ...]:
    """(name, value) pairs of a result's `fingerprints` and `partialFingerprints`, placeholders left out."""
    found = []
    for bag in bags:
        for name, value in as_dict(bag).items():
            text = as_dict(value).get("value", "") if isinstance(value, dict) else value  # Black Duck wraps the value
            text = str(text).strip() if isinstance(text, str | int) else ""
            if text.lower() not in _NO_VALUES and name.lower() not in _NO_IDENTITY:
                found.append((name[:100], text[:500]))
            if len(found) == MOST_FINGERPRINTS:
                return tuple(found)
    return tuple(found)


class Repeats:
    """Which fingerprints a run gives to more than one result; eight bytes each."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(64)]
        self._count = 0

    def see(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Count a result's fingerprints; no calls after `close`."""
        self._count += len(pairs)
        if self._count <= MOST_COUNTED:
            for pair in pairs:
                key = hash(pair)
                self._buckets[key & 63].append(key)

    def close(self) -> None:
        """Keep the repeated ones only, sorted."""
        for number, bucket in enumerate(self._buckets):
            self._buckets[number] = array("q", _repeated(sorted(bucket)))

    def trusted(self, pairs: Sequence[tuple[str, str]]) -> str:
        """The name of the first fingerprint that belongs to one result only, "" if there is none."""
        if self._count > MOST_COUNTED:
            return ""
        for pair in pairs:
            key = hash(pair)
            bucket = self._buckets[key & 63]
            at = bisect_left(bucket, key)
            if at == len(bucket) or bucket[at] != key:
                return pair[0]
        return ""


def _repeated(keys: list[int]) -> Iterator[int]:
    last: int | None = None
    for before, key in pairwise(keys):
        if before == key != last:
            last = key
            yield key
