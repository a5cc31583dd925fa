"""Make a bundle: what an auditor asks about, with the sealed events, the proof that they are in the log, and a verifier of a few pages.

Everything is read from one snapshot of the database, as of the newest signed head. The sampled findings come with their evidence; of
the others the events are there, which commit to the hashes of theirs.
"""

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils.translation import gettext_noop as _

from triage.domain import evidence, ledger
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.bundles import oscal, pages, papers, population, sealed, verifier
from triage.domain.bundles.population import COLUMNS, Served, Wanted
from triage.domain.bundles.sealed import Sealed
from triage.domain.errors import Invalid, NotFound
from triage.domain.ledger import keys, notes, tree
from triage.domain.rows import written
from triage.domain.sets import chunks
from triage.models import Checkpoint, Evidence, Leaf, Publication, Team

SAMPLE = 25
REPORT_LIMIT = 50 * 2**20  # bytes: an original report that is larger is named by its hash, and stays where it is
CHUNK = 2_000
STAMP = "data:application/timestamp-reply;base64,"  # as witnesses answer with one
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written. `sha256`: of the ZIP; `verifier`: of verify.py. `key`: what its auditor has to have from elsewhere."""

    path: Path
    sha256: str
    verifier: str
    key: str
    findings: int
    sampled: int
    events: int
    absent: Mapping[str, str]


def export(
    *,
    path: Path,
    wanted: Wanted,
    sample: int = SAMPLE,
    seed: str = "",
    heads: Sequence[str] = (),
    number: int = 0,
    actor: Actor,
    at: datetime,
) -> Bundle:
    """Write the bundle; nothing is left of one that fails. That it was made is an event.

    `sample`: so many findings with their evidence, 0 for all. `seed`: draws them, by default from the head, which nobody chooses.
    `heads`: notes that the auditor kept; the bundle proves that they are heads of this log. `number`: of an order.

    Raises NotAllowed, QueryError, NotFound (nothing sealed), Invalid (nothing to export, a file that is there, another log's head).
    """
    actor.demand(Right.AUDIT)
    ledger.seal(at=at)
    if path.exists():
        raise Invalid(_("%(path)s is there already. Choose another name."), path=str(path))
    draft = path.with_name(path.name + ".part")
    try:
        with _snapshot(), draft.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            made = _Export(archive, wanted, at).run(sample=sample, seed=seed, heads=heads, actor=actor.name)
        with draft.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        draft.rename(path)
    except FileExistsError:
        raise Invalid(_("%(path)s is being written by somebody else."), path=str(draft)) from None
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Invalid(_("%(path)s cannot be written: %(error)s."), path=str(path), error=error.strerror or str(error)) from None
    except BaseException:  # an interruption, too, leaves no draft behind; it goes on
        draft.unlink(missing_ok=True)
        raise
    told = {
        "from": written(wanted.since), "to": written(wanted.to), "query": wanted.query, "framework": wanted.framework,
        "findings": made.findings, "sampled": made.sampled, "sha256": digest,
    }  # fmt: skip
    with recording(actor=actor.name, at=at, door=actor.door) as log:
        log.tell("bundle", number, "exported", after=told)
    return Bundle(path, digest, made.verifier, made.key, made.findings, made.sampled, made.events, made.absent)


def verifier_digest() -> str:
    """SHA-256 of the verify.py that bundles hold, to be told to auditors by another way."""
    return hashlib.sha256((HERE / "verifier.py").read_bytes()).hexdigest()


@contextmanager
def _snapshot() -> Iterator[None]:
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@dataclass(frozen=True, slots=True)
class _Made:
    size: int
    findings: int
    sampled: int
    events: int
    verifier: str
    key: str
    absent: Mapping[str, str]


@dataclass(slots=True)
class _Gathered:
    """What is noted while the events go by."""

    leaves: list[int] = field(default_factory=list)
    actors: set[str] = field(default_factory=set)
    scans: set[int] = field(default_factory=set)
    checks: set[int] = field(default_factory=set)
    policies: set[int] = field(default_factory=set)
    wordless: set[int] = field(default_factory=set)
    rows: list[dict[str, str]] = field(default_factory=list)
    stories: dict[str, list[Sealed]] = field(default_factory=dict)


class _Export:
    def __init__(self, archive: zipfile.ZipFile, wanted: Wanted, at: datetime) -> None:
        head = Checkpoint.objects.order_by("-size").first()
        if head is None:
            raise NotFound(_("Nothing is sealed yet, so there is nothing to prove. A worker seals every minute."))
        self.archive, self.wanted, self.at, self.head = archive, wanted, at, head
        self.before = Checkpoint.objects.filter(at__lt=wanted.since).order_by("-size").first()
        self.until = _exactly(min(wanted.to, at))
        self.files: dict[str, str] = {}
        self.gathered = _Gathered()

    def run(self, *, sample: int, seed: str, heads: Sequence[str], actor: str) -> _Made:
        served = population.controls_of_checks(self.wanted.framework)
        numbers = population.numbers(self.wanted, served, before=self._size_before(), at=self.at)
        if not numbers:
            raise Invalid(_("No finding of this period fits, or none is sealed yet."))
        names = [f"F-{number:06d}" for number in numbers]
        seed = seed or bytes(self.head.root).hex()[:16]
        drawn = verifier.drawn(names, seed, sample or len(names))
        others = self._events(numbers, set(drawn))
        self._population(set(drawn))
        self._proof(heads)
        absent = self._evidence()
        self._papers(served, others)
        self._pages(drawn, absent)
        key, private = keys.current(actor="worker", at=self.at)
        manifest = {
            "format": verifier.FORMAT,
            "made_at": _exactly(self.at),
            "made_by": actor,
            "population": {
                "from": _exactly(self.wanted.since), "to": _exactly(self.wanted.to), "query": self.wanted.query,
                "framework": self.wanted.framework, "count": len(names), "before": self._size_before(),
                "until": self.until,
            },
            "sample": {"seed": seed, "number": sample or len(names), "findings": drawn},
            "log": {"origin": key.origin, "size": self.head.size, "root": bytes(self.head.root).hex()},
            "events": len(self.gathered.leaves),
            "waiting": ledger.waiting(),
            "evidence": sorted(name.removeprefix(verifier.EVIDENCE) for name in self.files if name.startswith(verifier.EVIDENCE)),
            "absent": absent,
            "files": self.files,
        }  # fmt: skip
        self._sign(manifest, key.origin, private)
        return _Made(
            self.head.size,
            len(names),
            len(drawn),
            len(self.gathered.leaves),
            self.files["verify.py"],
            keys.described(key),
            absent,
        )

    def _size_before(self) -> int:
        return self.before.size if self.before else 0

    # --- events -----------------------------------------------------------------------------------------------------------------

    def _events(self, numbers: Sequence[int], sampled: set[str]) -> dict[str, Any]:
        """Write them, finding by finding, then those of what goes with them."""
        seen, teams = self.gathered, Team.objects.in_bulk()
        with self._file(verifier.EVENTS) as stream:
            for chunk in chunks(numbers, CHUNK):
                findings = population.loaded(chunk)
                for number, events in sealed.of("finding", chunk, size=self.head.size):
                    derived = verifier.derived([event.said for event in events], self.until)
                    team = teams.get(int(derived["team_id"])) if derived["team_id"] else None
                    row = population.facts(findings[number], team) | derived
                    row["identified"] = verifier.identified(row, events[0].said)
                    self._write(stream, events)
                    seen.rows.append(row)
                    seen.checks.add(findings[number].check_ref_id)
                    seen.scans.update(event.said.sealed["scan"] for event in events if event.said.sealed["scan"])
                    if derived["sla_id"]:
                        seen.policies.add(int(derived["sla_id"]))
                    if row["finding"] in sampled:
                        seen.stories[row["finding"]] = events
            if not self.wanted.query and not self.wanted.framework:
                for _number, events in sealed.of(
                    "finding", population.later(self.wanted, before=self._size_before()), size=self.head.size
                ):
                    self._write(stream, events[:1])
            allowed, decided = papers.exceptions(numbers, size=self.head.size)
            held, given = papers.roles(until=self.wanted.to, size=self.head.size)
            for events in (decided, given, papers.scans(seen.scans, size=self.head.size)):
                self._write(stream, events)
            self._write(stream, papers.erasures(seen.wordless, size=self.head.size))
        return {"exceptions": allowed, "roles": held}

    def _write(self, stream: "_Hashed", events: Sequence[Sealed]) -> None:
        for event in events:
            stream.write(event.line.encode() + b"\n")
            said = event.said.sealed
            self.gathered.leaves.append(event.leaf)
            self.gathered.actors.add(said["actor"])
            if not event.said.words and '"salt":null' in event.line:
                self.gathered.wordless.add(said["event"])

    def _population(self, sampled: set[str]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.gathered.rows:
            whole = row | {"sampled": "yes" if row["finding"] in sampled else "no"}
            writer.writerow([whole[name] for name in COLUMNS])
        self._add(verifier.POPULATION, text.getvalue().encode())

    # --- proofs -----------------------------------------------------------------------------------------------------------------

    def _proof(self, kept: Sequence[str]) -> None:
        stored = tree.Tree()
        size = self.head.size
        published = Checkpoint.objects.filter(publications__isnull=False, size__lte=size).distinct().order_by("size")
        older = {row.size: row.note for row in [*published, *([self.before] if self.before else [])]} | {
            row.size: row.note for row in map(self._kept, kept)
        }
        older.pop(size, None)
        edge, leaves = self._edge(), set(self.gathered.leaves)
        if edge is not None and self.before is not None:
            leaves.add(self.before.size - 1)
        proof = {
            "head": self.head.note,
            "edge": edge,
            "nodes": [node.hex() for node in sealed.nodes(leaves, size, stored.subtree)],
            "heads": [{"note": note, "path": sealed.path(number, size, stored)} for number, note in sorted(older.items())],
        }
        self._add(verifier.PROOF, _json(proof))
        self._stamps(size)
        chain = [
            {"key": keys.described(row), "since": written(row.since), "vouched": row.vouched} for row in reversed(keys.public())
        ]
        self._add(verifier.KEYS, _json(chain))

    def _edge(self) -> str | None:
        """The last event before the period: it shows that the head before the period is that, as heads bear no date."""
        row = Leaf.objects.filter(number=self.before.size - 1).first() if self.before else None
        return bytes(row.content).decode() if row else None

    def _stamps(self, size: int) -> None:
        """Time stamps of the heads, each beside the bytes that it is about."""
        stamped = Publication.objects.filter(checkpoint__size__lte=size, answer__startswith=STAMP).select_related("checkpoint")
        for row in stamped.order_by("checkpoint_id", "pk"):
            name = f"timestamps/{row.checkpoint_id}-{row.pk}"
            self._add(f"{name}.head", row.checkpoint.note.encode())
            self._add(f"{name}.tsr", base64.b64decode(row.answer.removeprefix(STAMP)))

    def _kept(self, note: str) -> Checkpoint:
        """The head of ours that somebody kept. Raises Invalid."""
        for row in keys.public():
            try:
                said = notes.opened(note, bytes(row.public))
            except notes.Unsigned:
                continue
            ours = Checkpoint.objects.filter(size=said.size).first()
            if ours is not None and bytes(ours.root) == said.root:
                return ours
            raise Invalid(
                _("The head of %(n)s leaves that was given is not one of this log: what came before it was changed."), n=said.size
            )
        raise Invalid(_("The head that was given is not signed by a key of this ledger."))

    # --- evidence ---------------------------------------------------------------------------------------------------------------

    def _evidence(self) -> dict[str, str]:
        """The sampled findings' evidence, and the reports that they came from; why each that is absent is."""
        wanted: dict[str, bool] = {}  # and whether it is a report
        scans = dict.fromkeys(self._reports(), True)
        for events in self.gathered.stories.values():
            for event in events:
                after = event.said.words.get("after") or {}
                told = (
                    event.said.sealed.get("evidence"),
                    after.get("evidence") if event.said.sealed["kind"] == "checked" else None,
                )
                wanted.update((digest, False) for digest in told if digest)
        absent: dict[str, str] = {}
        rows = Evidence.objects.in_bulk([bytes.fromhex(digest) for digest in wanted | scans])
        by_name = {bytes(key).hex(): row for key, row in rows.items()}
        for digest, is_report in sorted((wanted | scans).items()):
            row = by_name.get(digest)
            if row is None or row.deleted_at is not None:
                absent[digest] = f"deleted {written(row.deleted_at)}" if row else "unknown"
            elif is_report and row.size > REPORT_LIMIT:
                absent[digest] = f"larger than {REPORT_LIMIT} bytes: {row.size}"
            else:
                try:
                    self._add(verifier.EVIDENCE + digest, evidence.read(bytes.fromhex(digest)))
                except evidence.Damaged:
                    absent[digest] = "damaged on disk"
        return absent

    def _reports(self) -> set[str]:
        """Of the scans that opened or closed a sampled finding."""
        sampled = [row for row in self.gathered.rows if row["finding"] in self.gathered.stories]
        scans = {int(row[name]) for row in sampled for name in ("detected_scan", "fixed_scan") if row[name]}
        return {
            digest
            for event in papers.scans(scans, size=self.head.size)
            if (digest := (event.said.words.get("after") or {}).get("sha256"))
        }

    # --- the rest ---------------------------------------------------------------------------------------------------------------

    def _papers(self, served: Mapping[int, Sequence[Served]], others: Mapping[str, Any]) -> None:
        self._add(verifier.EXCEPTIONS, _json(others["exceptions"]))
        self._add("roles.json", _json(others["roles"]))
        self._add("people.json", _json(papers.people(self.gathered.actors)))
        self._add("policies.json", _json(papers.policies(self.gathered.policies)))
        self._add("controls.csv", papers.controls(self.gathered.checks, served).encode())
        self._add(
            "oscal.json",
            _json(oscal.assessment_results(self.gathered.rows, served, wanted=self.wanted, head=self.head, at=self.at)),
        )
        for name, source in (("README.txt", "README.txt"), ("LISEZMOI.txt", "LISEZMOI.txt"), ("verify.py", "verifier.py")):
            self._add(name, (HERE / source).read_bytes())

    def _pages(self, drawn: Sequence[str], absent: Mapping[str, str]) -> None:
        names = papers.people(self.gathered.actors)
        rows = {row["finding"]: row for row in self.gathered.rows}
        self._add("index.html", pages.index(rows, drawn, wanted=self.wanted, head=self.head).encode())
        for finding in drawn:
            page = pages.story(rows[finding], [event.said for event in self.gathered.stories[finding]], names, absent)
            self._add(f"findings/{finding}.html", page.encode())

    def _sign(self, manifest: Mapping[str, Any], origin: str, private: Ed25519PrivateKey) -> None:
        raw = _json(manifest)
        text = f"{verifier.FORMAT}\n{hashlib.sha256(raw).hexdigest()}\n"
        self._put(verifier.MANIFEST, raw)
        self._put(verifier.NOTE, notes.note(text, origin, private).encode())

    def _add(self, name: str, data: bytes) -> None:
        self._put(name, data)
        self.files[name] = hashlib.sha256(data).hexdigest()

    def _put(self, name: str, data: bytes) -> None:
        self.archive.writestr(self._info(name), data)

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, self.at.astimezone(UTC).timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        return info

    @contextmanager
    def _file(self, name: str) -> Iterator["_Hashed"]:
        """A file that is written piece by piece."""
        with self.archive.open(self._info(name), "w", force_zip64=True) as stream:
            hashed = _Hashed(stream.write)
            yield hashed
        self.files[name] = hashed.digest()


class _Hashed:
    """Hashes what it passes on."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write, self._hash = write, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._write(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


def _exactly(moment: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond: what is compared is not rounded."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
