"""One finding, and what a person does to it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST, require_safe

from triage.domain import acts, check_catalogue, comments, lifecycle, people, queries, risk, tickets, verification
from triage.domain.access import Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.exceptions import registering
from triage.domain.sla import clocks, explaining
from triage.models import Act, Comment, Containment, Finding, Status, Team, Verification
from triage.web.acts import tell
from triage.web.days import end_of
from triage.web.filters import open_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, attachment, back_to, needs, nudge


class Action(NamedTuple):
    """A button that moves a finding. `main`: what usually comes next."""

    before: str
    to: str
    label: str
    icon: str
    main: bool = False


ACTIONS = (
    Action(Status.OPEN, Status.IN_PROGRESS, _("Start work"), "play", main=True),
    Action(Status.OPEN, Status.FIX_CLAIMED, _("Mark as fixed"), "wrench"),
    Action(Status.IN_PROGRESS, Status.FIX_CLAIMED, _("Mark as fixed"), "wrench", main=True),
    Action(Status.IN_PROGRESS, Status.OPEN, _("Reopen"), "undo-2"),
    Action(Status.FIX_CLAIMED, Status.OPEN, _("Reopen"), "undo-2"),
)


@require_safe
@needs(Right.VIEW)
def finding(request: PageRequest, number: int) -> HttpResponse:
    found = queries.finding(number)
    if found.pk != number:
        return redirect("finding", found.pk)
    if request.htmx and request.htmx.target == "preview":
        beside = request.headers.get("X-Preview", "")  # the queue's address, where the buttons lead back to
        return render(request, "triage/findings/_preview.html", shown_of(request, found, next_page=beside))
    return _page(request, found)


@require_POST
@needs(Right.VIEW)
def finding_status(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `to`, `version`."""

    def act() -> Act:
        to = request.POST.get("to", "")
        moved = acts.one(
            verb=Act.Verb.MOVE, params={"to": to}, finding=number, actor=request.actor, at=now(), version=_version(request)
        )
        if to == Status.FIX_CLAIMED:
            nudge("look_at_claims")
        return moved

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_owner(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `team` (a slug, or `-` for nobody) and `reason`, or `release`; and `version`."""

    def act() -> Act:
        verb = Act.Verb.RELEASE if "release" in request.POST else Act.Verb.ASSIGN
        return acts.one(
            verb=verb, params={} if verb == Act.Verb.RELEASE else {"team": request.POST.get("team", "")}, finding=number,
            actor=request.actor, at=now(), reason=request.POST.get("reason", ""), version=_version(request),
        )  # fmt: skip

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_verify(request: PageRequest, number: int) -> HttpResponse:
    def act() -> str:
        run = verification.request(finding=number, trigger=Verification.Trigger.PERSON, actor=request.actor, at=now())
        nudge("verify", run.pk)
        return gettext("The check is being rerun.")

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_ticket(request: PageRequest, number: int) -> HttpResponse:
    def act() -> str:
        tickets.open_tickets(findings=[number], actor=request.actor, at=now(), language=request.LANGUAGE_CODE)
        nudge("drain_outbox")
        return gettext("The ticket is being opened.")

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_clock(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `version` and one of `pause` (with `until`, a day, and `reason`), `resume` (`reason`), `acknowledge`, `contain` (with
    `done` and `exploited`).
    """

    def act() -> str:
        said: dict[str, Any] = {"finding": number, "actor": request.actor, "at": now(), "version": _version(request)}
        if "pause" in request.POST:
            until = end_of(request.POST.get("until", ""))
            clocks.pause(**said, until=until, reason=request.POST.get("reason", "")[:500])
            return gettext("The clock is paused until %(day)s.") % {"day": date_format(localtime(until), "DATE_FORMAT")}
        if "resume" in request.POST:
            clocks.resume(**said, reason=request.POST.get("reason", "")[:500])
            return gettext("The clock is running again.")
        if "contain" in request.POST:
            clocks.contain(
                **said, done=request.POST.get("done", ""), exploited=request.POST.get("exploited", "unknown"),
                attachment=attachment(request, "evidence"),
            )  # fmt: skip
            return gettext("The containment is recorded.")
        clocks.acknowledge(**said)
        return gettext("It is acknowledged.")

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_comment(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `text`; with `comment`, a number, that one is changed, or taken away with `withdraw`."""

    def act() -> str:
        said: dict[str, Any] = {"actor": request.actor, "at": now()}
        comment = request.POST.get("comment", "")
        if not comment.isdecimal() or len(comment) > 18:
            comments.say(finding=number, text=request.POST.get("text", ""), **said)
            return gettext("Comment posted.")
        if "withdraw" in request.POST:
            comments.withdraw(comment=int(comment), **said)
            return gettext("Comment removed.")
        comments.edit(comment=int(comment), text=request.POST.get("text", ""), **said)
        return gettext("The comment is changed.")

    return _done(request, number, act)


@require_POST
@needs(Right.VIEW)
def finding_person(request: PageRequest, number: int) -> HttpResponse:
    """Fields: `person`, a number, `me`, or `-` for nobody; or `disown` with `reason`; and `version`."""

    def act() -> Act:
        said: dict[str, Any] = {"finding": number, "actor": request.actor, "at": now(), "version": _version(request)}
        if "disown" in request.POST:
            return acts.one(verb=Act.Verb.DISOWN, params={}, reason=request.POST.get("reason", "").strip(), **said)
        person = request.POST.get("person", "")
        chosen = str(request.user.pk) if person == "me" else person
        return acts.one(verb=Act.Verb.PERSON, params={"person": chosen}, **said)

    return _done(request, number, act)


def _done(request: PageRequest, number: int, act: Callable[[], str | Act]) -> HttpResponse:
    """Do it, and back to where the form stood; or the finding as it is now, and why it was not done."""
    try:
        done = act()
        if isinstance(done, Act):
            tell(request, done)
        else:
            messages.success(request, done)
    except TriageError as error:
        return _page(request, queries.finding(number), error=error)
    return redirect(back_to(request, reverse("finding", args=[number])))


def _version(request: PageRequest) -> int:
    written = request.POST.get("version", "")
    if not written.isdecimal():
        raise Invalid(_("The form does not say which version of the finding you saw. Reload the page."))
    return int(written)


def _page(request: PageRequest, found: Finding, *, error: TriageError | None = None) -> HttpResponse:
    code = status_code(error) if error else 200
    story, said = queries.story(found), comments.of_finding(found.pk)
    shown = shown_of(request, found, next_page="") | {
        "error": error.text if error else None,
        "code": code,
        "story": story,
        "comments": said,
        "steps": _steps(found, story, said),
        "changeable": now() - comments.EDITABLE,
        "colleagues": people.colleagues(found.team_id) if request.actor.may(Right.CLAIM, team=found.team_id) else [],
        "factors": risk.factors(found, at=now()),
        "duty": explaining.explain(found, actor=request.actor, at=now()),
        "exploited": Containment.Exploited.choices,
        "exceptions": registering.of_finding(found.pk),
        "queue": reverse("queue"),
        "links": {"asset": open_of(asset=found.asset.uid), "check": open_of(check=found.check_ref.key)},
        "controls": check_catalogue.controls_of(found.check_ref_id),
        "address": request.build_absolute_uri(reverse("finding", args=[found.pk])),
    }
    return render(request, "triage/findings/detail.html", shown, status=code)


def _steps(found: Finding, story: queries.FindingStory, said: Sequence[Comment]) -> list[tuple[str, bool]]:
    """From the guide of triage: what has been done on the way to a proven fix, and what comes next."""
    verified = found.status == Status.VERIFIED
    steps = [(_("Owner confirmed"), found.team_id is not None and (found.pinned or found.acknowledged_at is not None))]
    if found.contain_due or found.contained_at:
        steps.append((_("Contained"), found.contained_at is not None))
    return [
        *steps,
        (_("Ticket opened"), bool(story.tickets)),
        (_("Fix made"), verified or found.status == Status.FIX_CLAIMED),
        (_("Fix proven"), verified),
        (_("Lessons recorded"), any(found.settled_at is not None and each.at > found.settled_at for each in said)),
    ]


def shown_of(request: PageRequest, found: Finding, *, next_page: str) -> dict[str, Any]:
    """What the page and the preview of a finding both show. `next_page`: where its buttons lead back to."""
    may = lifecycle.BY_PEOPLE.get(found.status, {})
    return {
        "finding": found,
        "at": now(),
        "next": next_page,
        "place": getattr(found, "place", None),
        "actions": [
            action
            for action in ACTIONS
            if action.before == found.status and action.to in may and request.actor.may(may[action.to], team=found.team_id)
        ],
        "teams": Team.objects.filter(archived_at=None),
        "can_verify": verification.fitting_for(found) is not None,
        "can_ticket": found.is_open,
        "can_except": found.is_open or found.status == Status.MANUAL,
    }
