"""The chain that finds an owner: rules and teams read once, then asked in memory, every answer with its reasons."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Self

from django.db import connection

from triage.domain.ownership.names import Names, TeamFacts
from triage.domain.ownership.rules import DECIDED, AccountFacts, Answer, Subject, compiled, default_rules
from triage.domain.ownership.steps import Resolution, Result, Step, resolution
from triage.domain.tags import Tags, joined, spellings
from triage.models import Account, Member, OwnerRule, Team
from triage.ports import Text

__all__ = ["RULES_LOCK", "AccountFacts", "Chain", "account_facts", "account_map", "keep_imports_out", "saved_rules", "team_facts"]

MEMO = 50_000  # answers kept; then the memory is emptied and fills again
RULES_LOCK = 0x6F776E6572  # advisory lock: held by who resolves by the rules it has read, waited for by who changed them


class Chain:
    """Rules in their order over the teams there are. Knows no database once it is made."""

    def __init__(self, rules: Sequence[OwnerRule] | None, teams: Iterable[TeamFacts]) -> None:
        """`rules`: the enabled ones in order, saved or not; None for the chain that holds when nobody has written rules."""
        self.names = Names(teams)
        self.rules = tuple(compiled(rule, self.names) for rule in (default_rules() if rules is None else rules))
        self.reads: frozenset[str] = frozenset[str]().union(*(rule.reads for rule in self.rules))
        self._keys = frozenset[str]().union(*(rule.keys for rule in self.rules))
        # What has been read after each rule: an answer is remembered under as much as it took to find it, and no more.
        self._depths: list[frozenset[str]] = [frozenset()]
        for rule in self.rules:
            if not rule.reads <= self._depths[-1]:
                self._depths.append(self._depths[-1] | rule.reads)
        # Of a path or an identifier an answer depends on which pattern it fits: one object for each, and far fewer of them.
        self._by_pattern = {facet: [rule.ask for rule in self.rules if facet in rule.reads] for facet in ("path", "asset")}
        self._memo: dict[Hashable, Resolution] = {}
        self._told: dict[Tags, Tags] = {}  # of tags the ones that a rule reads

    @classmethod
    def load(cls, *, hold: bool = False) -> Self:
        """The chain as configured now, in three statements.

        `hold`: until the transaction ends, whoever changes rules waits with resolving the estate anew. An import asks for this,
        so that no asset keeps an owner by rules that were replaced while it ran.
        """
        if hold:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULES_LOCK])
        return cls(saved_rules(), team_facts())

    def resolve(self, *, account: AccountFacts, tags: Tags, asset: str = "", path: str = "") -> Resolution:
        """The owner and the explanation. `asset`: its uid; `path`: of a place in code, relative to the repository.

        Equal answers are the same object as long as they are remembered.
        """
        subject = Subject(account, self._relevant(tags), asset, path)
        for depth in self._depths:
            known = self._memo.get(self._key(subject, depth))
            if known is not None:
                return known
        return self._walk(subject)

    def key(self, *, account: AccountFacts, tags: Tags, asset: str = "", path: str = "") -> Hashable:
        """Equal keys of this chain have equal answers. Without pattern and path rules neither asset nor path is part of it."""
        return self._key(Subject(account, self._relevant(tags), asset, path), self.reads)

    def _key(self, subject: Subject, reads: frozenset[str]) -> Hashable:
        return (
            subject.tags if "tags" in reads else None,
            subject.account if "account" in reads else None,
            self._fitting(subject, "path") if "path" in reads else None,
            self._fitting(subject, "asset") if "asset" in reads else None,
        )

    def _fitting(self, subject: Subject, facet: str) -> Hashable:
        return tuple([id(answer) for ask in self._by_pattern[facet] for answer in ask(subject)])

    @property
    def reads_asset(self) -> bool:
        """Whether two assets of one account with the same tags may have different owners."""
        return "asset" in self.reads

    @property
    def reads_path(self) -> bool:
        """Whether two places of one repository may have different owners."""
        return "path" in self.reads

    def _relevant(self, tags: Tags) -> Tags:
        relevant = self._told.get(tags)
        if relevant is None:
            if len(self._told) >= MEMO:
                self._told.clear()
            keys = self._keys
            relevant = tuple([pair for pair in joined(tags) if not keys.isdisjoint(spellings(pair[0]))])
            self._told[tags] = relevant
        return relevant

    def _walk(self, subject: Subject) -> Resolution:
        steps: list[Step] = []
        owner: TeamFacts | None = None
        read: frozenset[str] = frozenset()
        for rule in self.rules:
            if owner is not None:
                steps.append(rule.step(Answer(Result.SKIPPED, Text(DECIDED))))
                continue
            read |= rule.reads
            for answer in rule.ask(subject):
                steps.append(rule.step(answer))
                owner = answer.team
        found = resolution(owner.id if owner else None, steps)
        if len(self._memo) >= MEMO:
            self._memo.clear()
        self._memo[self._key(subject, read)] = found
        return found


def keep_imports_out() -> None:
    """Wait for imports under way, which have read what is about to be changed; until the transaction ends none begins."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULES_LOCK])


def saved_rules() -> list[OwnerRule] | None:
    """The enabled rules in order; None when nobody has written any."""
    rules = list(OwnerRule.objects.all())
    return [rule for rule in rules if rule.enabled] if rules else None


def team_facts() -> list[TeamFacts]:
    """The teams that can own something."""
    members: dict[int, list[tuple[str, bool]]] = {}
    for team_id, email, part in Member.objects.order_by("id").values_list("team_id", "email", "part"):
        members.setdefault(team_id, []).append((email, part == Member.Part.LEAD))
    return [
        TeamFacts(team.pk, team.slug, team.name, team.email, tuple(team.aliases), tuple(members.get(team.pk, ())))
        for team in Team.objects.filter(archived_at=None)
    ]


def account_facts(account: Account) -> AccountFacts:
    """What the chain needs to know of an account."""
    return AccountFacts(account.pk, account.provider, account.uid, account.team_id, tuple(account.tags.items()))


def account_map() -> dict[int, AccountFacts]:
    """The facts of all accounts, by id."""
    return {account.pk: account_facts(account) for account in Account.objects.only("provider", "uid", "team_id", "tags")}
