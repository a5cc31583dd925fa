"""What is known of vulnerabilities: how likely they are exploited (EPSS), and which are (KEV). From files, as there may be no way out.

EPSS: https://www.first.org/epss (CSV with cve,epss,percentile, gzipped, # comments before the header). KEV: CISA's catalogue of known
exploited vulnerabilities (JSON with a list `vulnerabilities` of {"cveID", "dateAdded"}).
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.domain import risk
from triage.domain.access import Actor, Right
from triage.domain.audit import recording
from triage.domain.errors import Invalid
from triage.domain.interning import as_json
from triage.domain.ownership.chain import keep_imports_out
from triage.domain.sets import chunks
from triage.models import Check, Finding, Vulnerability

CVE = re.compile(r"CVE-\d{4}-\d{4,9}", re.IGNORECASE)
EXPLOITED = 12
LIKELY = ((0.5, 8), (0.1, 4), (0.02, 1))  # EPSS, points; the first that fits
LARGEST = 200 * 2**20
NOT_READ = _("This is neither an EPSS CSV (cve,epss,percentile) nor CISA's KEV JSON.")


def points(epss: float | None, kev_since: date | None) -> int:
    """What a CVE adds to a score."""
    if kev_since is not None:
        return EXPLOITED
    return next((number for least, number in LIKELY if epss is not None and epss >= least), 0)


def of_checks(keys: Mapping[int, str]) -> dict[int, int]:
    """Points of these checks (number -> key) whose key names a CVE that is known; stored with them. Two statements at most."""
    named = {number: match[0].upper() for number, key in keys.items() if (match := CVE.search(key))}
    if not named:
        return {}
    known = Vulnerability.objects.filter(cve__in=set(named.values())).values_list("cve", "epss", "kev_since")
    by_cve = {cve: points(epss, since) for cve, epss, since in known}
    told = {number: by_cve.get(cve, 0) for number, cve in named.items()}
    _store(told)
    return told


def _store(told: Mapping[int, int]) -> list[int]:
    """Write points; the checks that changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE triage_check c SET threat = n.threat FROM unnest(%s::bigint[], %s::smallint[]) AS n(id, threat)"
            " WHERE c.id = n.id AND c.threat <> n.threat RETURNING c.id",
            [list(told), list(told.values())],
        )
        return [number for (number,) in cursor.fetchall()]


def take_in(content: bytes, *, actor: Actor, at: datetime) -> int:
    """A bundle's file: EPSS or KEV, as it comes or gzipped; how many CVEs it names. Scores follow. Raises NotAllowed, Invalid."""
    actor.demand(Right.CONFIGURE)
    rows = _read(content)
    with recording(actor=actor.name, at=at, door=actor.door, reason="vulnerability data") as log:
        keep_imports_out()
        for chunk in chunks(rows):
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO triage_vulnerability AS v (cve, epss, kev_since, updated_at)"
                    " SELECT r->>0, (r->>1)::float8, (r->>2)::date, %s FROM json_array_elements(%s) AS r"
                    " ON CONFLICT (cve) DO UPDATE SET epss = coalesce(excluded.epss, v.epss),"
                    " kev_since = coalesce(excluded.kev_since, v.kev_since), updated_at = excluded.updated_at"
                    " WHERE (v.epss, v.kev_since) IS DISTINCT FROM"
                    " (coalesce(excluded.epss, v.epss), coalesce(excluded.kev_since, v.kev_since))",
                    [at, as_json(chunk)],
                )
        keys = dict(Check.objects.filter(key__icontains="CVE-").values_list("pk", "key"))
        before = dict(Check.objects.filter(pk__in=keys).values_list("pk", "threat"))
        told = of_checks(keys)
        changed = [number for number, threat in told.items() if before[number] != threat]
        for ids in chunks(Finding.objects.filter(check_ref__in=changed).order_by("pk").values_list("pk", flat=True).iterator()):
            risk.rescore(ids, at=at)
        log.tell("vulnerabilities", 0, "taken in", after={"cves": len(rows), "checks": len(changed)})
    return len(rows)


def _read(content: bytes) -> list[tuple[str, float | None, str | None]]:
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error):
            raise Invalid(NOT_READ) from None
    if len(content) > LARGEST:
        raise Invalid(_("The file is larger than %(limit)s MB."), limit=LARGEST // 2**20)
    try:
        text = content.decode("utf-8-sig")
        return _kev(json.loads(text)) if text.lstrip().startswith("{") else list(_epss(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error):
        raise Invalid(NOT_READ) from None


def _kev(catalogue: Mapping[str, list[Mapping[str, str]]]) -> list[tuple[str, float | None, str | None]]:
    rows = {}
    for entry in catalogue["vulnerabilities"]:
        cve = entry["cveID"].strip().upper()
        if CVE.fullmatch(cve):
            rows[cve] = (cve, None, date.fromisoformat(entry["dateAdded"]).isoformat())
    return list(rows.values())


def _epss(text: str) -> Iterable[tuple[str, float | None, str | None]]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    reader = csv.DictReader(lines)
    if not {"cve", "epss"} <= set(reader.fieldnames or ()):
        raise ValueError
    rows = {}
    for row in reader:
        cve, epss = row["cve"].strip().upper(), float(row["epss"])
        if CVE.fullmatch(cve) and 0 <= epss <= 1:
            rows[cve] = (cve, epss, None)
    return rows.values()
