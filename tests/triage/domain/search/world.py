"""A small estate of everything that can be asked for, in the database and beside it; and a second reading of queries, in memory.

The evaluator shares the parser with the product and nothing else: what it says of a row is what the database must say.
"""

import random
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from tests.factories import digest, person, unasked
from triage.domain.audit import recording
from triage.domain.search import words
from triage.domain.search.fields import FIELDS
from triage.domain.search.tree import And, Clause, Not, Or, Query, Value, Words
from triage.models import (
    Account,
    Application,
    Asset,
    AssetSearch,
    Check,
    CheckSet,
    CodePlace,
    CodeStream,
    Connection,
    Control,
    Finding,
    FindingAlias,
    Group,
    Scan,
    ScanScope,
    Severity,
    TagSet,
    Team,
    Ticket,
    TicketItem,
)

AT = datetime(2026, 11, 21, 10, 30, tzinfo=ZoneInfo("Europe/Paris"))
DAY = timedelta(days=1)
TO_FIX = ("open", "in_progress", "fix_claimed")

TEAMS = {"payments": "Équipe Paiements", "web": "Web", "sre": "Site reliability"}
ALIASES = {"payments": ["pay@example.com"], "web": [], "sre": []}
ACCOUNTS = [
    ("aws", "111111111111", "payments-prod", ["legacy-pay"]), ("aws", "222222222222", "", []),
    ("azure", "sub-3333", "Data Platform", []), ("code", "acme/shop", "shop", []), ("code", "", "", []),
]  # fmt: skip
CHECKS = [
    ("prowler", "s3_bucket_public_access", "S3 bucket is not public", "s3", ["internet-exposed", "encryption"], ["CWE-79"], [("CIS-3.0", "2.1.4"), ("SOC2", "cc6.1")]),
    ("prowler", "s3_bucket_versioning", "S3 bucket keeps versions", "s3", [], [], [("CIS-1.5", "2.1.3")]),
    ("prowler", "iam_user_mfa", "IAM user has MFA", "iam", ["identity"], ["CWE-308", "CWE-7"], []),
    ("checkov", "CKV_AWS_20", "Bucket ACL allows everybody", "", ["encryption"], [], [("PCI 4.0", "1.2")]),
    ("bandit", "B602", "Shell injection: 100% of payments_at risk", "", [], ["CWE-78"], []),
]  # fmt: skip
ASSETS = [  # account, uid, name, type, region, tags, exposure, criticality, words written by the worker
    (0, "arn:aws:s3:::payments-prod-invoices", "payments-prod-invoices", "AwsS3Bucket", "eu-west-1", {"Owner": "Payments", "env": "prod"}, 1, 4, True),
    (0, "arn:aws:s3:::logs", "logs", "AwsS3Bucket", "eu-west-3", {"env": "Dev", "aws:createdBy": "terraform"}, 0, 0, True),
    (0, "arn:aws:iam::111111111111:user/ana", "ana", "AwsIamUser", "us-east-1", {}, 0, 2, True),
    (1, "arn:aws:s3:::web-assets", "web-assets", "AwsS3Bucket", "eu-west-1", {"owner": "web", "name": "n-1"}, 1, 1, True),
    (1, "arn:aws:s3:::payments", "", "", "", {"name": "n_12", "owner": "100%"}, 0, 3, False),
    (2, "/subscriptions/3333/storage/data", "data", "Storage", "westeurope", {"env": "prod"}, 0, 0, True),
    (3, "src/app/pay_ments.py", "pay_ments.py", "file", "", {}, 0, 0, True),
    (4, "lib/pay.py", "pay.py", "file", "", {}, 0, 0, True),
    (3, "src/public/index.js", "index.js", "file", "", {"env": "prod"}, 0, 0, False),
]  # fmt: skip


@dataclass
class Row:
    """What is true of a finding."""

    pk: int
    columns: dict
    check: tuple
    asset: tuple
    account: tuple
    team: str | None
    assignee: str | None
    path: str | None
    tickets: list = field(default_factory=list)
    aliases: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    @property
    def is_open(self):
        return self.columns["status"] in TO_FIX and self.columns["presence"] != "gone"


@dataclass
class World:
    rows: list[Row]
    user: int
    teams: frozenset
    own: str = "ana@example.com"
    own_teams: tuple = ("web",)


