"""A table of accounts, as people keep it: CSV with a header in English or French, separated by commas, semicolons or tabs."""

import csv
import io
from collections.abc import Iterator

from django.utils.translation import gettext_noop as _

from triage.ports import DirectoryAccount, Skipped, Text

LABEL = "CSV"
COLUMNS = {
    "provider": ("provider", "cloud", "fournisseur"),
    "uid": ("uid", "account", "account_id", "account id", "id", "compte", "subscription", "project", "numéro", "numero"),
    "name": ("name", "nom", "account name", "account_name"),
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
    folded = [cell.strip().casefold() for cell in header]
    return {
        name: folded.index(spelling) for name, spellings in COLUMNS.items() for spelling in spellings[::-1] if spelling in folded
    }


def sniff(text: str) -> str | None:
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff")[:20_000]), delimiter=_dialect(text))
    header = next(rows, [])
    found = _columns(header)
    return LABEL if len(header) > 1 and "uid" in found and len(found) > 1 else None


def read(text: str) -> Iterator[DirectoryAccount | Skipped]:
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=_dialect(text))
    columns = _columns(next(rows))
    for position, row in enumerate(rows):
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
