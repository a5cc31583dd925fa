"""What the outside bears: 1,000 findings of 40 owners become tickets in a Jira that allows 5 writes a second, while messages leave.

usage: python -m bench.outside [--findings 1000] [--owners 40] [--per-second 5]

Real HTTP to the stand-ins of tests/servers, a real PostgreSQL, in real time, by one worker's rhythm: drain, and come back half a second
later as the queue does. Floor: the same number of POSTs to the same stand-in without any limit, one after the other. Exits 1 when a
ticket is missing or double, when a request came while the Jira had asked for patience, or when a digest came before a missed deadline.
"""

import argparse
import atexit
import os
import shutil
import sys
import tempfile
import time

from bench.pages import prepare


def measure(count: int, owners: int, per_second: int) -> bool:
    import django

    django.setup()
    from django.utils.timezone import now

    from tests.servers.jira import TOKEN, Jira
    from tests.servers.slack import TOKEN as BOT
    from tests.servers.slack import Slack
    from triage.domain import connections, outbox, tickets
    from triage.domain.access import of_machine
    from triage.domain.connections import Wanted
    from triage.domain.notifications import telling
    from triage.models import Finding, OutboxMessage, Preference, Team, Told

    me = of_machine(0)
    teams = [Team.objects.create(slug=f"team-{number}", name=f"Team {number}") for number in range(owners)]
    rows = list(Finding.objects.filter(is_open=True).order_by("pk")[:count].values_list("pk", flat=True))
    _give(rows, teams)
    with Jira() as jira, Slack() as slack:
        _floor(jira, len(rows))
        jira.issues.clear()
        jira.log.clear()
        jira.per_second, slack.per_channel = per_second, 1.0
        slack.channels |= {f"C{number}": f"team-{number}" for number in range(owners)}
        given = {"server": jira.address, "email": "bot@acme.example", "token": TOKEN, "project": "OPS"}
        connections.put(Wanted("jira", "tickets", "jira", given, per_second=per_second - 1), actor=me, at=now())
        given = {"token": BOT, "base_url": slack.url, "channel": "C2SEC"}
        connections.put(Wanted("slack", "notifiers", "slack", given), actor=me, at=now())
        Preference.objects.bulk_create(
            [
                Preference(team=team, address=f"C{number}", weekends=True, quiet_from=0, quiet_until=0)
                for number, team in enumerate(teams)
            ]
        )
        at = now()
        begin = time.perf_counter()
        opened = tickets.open_tickets(findings=rows, actor=me, at=at)
        print(
            f"{len(rows)} findings of {owners} owners are {len(opened)} tickets, written in {time.perf_counter() - begin:.2f} s",
            flush=True,
        )
        for why, urgent, subject in (("digest", False, "due"), ("", True, "breach")):
            Told.objects.bulk_create(
                Told(recipient=f"team:{team.pk}", event=f"{subject}:{team.pk}", subject=subject, severity=5, urgent=urgent, why=why, at=at,
                     due_at=at, content={"findings": rows[:3], "due": at.isoformat()})
                for team in teams
            )  # fmt: skip
        telling.tell(at=now())
        begin, cpu = time.perf_counter(), time.process_time()
        while OutboxMessage.objects.exclude(state="sent").exists():
            outbox.drain(at=now(), clock=now)
            time.sleep(0.5)  # the queue's poll
            if time.perf_counter() - begin > 3600:
                break
        took = time.perf_counter() - begin
        sent = OutboxMessage.objects.filter(state="sent").count()
        limited = sum(1 for line in jira.log if line[2] == 429)
        print(
            f"{sent} messages in {took:.1f} s: {sent / took:.1f} a second, {1000 * (time.process_time() - cpu) / sent:.1f} ms CPU a message"
        )
        print(f"Jira: {len(jira.issues)} tickets, {limited} × 429, {jira.disobeyed} requests while it had asked for patience")
        places: dict[str, list[bool]] = {}
        for message in slack.messages:
            places.setdefault(message["channel"], []).append("missed" in message["text"])
        overtaken = all(told == sorted(told, reverse=True) for told in places.values())
        told = f"{len(slack.messages)} messages in {len(places)} channels"
        print(f"Slack: {told}; missed deadlines came first: {overtaken}; {slack.disobeyed} disobeyed")
        right = len(jira.issues) == len(opened) and jira.disobeyed + slack.disobeyed == 0 and overtaken
        return right and not jira.violations and len(slack.messages) == 2 * owners


def _give(rows: list[int], teams: list) -> None:  # type: ignore[type-arg]
    from django.db import connection
    from django.utils.timezone import now

    from triage.domain.audit import recording

    with recording(actor="os:0", at=now(), door="cli"), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE triage_finding f SET team_id = t.team FROM unnest(%s::bigint[], %s::bigint[]) AS t(id, team) WHERE f.id = t.id",
            [rows, [teams[number % len(teams)].pk for number in range(len(rows))]],
        )


def _floor(jira, count: int) -> None:  # type: ignore[no-untyped-def]
    from integrations.tickets import jira as plugin
    from tests.servers.jira import TOKEN
    from triage.ports import Severity, TicketDraft

    options = {"server": jira.address, "email": "bot@acme.example", "token": TOKEN, "project": "OPS", "deployment": "cloud"}
    begin = time.perf_counter()
    some = min(count, 100)
    for number in range(some):
        plugin.create(TicketDraft(f"cspm-floor-{number}", "t", "b", Severity.HIGH), options)
    print(f"floor: {1000 * (time.perf_counter() - begin) / some:.1f} ms for a ticket without outbox and limits", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=1000)
    parser.add_argument("--owners", type=int, default=40)
    parser.add_argument("--per-second", type=int, default=5)
    given = parser.parse_args()
    home = tempfile.mkdtemp(prefix="cspm-bench-")
    os.environ.update(CSPM_HOME=home, DJANGO_SETTINGS_MODULE="cspm.settings")
    atexit.register(shutil.rmtree, home, ignore_errors=True)  # after the embedded server has let go of it
    prepare(max(given.findings * 4, 4000))
    sys.exit(0 if measure(given.findings, given.owners, given.per_second) else 1)


if __name__ == "__main__":
    main()
