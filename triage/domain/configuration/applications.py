"""Applications in the configuration file.

An application that the file does not name stays, unless the file is to prune: then it is archived. A field that the file does not
give stays as well. Their order in the file is their order: of several that fit an asset, the first counts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.domain.audit import Recording
from triage.domain.configuration.accounts import CRITICALITIES
from triage.domain.configuration.calendars import NO_SLUG, SLUG
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.models import Application, Criticality, DataClass

FIELDS = ("name", "stake", "criticality", "data", "frameworks", "tags", "accounts")
DEFAULTS: Values = {
    "name": "", "stake": "", "criticality": "unknown", "data": "", "frameworks": [], "tags": [], "accounts": [], "position": 0,
}  # fmt: skip
LEVELS = {level.value: word for word, level in CRITICALITIES.items()}
NO_TAG = _("Line %(line)s: “%(found)s” is not a tag. Write it as app=shop, or app=shop-* for what begins so.")
NO_ACCOUNT = _("Line %(line)s: “%(found)s” is not an account. Write it as aws:123456789012.")


class ApplicationsSection:
    """The section `applications`: a mapping from slug to application."""

    name = "applications"
    subject = "application"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:  # noqa: ARG002
        entries = []
        for slug, body in document.mapping(node, None, "applications").items():
            if not SLUG.fullmatch(slug):
                document.wrong(body, NO_SLUG, found=slug[:80])
                continue
            fields = document.mapping(body, FIELDS, f"applications.{slug}")
            entries.append(Entry(slug, body, _values(fields, document, f"applications.{slug}")))
        return entries

    def stored(self) -> dict[str, Values]:
        return {
            row.slug: {
                "name": row.name,
                "stake": row.stake,
                "criticality": LEVELS[Criticality(row.criticality).value],
                "data": row.data,
                "frameworks": list(row.frameworks),
                "tags": [f"{key}={value}" for key, value in row.tags],
                "accounts": list(row.accounts),
                "position": row.position,
                "archived": row.archived_at is not None,
            }
            for row in Application.objects.all()
        }

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = []
        # A file that names all of them says their order; one that names some leaves the others where they are.
        whole = {slug for slug, known in stored.items() if not known["archived"]} <= {entry.key for entry in entries} or prune
        behind = max((known["position"] for known in stored.values()), default=-1) + 1
        named = {entry.key for entry in entries}
        order = [slug for slug in sorted(stored, key=lambda slug: (stored[slug]["position"], slug)) if slug in named]
        reordered = whole and [entry.key for entry in entries if entry.key in stored] != order
        for place, entry in enumerate(entries):
            known = stored.get(entry.key)
            values = {**entry.values, "position": place} if reordered else entry.values
            if known is None:
                values = {**DEFAULTS, "position": behind, **values}
                behind += 1
                changes.append(Change(self.name, ChangeKind.CREATED, entry.key, {}, values))
                continue
            before, after = difference(known, values)
            if known["archived"]:
                changes.append(Change(self.name, ChangeKind.RESTORED, entry.key, before, after))
            elif after:
                changes.append(Change(self.name, ChangeKind.CHANGED, entry.key, before, after))
        left = sorted(slug for slug, known in stored.items() if slug not in named and not known["archived"]) if prune else []
        return changes + [Change(self.name, ChangeKind.ARCHIVED, slug) for slug in left]

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        rows = {row.slug: row for row in Application.objects.filter(slug__in=[change.key for change in changes])}
        for change in changes:
            row = rows.setdefault(change.key, Application(slug=change.key))
            row.archived_at = at if change.kind == ChangeKind.ARCHIVED else None
            for name, value in change.after.items():
                setattr(row, name, _stored(name, value))
            row.save()
        log.tell_all(
            self.subject,
            [(rows[change.key].pk, change.kind.value, dict(change.before), dict(change.after)) for change in changes],
        )

    def export(self, stored: Mapping[str, Values], /) -> Any:
        living = sorted((values["position"], slug) for slug, values in stored.items() if not values["archived"])
        return {
            slug: {name: stored[slug][name] for name in FIELDS if stored[slug][name] != DEFAULTS[name]} for _place, slug in living
        }


def _stored(name: str, value: Any) -> Any:
    if name == "criticality":
        return CRITICALITIES[value].value
    return [tag.split("=", 1) for tag in value] if name == "tags" else value


def _values(fields: Mapping[str, yaml.Node], document: Document, where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, longest in (("name", 200), ("stake", 500)):
        if name in fields:
            values[name] = document.text(fields[name], where=f"{where}.{name}", longest=longest)
    if "criticality" in fields:
        values["criticality"] = document.choice(fields["criticality"], CRITICALITIES, where=f"{where}.criticality") or "unknown"
    if "data" in fields:
        values["data"] = document.choice(fields["data"], [value for value in DataClass.values if value], where=f"{where}.data")
    if "frameworks" in fields:
        values["frameworks"] = document.texts(fields["frameworks"], where=f"{where}.frameworks", longest=120)
    for name, sign, problem in (("tags", "=", NO_TAG), ("accounts", ":", NO_ACCOUNT)):
        if name in fields:
            found = document.texts(fields[name], where=f"{where}.{name}", longest=550)
            for text in found:
                if not all(text.partition(sign)):
                    document.wrong(fields[name], problem, found=text[:80])
            values[name] = [text for text in found if all(text.partition(sign))]
    return values
