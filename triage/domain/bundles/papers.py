"""What goes with the events of a population: exceptions with who allowed them, roles, people, controls, policies."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from triage.domain.bundles import sealed
from triage.domain.bundles.population import Served
from triage.domain.bundles.sealed import Sealed
from triage.domain.bundles.verifier import moment
from triage.domain.compliance import titled
from triage.domain.queries import who
from triage.domain.rows import written
from triage.domain.sets import chunks
from triage.models import Check, Event, ExceptionItem, Finding, RiskException, SlaVersion, User

Papers = dict[str, Any]


def exceptions(findings: Sequence[int], *, size: int) -> tuple[list[Papers], list[Sealed]]:
    """Those that were asked for one of the findings or covered it, and their sealed events. A few statements a chunk."""
    items: dict[int, list[ExceptionItem]] = {}
    for chunk in chunks(findings):
        for item in ExceptionItem.objects.filter(finding__in=chunk).order_by("pk"):
            items.setdefault(item.exception_id, []).append(item)
    events = dict(sealed.of("exception", items, size=size))
    rows = RiskException.objects.filter(pk__in=events).select_related("check_ref", "asset").order_by("pk")
    papers = [_exception(row, items[row.pk], events[row.pk]) for row in rows]
    return papers, [event for number in sorted(events) for event in events[number]]


def _exception(row: RiskException, items: Sequence[ExceptionItem], events: Sequence[Sealed]) -> Papers:
    approval = next((event.said.sealed for event in events if event.said.sealed["kind"] == "approved"), None)
    about = {"finding": row.finding_id and str(Finding(pk=row.finding_id)), "check": row.check_ref and row.check_ref.key,
             "asset": row.asset and row.asset.uid, "query": row.query}  # fmt: skip
    return {
        "id": row.pk,
        "kind": row.kind,
        "about": {name: value for name, value in about.items() if value},
        "state": row.state,
        "reason": row.reason,
        "compensation": row.compensation,
        "until": written(row.until),
        "requested_at": written(row.requested_at),
        "requested_by": row.requested_by,
        "approved_at": approval["at"] if approval else None,
        "approved_by": approval["actor"] if approval else None,
        "decision": row.decision,
        "ended_at": written(row.ended_at),
        "end_reason": row.end_reason,
        "findings": [
            {
                "finding": str(Finding(pk=item.finding_id)),
                "covered_at": written(item.covered_at),
                "ended_at": written(item.ended_at),
            }
            for item in items
        ],
    }


def roles(*, until: datetime, size: int) -> tuple[list[Papers], list[Sealed]]:
    """Each role that anybody held up to then, by the sealed events that gave and took it."""
    given = Event.objects.filter(subject="user", kind__in=("role given", "role taken")).values_list("subject_id", flat=True)
    events = [
        event
        for _user, told in sealed.of("user", sorted(set(given)), size=size)
        for event in told
        if event.said.sealed["kind"] in ("role given", "role taken")
    ]
    held: dict[tuple[int, Any, Any], Papers] = {}
    papers: list[Papers] = []
    for event in events:
        said = event.said.sealed
        if moment(said["at"]) > until:
            continue
        gives = said["kind"] == "role given"
        what = event.said.words.get("after" if gives else "before") or {}
        key = (event.subject, what.get("role"), what.get("team"))
        if gives:
            held[key] = {
                "person": f"user:{event.subject}", "role": key[1], "team": key[2], "since": said["at"], "until": None,
                "given_by": said["actor"],
            }  # fmt: skip
            papers.append(held[key])
        elif key in held:
            held.pop(key)["until"] = said["at"]
    return papers, events


def scans(numbers: Iterable[int], *, size: int) -> list[Sealed]:
    """The sealed events of these scans: they commit to the reports."""
    return [event for _scan, events in sealed.of("scan", sorted(set(numbers)), size=size) for event in events]


def erasures(events: Iterable[int], *, size: int) -> list[Sealed]:
    """The events that say why words of these events were erased."""
    return [each for _event, told in sealed.of("event", sorted(set(events)), size=size) for each in told]


def people(actors: Iterable[str]) -> dict[str, Papers]:
    """Who stands behind the pseudonyms of the events. Personal data: it is in no sealed byte, and may be erased here."""
    known = who(sorted(set(actors)))
    users = {int(name.partition(":")[2]) for name in known if name.startswith("user:")}
    emails = dict(User.objects.filter(pk__in=users, erased_at=None).values_list("pk", "email"))
    return {
        name: {"name": person.name, "email": emails.get(int(name.partition(":")[2]), "") if person.kind == "user" else ""}
        for name, person in known.items()
    }


def controls(checks: Iterable[int], served: Mapping[int, Sequence[Served]]) -> str:
    """CSV: which control each check serves, with its titles in both languages."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scanner", "check", "framework", "framework_name", "reference", "title_en", "title_fr", "said_by"])
    for check in Check.objects.filter(pk__in=set(checks)).order_by("scanner", "key"):
        for control in served.get(check.pk, ()):
            english, french = (titled(control.framework, control.reference, language=each) for each in ("en", "fr"))
            said_by = "CSPM Triage" if control.ours else check.scanner
            writer.writerow(
                [
                    check.scanner,
                    check.key,
                    control.framework,
                    english.name,
                    control.reference,
                    english.title,
                    french.title,
                    said_by,
                ]
            )
    return text.getvalue()


def policies(versions: Iterable[int]) -> list[Papers]:
    """The published versions of policies that clocks were set by, with what they ask for."""
    rows = (
        SlaVersion.objects.filter(pk__in=set(versions)).select_related("policy").prefetch_related("targets__calendar__calendar")
    )
    return [
        {
            "id": row.pk, "policy": str(row.policy), "version": row.number, "published_at": written(row.published_at), "by": row.actor,
            "reason": row.reason, "pause_days": row.pause_days, "ladder": row.ladder,
            "targets": [
                {
                    "clock": target.clock, "severity": target.get_severity_display() if target.severity else None,
                    "environment": target.environment, "criticality": target.criticality, "exposure": target.exposure,
                    "framework": target.framework, "amount": target.amount, "unit": target.unit,
                    "calendar": str(target.calendar) if target.calendar else None,
                }
                for target in row.targets.all()
            ],
        }
        for row in rows.order_by("pk")
    ]  # fmt: skip
