"""What an auditor asks about: the findings of a period, each with what its sealed events say of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q
from django.utils.timezone import localtime
from django.utils.translation import gettext_noop as _

from triage.domain import search
from triage.domain.bundles.verifier import DERIVED
from triage.domain.compliance import titled
from triage.domain.errors import Invalid
from triage.domain.ingest import identity
from triage.models import Account, Asset, CheckControl, Event, Finding, Leaf, Team

COLUMNS = (
    "finding", "sampled", "scanner", "check", "title", "provider", "account", "account_name", "region", "asset", "asset_in_key",
    "qualifier", "identified", "team", *DERIVED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which findings: known before `to`, not settled before `since`; of a query and of a framework's controls, '' for all."""

    since: datetime
    to: datetime
    query: str = ""
    framework: str = ""

    def __post_init__(self) -> None:
        if self.since >= self.to:
            raise Invalid(_("The period ends before it begins."))


def numbers(wanted: Wanted, controls: Mapping[int, Sequence["Served"]], *, before: int, at: datetime) -> list[int]:
    """The findings, in order. Those that are not sealed yet are left out. Raises QueryError.

    `before`: leaves of the log before the period; all that began after them are in, so that nobody has to believe that none is left out.
    """
    living = Q(settled_at=None) | Q(settled_at__gte=wanted.since) | _sealed(before)
    found = search.findings(search.parse(wanted.query), at=localtime(at)).filter(living, _sealed(0), first_seen__lt=wanted.to)
    if wanted.framework:
        found = found.filter(check_ref__in=list(controls))
    return list(found.order_by("pk").values_list("pk", flat=True))


def later(wanted: Wanted, *, before: int) -> list[int]:
    """Findings that the log has after those leaves and that were first seen after the period."""
    found = Finding.objects.filter(_sealed(before), first_seen__gte=wanted.to)
    return list(found.order_by("pk").values_list("pk", flat=True))


def _sealed(after: int) -> Exists:
    """Whose first event is a leaf of this number or a later one."""
    opened = Event.objects.filter(subject="finding", subject_id=OuterRef("pk"), seq=1)
    return Exists(opened.filter(Exists(Leaf.objects.filter(event=OuterRef("pk"), number__gte=after))))


@dataclass(frozen=True, slots=True)
class Served:
    """A control that a check serves, as the scanner spells it. `ours`: it follows by our table, the scanner does not name it."""

    framework: str
    reference: str
    ours: bool


def controls_of_checks(framework: str) -> dict[int, list[Served]]:
    """Checks that serve a framework (`soc2`, `iso27001`, `NIS 2` …; '' for all), with its controls. One statement. Raises Invalid."""
    found: dict[int, list[Served]] = {}
    rows = CheckControl.objects.values_list("check_ref_id", "control__framework", "control__reference", "derived").order_by("pk")
    frameworks = set()
    for check, name, reference, ours in rows:
        frameworks.add(name)
        if not framework or _is_of(name, framework):
            found.setdefault(check, []).append(Served(name, reference, ours))
    if framework and not found:
        raise Invalid(
            _("No check serves framework “%(framework)s”. Known are: %(these)s."),
            framework=framework, these=", ".join(sorted(frameworks)) or "–",
        )  # fmt: skip
    return found


def _is_of(name: str, framework: str) -> bool:
    return _plain(name).startswith(_plain(framework)) or _plain(titled(name, "", language="en").name) == _plain(framework)


def facts(finding: Finding, team: Team | None) -> dict[str, str]:
    """The columns that the events do not hold; `verifier.identity` shows that check, account and asset are those of the first event."""
    check, asset, account = finding.check_ref, finding.asset, finding.account
    return {
        "finding": str(finding),
        "scanner": check.scanner,
        "check": check.key,
        "title": check.title,
        "provider": account.provider,
        "account": account.uid,
        "account_name": account.name,
        "region": finding.region,
        "asset": asset.uid,
        "asset_in_key": _in_key(account, asset),
        "qualifier": json.dumps(finding.qualifier),
        "team": team.name if team else "",
    }


def loaded(chunk: Sequence[int]) -> Mapping[int, Finding]:
    """Findings with check, asset and account. One statement."""
    return Finding.objects.select_related("check_ref", "asset", "account").in_bulk(chunk)


def _in_key(account: Account, asset: Asset) -> str:
    """The asset's id as its key has it (docs/identity.md)."""
    prefix, key = identity.prefix(account.provider, account.uid), bytes(asset.key)
    spellings = identity.spellings(asset.uid, asset.name, asset.type)
    return next((text for text in spellings if identity.asset_key(prefix, text) == key), asset.uid)


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
