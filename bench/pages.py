"""Server time and number of statements of the pages, at a million findings.

usage: python -m bench.pages [--findings 1000000] [--repeat 40] [--keep]

Without DATABASE_URL a scratch database is made in a temporary CSPM_HOME (and kept there with --keep). Times are those of Django's
handler, from request to rendered bytes, without the network: p50 and p95 over `--repeat` requests after two warm ones.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGES = {
    "queue": "/triage",
    "queue, by due date": "/triage?order=due",
    "queue, second page": None,
    "team and severity": "/triage?q=is:open+team:payments+severity>%3Dhigh",
    "overdue": "/triage?q=is:overdue",
    "unowned": "/triage?q=is:open+team:none",
    "tag": "/triage?q=tag.env:prod",
    "framework": "/triage?q=framework:CIS-3.0+severity:critical",
    "text, rare": "/triage?q=ledger+backup",
    "text, common": "/triage?q=bucket",
    "not, or, brackets": "/triage?q=(env:prod+or+env:preprod)+-severity:low+age>30d",
    "grouped by check": "/triage?group=check",
    "grouped by asset": "/triage?group=asset",
    "grouped by owner": "/triage?group=owner&q=is:open+env:prod",
    "grouped, text": "/triage?group=check&q=bucket",
    "overview": "/",
    "owners": "/owners",
    "search everywhere": "/search?q=acme",
    "what will follow": "/acts/new?verb=assign&all=1&team=-&q=is:open+team:payments",
    "finding": "/findings/{finding}",
    "unowned queue": "/unowned",
    "scans": "/scans",
    "deadlines": "/sla",
    "exceptions": "/exceptions",
    "accounts": "/accounts",
    "checks": "/checks",
}


def measure(client, path: str, repeat: int) -> dict[str, float]:
    from django.core.signals import request_started
    from django.db import connection, reset_queries

    request_started.disconnect(reset_queries)
    for _warm in range(2):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.content[:500])
    connection.force_debug_cursor = True
    before = len(connection.queries_log)
    client.get(path)
    statements = len(connection.queries_log) - before
    connection.force_debug_cursor = False
    connection.queries_log.clear()
    times = []
    for _time in range(repeat):
        begin = time.perf_counter()
        client.get(path)
        times.append(1000 * (time.perf_counter() - begin))
    times.sort()
    return {
        "p50_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[max(0, int(len(times) * 0.95) - 1)], 1),
        "statements": statements,
        "kilobytes": round(len(answer.content) / 1024),
    }


def prepare(findings: int) -> None:
    own = os.environ | {"CSPM_DB_ROLE": "owner"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--skip-checks", "-v0"], check=True, env=own)
    sizes = ["--findings", str(findings), "--assets", str(findings * 2 // 5)]
    subprocess.run([sys.executable, "-m", "bench.fill", *sizes], check=True, env=own)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--findings", type=int, default=1_000_000)
    cli.add_argument("--repeat", type=int, default=40)
    cli.add_argument("--keep", action="store_true")
    cli.add_argument("--filled", action="store_true", help="the database is filled already")
    options = cli.parse_args()
    home = None
    if not os.environ.get("DATABASE_URL") and not os.environ.get("CSPM_HOME"):
        home = Path(tempfile.mkdtemp(prefix="cspm-pages-"))
        os.environ["CSPM_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "cspm.settings"
    if not options.filled:
        prepare(options.findings)
    import django

    django.setup()
    from django.conf import settings
    from django.test import Client

    from triage.models import Finding, Role, RoleGrant, User

    settings.ALLOWED_HOSTS.append("testserver")
    user, _made = User.objects.get_or_create(email="bench@example.com", defaults={"password": "!"})
    RoleGrant.objects.get_or_create(user=user, role=Role.ADMINISTRATOR, team=None)
    client = Client()
    client.force_login(user)
    finding = Finding.objects.order_by("-id").values_list("pk", flat=True).first()
    first = client.get("/triage").content.decode()
    following = re.search(r'href="(/?[^"]*cursor=[^"]*)"', first)
    results = {}
    for name, path in PAGES.items():
        if path is None:  # the address that the first page gives
            if not following:
                continue
            path = "/triage" + "?" + following.group(1).replace("&amp;", "&").split("?", 1)[1]
        result = results[name] = measure(client, path.format(finding=f"F-{finding:06d}"), options.repeat)
        times = f"p50 {result['p50_ms']:8.1f} ms  p95 {result['p95_ms']:8.1f} ms"
        print(f"{name:24} {times}  {result['statements']:3} statements", flush=True)
    print(json.dumps({"findings": options.findings, "pages": results}))
    if home and not options.keep:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
