"""Owners: teams with what they carry, the rules that find them, and what one change of a rule would do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from triage.domain import overview, search
from triage.domain.access import Right
from triage.domain.configuration import owner_fixes, rule_drafts
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.configuration.rule_drafts import Drafted
from triage.domain.configuration.rules import FIELDS
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.domain.search import pages
from triage.domain.sla import reporting
from triage.models import Account, Asset, OwnerRule, Team
from triage.web.filters import link
from triage.web.requests import PageRequest, back_to, needs, nudge

Kind = OwnerRule.Kind
PERIOD = timedelta(days=90)
AT_ONCE = 20_000  # assets that are asked again while the person waits; of more the worker sees to it
LONGEST = 2_000_000  # characters of a draft
# What a rule says, as a sentence; its fields fill the places.
SENTENCES = {
    Kind.TAG: _("The asset's own tag names its team."),
    Kind.ACCOUNT: _("The team that owns the account owns what is in it."),
    Kind.ACCOUNT_TAG: _("A tag of the account names the team."),
    Kind.PATH: _("A path in a repository belongs to a team; of several that fit the last one counts."),
    Kind.PATTERN: _("An identifier that fits a pattern belongs to a team; of several that fit the first one counts."),
    Kind.FALLBACK: _("Whatever no rule before has given away belongs to one team."),
}


@require_safe
@needs(Right.VIEW)
def owner_list(request: PageRequest) -> HttpResponse:
    at = now()
    loads = overview.loads(actor=request.actor, at=at)
    members = dict(Team.objects.filter(archived_at=None).annotate(n=Count("members")).values_list("pk", "n"))
    idle = Team.objects.filter(archived_at=None).exclude(pk__in=[load.team.pk for load in loads if load.team])
    rows = [
        (load, [link(f"is:open team:{load.team.slug if load.team else 'none'}{more}") for more in ("", " severity>=high", " is:overdue")],
         members.get(load.team.pk) if load.team else None)
        for load in loads
    ]  # fmt: skip
    return render(request, "triage/owners/list.html", {"rows": rows, "idle": idle, "at": at})


@require_safe
@needs(Right.VIEW)
def owner_team(request: PageRequest, slug: str) -> HttpResponse:
    team = get_object_or_404(Team, slug=slug)
    at = localtime()
    load = next((each for each in overview.loads(actor=request.actor, at=at) if each.team == team), None)
    kept = reporting.attainment(since=at - PERIOD, until=at, actor=request.actor, at=at)
    mine = [row for row in kept.rows if row.team == team]
    met, missed = sum(row.met for row in mine), sum(row.missed for row in mine)
    query = f"is:open team:{slug}"
    shown = {
        "team": team, "at": at, "load": load, "members": team.members.order_by("part", "name", "email"),
        "percent": round(100 * met / (met + missed)) if met + missed else None, "met": met, "missed": missed, "days": PERIOD.days,
        "worst": pages.page(search.findings(search.parse(query), at=at), size=8), "queue": link(query),
        "links": [link(f"{query}{more}") for more in ("", " severity>=high", " is:overdue")],
        "rules": rule_drafts.leading_to(team), "accounts": Account.objects.filter(team=team).order_by("name", "uid")[:50],
    }  # fmt: skip
    return render(request, "triage/owners/team.html", shown)


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def owner_rules(request: PageRequest) -> HttpResponse:
    """The draft is the form: nothing is stored until it is published. Fields: `draft`, and by the place of a rule `kind-0`, `name-0` …;
    `do`, one of `up:0`, `down:0`, `remove:0`, `add:KIND`, `explain`, `try`, `publish`; `subject`; `reason`.

    Query: `subject`; and `add`, with `pattern` and `team`, for a rule to begin with.
    """
    may_change = request.actor.may(Right.CONFIGURE)
    do = ""
    draft = rule_drafts.stored()
    if request.method == "POST":
        request.actor.demand(Right.CONFIGURE)
        draft, do = _read(request.POST), request.POST.get("do", "")
    elif may_change and (kind := request.GET.get("add", "")) in Kind.values:
        draft = [_begun(kind, request.GET), *draft] if kind != Kind.FALLBACK else [*draft, _begun(kind, request.GET)]
    shown: dict[str, Any] = {
        "may_change": may_change,
        "problems": [],
        "error": None,
        "diff": None,
        "explained": [],
        "changed": do != "",
    }
    status = 200
    try:
        draft = _moved(draft, do)
        if do == "publish":
            return _published(request, draft)
        if do == "try":
            shown["applied"] = rule_drafts.consequences(draft, actor=request.actor, at=now())
        if subject := (request.POST if request.method == "POST" else request.GET).get("subject", "").strip():
            shown["explained"] = rule_drafts.explained(subject, draft, actor=request.actor, at=now())
    except WrongConfiguration as error:
        shown["problems"], status = [problem.text for problem in error.problems], 400
    except NotFound as error:
        shown["nothing"] = error.text
    except TriageError as error:
        shown["error"], status = error.text, 400
    shown |= {
        "rules": [_shown(place, rule, len(draft)) for place, rule in enumerate(draft)],
        "subject": request.POST.get("subject", request.GET.get("subject", "")), "reason": request.POST.get("reason", ""),
        "kinds": [(kind.value, kind.label) for kind in Kind], "stored": draft == rule_drafts.stored(),
        "teams": Team.objects.filter(archived_at=None), "names": dict(Team.objects.values_list("slug", "name")),
    }  # fmt: skip
    return render(request, "triage/owners/rules.html", shown, status=200 if request.htmx else status)


def _published(request: PageRequest, draft: Sequence[Drafted]) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()
    if not reason:
        raise Invalid(_("Say why the rules change: the audit trail keeps it."))
    at_once = Asset.objects.order_by().values("pk")[: AT_ONCE + 1].count() <= AT_ONCE
    done = rule_drafts.publish(draft, reason=reason[:500], actor=request.actor, at=now(), follow=at_once)
    if not done.changes:
        messages.info(request, gettext("The rules are as they were."))
    elif done.owners is not None:
        said = gettext("%(moved)s assets changed their owner, %(findings)s findings followed.")
        messages.success(request, said % {"moved": done.owners.moved, "findings": done.owners.findings})
    else:
        nudge("resolve_owners", request.user.pk)
        messages.success(
            request, gettext("The rules are published. The estate is large: a worker asks it again, asset by asset.")
        )
    return redirect("owner-rules")


def _read(said: QueryDict) -> list[Drafted]:
    """The rules of the form, in its order. Raises Invalid for a form that is none."""
    if sum(map(len, said.values())) > LONGEST:
        raise Invalid(_("The rules are too long for a form. Use the configuration file."))
    draft: list[Drafted] = []
    for place in range(1_000):
        kind = said.get(f"kind-{place}")
        if kind is None:
            break
        if kind not in Kind.values:
            raise Invalid(_("There is no such kind of rule."))
        rule: Drafted = {"kind": kind, "name": said.get(f"name-{place}", "").strip()}
        if f"on-{place}" not in said:
            rule["enabled"] = False
        for field in FIELDS[Kind(kind)]:
            rule[field] = _field(field, said.get(f"{field}-{place}", ""))
        draft.append(rule)
    return draft


def _field(name: str, text: str) -> Any:
    if name == "keys":
        return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]
    if name != "patterns":
        return text.strip() if name != "codeowners" else text.replace("\r\n", "\n")
    patterns = []
    for line in text.splitlines():
        pattern, _equals, team = line.rpartition("=")
        if not line.strip():
            continue
        patterns.append({"pattern": pattern.strip(), "team": team.strip()} if _equals else {"pattern": line.strip()})
    return [{name: value for name, value in each.items() if value} for each in patterns]


def _begun(kind: str, said: QueryDict) -> Drafted:
    rule = rule_drafts.blank(kind)
    team = said.get("team", "")
    if "patterns" in rule and (pattern := said.get("pattern", "")):
        rule["patterns"] = [{"pattern": pattern, **({"team": team} if team else {})}]
    if "team" in rule:
        rule["team"] = team
    if "keys" in rule and (key := said.get("key", "")):
        rule["keys"] = [key]
    return rule


def _moved(draft: list[Drafted], do: str) -> list[Drafted]:
    what, _colon, where = do.partition(":")
    if what == "add" and where in Kind.values:
        # A fallback answers always, so whatever comes after it is never asked.
        last = draft and draft[-1]["kind"] == Kind.FALLBACK
        return [*draft[:-1], rule_drafts.blank(where), draft[-1]] if last else [*draft, rule_drafts.blank(where)]
    if what not in ("up", "down", "remove") or not where.isdecimal() or int(where) >= len(draft):
        return draft
    place = int(where)
    if what == "remove":
        return draft[:place] + draft[place + 1 :]
    other = place - 1 if what == "up" else place + 1
    if 0 <= other < len(draft):
        draft[place], draft[other] = draft[other], draft[place]
    return draft


def _shown(place: int, rule: Drafted, count: int) -> dict[str, Any]:
    patterns = rule.get("patterns") or []
    return {
        "place": place, "kind": rule["kind"], "label": Kind(rule["kind"]).label, "name": rule.get("name", ""),
        "on": rule.get("enabled", True),
        "sentence": SENTENCES[Kind(rule["kind"])], "fields": FIELDS[Kind(rule["kind"])], "keys": ", ".join(rule.get("keys") or []),
        "patterns": "\n".join(f"{each['pattern']} = {each.get('team', '')}".rstrip(" =") for each in patterns),
        "lines": min(max(len(patterns) + 1, 3), 12), "codeowners": rule.get("codeowners", ""), "repository": rule.get("repository", ""),
        "team": rule.get("team", ""), "first": place == 0, "last": place == count - 1,
    }  # fmt: skip


@require_POST
@needs(Right.CONFIGURE)
def owner_fix(request: PageRequest) -> HttpResponse:
    """Fields: `team`; and `alias`, which from now on means that team, or `account`, a number, which is given to it."""
    team = request.POST.get("team", "")
    try:
        if alias := request.POST.get("alias", "").strip():
            done = owner_fixes.add_alias(alias=alias, team=team, actor=request.actor, at=now())
        elif (account := request.POST.get("account", "")).isdecimal() and len(account) < 19:
            done = owner_fixes.give_account(account=int(account), team=team, actor=request.actor, at=now())
        else:
            raise Invalid(_("Say which team."))
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        moved = done.owners.findings if done.owners else 0
        messages.success(request, gettext("%(n)s findings have an owner now.") % {"n": moved})
    return redirect(back_to(request, reverse("unowned")))