def build(count: int = 48, seed: int = 7) -> World:
    """Fill the database."""
    rng = random.Random(seed)
    teams = {slug: Team.objects.create(slug=slug, name=name, aliases=ALIASES[slug]) for slug, name in TEAMS.items()}
    ana, bob = person("ana@example.com", name="Ana"), person("bob@example.com", name="Bob Martin")
    accounts = [
        Account.objects.create(provider=provider, uid=uid, name=name, aliases=aliases, created_at=AT)
        for provider, uid, name, aliases in ACCOUNTS
    ]
    checks = []
    for scanner, key, title, service, categories, weaknesses, controls in CHECKS:
        check = Check.objects.create(
            scanner=scanner, key=key, title=title, service=service, severity=3, categories=categories, weaknesses=weaknesses,
            digest=digest(key), updated_at=AT,
        )  # fmt: skip
        check.controls.set([Control.objects.get_or_create(framework=f, reference=r)[0] for f, r in controls])
        checks.append(check)
    write_check_words()
    assets = [_asset(accounts, number, spec) for number, spec in enumerate(ASSETS)]
    late = [asset.pk for asset, spec in zip(assets, ASSETS, strict=True) if not spec[-1]]
    while words.index_assets():
        pass
    AssetSearch.objects.filter(pk__in=late).delete()
    AssetSearch.objects.filter(pk__gte=min(late)).delete()  # what is not indexed are the newest
    scans = [
        Scan.objects.create(
            pk=9001 + n, state="done", sha256=digest("scan", n), size=1, received_at=AT, actor="worker", door="task"
        )
        for n in range(3)
    ]
    _scopes(scans, accounts, checks)
    rows = [_finding(rng, number, checks, assets, accounts, teams, (ana, bob), scans) for number in range(count)]
    _tickets(rng, rows)
    return World(rows, user=ana.pk, teams=frozenset({teams["web"].pk}))


def write_check_words() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE triage_check SET words = {words.vector_sql(words.CHECK_COLUMNS)}")


APPLICATIONS = {"payments": ("shop", "payment"), "data": ("records", "health")}  # by name of the asset


def _application(name):
    slug, data = APPLICATIONS.get(name, (None, ""))
    return Application.objects.get_or_create(slug=slug, defaults={"name": slug, "data": data})[0] if slug else None


def _asset(accounts, number, spec):
    account, uid, name, kind, region, tags, exposure, criticality, _indexed = spec
    tag_set = TagSet.objects.get_or_create(
        digest=digest("tags", sorted(tags.items())),
        defaults={"tags": [list(tag) for tag in tags.items()], "folded": {k.casefold(): v.casefold() for k, v in tags.items()}},
    )[0]
    return Asset.objects.create(
        key=digest("asset", uid), account=accounts[account], uid=uid, name=name, type=kind, region=region, tag_set=tag_set,
        tags_since=AT, exposure=exposure, criticality=criticality, trail=unasked(), first_seen=AT, service="",
        application=_application(name or uid.rpartition(":")[2]),
    )  # fmt: skip


def _scopes(scans, accounts, checks):
    some = CheckSet.objects.create(digest=digest("some"), checks=[checks[0].pk, checks[2].pk])
    wide = {"scan": scans[1], "scanner": "prowler", "account": accounts[0], "complete": True}
    ScanScope.objects.create(**wide, check_set=some, regions=["eu-west-1", "us-east-1"], at=AT - 2 * DAY)
    ScanScope.objects.create(**{**wide, "complete": False}, check_set=None, regions=[], at=AT - DAY)
    ScanScope.objects.create(
        scan=scans[2], scanner="checkov", account=accounts[3], check_set=None, regions=[], complete=True, at=AT - 3 * DAY
    )


