"""Owners: teams with what they carry, the rules that find them, and what nobody owns."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from triage.domain import overview, search, teams
from triage.domain.access import Right
from triage.domain.configuration import owner_fixes, rule_drafts
from triage.domain.configuration.document import Problem, WrongConfiguration
from triage.domain.configuration.rule_drafts import Drafted
from triage.domain.configuration.rules import FIELDS, NAMES
from triage.domain.errors import Invalid, NotFound, Stale, TriageError
from triage.domain.ownership import unowned as orphanage
from triage.domain.ownership.surveying import Diff, OwnerMove
from triage.domain.search import pages
from triage.domain.search.tree import Clause, Operator, Query, Value, both
from triage.models import Account, Asset, OwnerRule, Severity, Team
from triage.templatetags.triage import number, said
from triage.web.filters import link, load_links, open_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs, nudge

Kind = OwnerRule.Kind
ROWS = 8  # of a team's findings
ORDERS = {"": _("Deadline"), "risk": _("Risk"), "age": _("Age")}
MOVES = 20  # ways that a dry run shows
ORPHANAGES = 20  # accounts with findings that nobody owns
AT_ONCE = 20_000  # assets that are asked again while the person waits; of more the worker sees to it
MOST_RULES = 150  # that a form holds
LONGEST = 2_000_000  # characters of a draft
SLUGS_SHOWN = 6


@require_safe
@needs(Right.VIEW)
def owner_list(request: PageRequest) -> HttpResponse:
    at = now()
    loads, records = overview.loads(actor=request.actor, at=at), teams.records(actor=request.actor, at=at)
    members: dict[int | None, int] = dict(
        Team.objects.filter(archived_at=None).annotate(n=Count("members")).values_list("pk", "n")
    )
    idle = Team.objects.filter(archived_at=None).exclude(pk__in=[load.team.pk for load in loads if load.team])
    rows = []
    for load in loads:
        key = load.team.pk if load.team else None
        rows.append(
            {
                "load": load,
                "links": load_links(load.team.slug if load.team else "none"),
                "record": records.get(key, teams.Record()),
                "members": members.get(key),
            }
        )
    return render(request, "triage/owners/list.html", {"rows": rows, "idle": idle, "at": at, "days": teams.PERIOD.days})


@require_safe
@needs(Right.VIEW)
def owner_team(request: PageRequest, slug: str) -> HttpResponse:
    """Query: `by`, the order of its findings: '' for the deadline, `risk`, `age`."""
    team = get_object_or_404(Team, slug=slug)
    at, actor = localtime(), request.actor
    query = f"is:open team:{slug}"
    by = request.GET.get("by", "")
    by = by if by in ORDERS else ""
    if by == "age":
        findings = teams.oldest(team, actor=actor, limit=ROWS)
    else:
        order = "score" if by else "due"
        findings = pages.page(search.findings(search.parse(query), at=at), order=order, size=ROWS).items
    levels = teams.severities(team, actor=actor)
    shown = {
        "team": team, "at": at, "critical": dict(levels).get(Severity.CRITICAL, 0),
        "load": next((load for load in overview.loads(actor=actor, at=at) if load.team == team), None),
        "members": team.members.order_by("part", "name", "email"), "record": teams.records(actor=actor, at=at).get(team.pk),
        "days": teams.PERIOD.days, "findings": findings, "queue": link(query, order={"": "due", "risk": "", "age": "newest"}[by]),
        "orders": [(label, f"?by={name}" if name else "?", name == by) for name, label in ORDERS.items()],
        "links": load_links(slug), "contact": teams.contact(team, actor=actor),
        "levels": [(level, n, link(f"{query} severity:{level.name.lower()}")) for level, n in levels],
        "rules": rule_drafts.leading_to(team), "holdings": teams.holdings(team, actor=actor),
        "assets": reverse("assets") + "?" + urlencode({"q": f"team:{slug}", "all": 1}),
    }  # fmt: skip
    return render(request, "triage/owners/team.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def owner_rules(request: PageRequest) -> HttpResponse:
    """The draft is the form: nothing is stored until it is published. Fields: by the place of a rule `kind-0`, `name-0` …; `do`, one of
    `up:0`, `down:0`, `remove:0`, `add:KIND`, `explain`, `try`, `publish`; `seen`, the mark of the rules that it began from; `subject`;
    `reason`.

    Query: `subject`; and `add`, with `pattern`, `repository`, `key` and `team`, for a rule to begin with.
    """
    stored = rule_drafts.stored()
    may_change = request.actor.may(Right.CONFIGURE) and len(stored) <= MOST_RULES
    sent, do, draft, fresh = request.GET, "", stored, None
    if request.method == "POST":
        request.actor.demand(Right.CONFIGURE)
        sent, do = request.POST, request.POST.get("do", "")
        draft, fresh = _moved(_read(sent), do)
    elif may_change and sent.get("add", "") in Kind.values:
        draft, fresh = _added(stored, _begun(sent["add"], sent))
    shown: dict[str, Any] = {"problems": [], "subject": sent.get("subject", "").strip()}
    status = 200
    try:
        shown |= _told(request, shown["subject"], draft)
        if do == "publish":
            return _published(request, draft)
        if do == "try" and rule_drafts.mark(draft) != rule_drafts.mark(stored):
            shown["diff"] = rule_drafts.consequences(draft, actor=request.actor)
    except WrongConfiguration as error:
        shown["problems"], status = [_placed(problem, draft) for problem in error.problems], 400
    except TriageError as error:
        shown |= {"error": error.text, "stale": isinstance(error, Stale)}
        status = status_code(error)
    wrong = {problem["place"] for problem in shown["problems"]}
    names = dict(Team.objects.values_list("slug", "name"))
    shown |= {
        "rules": [
            _shown(place, rule, len(draft), names) | {"open": place in wrong or place == fresh, "wrong": place in wrong}
            for place, rule in enumerate(draft)
        ],
        "may_change": may_change, "too_many": len(stored) > MOST_RULES, "tried": do == "try" and status == 200,
        "focus": _focus(do, len(draft)), "fresh": fresh, "reason": sent.get("reason", ""),
        "mark": rule_drafts.mark(stored), "changed": rule_drafts.mark(draft) != rule_drafts.mark(stored),
        "kinds": [(kind.value, kind.label) for kind in Kind], "teams": Team.objects.filter(archived_at=None),
        "ways": _ways(shown.get("diff")),
    }  # fmt: skip
    shown["slugs"] = ", ".join(team.slug for team in shown["teams"][:SLUGS_SHOWN])
    return render(request, "triage/owners/rules.html", shown, status=200 if request.htmx else status)


def _told(request: PageRequest, subject: str, draft: Sequence[Drafted]) -> dict[str, Any]:
    """What the draft says of what is asked about."""
    try:
        return {"explained": rule_drafts.explained(subject, draft, actor=request.actor) if subject else []}
    except NotFound as error:
        return {"nothing": error.text}


def _ways(diff: Diff | None) -> list[tuple[Team | None, Team | None, OwnerMove]]:
    """The moves of a dry run that are shown, with their teams."""
    moves = diff.moves[:MOVES] if diff else ()
    known = Team.objects.in_bulk({slug for move in moves for slug in (move.before, move.after) if slug}, field_name="slug")
    return [(known.get(move.before or ""), known.get(move.after or ""), move) for move in moves]


def _published(request: PageRequest, draft: Sequence[Drafted]) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()
    if not reason:
        raise Invalid(_("Say why the rules change: the reason stays in the audit trail."))
    at_once = _is_small()
    done = rule_drafts.publish(
        draft, reason=reason[:500], actor=request.actor, at=now(), seen=request.POST.get("seen"), follow=at_once
    )
    if not done.changes:
        messages.info(request, gettext("The rules have not changed."))
    elif done.owners is not None:
        moved, handed = done.owners.moved, done.owners.handed
        assets = ngettext("%(shown)s asset", "%(shown)s assets", moved) % {"shown": number(moved)}
        findings = ngettext("%(shown)s finding", "%(shown)s findings", handed) % {"shown": number(handed)}
        said_so = gettext("The rules are published. Another owner for %(assets)s and %(findings)s.")
        messages.success(request, said_so % {"assets": assets, "findings": findings})
    else:
        _leave_to_worker(request, reason[:500])
    if not request.htmx:
        return redirect("owner-rules")
    answer = HttpResponse()
    answer["HX-Redirect"] = reverse("owner-rules")
    return answer


def _is_small() -> bool:
    """Whether the estate is asked again while the person waits."""
    return Asset.objects.order_by().values("pk")[: AT_ONCE + 1].count() <= AT_ONCE


def _leave_to_worker(request: PageRequest, reason: str = "") -> None:
    nudge("resolve_owners", request.user.pk, reason)
    messages.success(
        request, gettext("This is now in force. There are many assets: a worker is re-evaluating the rules, asset by asset.")
    )


def _read(sent: QueryDict) -> list[Drafted]:
    """The rules of the form, in its order. Raises Invalid for a form that is none."""
    if sum(map(len, sent.values())) > LONGEST:
        raise Invalid(_("The rules are too long for a form. Use the configuration file."))
    draft: list[Drafted] = []
    while (kind := sent.get(f"kind-{(place := len(draft))}")) is not None:
        if kind not in Kind.values:
            raise Invalid(_("There is no such kind of rule."))
        rule: Drafted = {"kind": kind, "name": sent.get(f"name-{place}", "").strip() or NAMES[Kind(kind)]}
        if f"on-{place}" not in sent:
            rule["enabled"] = False
        for field in FIELDS[Kind(kind)]:
            rule[field] = _field(field, sent.get(f"{field}-{place}", ""))
        draft.append(rule)
    return draft


def _field(name: str, text: str) -> Any:
    if name == "keys":
        return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]
    if name != "patterns":
        return text.strip() if name != "codeowners" else text.replace("\r\n", "\n")
    patterns = []
    for line in filter(None, map(str.strip, text.splitlines())):
        before, sign, after = line.rpartition("=")
        pattern, team = (before.strip(), after.strip()) if sign else (line, "")
        patterns.append({"pattern": pattern, "team": team} if team else {"pattern": pattern})
    return patterns


def _line(entry: dict[str, str]) -> str:
    """As `_field` reads it: the last equals sign parts the pattern from its team."""
    pattern, team = entry["pattern"], entry.get("team", "")
    return f"{pattern} = {team}" if team else f"{pattern} =" if "=" in pattern else pattern


def _begun(kind: str, sent: QueryDict) -> Drafted:
    rule = rule_drafts.blank(kind)
    if "patterns" in rule and (pattern := sent.get("pattern", "")):
        rule["patterns"] = [{"pattern": pattern, **({"team": team} if (team := sent.get("team", "")) else {})}]
    if "team" in rule:
        rule["team"] = sent.get("team", "")
    if "keys" in rule and (key := sent.get("key", "")):
        rule["keys"] = [key]
    if "repository" in rule:
        rule["repository"] = sent.get("repository", "")
    return rule


def _added(draft: list[Drafted], rule: Drafted) -> tuple[list[Drafted], int]:
    """With the rule at the end, and its place; but a fallback answers always, so whatever came after it would never be asked."""
    place = len(draft) - (bool(draft) and draft[-1]["kind"] == Kind.FALLBACK and rule["kind"] != Kind.FALLBACK)
    return [*draft[:place], rule, *draft[place:]], place


def _moved(draft: list[Drafted], do: str) -> tuple[list[Drafted], int | None]:
    """The draft after what the button says, and the place of a rule that is new in it. Raises Invalid where a form holds no more."""
    what, _colon, where = do.partition(":")
    if what == "add" and where in Kind.values:
        if len(draft) >= MOST_RULES:
            raise Invalid(_("A form holds %(most)s rules at most. Use the configuration file."), most=MOST_RULES)
        return _added(draft, rule_drafts.blank(where))
    if what not in ("up", "down", "remove") or not where.isdecimal() or int(where[:9]) >= len(draft):
        return draft, None
    place = int(where)
    if what == "remove":
        return draft[:place] + draft[place + 1 :], None
    other = place - 1 if what == "up" else place + 1
    if 0 <= other < len(draft):
        draft[place], draft[other] = draft[other], draft[place]
    return draft, None


def _focus(do: str, count: int) -> str:
    """The id of what the keyboard goes on with: the button of the rule that was moved, the next one after a rule that went."""
    what, _colon, where = do.partition(":")
    if what in ("try", "publish"):
        return {"try": "changes", "publish": "reason"}[what]
    if what not in ("up", "down", "remove") or not where.isdecimal() or not count:
        return ""
    place = max(min(int(where[:9]) + {"up": -1, "down": 1, "remove": 0}[what], count - 1), 0)
    if what == "remove":
        return f"remove-{place}"
    is_end = place == (0 if what == "up" else count - 1)
    return f"{({'up': 'down', 'down': 'up'}[what]) if is_end else what}-{place}"


def _placed(problem: Problem, draft: Sequence[Drafted]) -> dict[str, Any]:
    """The problem at its rule; the line of a file that nobody sees is left away."""
    place = rule_drafts.place_of(problem.line, draft)
    words = said(problem.text).partition(": ")[2] or said(problem.text)
    name = draft[place].get("name", "") if place is not None else ""
    return {"place": place, "name": name, "said": words[:1].upper() + words[1:]}


def _shown(place: int, rule: Drafted, count: int, names: dict[str, str]) -> dict[str, Any]:
    """`name`: '' for the usual one, which is shown in the reader's language instead."""
    patterns, usual, name = rule.get("patterns") or [], NAMES[Kind(rule["kind"])], rule.get("name", "")
    return {
        "place": place, "kind": rule["kind"], "usual": usual, "name": "" if name == usual else name,
        "on": rule.get("enabled", True), "sentence": rule_drafts.sentence(rule, names), "fields": FIELDS[Kind(rule["kind"])],
        "keys": ", ".join(rule.get("keys") or []), "patterns": "\n".join(map(_line, patterns)),
        "lines": min(max(len(patterns) + 1, 3), 12), "codeowners": rule.get("codeowners", ""),
        "repository": rule.get("repository", ""), "team": rule.get("team", ""), "first": place == 0, "last": place == count - 1,
        "ids": {what: f"{what}-{place}" for what in ("up", "down", "remove")},
    }  # fmt: skip


