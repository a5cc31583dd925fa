"""What is done to many findings: asked on a sheet that says what would come of it, done, told, taken back."""

import csv
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.timezone import localtime, now
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from triage.domain import acts, lifecycle, queries, tickets, verification
from triage.domain.access import Right
from triage.domain.acts import planning
from triage.domain.errors import Invalid, NotFound, TriageError
from triage.domain.search import QueryError
from triage.domain.sets import chunks
from triage.models import Act, ActItem, Status, Team, User, Verification
from triage.web.filters import link
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, back_to, needs, nudge

Verb = Act.Verb
VERIFY, TICKET, EXCEPT = "verify", "ticket", "except"  # which have pages and records of their own
TITLES = {
    Verb.ASSIGN: _("Assign to a team"), Verb.RELEASE: _("Let the rules decide"), Verb.MOVE: _("Change the status"),
    Verb.ACKNOWLEDGE: _("Acknowledge"), Verb.PERSON: _("Assign to a person"), VERIFY: _("Rerun the checks"), TICKET: _("Open tickets"),
}  # fmt: skip
DONE = {
    Verb.RELEASE: _("the rules decide"),
    Verb.ACKNOWLEDGE: _("acknowledged"),
    Verb.DISOWN: _("not ours"),
    Verb.UNDO: _("undone"),
}
MOST_CHOSEN = 1_000  # one by one; beyond, a query says it
MOST_TICKETS = 1_000
MOST_PEOPLE = 200
TYPED_ABOVE = 500  # findings: the number has to be typed
SHOWN = 200
LINES_AT_ONCE = 2_000
MOVES = tuple(dict.fromkeys(to for edges in lifecycle.BY_PEOPLE.values() for to in edges))


@require_http_methods(["GET", "POST"])
@needs(Right.VIEW)
def act_new(request: PageRequest) -> HttpResponse:
    """Query and fields: `verb`; `f`, findings as `number.version`, or `all` and `q`; `team`, `to`, `reason`, `next`. A GET shows what
    would come of it; a POST does it. `count`: as typed, where there are many.
    """
    said = request.POST if request.method == "POST" else request.GET
    verb = said.get("verb", "")
    if verb == EXCEPT:
        page = f"{reverse('exception-request')}?{urlencode({'q': _as_query(said)})}"
        return HttpResponseClientRedirect(page) if request.htmx else redirect(page)
    if verb not in TITLES:
        raise NotFound("There is no such page.")
    shown: dict[str, Any] = {
        "verb": verb, "title": TITLES[verb], "said": said, "next": said.get("next", ""), "error": None, "code": 200,
        "teams": Team.objects.filter(archived_at=None), "moves": [(to, Status(to).label) for to in MOVES], "typed_above": TYPED_ABOVE,
        "people": User.objects.filter(is_active=True).order_by("name", "email")[:MOST_PEOPLE], "compact": bool(request.htmx),
    }  # fmt: skip
    try:
        if request.method == "POST":
            return _done(request, verb)
        shown |= _plan(request, verb, said)
    except (TriageError, QueryError) as error:
        shown["error"] = error.text
        shown["code"] = status_code(error) if isinstance(error, TriageError) else 400
        if request.method == "POST":
            shown |= _plan(request, verb, said, quiet=True)
    template = "triage/acts/_sheet.html" if request.htmx else "triage/acts/new.html"
    return render(request, template, shown, status=200 if request.htmx else shown["code"])


def _plan(request: PageRequest, verb: str, said: Any, *, quiet: bool = False) -> dict[str, Any]:
    """What would come of it, as far as enough is said for that. `quiet`: what is wrong is shown already."""
    try:
        query, chosen = _meant(said)
        found: dict[str, Any] = {
            "q": query,
            "chosen": [f"{number}.{seen}" if seen else str(number) for number, seen in chosen.items()],
        }
        if verb in (VERIFY, TICKET):
            found["total"] = planning.chosen(query, chosen, request.actor, localtime()).count()
        elif _is_enough(verb, said):
            plan = acts.plan(verb=verb, params=_params(said), query=query, findings=chosen, actor=request.actor, at=localtime())
            found |= {"plan": plan, "total": plan.total}
        else:
            found["total"] = planning.chosen(query, chosen, request.actor, localtime()).count()
    except (TriageError, QueryError):
        if not quiet:
            raise
        return {}
    return found


