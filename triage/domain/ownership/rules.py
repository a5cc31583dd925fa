"""The steps that a chain is made of: each reads one thing of an asset and says who owns it and why."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from triage.domain.ownership.names import How, Names, TeamFacts
from triage.domain.ownership.paths import code_pattern, codeowners, identifier_pattern
from triage.domain.ownership.steps import Result, Step
from triage.domain.tags import Tags, joined, plain, values
from triage.models import OwnerRule
from triage.ports import Text

Kind = OwnerRule.Kind

# In the order in which they are asked; compared as `tags.spellings` has them, so `CostCenter:owner` is `owner` too.
DEFAULT_KEYS = (
    "owner", "team", "squad", "équipe", "owned-by", "owner-team", "owning-team", "team-name", "service-owner", "app-owner",
    "application-owner", "technical-owner", "tech-owner", "product-owner", "system-owner", "resource-owner", "business-owner",
    "owner-email", "owner-name", "team-email", "propriétaire", "responsable", "maintainer", "contact", "tribe",
)  # fmt: skip
DEFAULT_NAMES = {
    Kind.TAG: _("Owner tag of the asset"),
    Kind.ACCOUNT: _("Team of the account"),
    Kind.ACCOUNT_TAG: _("Owner tag of the account"),
}

SHOWN_CHARACTERS = 100  # of a tag's value in an explanation
SHOWN_KEYS = 6  # of a rule in an explanation
ASKED_TAGS = 10  # of one asset by one rule; a hostile report has thousands

NO_TAG = _("There is none of the tags %(keys)s.")
UNKNOWN = _("The tag “%(key)s” says “%(value)s”, which is not a team here. Add it to a team as an alias.")
AMBIGUOUS = _("The tag “%(key)s” says “%(value)s”, which may mean several teams: %(teams)s.")
FIRST_OF_SEVERAL = _("The tag “%(key)s” says “%(value)s”; of these “%(part)s” is the first that is a team here: %(team)s.")
HOW = {
    How.SLUG: _("The tag “%(key)s” says “%(value)s”: the team %(team)s."),
    How.ALIAS: _("The tag “%(key)s” says “%(value)s”: an alias of the team %(team)s."),
    How.NAME: _("The tag “%(key)s” says “%(value)s”: the name of the team %(team)s."),
    How.ADDRESS: _("The tag “%(key)s” says “%(value)s”: the address of the team %(team)s."),
    How.LEAD: _("The tag “%(key)s” says “%(value)s”: the lead of the team %(team)s."),
    How.MEMBER: _("The tag “%(key)s” says “%(value)s”: a member of the team %(team)s."),
    How.LOCAL_PART: _("The tag “%(key)s” says “%(value)s”: what stands before the @ is the team %(team)s."),
    How.SPELLING: _("The tag “%(key)s” says “%(value)s”: the team %(team)s in another spelling."),
    How.AFFIX: _("The tag “%(key)s” says “%(value)s”: the team %(team)s in another spelling."),
}
DECIDED = _("An earlier step found the owner.")
ACCOUNT_TEAM = _("The account belongs to the team %(team)s.")
ACCOUNT_NOBODY = _("The account belongs to no team.")
ACCOUNT_ARCHIVED = _("The account belongs to a team that is archived.")
NO_PATH = _("It has no path in a repository.")
OTHER_REPOSITORY = _("It is not in the repository %(repository)s.")
PATH_MATCHED = _("The path fits “%(pattern)s”, which belongs to the team %(team)s.")
PATH_NOBODY = _("The path fits “%(pattern)s”, which belongs to nobody.")
PATH_UNKNOWN = _("The path fits “%(pattern)s”, which belongs to “%(owner)s”, and that is not a team here.")
PATH_NOTHING = _("The path fits none of the patterns.")
PATTERN_MATCHED = _("The identifier fits “%(pattern)s”, which belongs to the team %(team)s.")
PATTERN_NOBODY = _("The identifier fits “%(pattern)s”, which belongs to nobody.")
PATTERN_UNKNOWN = _("The identifier fits “%(pattern)s”, which belongs to “%(owner)s”, and that is not a team here.")
PATTERN_NOTHING = _("The identifier fits none of the patterns.")
FALLBACK_MATCHED = _("What nobody else owns belongs to the team %(team)s.")
FALLBACK_UNKNOWN = _("What nobody else owns belongs to “%(owner)s”, and that is not a team here.")


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the chain needs to know of an account. `provider` is `code` for a repository, `uid` then the repository."""

    id: int
    provider: str
    uid: str
    team_id: int | None = None
    tags: Tags = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about. `tags`: those alone that some rule looks at."""

    account: AccountFacts
    tags: Tags
    asset: str
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says of a subject; one rule may say several things, the last of which may name the team."""

    result: Result
    why: Text
    team: TeamFacts | None = None


