"""What many rows share, known to the import by number: accounts, checks and tag sets.

Each is stored once. New ones of a chunk are inserted in one statement a kind, whatever other imports do at the same time.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from django.db import connection

from triage.domain.ingest.cleaning import one_line, prose
from triage.domain.ingest.identity import account_uid
from triage.domain.ownership.chain import AccountFacts, Chain, account_facts
from triage.domain.search.words import vector_sql
from triage.models import Account, Check
from triage.ports import AccountInfo, CheckInfo, Severity

Tags = tuple[tuple[str, str], ...]
_TEXTS = (
    "title", "service", "description", "risk", "remediation", "remediation_url", "remediation_cli", "remediation_terraform",
    "remediation_other", "categories", "weaknesses", "references",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class KnownAccount:
    """An account of the report. `facts`: what its owner chain needs; `environment`: what assets inherit."""

    id: int
    provider: str
    uid: str
    environment: str
    criticality: int
    facts: AccountFacts


@dataclass(slots=True, eq=False)
class KnownCheck:
    """A check of the report. `path`: scanner U+001F key; `digest`: of the description stored."""

    id: int
    key: str
    path: str
    service: str
    digest: bytes
    exposes: bool


def digest(*parts: object) -> bytes:
    """BLAKE2b-128 over JSON: what interned rows are found by."""
    return blake2b(json.dumps(parts, ensure_ascii=False).encode("utf-8", "replace"), digest_size=16).digest()


class Catalogue:
    """One import's view. The dictionaries by object rely on a parser yielding one object for equal metadata."""

    def __init__(self, scanner: str, at: datetime) -> None:
        self.scanner = scanner
        self.at = at
        self.chain = Chain.load(hold=True)
        self.accounts: dict[AccountInfo, KnownAccount] = {}
        self.checks: dict[CheckInfo, KnownCheck] = {}
        self._accounts: dict[tuple[str, str], KnownAccount] = {}
        self._checks: dict[str, KnownCheck] = {
            row.key: self._known(row.pk, row)
            for row in Check.objects.filter(scanner=scanner).only("key", "service", "digest", "exposes")
        }
        self._described: set[int] = set()
        self._tag_sets: dict[Tags, int] = {}

    # --- accounts -----------------------------------------------------------------------------------------------------------

    def meet_accounts(self, infos: Iterable[AccountInfo]) -> None:
        """Know these accounts, storing those that are new."""
        unknown = [info for info in infos if info not in self.accounts]
        if not unknown:
            return
        wanted = {(info.provider, one_line(account_uid(info))[:500]): info for info in unknown}
        missing = {key: info for key, info in wanted.items() if key not in self._accounts}
        if missing:
            Account.objects.bulk_create(
                [
                    Account(
                        provider=provider, uid=uid, name=one_line(info.name)[:300], email=one_line(info.email)[:300],
                        organization=one_line(info.organization)[:200], unit=one_line(info.unit)[:300],
                        tags={one_line(key): one_line(value) for key, value in info.tags}, created_at=self.at,
                    )
                    for (provider, uid), info in missing.items()
                ],
                ignore_conflicts=True,
                batch_size=20_000,
            )  # fmt: skip
            rows = Account.objects.filter(
                provider__in={provider for provider, _uid in missing}, uid__in=[uid for _provider, uid in missing]
            )
            for row in rows:
                self._accounts[row.provider, row.uid] = KnownAccount(
                    row.pk, row.provider, row.uid, row.environment, row.criticality, account_facts(row)
                )
        for info in unknown:
            self.accounts[info] = self._accounts[info.provider, one_line(account_uid(info))[:500]]

    # --- checks -------------------------------------------------------------------------------------------------------------

    def meet_checks(self, infos: Mapping[CheckInfo, Severity]) -> None:
        """Know these checks: new ones are stored, ones described anew are updated."""
        fresh: dict[str, tuple[CheckInfo, Severity]] = {}
        for info, severity in infos.items():
            if info not in self.checks:
                fresh.setdefault(one_line(info.key)[:500], (info, severity))
        if not fresh:
            return
        new = {key: described for key, described in fresh.items() if not self._is_described(key, *described)}
        if new:
            self._write([self._row(key, *described) for key, described in new.items()])
            _link([
                (self._checks[key].id, one_line(framework)[:120], one_line(reference)[:300])
                for key, (info, _severity) in new.items()
                for framework, reference in info.controls
            ])  # fmt: skip
        for info in infos:
            if info not in self.checks:
                self.checks[info] = self._checks[one_line(info.key)[:500]]

    def _known(self, number: int, row: Check) -> KnownCheck:
        return KnownCheck(number, row.key, f"{self.scanner}\x1f{row.key}", row.service, bytes(row.digest), row.exposes)

    def _is_described(self, key: str, info: CheckInfo, severity: Severity) -> bool:
        known = self._checks.get(key)
        if known is None:
            return False
        # A report may describe a check in several ways (per-row texts); the first of a report is the one that counts.
        if known.id in self._described:
            return True
        self._described.add(known.id)
        return known.digest == _described(info, severity)

    def _row(self, key: str, info: CheckInfo, severity: Severity) -> Check:
        return Check(
            scanner=self.scanner, key=key, title=prose(info.title, 1000) or key, service=one_line(info.service)[:100],
            severity=int(severity), description=prose(info.description, 20_000), risk=prose(info.risk, 20_000),
            remediation=prose(info.remediation, 20_000), remediation_url=one_line(info.remediation_url)[:2000],
            remediation_cli=prose(info.remediation_cli, 20_000), remediation_terraform=prose(info.remediation_terraform, 20_000),
            remediation_other=prose(info.remediation_other, 20_000), categories=[one_line(c) for c in info.categories],
            weaknesses=[one_line(w) for w in info.weaknesses], references=[one_line(r) for r in info.references],
            exposes=info.exposes, digest=_described(info, severity), updated_at=self.at,
        )  # fmt: skip

    def _write(self, rows: list[Check]) -> None:
        known = {row.key: row for row in Check.objects.filter(scanner=self.scanner, key__in=[row.key for row in rows])}
        for row in rows:
            if row.key in known:
                # Formats of one scanner say more or less of a check: what this one leaves out stays.
                for name in _TEXTS:
                    setattr(row, name, getattr(row, name) or getattr(known[row.key], name))
        Check.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["scanner", "key"], batch_size=2_000,
            update_fields=[*_TEXTS, "severity", "exposes", "digest", "updated_at"],
        )  # fmt: skip
        ids = dict(Check.objects.filter(scanner=self.scanner, key__in=[row.key for row in rows]).values_list("key", "pk"))
        for row in rows:
            self._checks[row.key] = self._known(ids[row.key], row)
            self._described.add(ids[row.key])
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE triage_check SET words = {vector_sql(['key', 'title'])} WHERE id = ANY(%s)", [list(ids.values())]
            )

    # --- tag sets ----------------------------------------------------------------------------------------------

    def tag_sets(self, wanted: Iterable[Tags]) -> dict[Tags, int]:
        """Numbers of these tag sets, storing the new ones: three statements at most."""
        digests = {tags: digest([[key, value] for key, value in tags]) for tags in wanted}
        known = _tag_sets(digests.values())
        new = {key: tags for tags, key in digests.items() if key not in known}
        if new:
            pairs = [[(one_line(key), one_line(value)) for key, value in tags] for tags in new.values()]
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO triage_tagset (digest, tags, folded) SELECT * FROM unnest(%s::bytea[], %s::jsonb[], %s::jsonb[])"
                    " ON CONFLICT (digest) DO NOTHING",
                    [
                        list(new),
                        [json.dumps(tags, ensure_ascii=False) for tags in pairs],
                        [
                            json.dumps({key.casefold(): value.casefold() for key, value in tags}, ensure_ascii=False)
                            for tags in pairs
                        ],
                    ],
                )
            known |= _tag_sets(new)
        return {tags: known[key] for tags, key in digests.items()}

    def tag_set(self, tags: Tags) -> int:
        """The number of one tag set, remembered: for code, where hardly anything has tags."""
        if tags not in self._tag_sets:
            self._tag_sets |= self.tag_sets([tags])
        return self._tag_sets[tags]