def _finding(rng, number, checks, assets, accounts, teams, people, scans):
    check, asset = rng.randrange(len(CHECKS)), rng.randrange(len(ASSETS))
    account = ASSETS[asset][0]
    first = AT - rng.choice([1, 3, 8, 30, 45, 120]) * DAY + timedelta(hours=rng.randrange(5))
    status = rng.choice(
        ["open", "open", "in_progress", "fix_claimed", "verified", "accepted", "false_positive", "manual", "attested"]
    )
    columns = {
        "region": ASSETS[asset][4], "environment": rng.choice(["prod", "preprod", "dev", "test", ""]), "status": status,
        "presence": rng.choice(["reported", "reported", "unreported", "gone"]), "severity": rng.randint(1, 5),
        "score": rng.randint(0, 100), "muted": rng.random() < 0.2, "review": rng.random() < 0.2, "stand_in": rng.random() < 0.2,
        "pinned": rng.random() < 0.2, "first_seen": first, "last_seen": first + rng.choice([0, 1, 5]) * DAY,
        "due_at": rng.choice([None, AT - 5 * DAY, AT + DAY, AT + 2 * DAY, AT + 40 * DAY]),
        "paused_at": rng.choice([None, None, AT - DAY]), "regressions": rng.choice([0, 0, 2]),
    }  # fmt: skip
    team, assignee = rng.choice([None, *TEAMS]), rng.choice([None, None, *people])
    scan = rng.choice([None, *scans])
    group = (
        Group.objects.get_or_create(asset=assets[asset], weakness="w", defaults={"created_at": AT})[0]
        if rng.random() < 0.2
        else None
    )
    with recording(actor="worker", at=AT, door="task"):
        finding = Finding.objects.create(
            identity=digest("finding", number), check_ref=checks[check], asset=assets[asset], account=accounts[account],
            team=teams[team] if team else None, assignee=assignee, trail=unasked(), scanner_severity=Severity.LOW, first_scan=scan,
            group=group, grade="proof" if status == "verified" else "", changed_at=AT, **columns,
        )  # fmt: skip
    path = None
    if account == 3:
        path = ASSETS[asset][1]
        stream = CodeStream.objects.get_or_create(scanner=CHECKS[check][0], account=accounts[3])[0]
        CodePlace.objects.create(finding=finding, stream=stream, path=path, text_hash=b"", context_hash=b"")
    aliases = []
    if number % 9 == 0:
        aliases = [f"F-{900_000 + number:06d}", f"prowler-{number}"]
        FindingAlias.objects.bulk_create(FindingAlias(name=name, finding=finding) for name in aliases)
    columns |= {"scan": scan.pk if scan else None, "group": group}
    row = Row(
        finding.pk, columns, CHECKS[check], ASSETS[asset], ACCOUNTS[account], team, assignee.email if assignee else None, path,
        aliases=aliases,
    )  # fmt: skip
    row.seen = [columns["last_seen"], *_covering(row, check)]
    return row


def _covering(row, check):
    if row.columns["presence"] != "reported" or row.columns["status"] == "verified":
        return []
    seen = []
    if row.account is ACCOUNTS[0] and check in (0, 2) and row.columns["region"] in ("eu-west-1", "us-east-1"):
        seen.append(AT - 2 * DAY)
    if row.account is ACCOUNTS[3] and row.check[0] == "checkov":
        seen.append(AT - 3 * DAY)
    return [at for at in seen if at >= row.columns["first_seen"]]


def _tickets(rng, rows):
    connection = Connection.objects.create(kind="tickets", plugin="files", name="files", created_at=AT)
    for number, state in enumerate(["wanted", "live", "closed", "deleted", "failed"]):
        ticket = Ticket.objects.create(
            connection=connection, group_key=str(number), mark=str(number), state=state, key=f"SEC-{number}", created_at=AT
        )
        for row in rng.sample(rows, 5):
            TicketItem.objects.create(ticket=ticket, finding_id=row.pk, added_at=AT)
            row.tickets.append((ticket.key, state))


# --- the second reading ----------------------------------------------------------------------------------------------------------


def meant(query: Query, world: World) -> set[int]:
    """Ids of the findings that the query means."""
    return {row.pk for row in world.rows if query.root is None or _holds(query.root, row, world)}


def _holds(node, row, world) -> bool:
    match node:
        case And(parts):
            return all(_holds(part, row, world) for part in parts)
        case Or(parts):
            return any(_holds(part, row, world) for part in parts)
        case Not(part):
            return not _holds(part, row, world)
        case Words(text, exact):
            return _found(text, exact, row)
        case Clause():
            return any(_one(node, value, row, world) for value in node.values)


def _pieces(text):
    return [piece.lower() for piece in words.split(text)]


def _in_order(pieces, document, last_prefix):
    for start in range(len(document) - len(pieces) + 1):
        part = document[start : start + len(pieces)]
        ends = part[-1].startswith(pieces[-1]) if last_prefix else part[-1] == pieces[-1]
        if part[:-1] == pieces[:-1] and ends:
            return True
    return False