def _is_enough(verb: str, said: Mapping[str, Any]) -> bool:
    field = {Verb.ASSIGN: "team", Verb.MOVE: "to", Verb.PERSON: "person"}.get(Verb(verb))
    return field is None or bool(said.get(field))


def _params(said: Mapping[str, Any]) -> dict[str, str]:
    return {name: said[name] for name in ("team", "to", "person") if said.get(name)}


def _meant(said: Any) -> tuple[str, dict[int, int | None]]:
    """The query, or the chosen ones by number with the version that was looked at. Raises Invalid."""
    if said.get("all"):
        return said.get("q", "").strip() or "is:open", {}
    chosen: dict[int, int | None] = {}
    for text in said.getlist("f")[: MOST_CHOSEN + 1]:
        number, _dot, seen = text.upper().removeprefix("F-").partition(".")
        if not number.isdecimal() or len(number) > 18 or (seen and not seen.isdecimal()):
            raise Invalid(_("“%(text)s” is not a finding."), text=text[:40])
        chosen[int(number)] = int(seen) if seen else None
    if not chosen:
        raise Invalid(_("No findings are selected. Tick some findings, or select all that match."))
    if len(chosen) > MOST_CHOSEN:
        raise Invalid(
            _(
                "More than %(limit)s findings are selected individually. Narrow the list with a filter, then select "
                "all that match."
            ),
            limit=MOST_CHOSEN,
        )
    return "", chosen


def _as_query(said: Any) -> str:
    query, chosen = _meant(said)
    return query or "id:" + ",".join(f"F-{number:06d}" for number in chosen)


def _done(request: PageRequest, verb: str) -> HttpResponse:
    query, chosen = _meant(request.POST)
    back = back_to(request, reverse("queue"))
    total = planning.chosen(query, chosen, request.actor, localtime()).count()
    if total > TYPED_ABOVE and "".join(filter(str.isdecimal, request.POST.get("count", ""))) != str(total):
        raise Invalid(_("Type the number of findings, %(n)s, to confirm."), n=total)
    if verb == VERIFY:
        run = verification.request_all(
            query=query, findings=chosen, trigger=Verification.Trigger.PERSON, actor=request.actor, at=localtime()
        )
        nudge("verify_waiting")
        if total == 1 and run.total + run.joined:  # who looks at one goes on with the next
            messages.success(request, gettext("The check is being rerun."))
            return redirect(back)
        return redirect("verification-run", run.pk)
    if verb == TICKET:
        return _ticketed(request, query, chosen, total, back)
    act = acts.ask(
        verb=verb, params=_params(request.POST), query=query, findings=chosen, reason=request.POST.get("reason", "").strip(),
        actor=request.actor, at=localtime(),
    )  # fmt: skip
    if act.total > acts.AT_ONCE:
        nudge("do_act", act.pk)
        return redirect("act", act.pk)
    act = acts.run(act.pk, clock=now, actor=request.actor)
    if act.verb == Verb.MOVE and act.params.get("to") == Status.FIX_CLAIMED:
        nudge("look_at_claims")
    tell(request, act)
    return redirect(back)


def _ticketed(request: PageRequest, query: str, chosen: Mapping[int, int | None], total: int, back: str) -> HttpResponse:
    if total > MOST_TICKETS:
        raise Invalid(
            _("Tickets for more than %(limit)s findings at once would overwhelm whoever gets them. Narrow the list."),
            limit=MOST_TICKETS,
        )
    rows = planning.chosen(query, chosen, request.actor, localtime()).order_by("-score", "pk")
    opened = tickets.open_tickets(
        findings=list(rows.values_list("pk", flat=True)), actor=request.actor, at=now(), language=request.LANGUAGE_CODE
    )
    nudge("drain_outbox")
    messages.success(
        request, ngettext("%(n)s ticket is being opened.", "%(n)s tickets are being opened.", len(opened)) % {"n": len(opened)}
    )
    return redirect(back)


