"""Fields with a meaning of their own: what `me`, `none`, `overdue` or a tag say about a finding."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches

from django.db.models import F, Func, OuterRef, Q
from django.db.models import Value as Constant
from django.utils.translation import gettext_noop as _

from triage.domain.search import lookups, texts, times, words
from triage.domain.search.asking import Asker, all_of, any_of
from triage.domain.search.lookups import Like, among, like_pattern, matches
from triage.domain.search.tree import Clause, Operator, QueryError, Value
from triage.domain.tags import fold
from triage.models import TO_FIX, Application, CodePlace, Presence, ScanScope, Status, Ticket, TicketItem, User

NEW = timedelta(days=7)
DUE_SOON = timedelta(days=3)
LIVING = (Ticket.State.WANTED, Ticket.State.LIVE, Ticket.State.CLOSED)  # tickets that stand for their findings

_LOOKUP = {Operator.MORE: "gt", Operator.AT_LEAST: "gte", Operator.LESS: "lt", Operator.AT_MOST: "lte"}


def identifier(asker: Asker, clause: Clause) -> Q:
    return among(asker.column("pk"), texts.findings_named([value.text for value in clause.values]))


def scan(asker: Asker, clause: Clause) -> Q:
    column = asker.column("first_scan_id")
    return Q(**{f"{column}__isnull": False, f"{column}__in": [int(value.text[2:]) for value in clause.values]})


# --- who ------------------------------------------------------------------------------------------------------------------------


def team(asker: Asker, clause: Clause) -> Q:
    column = asker.column("team_id")
    return any_of(_set_to(column, _teams(asker, value)) for value in clause.values)


def assignee(asker: Asker, clause: Clause) -> Q:
    column = asker.column("assignee_id")
    return any_of(_set_to(column, _people(asker, value)) for value in clause.values)


def _set_to(column: str, numbers: Sequence[int] | None) -> Q:
    """One of these numbers; None: empty. Never unknown."""
    if numbers is None:
        return Q(**{f"{column}__isnull": True})
    return Q(**{f"{column}__isnull": False, f"{column}__in": numbers})


def _teams(asker: Asker, value: Value) -> list[int] | None:
    name = fold(value.text)
    if value.prefix:
        return sorted({pk for known, pk in asker.teams.items() if known.startswith(name)})
    if value.text == "none":
        return None
    if value.text == "me":
        return _own_teams(asker, value)
    if name in asker.teams:
        return [asker.teams[name]]
    close = get_close_matches(name, list(asker.teams), n=3)
    message = _("There is no team “%(value)s”. Did you mean %(close)s?") if close else _("There is no team “%(value)s”.")
    raise _unknown(message, value, close)


def _own_teams(asker: Asker, value: Value) -> list[int]:
    if asker.viewer.user is None and not asker.viewer.teams:
        raise _nobody(value)
    return sorted(asker.viewer.teams)


def _people(asker: Asker, value: Value) -> list[int] | None:
    if value.text == "none" and not value.prefix:
        return None
    if value.text == "me" and not value.prefix:
        if asker.viewer.user is None:
            raise _nobody(value)
        return [asker.viewer.user]
    found = lookups.ids(User, any_of(matches(column, value, Operator.IS) for column in ("email", "name")))
    if not found and not value.prefix:
        close = get_close_matches(value.text.casefold(), list(User.objects.values_list("email", flat=True)[:1000]), n=3)
        message = (
            _("There is nobody called “%(value)s”. Did you mean %(close)s?")
            if close
            else _("There is nobody called “%(value)s”.")
        )
        raise _unknown(message, value, close)
    return found


def _unknown(message: str, value: Value, close: Sequence[str]) -> QueryError:
    return QueryError(
        message,
        position=value.span.position,
        length=value.span.length,
        suggestions=close,
        value=value.text,
        close=", ".join(close),
    )


def _nobody(value: Value) -> QueryError:
    return QueryError(
        _("“%(value)s” means nobody here: only a person who is signed in has findings of their own."),
        position=value.span.position, length=value.span.length, value=value.text,
    )  # fmt: skip


# --- where ------------------------------------------------------------------------------------------------------------------------


def asset(asker: Asker, clause: Clause) -> Q:
    return any_of(_asset(asker, value, clause.operator) for value in clause.values)


def _asset(asker: Asker, value: Value, operator: Operator) -> Q:
    """Found by its words, which are indexed; then compared, where the whole or the beginning is asked for."""
    spelled = any_of(matches(column, value, operator) for column in ("uid", "name"))
    pieces = words.split(value.text)
    if not pieces:
        return asker.asset(spelled)
    loose = operator is not Operator.EQUALS
    query = lookups.tsquery(pieces, phrase=True, prefix=loose, last_only=True)
    if loose and not value.prefix:
        return texts.assets(asker, [query], pieces)
    found = Q(search__words=lookups.search(query))
    waiting = texts.waiting(asker, query, pieces)
    return asker.asset(spelled & (found | Q(pk__in=waiting) if waiting else found))


def asset_type(asker: Asker, clause: Clause) -> Q:
    exact = clause.operator is Operator.EQUALS
    begun = [Q(type__startswith=value.text) for value in clause.values if value.prefix]
    whole = [value for value in clause.values if not value.prefix]
    types = [name for value in whole for name in ([value.text] if exact else lookups.types_spelled(value))]
    return asker.asset(any_of([*begun, Q(type__in=types)]))


def tag(asker: Asker, clause: Clause) -> Q:
    """`tag.KEY:VALUE`, and `tag:KEY` for any value."""
    if not clause.key:
        keys = [" ".join(value.text.split()).casefold() for value in clause.values]
        return asker.asset(any_of(Q(tag_set__folded__has_key=key) for key in keys))
    return asker.asset(any_of(_tagged(clause.key, value) for value in clause.values))


def _tagged(key: str, value: Value) -> Q:
    text = " ".join(value.text.split()).casefold()
    if not value.prefix:
        return Q(tag_set__folded__contains={key: text})
    held = Func(F("tag_set__folded"), Constant(key), function="jsonb_extract_path_text")
    return Q(Like(held, like_pattern(text) + "%"))


def path(asker: Asker, clause: Clause) -> Q:
    return asker.related(CodePlace, any_of(lookups.contains("path", value, clause.operator) for value in clause.values), by="pk")


def ticket(asker: Asker, clause: Clause) -> Q:
    return any_of(_ticket(asker, value, clause.operator) for value in clause.values)


def _ticket(asker: Asker, value: Value, operator: Operator) -> Q:
    if value.text in ("none", "any") and not value.prefix:
        found = asker.related(TicketItem, Q(ticket__state__in=LIVING), by="finding_id")
        return found if value.text == "any" else ~found
    by_mark = Q(ticket__mark=value.text)  # as our own links name a ticket, which has no key yet when its text is written
    return asker.related(TicketItem, matches("ticket__key", value, operator) | by_mark, by="finding_id")


def application(asker: Asker, clause: Clause) -> Q:
    return any_of(asker.asset(_application(value, clause.operator)) for value in clause.values)


def _application(value: Value, operator: Operator) -> Q:
    if value.text in ("none", "any") and not value.prefix:
        return Q(application__isnull=value.text == "none")
    numbers = Application.objects.filter(matches("slug", value, operator)).values_list("pk", flat=True)
    return Q(application__in=list(numbers))


# --- how it stands ----------------------------------------------------------------------------------------------------------------


def state(asker: Asker, clause: Clause) -> Q:
    """`is` and `sla`."""
    return any_of(_state(asker, value) for value in clause.values)


def _state(asker: Asker, value: Value) -> Q:
    match value.text:
        case "open":
            return _open(asker)
        case "closed":
            return ~_open(asker)
        case "unowned":
            return _set_to(asker.column("team_id"), None)
        case "mine":
            own = _set_to(asker.column("team_id"), _own_teams(asker, value))
            person = asker.viewer.user
            return own if person is None else own | _set_to(asker.column("assignee_id"), [person])
    asker.column("pk")  # counters know none of the rest
    return _states(asker.viewer.at)[value.text]


def _open(asker: Asker) -> Q:
    if asker.has("is_open"):
        return Q(is_open=True)
    return Q(**{f"{asker.column('status')}__in": TO_FIX}) & ~Q(**{asker.column("presence"): Presence.GONE})


def _states(at: datetime) -> dict[str, Q]:
    """By name. Of overdue, due_soon, ok, none and paused each finding is exactly one."""
    running = Q(is_open=True, paused_at__isnull=True)
    return {
        "overdue": running & Q(due_at__isnull=False, due_at__lt=at),
        "due_soon": running & Q(due_at__isnull=False, due_at__gte=at, due_at__lt=at + DUE_SOON),
        "ok": running & Q(due_at__isnull=False, due_at__gte=at + DUE_SOON),
        "none": Q(is_open=False) | (running & Q(due_at__isnull=True)),
        "paused": Q(is_open=True, paused_at__isnull=False),
        "unassigned": Q(assignee__isnull=True),
        "pinned": Q(pinned=True),
        "new": Q(first_seen__gte=at - NEW),
        "regressed": Q(regressions__gt=0),
        "muted": Q(muted=True),
        "review": Q(review=True),
        "stand_in": Q(stand_in=True),
    }


def has(asker: Asker, clause: Clause) -> Q:
    return any_of(_has(asker, value.text) for value in clause.values)


def _has(asker: Asker, name: str) -> Q:
    match name:
        case "ticket":
            return asker.related(TicketItem, Q(ticket__state__in=LIVING), by="finding_id")
        case "path":
            return asker.related(CodePlace, Q(), by="pk")
    column = asker.column({"team": "team_id", "assignee": "assignee_id", "due": "due_at", "group": "group_id"}[name])
    return Q(**{f"{column}__isnull": False})


# --- when -------------------------------------------------------------------------------------------------------------------------


def limits(operator: Operator, value: Value, at: datetime) -> dict[str, datetime]:
    """Lookups that compare a time with what the value writes: after a day means after its end."""
    if value.upto is not None:
        begin = {"gte": times.stretch(value.text, at).start} if value.text else {}
        return begin | ({"lt": times.stretch(value.upto, at).end} if value.upto else {})
    stretch = times.stretch(value.text, at)
    if operator is Operator.IS:
        return {"gte": stretch.start, "lt": stretch.end}
    if operator is Operator.MORE and not stretch.is_moment:
        return {"gte": stretch.end}
    if operator is Operator.AT_MOST and not stretch.is_moment:
        return {"lt": stretch.end}
    return {_LOOKUP[operator]: stretch.start}


def time(asker: Asker, clause: Clause) -> Q:
    column = asker.column({"due": "due_at"}.get(clause.field, clause.field))
    parts = [
        Q(**{f"{column}__isnull": True})
        if value.text == "none"
        else Q(**{f"{column}__isnull": False})
        & Q(**{f"{column}__{lookup}": limit for lookup, limit in limits(clause.operator, value, asker.viewer.at).items()})
        for value in clause.values
    ]
    return any_of(parts)


def age(asker: Asker, clause: Clause) -> Q:
    """Older means first seen earlier."""
    column = asker.column("first_seen")
    parts = []
    for value in clause.values:
        if value.upto is None:
            lookup = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}[_LOOKUP[clause.operator]]
            ends = {lookup: value.text}
        else:
            ends = {"lte": value.text, "gte": value.upto}
        parts.append(Q(**{f"{column}__{name}": asker.viewer.at - times.duration(end) for name, end in ends.items() if end}))
    return any_of(parts)


def last_seen(asker: Asker, clause: Clause) -> Q:
    """Seen from a time on, and not from another on: while it is reported, the newest of many sights is in no column."""
    parts = []
    for value in clause.values:
        wanted = limits(clause.operator, value, asker.viewer.at)
        parts.append(
            all_of(
                ~_seen(asker, {"lt": "gte", "lte": "gt"}[lookup], limit)
                if lookup in ("lt", "lte")
                else _seen(asker, lookup, limit)
                for lookup, limit in wanted.items()
            )
        )
    return any_of(parts)


def _seen(asker: Asker, lookup: str, limit: datetime) -> Q:
    """By its own column, or by the newest complete scope that covers it (the rule of `queries.last_seen`)."""
    covering = (
        (Q(check_set__isnull=True) | Q(check_set__checks__contains=[OuterRef("check_ref_id")]))
        & (Q(regions=[]) | Q(regions__contains=[OuterRef("region")]))
        & Q(scanner=OuterRef("check_ref__scanner"), complete=True, at__gte=OuterRef("first_seen"))
        & Q(**{f"at__{lookup}": limit})
    )
    carried = Q(presence=Presence.REPORTED) & ~Q(status=Status.VERIFIED)
    carried &= asker.related(ScanScope, covering, by="account_id", mine="account_id")
    return Q(**{f"{asker.column('last_seen')}__{lookup}": limit}) | carried


MEANINGS: Mapping[str, Callable[[Asker, Clause], Q]] = {
    "id": identifier,
    "scan": scan,
    "team": team,
    "assignee": assignee,
    "asset": asset,
    "type": asset_type,
    "tag": tag,
    "path": path,
    "application": application,
    "ticket": ticket,
    "is": state,
    "sla": state,
    "has": has,
    "due": time,
    "first_seen": time,
    "last_seen": last_seen,
    "age": age,
}
