"""AWS Organizations: what `aws organizations list-accounts` prints, alone or with tags and units added by a script.

https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html: Id, Arn, Email, Name, Status, JoinedTimestamp. Beside
them may stand `Tags` ([{"Key", "Value"}]) and `OrganizationalUnit` or `Path`. Accounts that are closed are left out.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.ports import DirectoryAccount, Skipped, Text, UnreadableReport

LABEL = "AWS Organizations"
OWNER_TAGS = ("owner", "team", "owner-team", "equipe")
CLOSED = ("SUSPENDED", "PENDING_CLOSURE", "CLOSED")
NO_ID = _("The account has no Id of twelve digits.")


def sniff(text: str) -> str | None:
    head = text.lstrip("\ufeff \t\r\n")[:4000]
    return LABEL if head.startswith(("{", "[")) and ('"Arn"' in head and ":organizations:" in head) else None


def read(text: str) -> Iterator[DirectoryAccount | Skipped]:
    try:
        document = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UnreadableReport(_("This is not JSON: %(problem)s."), problem=str(error)) from None
    entries = document.get("Accounts") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise UnreadableReport(_("There is no list “Accounts” in it."))
    for position, entry in enumerate(entries):
        place = f"Accounts[{position}]"
        if not isinstance(entry, dict) or not _is_id(entry.get("Id")):
            yield Skipped(position, Text(NO_ID))
        elif entry.get("State", entry.get("Status")) not in CLOSED:
            yield _account(entry, place)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) == 12 and value.isdecimal()


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _account(entry: dict[str, Any], place: str) -> DirectoryAccount:
    tags = tuple(
        (str(tag.get("Key", "")), str(tag.get("Value", ""))) for tag in _list(entry.get("Tags")) if isinstance(tag, dict)
    )
    named = {key.casefold(): value for key, value in tags}
    arn = str(entry.get("Arn", ""))
    return DirectoryAccount(
        "aws", entry["Id"], str(entry.get("Name", "")), str(entry.get("Email", "")),
        organization=arn.rpartition("/")[0].rpartition("/")[2], unit=str(entry.get("OrganizationalUnit") or entry.get("Path") or ""),
        owner=next((named[key] for key in OWNER_TAGS if key in named), ""), environment=named.get("environment", named.get("env", "")),
        criticality=named.get("criticality", ""), tags=tags, place=place,
    )  # fmt: skip
