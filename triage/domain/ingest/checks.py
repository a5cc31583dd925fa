"""Checks and the controls they serve: described once, however often a report repeats it, and updated when described anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from triage.domain import compliance, threat
from triage.domain.ingest import copying
from triage.domain.ingest.cleaning import one_line, prose
from triage.domain.interning import as_json, digest
from triage.domain.search.words import CHECK_COLUMNS, vector_sql
from triage.domain.sets import chunks
from triage.models import Check, CheckControl
from triage.ports import CheckInfo, Severity

Pair = tuple[str, str]

LONGEST = 20_000
WRITTEN_AT_ONCE = 2_000  # a check's texts are some kilobytes
_TEXTS = (
    "title", "service", "description", "risk", "remediation", "remediation_url", "remediation_cli", "remediation_terraform",
    "remediation_other",
)  # fmt: skip
_LISTS = ("categories", "weaknesses", "references")
_TYPES = {
    "key": "text", **dict.fromkeys(_TEXTS, "text"), **dict.fromkeys(_LISTS, "text[]"), "severity": "smallint", "exposes": "boolean",
    "digest": "text", "translations": "jsonb",
}  # fmt: skip
# Formats of one scanner say more or less of a check: what this one leaves out stays.
_KEPT = [
    *(f"{name} = coalesce(nullif(excluded.{name}, ''), c.{name})" for name in _TEXTS),
    *(f'"{name}" = coalesce(nullif(excluded."{name}", \'{{}}\'), c."{name}")' for name in _LISTS),
]
_ALSO = ("severity", "exposes", "translations", "digest", "updated_at", "words")
_NAMES = ", ".join(f'"{name}"' for name in _TYPES)
_VALUES = ", ".join(f"decode(r.{name}, 'hex')" if name == "digest" else f'r."{name}"' for name in _TYPES)
_DECLARED = ", ".join(f'"{name}" {kind}' for name, kind in _TYPES.items())
_WORDS = vector_sql([f"r.{name}" for name in CHECK_COLUMNS])
_CHANGED = ", ".join([*_KEPT, *(f"{name} = excluded.{name}" for name in _ALSO)])
_WRITE = (
    f"INSERT INTO triage_check AS c (scanner, updated_at, {_NAMES}, words)"
    f" SELECT %s, %s, {_VALUES}, {_WORDS} FROM json_to_recordset(%s) AS r({_DECLARED})"
    f" ON CONFLICT (scanner, key) DO UPDATE SET {_CHANGED}"
    " RETURNING id, key, service, digest, exposes, threat, override"
)


@dataclass(slots=True, eq=False)
class KnownCheck:
    """A check of the report. `path`: scanner U+001F key; `digest`: of the description stored."""

    id: int
    key: str
    path: str
    service: str
    digest: bytes
    exposes: bool
    threat: int = 0
    override: int | None = None


def checks_of(scanner: str) -> dict[str, KnownCheck]:
    """All checks of a scanner, by key."""
    rows = Check.objects.filter(scanner=scanner).values_list("pk", "key", "service", "digest", "exposes", "threat", "override")
    return {row[1]: _known(scanner, row) for row in rows}


def write_checks(scanner: str, wanted: Mapping[str, tuple[CheckInfo, Severity]], *, at: datetime) -> dict[str, KnownCheck]:
    """Store these checks, by key, as described: new ones, and new descriptions of known ones. One statement for 2,000."""
    written: dict[str, KnownCheck] = {}
    for chunk in chunks(wanted.items(), WRITTEN_AT_ONCE):
        rows = [_row(key, info, severity) for key, (info, severity) in chunk]
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [scanner, at, as_json(rows)])
            found = cursor.fetchall()
        threats = threat.of_checks({row[0]: row[1] for row in found})
        for row in found:
            written[row[1]] = _known(scanner, (*row[:5], threats.get(row[0], row[5]), row[6]))
    return written


def _known(scanner: str, row: tuple[int, str, str, bytes | memoryview, bool, int, int | None]) -> KnownCheck:
    number, key, service, of, exposes, threat, override = row
    return KnownCheck(number, key, f"{scanner}\x1f{key}", service, bytes(of), exposes, threat, override)


def _row(key: str, info: CheckInfo, severity: Severity) -> dict[str, object]:
    return {
        "key": key,
        "title": prose(info.title, 1000) or key,
        "service": one_line(info.service)[:100],
        "severity": int(severity),
        "description": prose(info.description, LONGEST),
        "risk": prose(info.risk, LONGEST),
        "remediation": prose(info.remediation, LONGEST),
        "remediation_url": one_line(info.remediation_url)[:2000],
        "remediation_cli": prose(info.remediation_cli, LONGEST),
        "remediation_terraform": prose(info.remediation_terraform, LONGEST),
        "remediation_other": prose(info.remediation_other, LONGEST),
        "categories": [one_line(c) for c in info.categories],
        "weaknesses": [one_line(w) for w in info.weaknesses],
        "references": [one_line(r) for r in info.references],
        "exposes": info.exposes,
        "translations": _translations(info),
        "digest": described(info, severity).hex(),
    }


def _translations(info: CheckInfo) -> dict[str, dict[str, str]]:
    """Texts by language and name."""
    found: dict[str, dict[str, str]] = {}
    for language, name, text in info.translations:
        found.setdefault(one_line(language)[:5], {})[one_line(name)[:40]] = prose(text, LONGEST)
    return found


def described(info: CheckInfo, severity: Severity) -> bytes:
    """A digest of all that a report says of a check, to see that it says something else."""
    return digest(
        info.title, info.service, int(severity), info.description, info.risk, info.remediation, info.remediation_url,
        info.remediation_cli, info.remediation_terraform, info.remediation_other, info.categories, info.weaknesses,
        info.references, info.controls, info.exposes, *([info.translations] if info.translations else ()),
    )  # fmt: skip


def link_controls(wanted: Mapping[int, tuple[Pair, ...]]) -> set[int]:
    """Checks, by number, serve these controls, those that follow from them, and no others; one that names none keeps what it has.

    Answers with the checks that serve others now. Six statements at most.
    """
    served: dict[tuple[int, Pair], bool] = {}
    for check, pairs in wanted.items():
        named = [(one_line(framework)[:120], one_line(reference)[:300]) for framework, reference in pairs]
        served |= {(check, pair): True for pair in compliance.derived(named)}
        served |= {(check, pair): False for pair in named}
    if not served:
        return set()
    numbers = _controls({pair for _check, pair in served})
    links = {(check, numbers[pair], derived) for (check, pair), derived in served.items()}
    known = CheckControl.objects.filter(check_ref__in=[check for check, pairs in wanted.items() if pairs])
    held = {row[1:]: row[0] for row in known.values_list("pk", "check_ref", "control", "derived")}
    CheckControl.objects.filter(pk__in=[number for link, number in held.items() if link not in links]).delete()
    copier = copying.Copier("triage_checkcontrol", ("check_id", "control_id", "derived"))
    copier.rows = [
        copying.big(check) + copying.big(control) + copying.boolean(derived)
        for check, control, derived in sorted(links - held.keys())
    ]
    copier.flush()
    return {check for check, _control, _derived in links ^ held.keys()}


def _controls(wanted: set[Pair]) -> dict[Pair, int]:
    """Numbers of these controls, storing the new ones: three statements at most, whatever other imports do at the same time."""
    numbers = _numbers(wanted)
    if new := wanted - numbers.keys():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_control (framework, reference) SELECT r->>0, r->>1 FROM json_array_elements(%s) AS r"
                " ON CONFLICT DO NOTHING",
                [as_json(sorted(new))],
            )
        numbers |= _numbers(new)
    return numbers


def _numbers(wanted: set[Pair]) -> dict[Pair, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.framework, c.reference, c.id FROM json_array_elements(%s) AS r"
            " JOIN triage_control c ON c.framework = r->>0 AND c.reference = r->>1",
            [as_json(list(wanted))],
        )
        return {(framework, reference): number for framework, reference, number in cursor.fetchall()}