def _asset_words(row):
    return _pieces(" ".join([row.asset[2], row.asset[1], row.account[2], row.account[1]]))


def _found(text, exact, row):
    pieces = _pieces(text)
    if not pieces or text in row.aliases or text.upper() in (f"F-{row.pk:06d}", f"F-{row.pk}"):
        return True
    for document in (_pieces(f"{row.check[1]} {row.check[2]}"), _asset_words(row)):
        if exact and _in_order(pieces, document, last_prefix=False):
            return True
        if not exact and all(any(word.startswith(piece) for word in document) for piece in pieces):
            return True
    return False


def _spelled(value: Value, operator, texts, anywhere=False):
    if operator == "=":
        return value.text in texts
    low = value.text.lower()
    if value.prefix:
        return any(text.lower().startswith(low) for text in texts)
    return any(low in text.lower() if anywhere else text.lower() == low for text in texts)


def _one(clause, value, row, world) -> bool:
    column = {"env": "environment"}.get(clause.field, clause.field)
    match clause.field:
        case "status" | "presence" | "severity" | "env" | "exposure" | "criticality" | "score":
            held = {"exposure": row.asset[6], "criticality": row.asset[7]}.get(clause.field, row.columns.get(column))
            return _compared(clause, value, held)
        case "due" | "first_seen" | "last_seen" | "age":
            return _timed(clause, value, row)
        case "is" | "sla":
            return _state(value.text, row, world)
        case "has":
            return {
                "ticket": _ticketed(row), "team": row.team is not None, "assignee": row.assignee is not None,
                "due": row.columns["due_at"] is not None, "path": row.path is not None, "group": row.columns["group"] is not None,
            }[value.text]  # fmt: skip
        case "id":
            return value.text == f"F-{row.pk:06d}" or value.text in row.aliases
        case "application":
            slug, _data = _applied(row)
            if value.text in ("none", "any") and not value.prefix and clause.operator == ":":
                return (slug is None) == (value.text == "none")
            return slug is not None and _spelled(value, clause.operator, [slug])
        case "data":
            return _applied(row)[1] == value.text
        case "scan":
            return value.text == f"S-{row.columns['scan']}"
        case _:
            return _textual(clause, value, row, world)


def _applied(row):
    name = row.asset[2] or row.asset[1].rpartition(":")[2]
    return APPLICATIONS.get(name, (None, ""))


def _textual(clause, value, row, world) -> bool:
    _scanner, key, title, service, categories, weaknesses, controls = row.check
    _account, uid, name, kind, region, tags, *_rest = row.asset
    operator = clause.operator
    match clause.field:
        case "team":
            if value.prefix:
                names = [row.team, TEAMS[row.team], *ALIASES[row.team]] if row.team else []
                return any(_bare(text).startswith(_bare(value.text)) for text in names)
            if value.text in ("none", "me"):
                return row.team is None if value.text == "none" else row.team in world.own_teams
            return row.team is not None and _bare(value.text) in map(_bare, [row.team, TEAMS[row.team], *ALIASES[row.team]])
        case "assignee":
            if value.text in ("none", "me") and not value.prefix:
                return row.assignee is None if value.text == "none" else row.assignee == world.own
            people = {"ana@example.com": "Ana", "bob@example.com": "Bob Martin"}
            return row.assignee is not None and _spelled(value, ":", [row.assignee, people[row.assignee]])
        case "account":
            if value.text == "none" and not value.prefix:
                return row.account[1] == ""
            return _spelled(value, operator, [row.account[1], row.account[2], *row.account[3]])
        case "provider" | "scanner" | "service" | "check":
            held = {"provider": row.account[0], "scanner": _scanner, "service": service, "check": key}[clause.field]
            return _spelled(value, operator, [held])
        case "title":
            return _spelled(value, operator, [title], anywhere=True)
        case "category" | "weakness":
            return _spelled(value, operator, categories if clause.field == "category" else weaknesses)
        case "framework":
            names = [framework for framework, _reference in controls]
            versions = [f"{value.text}-".lower(), f"{value.text} ".lower()]
            loose = operator == ":" and not value.prefix and any(n.lower().startswith(v) for n in names for v in versions)
            return loose or _spelled(value, operator, names)
        case "control":
            refs = [reference for _framework, reference in controls]
            whole = [f"{framework} {reference}" for framework, reference in controls]
            return _spelled(value, operator, refs) or _spelled(value, ":", whole)
        case "region":
            texts = {value.text} if operator == "=" else {value.text, value.text.lower()}
            return any(region.startswith(text) if value.prefix else region == text for text in texts)
        case "type":
            if value.prefix:
                return kind.startswith(value.text)
            return kind == value.text if operator == "=" else kind.lower() == value.text.lower()
        case "asset":
            if operator == "=":
                return value.text in (uid, name)
            said = _in_order(_pieces(value.text), _asset_words(row), last_prefix=True)
            return said and (not value.prefix or _spelled(value, ":", [uid, name]))
        case "tag":
            folded = {k.casefold(): v.casefold() for k, v in tags.items()}
            if not clause.key:
                return value.text.casefold() in folded
            held = folded.get(clause.key)
            text = value.text.casefold()
            return held is not None and (held.startswith(text) if value.prefix else held == text)
        case "path":
            return row.path is not None and _spelled(value, operator, [row.path], anywhere=True)
        case "ticket":
            if value.text in ("none", "any"):
                return _ticketed(row) is (value.text == "any")
            return _spelled(value, operator, [key for key, _state in row.tickets])
    raise AssertionError(clause.field)