def _tag_sets(digests: Iterable[bytes]) -> dict[bytes, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest, id FROM triage_tagset WHERE digest = ANY(%s)", [list(digests)])
        return {bytes(key): number for key, number in cursor.fetchall()}


def _described(info: CheckInfo, severity: Severity) -> bytes:
    return digest(
        info.title, info.service, int(severity), info.description, info.risk, info.remediation, info.remediation_url,
        info.remediation_cli, info.remediation_terraform, info.remediation_other, info.categories, info.weaknesses,
        info.references, info.controls, info.exposes,
    )  # fmt: skip


def _link(pairs: list[tuple[int, str, str]]) -> None:
    """Checks serve these controls and, of the checks named, no others: two statements."""
    if not pairs:
        return
    checks, frameworks, references = (list(column) for column in zip(*pairs, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO triage_control (framework, reference)"
            " SELECT DISTINCT * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING",
            [frameworks, references],
        )
        cursor.execute(
            "WITH wanted AS ("
            " SELECT p.check_id, c.id AS control_id FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS p(check_id, framework, reference)"
            " JOIN triage_control c USING (framework, reference)),"
            " stale AS (DELETE FROM triage_check_controls l WHERE l.check_id = ANY(%s)"
            " AND NOT EXISTS (SELECT 1 FROM wanted w WHERE (w.check_id, w.control_id) = (l.check_id, l.control_id)))"
            " INSERT INTO triage_check_controls (check_id, control_id) SELECT DISTINCT * FROM wanted ON CONFLICT DO NOTHING",
            [checks, frameworks, references, list(set(checks))],
        )
