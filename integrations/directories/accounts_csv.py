"""A table of accounts, as people keep it: CSV with a header in English or French, separated by commas, semicolons or tabs."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.ports import DirectoryAccount, Skipped, Text, UnreadableReport

LABEL = "CSV"
LONGEST_CELL = 1 << 20
COLUMNS = {
    "provider": ("provider", "cloud", "fournisseur"),
    "uid": ("account_id", "account id", "uid", "numéro", "numero", "id", "account", "compte", "subscription", "project"),
    "name": ("name", "nom", "account name", "account_name", "account", "compte"),
    "email": ("email", "e-mail", "mail", "courriel"),
    "unit": ("unit", "ou", "organizational unit", "unité", "unite", "entité", "entite"),
    "owner": ("owner", "team", "équipe", "equipe", "propriétaire", "proprietaire", "responsable"),
    "environment": ("environment", "env", "environnement"),
    "criticality": ("criticality", "criticité", "criticite"),
}
NO_ACCOUNT = _("The row names no account.")


def _dialect(text: str) -> str:
    header = text.lstrip("\ufeff").partition("\n")[0]
    return max(";,\t", key=header.count)


def _columns(header: list[str]) -> dict[str, int]:
    """The first spelling of each name that is there and means nothing else: `Account` beside `Account ID` is a name."""
    folded = [cell.strip().casefold() for cell in header]
    found: dict[str, int] = {}
    for name, spellings in COLUMNS.items():
        for spelling in spellings:
            if spelling in folded and folded.index(spelling) not in found.values():
                found[name] = folded.index(spelling)
                break
    return found


def _rows(text: str) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    return csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=_dialect(text))


def _whole(rows: Any) -> Iterator[list[str]]:
    """The rows. Raises UnreadableReport for what is no CSV."""
    try:
        yield from rows
    except csv.Error as error:
        raise UnreadableReport(
            _("Line %(line)s: this is not CSV: %(problem)s."), line=rows.line_num, problem=str(error)
        ) from None


def sniff(text: str) -> str | None:
    try:
        header: list[str] = next(_rows(text[:20_000]), [])
    except csv.Error:
        return None
    found = _columns(header)
    return LABEL if len(header) > 1 and "uid" in found and len(found) > 1 else None


def read(text: str) -> Iterator[DirectoryAccount | Skipped]:
    rows = _rows(text)
    columns = _columns(next(rows))
    for position, row in enumerate(_whole(rows)):
        place = f"line {rows.line_num}"
        cells = dict.fromkeys(COLUMNS, "") | {name: row[at].strip() for name, at in columns.items() if at < len(row)}
        if not any(cells.values()):
            continue
        if not cells["uid"]:
            yield Skipped(position, Text(NO_ACCOUNT), line=rows.line_num)
            continue
        provider, uid = cells["provider"].casefold() or "aws", cells["uid"]
        if provider == "aws" and uid.isdecimal():
            uid = uid.zfill(12)  # spreadsheets eat leading zeros
        yield DirectoryAccount(
            provider, uid, cells["name"], cells["email"], unit=cells["unit"], owner=cells["owner"], environment=cells["environment"],
            criticality=cells["criticality"], place=place,
        )  # fmt: skip
