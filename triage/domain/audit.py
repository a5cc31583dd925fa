"""The one door through which findings are changed: inside `recording`, who and why are known to the database's triggers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction


@dataclass(frozen=True, slots=True)
class Recording:
    """An open transaction whose writes are attributed. `because` gives the writes that follow their reason."""

    actor: str
    at: datetime
    door: str
    scan: int | None

    def because(self, reason: str = "", *, evidence: bytes | None = None) -> None:
        """Reason (and SHA-256 of the evidence) of the changes that follow, until the next call."""
        _set(reason=reason, evidence=evidence.hex() if evidence else "")

    def note(self, findings: Iterable[int], kind: str, *, after: Mapping[str, Any] | None = None, reason: str = "") -> None:
        """Write an event for what is no column of a finding (told, exported, commented), in the finding's own sequence."""
        ids = list(findings)
        if not ids:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('cspm.noting', 'on', true)")
            cursor.execute(
                "WITH noted AS ("
                " UPDATE triage_finding SET changed_at = changed_at WHERE id IN"
                " (SELECT id FROM triage_finding WHERE id = ANY(%s) ORDER BY id FOR UPDATE) RETURNING id, event_seq)"
                " INSERT INTO triage_event (subject, subject_id, seq, kind, after, reason, actor, door, scan_id, at)"
                " SELECT 'finding', id, event_seq, %s, %s, %s, %s, %s, %s, %s FROM noted",
                [ids, kind, _json(after), reason, self.actor, self.door, self.scan, self.at],
            )
            cursor.execute("SELECT set_config('cspm.noting', '', true)")

    def note_each(self, findings: Mapping[int, Mapping[str, Any]], kind: str) -> None:
        """The same with a content for each finding, for the recording's reason: two statements, whatever their number."""
        if not findings:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('cspm.noting', 'on', true)")
            cursor.execute(
                "WITH told AS (SELECT (item ->> 0)::bigint AS id, item -> 1 AS after FROM jsonb_array_elements(%s::jsonb) AS item),"
                " noted AS (UPDATE triage_finding SET changed_at = changed_at WHERE id IN"
                " (SELECT f.id FROM triage_finding f JOIN told USING (id) ORDER BY f.id FOR UPDATE) RETURNING id, event_seq)"
                " INSERT INTO triage_event (subject, subject_id, seq, kind, after, reason, actor, door, scan_id, at)"
                " SELECT 'finding', id, event_seq, %s, after, coalesce(cspm_setting('reason'), ''), %s, %s, %s, %s"
                " FROM noted JOIN told USING (id)",
                [json.dumps(list(findings.items()), default=str), kind, self.actor, self.door, self.scan, self.at],
            )
            cursor.execute("SELECT set_config('cspm.noting', '', true)")

    def tell(
        self,
        subject: str,
        subject_id: int,
        kind: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        """Write an event about anything else: a rule, a policy, a role, a connection, a sign-in."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_event (subject, subject_id, kind, before, after, reason, actor, door, scan_id, at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    subject, subject_id, kind, _json(before), _json(after), reason, self.actor, self.door, self.scan, self.at,
                ],
            )  # fmt: skip

    def tell_all(self, subject: str, events: Iterable[tuple[int, str, Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Many such events (subject's id, kind, before, after) in one statement, for the recording's reason. {} is none."""
        rows = [(number, kind, json.dumps(before), json.dumps(after)) for number, kind, before, after in events]
        if not rows:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_event (subject, subject_id, kind, before, after, reason, actor, door, scan_id, at)"
                " SELECT %s, e.id, e.kind, nullif(e.before, '{}'), nullif(e.after, '{}'), coalesce(cspm_setting('reason'), ''),"
                " %s, %s, %s, %s"
                " FROM unnest(%s::bigint[], %s::text[], %s::jsonb[], %s::jsonb[]) AS e(id, kind, before, after)",
                [subject, self.actor, self.door, self.scan, self.at, *map(list, zip(*rows, strict=True))],
            )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


@contextmanager
def recording(*, actor: str, at: datetime, door: str, scan: int | None = None, reason: str = "") -> Iterator[Recording]:
    """A transaction in which findings may be written.

    `actor`: typed pseudonym ("user:3", "token:1", "os:0", "worker"). `door`: page, api, cli, task. The settings are local to the
    transaction, so a pooled connection never carries one person's name into another's request. Nested, the inner one names its
    own actor and the outer one's is back afterwards. Raises ValueError without an actor.
    """
    if not actor:
        raise ValueError("a recording needs an actor")
    with transaction.atomic():
        outer = _current()
        _set(actor=actor, at=at.isoformat(), door=door, scan=str(scan or ""), reason=reason, evidence="")
        yield Recording(actor=actor, at=at, door=door, scan=scan)
        _set(**outer)


def current_actor() -> str:
    """Who the recording that is open acts for; '' outside of one."""
    return _current()["actor"]


_NAMES = ("actor", "at", "door", "scan", "reason", "evidence")


def _current() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"coalesce(current_setting('cspm.{name}', true), '')" for name in _NAMES))
        row = cursor.fetchone()
    return dict(zip(_NAMES, row or [""] * len(_NAMES), strict=True))


def _set(**settings: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT " + ", ".join("set_config(%s, %s, true)" for _ in settings),
            [part for name, value in settings.items() for part in (f"cspm.{name}", value)],
        )
