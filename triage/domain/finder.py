"""Everything by its name: findings, assets, checks, teams, accounts, scans, exceptions. A few of each, in as many statements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from triage.domain.access import Actor, Right
from triage.domain.search import words
from triage.domain.search.lookups import search, tsquery
from triage.models import Account, Asset, AssetSearch, Check, Finding, RiskException, Scan, Team

EACH = 5
SHORTEST = 2
NUMBER = re.compile(r"(?:(?P<kind>[FSXfsx])-)?0*(?P<number>[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Found:
    """`kind`: finding, asset, check, team, account, scan or exception."""

    kind: str
    of: Any


def find(text: str, *, actor: Actor) -> list[Found]:
    """The best few of each kind, exact numbers first. Raises NotAllowed."""
    actor.demand(Right.VIEW)
    text = text.strip()[:200]
    found = list(_numbered(text))
    if len(text) >= SHORTEST:
        found += _named(text)
    return found


def _numbered(text: str) -> Iterator[Found]:
    match = NUMBER.fullmatch(text)
    if match is None:
        return
    kind, number = (match["kind"] or "").upper(), int(match["number"])
    for letter, name, rows in (
        ("F", "finding", Finding.objects.select_related("check_ref", "asset")), ("S", "scan", Scan.objects.all()),
        ("X", "exception", RiskException.objects.all()),
    ):  # fmt: skip
        if kind in ("", letter) and (row := rows.filter(pk=number).first()) is not None:
            yield Found(name, row)


def _named(text: str) -> Iterator[Found]:
    for team in (
        Team.objects.filter(archived_at=None).filter(Q(name__icontains=text) | Q(slug__icontains=text)).order_by("name")[:EACH]
    ):
        yield Found("team", team)
    for account in Account.objects.filter(Q(name__icontains=text) | Q(uid__startswith=text)).order_by("name")[:EACH]:
        yield Found("account", account)
    for check in Check.objects.filter(Q(key__icontains=text) | Q(title__icontains=text)).order_by("key")[:EACH]:
        yield Found("check", check)
    pieces = words.split(text)
    if pieces:
        known = AssetSearch.objects.filter(words=search(tsquery(pieces))).values_list("pk", flat=True)[:EACH]
        for asset in Asset.objects.filter(pk__in=list(known)).select_related("account").order_by("name", "pk"):
            yield Found("asset", asset)
