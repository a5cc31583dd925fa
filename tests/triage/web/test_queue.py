"""The triage queue: the address is its state."""

import re
from datetime import timedelta

import pytest

from tests.factories import AT, change, finding, team
from triage.models import Member, Severity, Status


def numbers(answer):
    return [int(number) for number in re.findall(rb'data-row="(\d+)"', answer.content)]


def link(answer, text):
    """The address behind a link with these words."""
    found = re.search(rf'href="([^"]*)"[^>]*>(?:(?!</a>).)*{re.escape(text)}', answer.content.decode(), re.DOTALL)
    return found[1].replace("&amp;", "&")


def test_the_queue_begins_with_what_is_to_be_fixed_worst_first(client, viewer):
    low, high = finding(bucket="low", score=20), finding(bucket="high", score=60)
    change(finding(bucket="fixed"), status=Status.VERIFIED, grade="proof")

    assert numbers(client.get("/triage")) == [high.pk, low.pk]


@pytest.mark.parametrize("count", [1, 3])
def test_the_queue_costs_the_same_for_any_number_of_findings(client, viewer, count, django_assert_num_queries):
    for number in range(count):
        finding(bucket=f"b{number}", check=f"check_{number}", owner=team(f"team-{number}"))
    client.get("/triage")

    # session, person, rights, own teams; savepoint, timeout; matches, order, rows; counters, check counters; names of teams,
    # accounts and checks; savepoint; saved views
    with django_assert_num_queries(16):
        answer = client.get("/triage")

    assert len(numbers(answer)) == count


def test_a_row_says_what_matters(client, viewer):
    finding(owner=team("web"), environment="prod", severity=Severity.HIGH, status=Status.IN_PROGRESS)

    page = client.get("/triage").content.decode()

    row = page[page.index('class="row"') : page.index("</ol>", page.index('class="row"'))]
    for word in ("High", "S3 bucket is not publicly accessible", "acme-public-assets", "prod", "Acme", "In progress", "Team Web"):
        assert word in row


def test_what_nobody_owns_says_so(client, viewer):
    finding()

    assert "Nobody" in client.get("/triage").content.decode()


def test_a_search_is_an_address(client, viewer):
    finding(bucket="low", severity=Severity.LOW)
    high = finding(bucket="high", severity=Severity.HIGH)

    answer = client.get("/triage", {"q": "gravité>=haute"})

    assert numbers(answer) == [high.pk]
    assert 'value="gravité&gt;=haute"' in answer.content.decode()


def test_filters_are_links_that_switch(client, viewer):
    finding(bucket="low", severity=Severity.LOW)
    high = finding(bucket="high", severity=Severity.HIGH)

    chosen = client.get(link(client.get("/triage"), "High"))
    assert numbers(chosen) == [high.pk]
    assert "Severity: High" in chosen.content.decode()

    both = client.get(link(chosen, "Low"))
    assert len(numbers(both)) == 2
    assert len(numbers(client.get(link(chosen, "Severity: High")))) == 2


def test_a_status_that_is_nothing_to_fix_takes_to_be_fixed_away(client, viewer):
    finding(bucket="open")
    fixed = change(finding(bucket="fixed"), status=Status.VERIFIED, grade="proof")

    everything = client.get("/triage", {"q": ""})
    assert numbers(client.get(link(everything, "Verified"))) == [fixed.pk]


@pytest.mark.parametrize(
    ("query", "there", "suggestion"),
    [
        ("severity:hihg env:prod", "hihg", "severity:high env:prod"),
        ("sevrity:high", "sevrity", "severity:high"),
        ("team:paymets", "paymets", "team:payments"),
        ('"never closed', "&quot;never closed", None),
        ('severity:"<b>"', "&quot;&lt;b&gt;&quot;", None),
    ],
)
def test_a_query_that_makes_no_sense_is_pointed_at(client, viewer, query, there, suggestion):
    team("payments")

    answer = client.get("/triage", {"q": query})

    page = answer.content.decode()
    assert answer.status_code == 400
    assert f"<mark>{there}</mark>" in page
    if suggestion:
        assert suggestion in [
            address.replace("+", " ").replace("%3A", ":").partition("q=")[2]
            for address in re.findall(r'class="chip filter" href="([^"]*)"', page)
        ]


def test_pages_follow_each_other_and_lead_back(client, viewer):
    rows = [finding(bucket=f"b{number:02}", score=number) for number in range(60)]

    first = client.get("/triage")
    second = client.get(link(first, "Next page"))
    back = client.get(link(second, "Previous page"))

    assert numbers(first) == [row.pk for row in rows[::-1]][:50]
    assert numbers(second) == [row.pk for row in rows[::-1]][50:]
    assert numbers(back) == numbers(first)


@pytest.mark.parametrize("order", ["due", "severity", "newest", "score"])
def test_orders_keep_the_search(client, viewer, order):
    finding(severity=Severity.LOW)
    high = finding(bucket="high", severity=Severity.HIGH, due_at=AT + timedelta(days=1))

    assert numbers(client.get("/triage", {"q": "severity:high", "order": order})) == [high.pk]


@pytest.mark.parametrize("wrong", [{"order": "nonsense"}, {"cursor": "%%%"}, {"cursor": "e30"}, {"q": "x" * 3000}])
def test_a_damaged_address_is_refused_with_a_sentence(client, viewer, wrong):
    finding()

    answer = client.get("/triage", wrong)

    assert answer.status_code == 400
    assert b'role="alert"' in answer.content


def test_mine_is_what_my_teams_have_to_fix(client, viewer):
    Member.objects.create(team=team("web"), email="VIC@example.com")
    mine = finding(bucket="mine", owner=team("web"))
    finding(bucket="theirs", owner=team("data"))

    assert numbers(client.get(link(client.get("/triage"), "Mine or my team"))) == [mine.pk]


def test_the_preview_can_be_shared_as_an_address(client, viewer):
    row = finding()

    page = client.get("/triage", {"selected": row.pk}).content.decode()

    assert f'data-finding="{row}"' in page
    assert 'aria-current="true"' in page[page.index('class="row"') :].partition(">")[0]


@pytest.mark.parametrize("selected", ["x", "", "-1", "²"])
def test_a_preview_of_nothing_is_no_preview(client, viewer, selected):
    finding()

    assert b"data-finding" not in client.get("/triage", {"selected": selected}).content


@pytest.mark.parametrize(
    ("prepare", "query", "words"),
    [
        (None, {}, "No findings yet"),
        ("fixed", {}, "Nothing to fix"),
        ("open", {"q": "is:open severity:low"}, "No findings match this search"),
    ],
)
def test_an_empty_queue_says_what_to_do_next(client, triager, prepare, query, words):
    if prepare:
        row = finding()
        if prepare == "fixed":
            change(row, status=Status.VERIFIED, grade="proof")

    page = client.get("/triage", query).content.decode()

    empty = page[page.index('class="empty"') :]
    assert words in empty
    assert 'class="button' in empty.partition("</section>")[0]


def test_without_a_role_nothing_is_shown(client, stranger):
    finding()

    answer = client.get("/triage")

    assert answer.status_code == 403
    assert b"acme-public-assets" not in answer.content


def test_what_nobody_owns_is_grouped_by_account_with_what_to_do(client, viewer):
    finding()
    finding(bucket="owned", owner=team("web"))

    page = client.get("/unowned").content.decode()

    assert "Acme" in page
    assert "1 finding" in page
    assert "/findings/" in page


def test_everything_owned_is_said(client, viewer):
    finding(owner=team("web"))

    assert "Everything has an owner" in client.get("/unowned").content.decode()
