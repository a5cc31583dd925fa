"""The page of verifications: what came of them, what was denied and how to mend it, and runs of many."""

import pytest
from django.utils.timezone import now

from tests.factories import AT, TRIAGER, buckets, change, finding, team
from triage.domain import verification
from triage.domain.access import Actor
from triage.models import Finding, Role, Verification, VerificationRun

PERSON = Verification.Trigger.PERSON


@pytest.fixture(autouse=True)
def _verifier(named_verifier):
    return named_verifier


def asked(query="check:named", *, actor=TRIAGER):
    return verification.request_all(query=query, trigger=PERSON, actor=actor, at=AT)


def rows(page):
    return page.content.count(b"data-verification=")


# --- the list -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 20])
def test_the_list_costs_the_same_for_any_number(client, viewer, count, django_assert_num_queries):
    buckets(*(f"denied-{number}" for number in range(count)))
    asked()
    verification.drain(clock=now)
    client.get("/verifications")

    with django_assert_num_queries(
        9
    ):  # session, person, rights; rows; what is missing, of which accounts; runs, how far, who asked
        page = client.get("/verifications")

    assert rows(page) == count


def test_what_was_denied_says_what_to_give_to_whom_and_where(client, viewer):
    buckets("denied-1", "denied-2", "fixed-3")
    asked()
    verification.drain(clock=now)

    page = client.get("/verifications")

    shown = page.content.decode()
    assert "Permissions to give" in shown
    assert (
        "Give <code>s3:GetBucketAcl</code> to <code>arn:aws:sts::123456789012:assumed-role/auditor/x</code>"
        ' in account <span class="strong">Acme</span>'
    ) in shown
    assert 'href="/verifications?outcome=denied&amp;account=123456789012">2 findings</a>' in shown
    assert "verify again" not in shown
    assert rows(client.get("/verifications?outcome=denied&account=123456789012")) == 2
    assert "Permissions to give" not in client.get("/verifications?outcome=fixed").content.decode()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("outcome=fixed", 1),
        ("outcome=queued", 1),
        ("outcome=nonsense", 3),
        ("account=999", 0),
        ("verifier=named", 2),
        ("before=x", 3),
        ("before=99999999999999999999", 3),
        ("before=1", 0),
    ],
)
def test_it_is_narrowed_by_outcome_account_and_verifier(client, viewer, query, count):
    buckets("failing-1", "fixed-2")
    asked()
    verification.drain(clock=now)
    asked("status:open")

    assert rows(client.get(f"/verifications?{query}")) == count


def test_nothing_yet_says_what_to_do_next(client, triager):
    assert b'href="/import"' in client.get("/verifications").content

    finding(check="named", bucket="x")

    assert b'href="/triage?q=status%3Afix_claimed"' in client.get("/verifications").content


def test_the_page_speaks_french_where_it_has_words_already(client, viewer):
    buckets("fixed-1")
    asked()

    assert client.get("/verifications", headers={"Accept-Language": "fr"}).status_code == 200


@pytest.mark.parametrize("address", ["/verifications", "/verifications/runs/1", "/verifications/runs/1/progress"])
def test_without_a_role_nothing_is_shown(client, stranger, address):
    assert client.get(address).status_code == 403


# --- asking from the queue ------------------------------------------------------------------------------------------------------


def test_all_that_the_queue_shows_is_verified(client, triager):
    buckets("fixed-1", "failing-2")
    queue = client.get("/triage", {"q": "check:named"}).content.decode()
    assert "Verify all 2" in queue

    answer = client.post("/verifications/ask", {"q": "check:named"})

    run = VerificationRun.objects.get()
    assert (run.total, run.actor, answer["Location"]) == (2, triager.actor, f"/verifications/runs/{run.pk}")


def test_what_was_denied_is_asked_for_again_once_the_permission_is_given(client, triager):
    buckets("denied-1", "denied-2", "fixed-3")
    asked()
    verification.drain(clock=now)
    assert "verify again" in client.get("/verifications").content.decode()

    page = client.post("/verifications/ask", {"missing": "s3:GetBucketAcl", "account": "123456789012"}, follow=True)

    assert page.status_code == 200
    assert Verification.objects.filter(run=VerificationRun.objects.latest("pk"), state="queued").count() == 2
    assert client.post("/verifications/ask", {"missing": "s3:Nothing", "account": "1"})["Location"] == "/triage"


