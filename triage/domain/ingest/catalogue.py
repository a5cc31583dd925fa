"""What many rows share, known to the import by number: accounts, checks and tag sets.

Each is stored once. New ones of a chunk are inserted in one statement a kind, whatever other imports do at the same time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from triage.domain.applications import Applications
from triage.domain.ingest.checks import KnownCheck, checks_of, described, link_controls, write_checks
from triage.domain.ingest.cleaning import one_line
from triage.domain.ingest.identity import account_uid
from triage.domain.interning import as_json, digest, numbered
from triage.domain.ownership.chain import AccountFacts, Chain, account_facts
from triage.models import Account
from triage.ports import AccountInfo, CheckInfo, Severity

Tags = tuple[tuple[str, str], ...]


@dataclass(slots=True, eq=False)
class KnownAccount:
    """An account of the report. `facts`: what its owner chain needs; `environment`: what assets inherit."""

    id: int
    provider: str
    uid: str
    environment: str
    criticality: int
    facts: AccountFacts


class Catalogue:
    """One import's view. The dictionaries by object rely on a parser yielding one object for equal metadata."""

    def __init__(self, scanner: str, at: datetime) -> None:
        self.scanner = scanner
        self.at = at
        self.chain = Chain.load(hold=True)
        self.applications = Applications.load()
        self.accounts: dict[AccountInfo, KnownAccount] = {}
        self.checks: dict[CheckInfo, KnownCheck] = {}
        self._accounts: dict[tuple[str, str], KnownAccount] = {}
        self._checks = checks_of(scanner)
        self._described: set[int] = set()
        self.rejudged: set[int] = set()  # checks known before that expose now, or no more, or serve other controls
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
        new = {key: (info, severity) for key, (info, severity) in fresh.items() if not self._is_described(key, info, severity)}
        if new:
            before = {known.id: known.exposes for key in new if (known := self._checks.get(key))}
            written = write_checks(self.scanner, new, at=self.at)
            self.rejudged |= {check.id for check in written.values() if before.get(check.id, check.exposes) != check.exposes}
            self._checks |= written
            self._described |= {check.id for check in written.values()}
            relinked = link_controls({written[key].id: info.controls for key, (info, _severity) in new.items()})
            self.rejudged |= relinked & before.keys()
        for info in infos:
            if info not in self.checks:
                self.checks[info] = self._checks[one_line(info.key)[:500]]

    def _is_described(self, key: str, info: CheckInfo, severity: Severity) -> bool:
        known = self._checks.get(key)
        if known is None:
            return False
        # A report may describe a check in several ways (per-row texts); the first of a report is the one that counts.
        if known.id in self._described:
            return True
        self._described.add(known.id)
        return known.digest == described(info, severity)

    # --- tag sets ----------------------------------------------------------------------------------------------

    def tag_sets(self, wanted: Iterable[Tags]) -> dict[Tags, int]:
        """Numbers of these tag sets, storing the new ones: three statements at most."""
        digests = {tags: digest([[key, value] for key, value in tags]) for tags in wanted}
        known = numbered("triage_tagset", digests.values())
        new = {key: tags for tags, key in digests.items() if key not in known}
        if new:
            rows = []
            for key, tags in sorted(new.items()):  # in one order, so that two imports do not wait for each other
                pairs = [(one_line(name), one_line(value)) for name, value in tags]
                rows.append((key.hex(), pairs, {name.casefold(): value.casefold() for name, value in pairs}))
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO triage_tagset (digest, tags, folded) SELECT decode(r->>0, 'hex'), (r->1)::jsonb, (r->2)::jsonb"
                    " FROM json_array_elements(%s) AS r ON CONFLICT (digest) DO NOTHING",
                    [as_json(rows)],
                )
            known |= numbered("triage_tagset", new)
        return {tags: known[key] for tags, key in digests.items()}

    def tag_set(self, tags: Tags) -> int:
        """The number of one tag set, remembered: for code, where hardly anything has tags."""
        if tags not in self._tag_sets:
            self._tag_sets |= self.tag_sets([tags])
        return self._tag_sets[tags]