def _bare(text):
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def _ticketed(row):
    return any(state in ("wanted", "live", "closed") for _key, state in row.tickets)


def _order(operator, held, wanted):
    return {">": held > wanted, ">=": held >= wanted, "<": held < wanted, "<=": held <= wanted, ":": held == wanted}[operator]


def _compared(clause, value, held):
    def stored(text):
        choice = FIELDS[clause.field].choice(text)
        return choice.stored if choice else int(text)

    if value.upto is not None:
        return (not value.text or held >= stored(value.text)) and (not value.upto or held <= stored(value.upto))
    return _order(clause.operator, held, stored(value.text))


_DAYS = {"h": 1 / 24, "d": 1, "w": 7, "mo": 30, "y": 365}


def _delta(text):
    sign = -1 if text.startswith("-") else 1
    digits = "".join(c for c in text if c.isdigit())
    return sign * int(digits) * _DAYS[text.lstrip("-").lstrip(digits)] * DAY


def _span(text):
    """First moment of what is written, first moment after it, and whether it is a moment only."""
    midnight = AT.replace(hour=0, minute=0)
    if text in ("today", "yesterday", "tomorrow"):
        start = midnight + {"today": 0, "yesterday": -1, "tomorrow": 1}[text] * DAY
        return start, start + DAY, False
    if text[0] in "-+" or text[-1].isalpha():
        return AT + _delta(text), AT + _delta(text), True
    year, month, day = map(int, text.split("-"))
    start = datetime(year, month, day, tzinfo=AT.tzinfo)
    return start, start + DAY, False


def _timed(clause, value, row):
    held = {"due": row.columns["due_at"], "last_seen": max(row.seen)}.get(clause.field, row.columns["first_seen"])
    if value.text == "none" or held is None:
        return value.text == "none" and held is None
    if clause.field == "age":
        age = AT - held
        if value.upto is not None:
            return (not value.text or age >= _delta(value.text)) and (not value.upto or age <= _delta(value.upto))
        return _order(clause.operator, age, _delta(value.text))
    if value.upto is not None:
        return (not value.text or held >= _span(value.text)[0]) and (not value.upto or held < _span(value.upto)[1])
    start, end, moment = _span(value.text)
    if moment:
        return _order(clause.operator, held, start)
    return {">": held >= end, ">=": held >= start, "<": held < start, "<=": held < end, ":": start <= held < end}[clause.operator]


def _state(name, row, world):
    columns = row.columns
    due, running = columns["due_at"], row.is_open and columns["paused_at"] is None
    return {
        "open": row.is_open,
        "closed": not row.is_open,
        "overdue": running and due is not None and due < AT,
        "due_soon": running and due is not None and AT <= due < AT + 3 * DAY,
        "ok": running and due is not None and due >= AT + 3 * DAY,
        "none": not row.is_open or (running and due is None),
        "paused": row.is_open and columns["paused_at"] is not None,
        "mine": row.team in world.own_teams or row.assignee == world.own,
        "unowned": row.team is None,
        "unassigned": row.assignee is None,
        "new": columns["first_seen"] >= AT - 7 * DAY,
        "regressed": columns["regressions"] > 0,
        **{flag: columns[flag] for flag in ("pinned", "muted", "review", "stand_in")},
    }[name]