@require_safe
@needs(Right.VIEW)
def unowned(request: PageRequest) -> HttpResponse:
    """By account, the worst first, with what would give them an owner."""
    found = orphanage.unowned(actor=request.actor, limit=ORPHANAGES + 1)
    groups = []
    for group in found[:ORPHANAGES]:
        query = _orphans(group.account)
        causes = [
            # A value that was cut for an explanation is no value that could be asked for.
            (cause, _assign(_orphans(group.account, cause.tag, by_hand=cause.by_hand)))
            if cause.by_hand or (cause.tag and not cause.tag[1].endswith("…"))
            else (cause, "")
            for cause in group.causes
        ]
        groups.append(
            {
                "group": group, "href": open_of(account=group.account.asked, team="none"), "assign": _assign(query),
                "rule": f"{reverse('owner-rules')}?{urlencode(_rule_for(group.account))}", "causes": causes,
            }
        )  # fmt: skip
    shown = {
        "groups": groups, "teams": Team.objects.filter(archived_at=None),
        "more": link("is:open team:none", group="account") if len(found) > ORPHANAGES else "",
        "may_act": request.actor.may(Right.TRIAGE),
    }  # fmt: skip
    return render(request, "triage/findings/unowned.html", shown)


def _orphans(account: Account, tag: tuple[str, str] | None = None, *, by_hand: bool = False) -> str:
    """The query for what nobody owns in an account, with a tag of that value, or by a person's hand."""
    clauses = [
        Clause("is", Operator.IS, (Value("open"),)),
        Clause("account", Operator.IS, (Value(account.asked),)),
        Clause("team", Operator.IS, (Value("none"),)),
    ]
    if tag:
        clauses.append(Clause("tag", Operator.IS, (Value(tag[1]),), tag[0]))
    if by_hand:
        clauses.append(Clause("is", Operator.IS, (Value("pinned"),)))
    return Query(both(clauses)).text()