def tell(request: PageRequest, act: Act) -> None:
    """Say what was done, with a way to take it back."""
    if act.total == 1 and act.done:
        said = f"{act.items.get().finding}: {words(act)}"
    else:
        said = ngettext("%(n)s finding: %(what)s.", "%(n)s findings: %(what)s.", act.done) % {"n": act.done, "what": words(act)}
    if act.skipped:
        left = ngettext("%(n)s was left unchanged.", "%(n)s were left unchanged.", act.skipped) % {"n": act.skipped}
        said = f"{said} {left}"
    level = messages.success if act.done else messages.warning
    # The number makes the message one that can be taken back.
    level(request, said, extra_tags=str(act.pk) if acts.can_undo(act, actor=request.actor, at=now()) else "")


def words(act: Act) -> str:
    """What was done, in the reader's words."""
    team, to = act.params.get("team"), act.params.get("to")
    if act.verb == Verb.ASSIGN:
        named = Team.objects.filter(slug=team).values_list("name", flat=True).first()
        return gettext("Nobody") if team == "-" else str(named or team)
    if act.verb == Verb.PERSON:
        person = User.objects.filter(pk=int(act.params["person"])).first() if act.params["person"].isdecimal() else None
        return str(person) if person else gettext("Nobody")
    if act.verb == Verb.MOVE and to in Status.values:
        return str(Status(to).label)
    return gettext(DONE.get(Verb(act.verb), act.verb))


@require_safe
@needs(Right.VIEW)
def act_list(request: PageRequest) -> HttpResponse:
    """What was done lately: one's own acts, or everybody's for who triages."""
    rows = Act.objects.select_related("undone_by").order_by("-pk")
    if not request.actor.may(Right.TRIAGE):
        rows = rows.filter(user=request.user)
    found = list(rows[:100])
    names = queries.who({each.actor for each in found})
    at = now()
    lines = [(each, names[each.actor], words(each), acts.can_undo(each, actor=request.actor, at=at)) for each in found]
    return render(request, "triage/acts/list.html", {"rows": lines, "at": at})


@require_safe
@needs(Right.VIEW)
def act_page(request: PageRequest, number: int) -> HttpResponse:
    """How far it is, and what became of each finding."""
    act = _mine(request, number)
    items = ActItem.objects.filter(act=act).select_related("finding__check_ref", "finding__asset").order_by("done", "pk")[:SHOWN]
    why = acts.reasons(items)
    shown = {
        "act": act, "at": now(), "who": queries.who({act.actor})[act.actor], "words": words(act),
        "items": [(item, why.get(item.pk)) for item in items], "more": max(act.total - SHOWN, 0),
        "percent": round(100 * (act.done + act.skipped) / act.total) if act.total else 100,
        "may_undo": acts.can_undo(act, actor=request.actor, at=now()), "meant": link(act.query) if act.query else "",
    }  # fmt: skip
    template = "triage/acts/_progress.html" if request.htmx else "triage/acts/act.html"
    return render(request, template, shown)


@require_safe
@needs(Right.VIEW)
def act_csv(request: PageRequest, number: int) -> HttpResponseBase:
    """A line for each finding: what became of it, and why not. What a spreadsheet would compute has a quote before it."""
    act = _mine(request, number)
    items = ActItem.objects.filter(act=act).select_related("finding__check_ref", "finding__asset").order_by("pk")
    writer = csv.writer(_Echo())

    def lines() -> Any:
        yield writer.writerow(["finding", "check", "asset", "done", "why"])
        for part in chunks(items.iterator(chunk_size=LINES_AT_ONCE), LINES_AT_ONCE):
            left = acts.reasons(part)
            for item in part:
                why = gettext(left[item.pk].message) % left[item.pk].params if item.pk in left else ""
                done = "" if item.done is None else "yes" if item.done else "no"
                cells = [str(item.finding), item.finding.check_ref.key, item.finding.asset.uid, done, why]
                yield writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell for cell in cells])

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{act}.csv"'
    return answer


class _Echo:
    """What a CSV writer writes to, to have the line back."""

    def write(self, line: str) -> str:
        return line


@require_POST
@needs(Right.VIEW)
def act_undo(request: PageRequest, number: int) -> HttpResponse:
    try:
        back = acts.undo(act=number, actor=request.actor, at=now())
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        tell(request, back)
    return redirect(back_to(request, reverse("acts")))


def _mine(request: PageRequest, number: int) -> Act:
    act = get_object_or_404(Act.objects.select_related("undone_by"), pk=number)
    if act.user_id != request.user.pk:
        request.actor.demand(Right.TRIAGE)
    return act
