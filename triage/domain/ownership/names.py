"""Which team a tag's value means: a slug, name, alias or address, in the spellings that people use."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from triage.domain.tags import fold, plain

AFFIXES = ("team", "squad", "equipe", "tribe", "group", "groupe")
ADDRESS = re.compile(r"[^\s<>,;|\"'()\[\]]+@[^\s<>,;|\"'()\[\]]+")
BRACKETED = re.compile(rf"[^<>]*<({ADDRESS.pattern})>")
SEVERAL = re.compile(r"[,;|\n]| (?:and|et|und|y) ")
JOINED = re.compile(r"[&+/:]")  # may stand in an address, so they part names alone


class How(IntEnum):
    """How a value named a team; of several teams that it could mean the lowest wins."""

    SLUG = 0
    ALIAS = 1
    NAME = 2
    ADDRESS = 3
    LEAD = 4
    MEMBER = 5
    LOCAL_PART = 6
    SPELLING = 7
    AFFIX = 8


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """A team as a value may name it. `members`: (address, is lead)."""

    id: int
    slug: str
    name: str = ""
    email: str = ""
    aliases: tuple[str, ...] = ()
    members: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What a value names. `teams`: one, none (nobody here), or several alike. `part`: of several names, the one."""

    teams: tuple[TeamFacts, ...]
    how: How = How.SLUG
    part: str = ""

    @property
    def team(self) -> TeamFacts | None:
        """The team, unless there is none or more than one."""
        return self.teams[0] if len(self.teams) == 1 else None


NOBODY = Named(())


class Names:
    """An index over teams, made once and asked often."""

    def __init__(self, teams: Iterable[TeamFacts]) -> None:
        self.teams = tuple(sorted(teams, key=lambda team: team.slug))
        self.by_id = {team.id: team for team in self.teams}
        self._exact = _index((fold(word), how, team) for team in self.teams for word, how in _words(team))
        loose = [(word, team) for team in self.teams for word, how in _words(team) if how <= How.NAME]
        self._plain = _index(
            [
                *((plain(word), How.SPELLING, team) for word, team in loose),
                *((_without_affix(fold(word)), How.AFFIX, team) for word, team in loose),
            ]
        )

    def find(self, value: str) -> Named:
        """The team that the value names, be it one name or several: of several the first that is a team here."""
        text = fold(value)
        found = self._one(text)
        if found.teams or ADDRESS.fullmatch(text):
            return found
        for part in _parts(text):
            named = self._one(part)
            if named.team is not None:
                return Named(named.teams, named.how, part)
        return NOBODY

    def _one(self, text: str) -> Named:
        text = text.removeprefix("mailto:").removeprefix("@")
        if not text:
            return NOBODY
        if found := self._exact.get(text):
            return found
        if address := ADDRESS.fullmatch(text) or BRACKETED.fullmatch(text):
            return self._address(address[address.lastindex or 0])
        return self._plain.get(plain(text)) or self._plain.get(_without_affix(text)) or NOBODY

    def _address(self, address: str) -> Named:
        local, _at, host = address.rpartition("@")
        local = local.partition("+")[0]  # payments+aws@ is payments@
        if found := self._exact.get(address) or self._exact.get(f"{local}@{host}"):
            return found
        found = self._exact.get(local)
        if found is None or found.how > How.NAME:
            found = self._plain.get(plain(local)) or self._plain.get(_without_affix(local))
        return Named(found.teams, How.LOCAL_PART) if found else NOBODY


def _parts(text: str) -> list[str]:
    """Names that a folded value may consist of, in its order; nothing when it is one name."""
    found: list[str] = []
    for piece in SEVERAL.split(text):
        found.append(piece)
        found += ADDRESS.findall(piece) or JOINED.split(piece)
    return [part for part in (part.strip() for part in found) if part and part != text]


def _words(team: TeamFacts) -> list[tuple[str, How]]:
    return [
        (team.slug, How.SLUG),
        *((alias, How.ALIAS) for alias in team.aliases),
        (team.name, How.NAME),
        (team.email, How.ADDRESS),
        *((address, How.LEAD if lead else How.MEMBER) for address, lead in team.members),
    ]


def _index(entries: Iterable[tuple[str, How, TeamFacts]]) -> dict[str, Named]:
    """Word to what it names. A slug beats an alias, an alias a name; teams of the same rank share the word."""
    index: dict[str, Named] = {}
    for word, how, team in entries:
        if not word:
            continue
        known = index.get(word)
        if known is None or how < known.how:
            index[word] = Named((team,), how)
        elif how == known.how and team not in known.teams:
            index[word] = Named((*known.teams, team), how)
    return index


def _without_affix(text: str) -> str:
    """`Payments team`, `team-payments`, `équipe paiements`: what remains without the word for a team; '' without such a word."""
    words: Sequence[str] = re.findall(r"[^\W_]+", text)
    if len(words) > 1 and words[0] in AFFIXES:
        return "".join(words[1:])
    if len(words) > 1 and words[-1] in AFFIXES:
        return "".join(words[:-1])
    return ""