Ask = Callable[[Subject], Iterable[Answer]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A step, ready to be asked. `reads`: what of the subject its answer depends on. `keys`: the asset's tags that count."""

    id: int | None
    kind: str
    name: str
    reads: frozenset[str]
    ask: Ask
    keys: frozenset[str] = frozenset()

    def step(self, answer: Answer) -> Step:
        """The answer under the rule's name."""
        return Step(self.id, self.kind, self.name, answer.result, answer.why)


def default_rules() -> list[OwnerRule]:
    """The chain that holds until somebody writes rules."""
    return [OwnerRule(kind=kind, name=name) for kind, name in DEFAULT_NAMES.items()]


def compiled(rule: OwnerRule, names: Names) -> Rule:
    """The rule, ready to be asked."""
    params = rule.params
    reads, ask = _BY_KIND[Kind(rule.kind)](params, names)
    keys = frozenset(_keys(params)) if rule.kind == Kind.TAG else frozenset()
    return Rule(rule.pk, str(rule.kind), rule.name, frozenset(reads), ask, keys)


def _keys(params: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(plain, params.get("keys") or DEFAULT_KEYS))))


def _tag(params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    return {"tags"}, _tags_asked(params, names, lambda subject: subject.tags)


def _account_tag(params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    return {"account"}, _tags_asked(params, names, lambda subject: joined(subject.account.tags))


def _tags_asked(params: Mapping[str, Any], names: Names, tags: Callable[[Subject], Tags]) -> Ask:
    keys = _keys(params)
    wanted: list[str] = list(params.get("keys") or DEFAULT_KEYS)
    shown = ", ".join(wanted[:SHOWN_KEYS]) + (" …" if len(wanted) > SHOWN_KEYS else "")

    def ask(subject: Subject) -> Iterable[Answer]:
        carried = values(tags(subject), keys)[:ASKED_TAGS]
        if not carried:
            yield Answer(Result.SKIPPED, Text(NO_TAG, {"keys": shown}))
        for key, value in carried:
            answer = _named(names, key, value)
            yield answer
            if answer.team is not None:
                return

    return ask


def _named(names: Names, key: str, value: str) -> Answer:
    named = names.find(value)
    params = {"key": _short(key), "value": _short(value)}
    if named.team is not None:
        params["team"] = named.team.slug
        if named.part:
            return Answer(Result.MATCHED, Text(FIRST_OF_SEVERAL, {**params, "part": _short(named.part)}), named.team)
        return Answer(Result.MATCHED, Text(HOW[named.how], params), named.team)
    if named.teams:
        return Answer(Result.NO_TEAM, Text(AMBIGUOUS, {**params, "teams": ", ".join(team.slug for team in named.teams)}))
    return Answer(Result.NO_TEAM, Text(UNKNOWN, params))


def _short(text: str) -> str:
    """What is shown and stored of a tag: not its 10^6th character, and nothing that a terminal or JSON would stumble over."""
    text = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def _account(_params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    def ask(subject: Subject) -> Iterable[Answer]:
        if subject.account.team_id is None:
            return [Answer(Result.SKIPPED, Text(ACCOUNT_NOBODY))]
        team = names.by_id.get(subject.account.team_id)
        if team is None:
            return [Answer(Result.NO_TEAM, Text(ACCOUNT_ARCHIVED))]
        return [Answer(Result.MATCHED, Text(ACCOUNT_TEAM, {"team": team.slug}), team)]

    return {"account"}, ask


@dataclass(frozen=True, slots=True)
class Owned:
    """A pattern, whose it is, and the sentence about it."""

    fits: Callable[[str], bool]
    answer: Answer


def _owned(entry: Mapping[str, Any], names: Names, *, fits: Callable[[str], bool], texts: tuple[str, str, str]) -> Owned:
    matched, nobody, unknown = texts
    pattern, owner = entry["pattern"], entry.get("team") or ""
    team = names.find(owner).team
    if team is not None:
        return Owned(fits, Answer(Result.MATCHED, Text(matched, {"pattern": pattern, "team": team.slug}), team))
    if not owner:
        return Owned(fits, Answer(Result.NO_TEAM, Text(nobody, {"pattern": pattern})))
    return Owned(fits, Answer(Result.NO_TEAM, Text(unknown, {"pattern": pattern, "owner": owner})))


# Rules over patterns answer with the same object each time that the same pattern fits: the chain tells answers apart by that.


def _path(params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    texts = (PATH_MATCHED, PATH_NOBODY, PATH_UNKNOWN)
    # The last pattern that fits wins, as in CODEOWNERS.
    entries = [*params.get("patterns", ()), *codeowners(params.get("codeowners", ""))]
    owned = [_owned(entry, names, fits=code_pattern(entry["pattern"]), texts=texts) for entry in reversed(entries)]
    repository: str = params.get("repository", "")
    no_path, nothing = Answer(Result.SKIPPED, Text(NO_PATH)), Answer(Result.SKIPPED, Text(PATH_NOTHING))
    elsewhere = Answer(Result.SKIPPED, Text(OTHER_REPOSITORY, {"repository": repository}))

    def ask(subject: Subject) -> Iterable[Answer]:
        if not subject.path:
            return [no_path]
        if repository and not fnmatch.fnmatchcase(subject.account.uid.casefold(), repository.casefold()):
            return [elsewhere]
        return [next((o.answer for o in owned if o.fits(subject.path)), nothing)]

    return {"path", "account"} if repository else {"path"}, ask


def _pattern(params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    texts = (PATTERN_MATCHED, PATTERN_NOBODY, PATTERN_UNKNOWN)
    owned = [_owned(entry, names, fits=identifier_pattern(entry["pattern"]), texts=texts) for entry in params.get("patterns", ())]
    nothing = Answer(Result.SKIPPED, Text(PATTERN_NOTHING))

    def ask(subject: Subject) -> Iterable[Answer]:
        return [next((o.answer for o in owned if o.fits(subject.asset)), nothing)]

    return {"asset"}, ask


def _fallback(params: Mapping[str, Any], names: Names) -> tuple[set[str], Ask]:
    owner: str = params.get("team") or ""
    team = names.find(owner).team
    if team is None:
        answer = Answer(Result.NO_TEAM, Text(FALLBACK_UNKNOWN, {"owner": owner}))
    else:
        answer = Answer(Result.MATCHED, Text(FALLBACK_MATCHED, {"team": team.slug}), team)
    return set(), lambda _subject: [answer]


_BY_KIND: dict[Kind, Callable[[Mapping[str, Any], Names], tuple[set[str], Ask]]] = {
    Kind.TAG: _tag,
    Kind.ACCOUNT: _account,
    Kind.ACCOUNT_TAG: _account_tag,
    Kind.PATH: _path,
    Kind.PATTERN: _pattern,
    Kind.FALLBACK: _fallback,
}
