"""The pages as people meet them: readable for everybody, by keyboard alone, without a script, in both languages."""

import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils.timezone import now
from playwright.sync_api import expect

from tests import reports
from tests.factories import change, finding, person, team
from triage.domain import acts, comments, connections, sign_in
from triage.domain.access import of_user
from triage.models import (
    Alarm,
    CodePlace,
    CodeStream,
    Connection,
    Control,
    Finding,
    OutboxMessage,
    Scan,
    ScanProgress,
    ScanWarning,
    Severity,
    Status,
    Ticket,
    Told,
    Verification,
    VerificationRun,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = ((1440, 900), (1024, 768), (390, 844))


@pytest.fixture
def tess(transactional_db):
    return person("tess@example.com", "triager", "viewer", name="Tess Martin", password="correct horse battery")


@pytest.fixture
def estate(tess):
    """A little of everything that pages show. The first finding is the worst one."""
    at = now()
    web = team("web")
    worst = finding(bucket="acme-invoices", owner=web, score=98, environment="prod", at=at - timedelta(days=5))
    worst.check_ref.controls.add(Control.objects.create(framework="CIS", reference="2.1.4"))
    worst.check_ref.remediation_other = "1. Open the console\n2. Press the button\n```\nx = 1\n```"
    worst.check_ref.save()
    worst.trail.steps = [
        {
            "rule": 1,
            "kind": "tag",
            "name": "Owner tag of the asset",
            "result": "no team",
            "why": {"message": "There is no team “%(team)s”.", "params": {"team": "x"}},
        },
        {
            "rule": 2,
            "kind": "account",
            "name": "Team of the account",
            "result": "matched",
            "why": {"message": "The account belongs to no team.", "params": {}},
        },
    ]
    worst.trail.save()
    change(worst, at=at - timedelta(days=1), status=Status.IN_PROGRESS)
    change(worst, at=at, status=Status.FIX_CLAIMED)
    Verification.objects.create(
        finding=worst,
        trigger="person",
        actor=tess.actor,
        state="done",
        outcome="failing",
        requested_at=at,
        summary={"message": "The check still fails.", "params": {}},
    )
    ticket = Ticket.objects.create(connection=connections.default_tickets(at), group_key="x", mark="cspm-x", created_at=at)
    ticket.items.create(finding=worst, added_at=at)
    outside(at, ticket)
    for number, level in enumerate((Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFORMATIONAL)):
        finding(
            bucket=f"bucket-{number}",
            check=f"check_{number}",
            score=60 - number,
            severity=level,
            at=at - timedelta(hours=number),
            environment="dev",
        )
    many = VerificationRun.objects.create(
        query="is:open", trigger="person", actor=tess.actor, requested_at=at, total=2, barred=1, unanswered=3, joined=1
    )
    said = {
        "outcome": "denied",
        "state": "done",
        "missing": "s3:GetBucketAcl",
        "principal": "arn:aws:sts::123456789012:role/auditor",
    }
    for number, columns in ((0, {**said, "finished_at": at}), (1, {})):
        asset = f"arn:aws:s3:::bucket-{number}"
        Verification.objects.create(
            finding=Finding.objects.get(asset__uid=asset),
            run=many,
            trigger="person",
            actor=tess.actor,
            requested_at=at,
            **columns,
        )
    code = finding(bucket="app.py", check="bandit", score=50, at=at, owner=web, presence="unreported")
    stream = CodeStream.objects.create(scanner="bandit", account=code.account)
    CodePlace.objects.create(
        finding=code, stream=stream, path="app.py", start_line=3, snippet="eval(x)", text_hash=b"", context_hash=b""
    )
    counts = {
        "rows": 9,
        "fail": 5,
        "passed": 4,
        "new": 1,
        "fixed": 1,
        "regressed": 0,
        "unreported": 1,
        "open": 5,
        "unchanged": 3,
        "skipped": 1,
        "warnings": 1,
    }
    done = scan(
        at, counts=counts, notes=[{"message": "The report is empty. It says nothing about what was known before.", "params": {}}]
    )
    ScanWarning.objects.create(
        scan=done,
        position="3",
        line=4,
        field="STATUS",
        lost=True,
        reason={"message": "Line %(line)s names no check. It was left out.", "params": {"line": 4}},
    )
    running = scan(at, state="running", counts={})
    ScanProgress.objects.create(scan=running, stage="reading", rows=10, bytes=500, at=at)
    scan(
        at,
        state="failed",
        counts={},
        problem={"message": "The file is empty. Check that the scanner ended well and wrote its report.", "params": {}},
    )
    scan(at, state="duplicate", counts={}, duplicate_of=done)
    return worst


def outside(at, ticket):
    """Two connections, one of them in trouble, and what goes through them."""
    jira = Connection.objects.create(
        kind="tickets", plugin="jira", name="jira", options={"server": "https://acme.atlassian.net", "project": "OPS"},
        secrets={"token": "env:JIRA_TOKEN"}, state="refused", state_reason="401: the sign-in does not hold", created_at=at, tested_at=at,
        probes=[{"what": {"message": "It answers", "params": {}}, "passed": True, "said": None},
                {"what": {"message": "Sign-in", "params": {}}, "passed": False, "said": {"message": "401", "params": {}}}],
    )  # fmt: skip
    Connection.objects.create(
        kind="notifiers",
        plugin="slack",
        name="slack",
        options={"channel": "C1SECURITY"},
        secrets={"token": "env:SLACK"},
        created_at=at,
    )
    Alarm.objects.create(connection=jira, kind="refused", detail="401: the sign-in does not hold", raised_at=at, times=7)
    for number, state in enumerate(("sent", "pending", "parked", "dead")):
        OutboxMessage.objects.create(
            connection=jira, key=f"k{number}", verb="create", lane=f"ticket:{ticket.mark}", payload={"ticket": ticket.pk}, state=state,
            attempts=number, due_at=at, created_at=at, sent_at=at, actor="user:1", last_answer="OPS-1 To Do" if state == "sent" else "500",
        )  # fmt: skip
    Told.objects.create(recipient="role:security", event="unowned:1", subject="unowned", at=at, due_at=at, content={"count": 3})


def scan(at, **columns):
    values = {
        "state": "done",
        "scanner": "prowler",
        "format": "Prowler CSV v5",
        "file_name": "report.csv",
        "sha256": b"x",
        "size": 1000,
        "at": at,
        "received_at": at,
        "actor": "worker",
        "door": "task",
        "declared": {"n": Scan.objects.count()},
    }
    return Scan.objects.create(**{**values, **columns})


def faults(page):
    """What axe finds."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    return page.evaluate(
        "axe.run({resultTypes: ['violations']})"
        ".then(({violations}) => violations.map(({id, nodes}) => [id, nodes.slice(0, 3).map(({target}) => target)]))"
    )


PAGES = (
    "/triage", "/triage?selected={worst}", "/triage?q=severity:hihg", "/triage?q=zzz", "/triage?q=is:open+is:unowned", "/findings/{worst}",
    "/findings/{code}", "/findings/999", "/scans", "/scans/{done}", "/scans/{running}", "/scans/{failed}", "/scans/{duplicate}", "/import",
    "/unowned", "/", "/triage?group=check", "/triage?group=owner", "/acts", "/acts/{act}", "/acts/new?verb=assign&all=1&q=is:open&team=web",
    "/acts/new?verb=move", "/owners", "/owners/web", "/owners/rules?subject=acme-invoices", "/search?q=acme", "/sources", "/me", "/me/inbox", "/assets", "/assets?all=1&q=acme", "/assets?q=env:prdo", "/assets/{asset}", "/accounts/{account}", "/preferences", "/nowhere", "/sla", "/accounts", "/checks", "/audit", "/exceptions", "/exceptions/request?finding={worst}",
    "/verifications", "/verifications/runs/{run}", "/connections", "/connections/jira", "/deliveries", "/notifications", "/notifications/everybody",
)  # fmt: skip


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("fr", "dark")])
def test_pages_are_for_everybody(enter, estate, tess, language, theme):
    tess.language, tess.theme = language, theme
    tess.save()
    numbers = {
        "worst": estate.pk,
        "code": type(estate).objects.get(check_ref__key="bandit").pk,
        "run": VerificationRun.objects.get().pk,
        "asset": estate.asset_id,
        "account": estate.account_id,
        "said": comments.say(
            finding=estate.pk, text="@tess, see F-1 and https://a.example/b", actor=of_user(tess, door="page"), at=now()
        ),
        "act": acts.run(
            acts.ask(verb="acknowledge", params={}, query="is:open", actor=of_user(tess, door="page"), at=now()).pk, clock=now
        ).pk,
        **dict(Scan.objects.values_list("state", "pk")),
    }
    page = enter(tess)

    found = {}
    for address in PAGES:
        page.goto(address.format(**numbers))
        assert page.locator("html").get_attribute("lang") == language
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            too_wide = page.evaluate("document.documentElement.scrollWidth") > width
            found[address, width] = ["too wide"] * too_wide + ([] if width == 1024 else faults(page))

    assert {where: wrong for where, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("address", ["/sign-in", "/sign-in/nothing", "/sign-in/{token}"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_door_is_for_everybody(enter, tess, address, scheme):
    page = enter(width=390, height=700, color_scheme=scheme, locale="fr-FR")

    page.goto(address.format(token=sign_in.issue_link(user=tess, at=now())))

    assert page.locator("html").get_attribute("lang") == "fr"
    assert faults(page) == []


def test_what_opens_is_for_everybody_too(enter, estate, tess, settings):
    page = enter(tess)
    page.goto(f"/findings/{estate}")
    page.get_by_text("Assign", exact=True).first.click()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_text("Your account").click(force=True)
    assert faults(page) == []
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert faults(page) == []

    settings.DEBUG = True
    page.emulate_media(reduced_motion="reduce")  # a message that comes in has no colours of its own yet
    page.goto("/design")
    assert faults(page) == []
    settings.DEBUG = False

    root = enter(person("root@example.com", "administrator", name="Ada Root"))
    root.goto("/people")
    root.get_by_text("Change").nth(1).click()
    assert faults(root) == []

    page.goto("/triage")
    page.locator(".more-places summary").click()
    places = page.locator(".more-places .entry:visible")
    expect(places.get_by_text("Triage", exact=True)).to_have_count(0)  # what stands beside it already
    expect(places.first).to_have_text("Verifications")
    assert faults(page) == []

    phone = enter(tess, width=390, height=844)
    phone.goto(f"/findings/{estate}")
    phone.get_by_text("Assign", exact=True).first.click()
    assert phone.locator(".actions .panel").evaluate("it => it.getBoundingClientRect().right") <= 390
    assert faults(phone) == []
    phone.goto("/triage")
    phone.locator(".facet-fold summary").click()
    expect(phone.get_by_role("link", name="Overdue")).to_be_visible()
    assert faults(phone) == []
    phone.goto("/import")
    phone.get_by_text("What the report does not say").click()
    assert faults(phone) == []


def test_a_person_signs_in_and_out(enter, tess):
    page = enter()
    page.goto("/scans")
    page.get_by_label("E-mail address").fill("tess@example.com")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/scans$"))

    page.get_by_text("Your account").click(force=True)
    page.get_by_role("button", name="Sign out").click()

    expect(page).to_have_url(re.compile("/sign-in$"))


def test_the_queue_is_worked_through_by_keyboard(enter, estate, tess):
    page = enter(tess)
    page.goto("/triage")
    rows = page.locator("[data-row]")

    page.keyboard.press("j")
    expect(rows.nth(0).locator("[data-row-link]")).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1).locator("[data-row-link]")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("o")
    preview = page.locator("#preview [data-finding]")
    expect(preview).to_contain_text("acme-invoices")
    expect(page).to_have_url(re.compile(f"selected={estate.pk}"))
    page.keyboard.press("j")
    expect(preview).to_contain_text("bucket-0")
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    expect(page).not_to_have_url(re.compile("selected"))

    page.keyboard.press("/")
    expect(page.get_by_label("Search findings")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("severity:low j k o ?")  # keys mean nothing but themselves in a field
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Control+A")
    page.keyboard.type("severity:low")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/findings/F-"))

    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.type("gs")
    expect(page).to_have_url(re.compile("/scans$"))


def test_the_search_box_says_what_may_follow(enter, estate, tess):
    page = enter(tess)
    page.goto("/triage")
    page.keyboard.press("/")
    page.keyboard.press("Control+A")
    page.keyboard.type("sev")
    options = page.locator("#completion [role=option]")
    expect(options).to_have_text(["severity:Severity"])
    assert faults(page) == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # takes the choice, and searches nothing
    expect(options.first).to_have_text("informationalInformational")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    box = page.get_by_label("Search findings")
    expect(box).to_have_value("severity:critical ")
    expect(page.locator("#completion")).to_be_hidden()
    page.keyboard.type("acme")
    page.keyboard.press("Control+A")
    page.keyboard.type("team:")
    expect(options.first).to_be_visible()
    page.keyboard.press("Escape")  # closes the list alone
    expect(page.locator("#completion")).to_be_hidden()
    expect(box).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="web").click()
    expect(box).to_have_value("team:web ")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=team"))


def test_an_exception_is_requested_for_what_is_selected(enter, estate, tess):
    page = enter(tess)
    page.goto("/triage")
    page.keyboard.press("j")
    page.keyboard.press("4")
    expect(page).to_have_url(re.compile(r"/exceptions/request\?q=id"))  # a page of its own, not within the sheet
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_findings_are_triaged_by_keyboard_alone(enter, estate, tess):
    """Chosen, given away, taken back, acknowledged; and a rule found by the palette."""
    page = enter(tess)
    page.emulate_media(reduced_motion="reduce")  # a message that comes in has no colours of its own yet
    page.goto("/triage")
    page.keyboard.type("jxJJ")
    chosen = page.locator(".row.chosen")
    expect(chosen).to_have_count(3)
    page.keyboard.press("a")
    sheet = page.locator("#act-sheet")
    expect(sheet.get_by_label("Team")).to_be_focused()
    assert faults(page) == []
    page.keyboard.press("T")  # Team Web
    expect(sheet.get_by_text("3 findings change")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").get_by_text("3 findings: Team Web.")).to_be_visible()
    assert faults(page) == []
    expect(page.locator(".row").nth(2).locator("[data-row-link]")).to_be_focused()
    page.keyboard.press("z")
    expect(page.get_by_role("status").get_by_text("3 findings: undone.")).to_be_visible()
    expect(page.locator(".row").nth(2).locator("[data-row-link]")).to_be_focused()  # the page listens

    page.keyboard.press("j")
    page.keyboard.press("1")
    expect(page.get_by_role("status").get_by_text("acknowledged")).to_be_visible()

    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_be_focused()
    page.keyboard.type("owners")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Owners")
    assert faults(page) == []
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/owners$"))


def test_single_keys_can_be_switched_off(enter, estate, tess):
    page = enter(tess)
    page.goto("/preferences")
    page.get_by_label("Single-key shortcuts").select_option("off")
    page.get_by_role("button", name="Save").click()
    page.goto("/triage")

    page.keyboard.press("?")
    page.keyboard.press("j")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("body")).to_be_focused()


def test_a_click_shows_and_a_second_click_opens(enter, estate, tess):
    page = enter(tess)
    page.goto("/triage")

    page.locator("[data-row-link]").first.click()
    expect(page.locator("#preview")).to_contain_text("acme-invoices")
    page.reload()
    expect(page.locator("#preview")).to_contain_text("acme-invoices")
    page.locator("[data-row][aria-current] [data-row-link]").click()
    expect(page).to_have_url(re.compile(f"/findings/{estate}"))


def test_work_begun_in_the_preview_leads_back_to_the_queue(enter, estate, tess):
    row = type(estate).objects.get(asset__name="bucket-0")
    page = enter(tess)
    page.goto(f"/triage?q=severity:high&selected={row.pk}")

    page.locator("#preview").get_by_role("button", name="Start work").click()

    expect(page.locator("#preview .status").first).to_have_text("In progress")
    expect(page).to_have_url(re.compile(r"q=severity(:|%3A)high"))


def test_somebody_was_faster(enter, estate, tess):
    row = type(estate).objects.get(asset__name="bucket-0")
    page = enter(tess)
    page.goto(f"/findings/{row}")
    change(row, at=now(), status=Status.IN_PROGRESS)

    page.get_by_role("button", name="Start work").click()

    expect(page.get_by_role("alert")).to_contain_text("Somebody changed this finding in the meantime")
    expect(page.get_by_role("alert")).to_contain_text("Work began")


def test_a_report_is_chosen_and_told_about(enter, tess, tmp_path):
    report = tmp_path / "monday.csv"
    report.write_bytes(reports.prowler([reports.row("logs"), reports.row("site", "PASS")], now()))
    page = enter(tess)
    page.goto("/import")

    page.set_input_files("#report", report)

    expect(page).to_have_url(re.compile(r"/scans/\d+$"))
    expect(page.get_by_role("heading", name="monday.csv")).to_be_visible()
    expect(page.locator(".card.new .changes li")).to_have_count(1)


def test_a_report_is_dropped(enter, tess):
    page = enter(tess)
    page.goto("/import")
    text = reports.prowler([reports.row("logs")], now()).decode()
    data = page.evaluate_handle(
        "text => { const d = new DataTransfer(); d.items.add(new File([text], 'drop.csv')); return d; }", text
    )

    page.dispatch_event("main", "dragenter", {"dataTransfer": data})
    expect(page.locator(".drop")).to_have_class(re.compile("over"))
    page.dispatch_event("main", "drop", {"dataTransfer": data})

    expect(page.get_by_role("heading", name="drop.csv")).to_be_visible()


def test_a_refused_form_is_shown_in_place(enter, tess, tmp_path):
    report = tmp_path / "x.csv"
    report.write_bytes(b"x")
    page = enter(tess)
    page.goto("/import")
    page.get_by_text("What the report does not say").click()
    page.get_by_label("Time zone of times without one").fill("Mars/Olympus")

    page.set_input_files("#report", report)

    expect(page.get_by_role("alert")).to_contain_text("is not a time zone")


def test_progress_moves_and_ends_by_itself(enter, estate, tess):
    running = Scan.objects.get(state="running")
    page = enter(tess)
    page.goto(f"/scans/{running.pk}")
    expect(page.locator("#progress")).to_contain_text("10 rows read")

    ScanProgress.objects.filter(pk=running.pk).update(rows=20_000)
    expect(page.locator("#progress")).to_contain_text("20,000 rows read")
    Scan.objects.filter(pk=running.pk).update(state="done", counts={"rows": 20_000, "new": 0, "fail": 0})

    expect(page.get_by_role("heading", name="New")).to_be_visible()


def test_commands_are_copied(enter, estate, tess):
    page = enter(tess, permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"/findings/{estate}")

    page.locator("[data-copy^=cli-]").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("aws s3api put-public-access-block")
    page.locator("[data-copy=for-ticket]").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith(f"{estate} S3 bucket is not publicly accessible")


def test_the_theme_follows_the_system_until_somebody_chooses(enter, tess):
    page = enter(tess, color_scheme="dark")
    page.goto("/scans")
    assert _lightness(page) < 0.3

    page.get_by_text("Your account").click(force=True)
    page.get_by_role("button", name="Light").click()
    expect(page.locator("html[data-theme=light]")).to_have_count(1)

    assert _lightness(page) > 0.9


def _lightness(page):
    return float(re.search(r"oklch\(([\d.]+)", page.evaluate("getComputedStyle(document.body).backgroundColor"))[1])


def test_scripts_in_reports_stay_text(enter, tess, tmp_path):
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    report = tmp_path / "hostile.csv"
    cells = dict.fromkeys(
        (
            "CHECK_TITLE",
            "STATUS_EXTENDED",
            "DESCRIPTION",
            "RISK",
            "REMEDIATION_RECOMMENDATION_TEXT",
            "RESOURCE_TYPE",
            "RESOURCE_TAGS",
        ),
        script,
    )
    report.write_bytes(reports.prowler([reports.row("<b>logs</b>", **cells)], now()))
    page = enter(tess)
    page.goto("/import")
    page.set_input_files("#report", report)
    page.locator(".changes a").click()
    page.goto("/triage")
    page.locator("[data-row-link]").click()

    expect(page.locator("#preview h1")).to_have_text(script)  # `enter` fails the test if any of it ran


# --- without a script -------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(enter):
    return lambda who=None, **options: enter(who, java_script_enabled=False, **options)


def test_everything_is_done_without_a_script(plain, tess, tmp_path):
    report = tmp_path / "monday.csv"
    report.write_bytes(reports.prowler([reports.row("logs"), reports.row("site", "PASS")], now()))
    team("web")
    page = plain()
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill("tess@example.com")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()

    page.set_input_files("#report", report)  # the first door
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="monday.csv")).to_be_visible()

    page.get_by_role("link", name="Triage", exact=True).click()
    page.get_by_label("Search findings").fill("severity:high")
    page.keyboard.press("Enter")
    page.get_by_label("Choose F-").check()
    page.get_by_role("button", name="Assign to a team").click()
    page.get_by_label("Team").select_option("web")
    page.get_by_role("button", name="See what will happen").click()
    expect(page.get_by_text("1 finding changes")).to_be_visible()
    page.get_by_role("button", name="Assign to a team").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".row .owner")).to_contain_text("Nobody")

    page.locator("[data-row-link]").click()
    page.get_by_role("button", name="Start work").click()
    expect(page.locator(".head .status")).to_have_text("In progress")
    page.locator(".finding > .actions summary").click()
    page.get_by_label("Team").select_option("web")
    page.locator(".finding > .actions").get_by_role("button", name="Assign").click()
    expect(page.locator(".side .owner").first).to_contain_text("Team Web")

    page.locator(".me summary").click()
    page.get_by_role("button", name="Français").click()
    expect(page.locator(".head .status")).to_have_text("En cours")
    page.locator(".me summary").click()
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page).to_have_url(re.compile("/sign-in$"))


def test_progress_reloads_without_a_script(plain, estate, tess):
    running = Scan.objects.get(state="running")
    page = plain(tess)
    page.goto(f"/scans/{running.pk}")

    Scan.objects.filter(pk=running.pk).update(state="done", counts={"rows": 1, "new": 0, "fail": 0})

    expect(page.get_by_role("heading", name="New")).to_be_visible()