def _assign(query: str) -> str:
    """The sheet that gives all that the query means to a team."""
    return f"{reverse('act-new')}?{urlencode({'verb': 'assign', 'all': 1, 'q': query, 'next': reverse('unowned')})}"


def _rule_for(account: Account) -> dict[str, str]:
    """A rule to begin with, for a part of an account."""
    if account.provider == "code":
        return {"add": Kind.PATH.value, "repository": account.uid, "pattern": "/"}
    return {"add": Kind.PATTERN.value, "pattern": f"*:{account.uid}:*" if account.provider == "aws" else f"*{account.uid}*"}


@require_POST
@needs(Right.CONFIGURE)
def owner_fix(request: PageRequest) -> HttpResponse:
    """Fields: `team`; and `alias`, which from now on means that team, or `account`, a number, which is given to it."""
    team, follow = request.POST.get("team", ""), _is_small()
    try:
        if alias := request.POST.get("alias", "").strip():
            done = owner_fixes.add_alias(alias=alias, team=team, actor=request.actor, at=now(), follow=follow)
        elif (account := request.POST.get("account", "")).isdecimal() and len(account) < 19:
            done = owner_fixes.give_account(account=int(account), team=team, actor=request.actor, at=now(), follow=follow)
        else:
            raise Invalid(_("Say which team."))
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        if done.changes and not follow:
            _leave_to_worker(request)
        else:
            moved = done.owners.handed if done.owners else 0
            text = ngettext("%(n)s finding has another owner now.", "%(n)s findings have another owner now.", moved)
            messages.success(request, text % {"n": number(moved)})
    return redirect(back_to(request, reverse("unowned")))