def test_who_may_not_verify_is_not_asked_to_and_cannot(client, viewer):
    buckets("fixed-1")
    assert "/verifications/ask" not in client.get("/triage").content.decode()

    answer = client.post("/verifications/ask", {"q": "is:open"}, follow=True)

    assert "You have no right to do this" in answer.content.decode()
    assert not Verification.objects.exists()


def test_a_contributor_verifies_the_own_and_is_told_of_the_rest(client, contributor):
    own, _other = buckets("fixed-1", "fixed-2")
    change(own, team=team("web"))

    page = client.post("/verifications/ask", {"q": "is:open"}, follow=True)

    assert Verification.objects.get().finding == own
    assert "1 finding is not yours to verify." in page.content.decode()


@pytest.mark.parametrize("query", ["", "severity:terrible"])
def test_a_query_that_means_nothing_is_said_where_one_came_from(client, triager, query):
    answer = client.post("/verifications/ask", {"q": query, "next": "/triage?q=x"})

    assert answer["Location"] == "/triage?q=x"
    assert not VerificationRun.objects.exists()


def test_what_nothing_answers_is_said(client, triager):
    finding(check="iam_avoid_root_usage")

    page = client.post("/verifications/ask", {"q": "is:open"}, follow=True).content.decode()

    assert "Nothing was left to verify." in page
    assert "No verifier supports the check of 1 finding." in page


@pytest.mark.parametrize("address", ["/verifications/ask", "/verifications/runs/1/cancel"])
def test_without_a_role_nothing_is_done(client, stranger, address):
    buckets("fixed-1")

    assert client.post(address, {"q": "is:open"}).status_code == 403
    assert client.get(address).status_code == 405
    assert not Verification.objects.exists()


# --- a run --------------------------------------------------------------------------------------------------------------------


def test_a_run_moves_while_it_runs_and_stands_when_it_is_over(client, triager):
    buckets("fixed-1", "denied-2")
    run = asked()
    page = client.get(f"/verifications/runs/{run.pk}").content.decode()
    assert 'hx-trigger="every 1s"' in page
    assert '<meta http-equiv="refresh"' in page
    assert "Waiting for a free worker" in client.get(f"/verifications/runs/{run.pk}/progress").content.decode()

    verification.drain(clock=now)

    assert client.get(f"/verifications/runs/{run.pk}/progress")["HX-Refresh"] == "true"
    page = client.get(f"/verifications/runs/{run.pk}").content.decode()
    assert "hx-trigger" not in page.split("<dialog")[0]
    assert "2 of 2 verified" in page
    assert "Permissions to give" in page
    assert 'href="/triage?q=check%3Anamed"' in page


def test_a_run_shows_its_own_alone(client, viewer):
    buckets("denied-1")
    run = asked()
    verification.drain(clock=now)
    asked("status:open")

    assert rows(client.get(f"/verifications/runs/{run.pk}")) == 1
    assert rows(client.get(f"/verifications/runs/{run.pk}?outcome=fixed")) == 0


def test_what_waits_is_withdrawn(client, triager):
    buckets("fixed-1", "fixed-2")
    run = asked()
    assert "Withdraw waiting verifications" in client.get(f"/verifications/runs/{run.pk}").content.decode()

    page = client.post(f"/verifications/runs/{run.pk}/cancel", follow=True).content.decode()

    assert "Withdrawn: 2." in page
    again = client.post(f"/verifications/runs/{run.pk}/cancel", follow=True).content.decode()
    assert f"Nothing in {run} is waiting any more." in again
    assert Finding.objects.filter(status="open").count() == 2


def test_a_viewer_withdraws_nothing(client, viewer):
    buckets("fixed-1")
    run = asked(actor=Actor(name="user:99", door="page", roles=frozenset({Role.TRIAGER})))
    assert "Withdraw waiting verifications" not in client.get(f"/verifications/runs/{run.pk}").content.decode()

    client.post(f"/verifications/runs/{run.pk}/cancel")

    assert Verification.objects.get().state == "queued"


def test_a_run_that_is_none(client, viewer):
    assert client.get("/verifications/runs/7").status_code == 404
