"""Teams and their members in the configuration file.

A team that the file does not name stays, unless the file is to prune: then it is archived. A field that the file does not give
stays as well; a list that it gives (aliases, members) is the whole list.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from django.utils.text import slugify
from django.utils.translation import gettext_noop as _

from triage.domain.audit import Recording
from triage.domain.configuration.document import Document
from triage.domain.configuration.sections import Change, ChangeKind, Entry, Values, difference
from triage.domain.tags import fold
from triage.models import Member, Team

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,78}[a-z0-9])?")
FIELDS = ("name", "email", "aliases", "members")
MEMBER_FIELDS = ("email", "name", "part")
DEFAULTS: Values = {"email": "", "aliases": [], "members": []}

NO_SLUG = _("Line %(line)s: “%(found)s” cannot be a team's slug. Use small letters, digits and hyphens, such as %(example)s.")
TEAM_TWICE = _("Line %(line)s: the team “%(slug)s” is here twice.")
ALIAS_TAKEN = _("Line %(line)s: “%(alias)s” means the team %(other)s already.")


class Teams:
    """The section `teams`: a list of teams with their slugs, or a mapping from slug to team."""

    name = "teams"
    subject = "team"

    def read(self, node: yaml.Node, document: Document, stored: Mapping[str, Values], /) -> list[Entry]:
        entries: dict[str, Entry] = {}
        for slug_node, fields in _bodies(node, document):
            slug = document.text(slug_node, where="teams.slug")
            if not SLUG.fullmatch(slug):
                document.wrong(slug_node, NO_SLUG, found=slug, example=slugify(slug) or "data-platform")
            elif slug in entries:
                document.wrong(slug_node, TEAM_TWICE, slug=slug)
            else:
                entries[slug] = Entry(slug, slug_node, _values(fields, document))
        _check_aliases(entries, stored, document)
        return list(entries.values())

    def stored(self) -> dict[str, Values]:
        members: dict[int, list[dict[str, str]]] = {}
        for member in Member.objects.order_by("email"):
            members.setdefault(member.team_id, []).append({"email": member.email, "name": member.name, "part": member.part})
        return {
            team.slug: {
                "name": team.name,
                "email": team.email,
                "aliases": sorted(team.aliases),
                "members": members.get(team.pk, []),
                "archived": team.archived_at is not None,
            }
            for team in Team.objects.all()
        }

    def plan(self, entries: Sequence[Entry], stored: Mapping[str, Values], /, *, prune: bool) -> list[Change]:
        changes = []
        for entry in entries:
            known = stored.get(entry.key)
            if known is None:
                after = {"name": entry.key.replace("-", " ").capitalize(), **DEFAULTS, **entry.values}
                changes.append(Change(self.name, ChangeKind.CREATED, entry.key, {}, after))
                continue
            before, after = difference(known, entry.values)
            if known["archived"]:
                changes.append(Change(self.name, ChangeKind.RESTORED, entry.key, before, after))
            elif after:
                changes.append(Change(self.name, ChangeKind.CHANGED, entry.key, before, after))
        named = {entry.key for entry in entries}
        left = sorted(slug for slug, known in stored.items() if slug not in named and not known["archived"]) if prune else []
        return changes + [Change(self.name, ChangeKind.ARCHIVED, slug) for slug in left]

    def write(self, changes: Sequence[Change], log: Recording, /, *, at: datetime) -> None:
        teams = {team.slug: team for team in Team.objects.filter(slug__in=[change.key for change in changes])}
        for change in changes:
            team = teams.setdefault(change.key, Team(slug=change.key))
            for name in ("name", "email", "aliases"):
                setattr(team, name, change.after.get(name, getattr(team, name)))
            team.archived_at = at if change.kind == ChangeKind.ARCHIVED else None
        Team.objects.bulk_create([team for team in teams.values() if team.pk is None], batch_size=1000)
        known = [teams[change.key] for change in changes if change.kind != ChangeKind.CREATED]
        Team.objects.bulk_update(known, ["name", "email", "aliases", "archived_at"], batch_size=1000)
        people = _write_members(changes, teams)
        log.tell_all(
            self.subject,
            [
                (
                    teams[change.key].pk,
                    change.kind.value,
                    _told(change.before),
                    {**_told(change.after), **people.get(change.key, {})},
                )
                for change in changes
            ],
        )

    def export(self, stored: Mapping[str, Values], /) -> Any:
        return [_exported_team(slug, team) for slug, team in sorted(stored.items()) if not team["archived"]]


def _exported_team(slug: str, team: Values) -> dict[str, Any]:
    """Without fields that are empty."""
    fields = {"slug": slug, "name": team["name"], "email": team["email"], "aliases": team["aliases"]}
    fields["members"] = [_exported(member) for member in team["members"]]
    return {name: value for name, value in fields.items() if value}


def _bodies(node: yaml.Node, document: Document) -> Iterator[tuple[yaml.Node, dict[str, yaml.Node]]]:
    """Slug and fields of each team, in either form."""
    if isinstance(node, yaml.MappingNode):
        for slug, body in node.value:
            yield slug, document.mapping(body, FIELDS, "teams")
    else:
        for body in document.items(node, "teams"):
            fields = document.mapping(body, ("slug", *FIELDS), "teams")
            if document.require(body, fields, "slug", where="teams"):
                yield fields.pop("slug"), fields


def _values(fields: Mapping[str, yaml.Node], document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "name" in fields:
        values["name"] = document.text(fields["name"], where="teams.name", longest=200, required=True)
    if "email" in fields:
        values["email"] = document.address(fields["email"], where="teams.email")
    if "aliases" in fields:
        values["aliases"] = sorted(
            {alias.casefold() for alias in document.texts(fields["aliases"], where="teams.aliases", longest=300)}
        )
    if "members" in fields:
        members = {
            member["email"]: member
            for node in document.items(fields["members"], "teams.members")
            if (member := _member(node, document))
        }
        values["members"] = [members[email] for email in sorted(members)]
    return values


def _member(node: yaml.Node, document: Document) -> dict[str, str] | None:
    """An address alone, or a mapping."""
    if isinstance(node, yaml.ScalarNode):
        found: dict[str, yaml.Node] = {"email": node}
    else:
        found = document.mapping(node, MEMBER_FIELDS, "teams.members")
        if not document.require(node, found, "email", where="teams.members"):
            return None
    return {
        "email": document.address(found["email"], where="teams.email", required=True),
        "name": document.text(found["name"], where="teams.name", longest=200) if "name" in found else "",
        "part": (document.choice(found["part"], Member.Part.values, where="teams.members.part") if "part" in found else "")
        or Member.Part.MEMBER.value,
    }


def _exported(member: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in member.items() if value and (name, value) != ("part", Member.Part.MEMBER.value)}


def _check_aliases(entries: Mapping[str, Entry], stored: Mapping[str, Values], document: Document) -> None:
    """An alias means one team, and is never the slug of another."""
    teams = {slug: team for slug, team in stored.items() if slug not in entries and not team["archived"]}
    taken = {fold(slug): slug for slug in (*teams, *entries)}
    for slug, team in teams.items():
        for alias in team["aliases"]:
            taken.setdefault(fold(alias), slug)
    for slug, entry in entries.items():
        for alias in entry.values.get("aliases", stored.get(slug, DEFAULTS)["aliases"]):
            if taken.setdefault(fold(alias), slug) != slug:
                document.wrong(entry.node, ALIAS_TAKEN, alias=alias, other=taken[fold(alias)])


def _write_members(changes: Sequence[Change], teams: Mapping[str, Team]) -> dict[str, dict[str, list[int]]]:
    """Members as the file has them. By team, who came and went: numbers, as events outlive the wish to be forgotten."""
    wanted = {(teams[change.key].pk, member["email"]): member for change in changes for member in change.after.get("members", ())}
    touched = [teams[change.key].pk for change in changes if "members" in change.after]
    known = {(member.team_id, member.email): member for member in Member.objects.filter(team_id__in=touched)}
    new = [Member(team_id=team, **member) for (team, _email), member in wanted.items() if (team, member["email"]) not in known]
    Member.objects.bulk_create(new, batch_size=1000)
    for key, member in known.items():
        if key in wanted:
            member.name, member.part = wanted[key]["name"], wanted[key]["part"]
    Member.objects.bulk_update([member for key, member in known.items() if key in wanted], ["name", "part"], batch_size=1000)
    gone = [member for key, member in known.items() if key not in wanted]
    Member.objects.filter(pk__in=[member.pk for member in gone]).delete()
    slugs = {team.pk: slug for slug, team in teams.items()}
    told: dict[str, dict[str, list[int]]] = {}
    for word, members in (("joined", new), ("left", gone)):
        for member in members:
            told.setdefault(slugs[member.team_id], {}).setdefault(word, []).append(member.pk)
    return told


def _told(values: Values) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "members"}
