"""People on findings: comments and mentions, who has it, what is not ours; my work, and what there is to know."""

import threading
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from tests.factories import Clock, buckets, change, finding, person, team
from triage.domain import acts, bell, comments, users, verification
from triage.domain.access import of_machine, of_user
from triage.domain.errors import Invalid, NotFound
from triage.domain.exceptions import deciding
from triage.domain.exceptions.requesting import About
from triage.domain.exceptions.requesting import request as ask
from triage.domain.notifications import gathering
from triage.models import Act, Comment, Event, Finding, Notification, OwnerTrail, Told, User, Verification


@pytest.fixture
def web(db):
    return team("web")


@pytest.fixture
def row(web):
    return finding(owner=web)


@pytest.fixture
def carl(web):
    return person("carl@example.com", "contributor", of=web, name="Carl Petit")


def say(client, row, text, **more):
    return client.post(f"/findings/{row}/comments", {"text": text, **more}, follow=True)


# --- comments -----------------------------------------------------------------------------------------------------------------


def test_a_comment_stands_on_the_page_and_its_text_not_in_the_trail(client, contributor, row):
    page = say(client, row, "We <b>look</b> at F-12, see https://wiki.example/x.\n\nTomorrow.").content.decode()
    assert "We &lt;b&gt;look&lt;/b&gt; at" in page
    assert 'href="/findings/F-000012"' in page
    assert 'href="https://wiki.example/x"' in page
    event = Event.objects.get(kind="commented")
    assert event.actor == contributor.actor
    assert "look" not in str(event.after)
    assert len(event.after["sha256"]) == 64


def test_a_mention_by_address_is_marked_as_a_whole(client, contributor, row):
    page = say(client, row, "@carl@example.com, look").content.decode()
    assert "<strong>@carl@example.com</strong>, look" in page


def test_the_timeline_says_what_was_said_until_it_is_taken_away(client, contributor, row):
    say(client, row, "Look at <i>this</i>")
    said = Comment.objects.get()
    quoted = f'<a class="clamp" href="#comment-{said.pk}">'
    assert f"{quoted}Look at &lt;i&gt;this&lt;/i&gt;</a>" in client.get(f"/findings/{row}").content.decode()
    say(client, row, "Look at that", comment=said.pk)
    assert f"{quoted}Look at that</a>" in client.get(f"/findings/{row}").content.decode()
    client.post(f"/findings/{row}/comments", {"comment": said.pk, "withdraw": "1"})
    page = client.get(f"/findings/{row}").content.decode()
    assert (quoted in page, "A comment was removed" in page) == (False, True)


def test_who_is_mentioned_is_told_once(client, contributor, row, carl):
    say(client, row, "@carl and @carl@example.com and @Carl.Petit, and carl@example.com is no mention; @nobody neither")
    [told] = Notification.objects.all()
    assert (told.user, told.kind, told.finding) == (carl, "mention", row)
    carl.refresh_from_db()
    assert carl.unread == 1
    say(client, row, "@cleo says so herself")
    assert Notification.objects.count() == 1


def test_ones_own_comment_is_changed_for_a_while_and_taken_away(client, contributor, row, carl):
    say(client, row, "first")
    comment = Comment.objects.get()
    say(client, row, "second, @carl", comment=comment.pk)
    assert Comment.objects.get().text == "second, @carl"
    assert Notification.objects.count() == 1
    Comment.objects.update(at=now() - timedelta(hours=1))
    assert "can be changed for 15 minutes" in say(client, row, "third", comment=comment.pk).content.decode()
    page = client.post(f"/findings/{row}/comments", {"comment": comment.pk, "withdraw": "1"}, follow=True).content.decode()
    assert "second" not in page
    assert Comment.objects.get().text == ""
    assert [event.kind for event in Event.objects.filter(kind__startswith="comment").order_by("pk")] == [
        "commented", "comment changed", "comment withdrawn",
    ]  # fmt: skip


def test_nobody_changes_anothers_comment(client, triager, row, carl):
    comment = comments.say(finding=row.pk, text="mine", actor=of_user(carl, door="page"), at=now())
    assert say(client, row, "yours", comment=comment.pk).status_code == 404
    assert client.post(f"/findings/{row}/comments", {"comment": comment.pk, "withdraw": "1"}).status_code == 404
    assert Comment.objects.get().text == "mine"


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 5001, "a\x00b"])
def test_what_is_no_comment_is_refused(client, contributor, row, text):
    assert say(client, row, text).status_code == 400
    assert not Comment.objects.exists()


def test_a_viewer_reads_and_says_nothing(client, viewer, row):
    assert 'name="text"' not in client.get(f"/findings/{row}").content.decode()
    assert say(client, row, "hello").status_code == 403


def test_a_contributor_says_nothing_about_other_teams(client, contributor):
    assert say(client, finding(bucket="theirs", owner=team("data")), "hello").status_code == 403


# --- who has it ---------------------------------------------------------------------------------------------------------------


def give(client, row, **what):
    row.refresh_from_db()
    return client.post(f"/findings/{row}/person", {"version": row.version, **what}, follow=True)


def test_it_is_given_to_a_person_and_taken_back(client, contributor, row, carl):
    page = give(client, row, person=str(carl.pk)).content.decode()
    assert "Carl Petit" in page
    carl.refresh_from_db()
    assert carl.unread == 1
    client.post(f"/acts/{Act.objects.get().pk}/undo")
    row.refresh_from_db()
    assert row.assignee is None
    give(client, row, person="me")
    row.refresh_from_db()
    assert row.assignee == contributor


def test_only_people_of_the_team_can_have_it(client, contributor, row):
    stranger = person("sam@example.com", "contributor", of=team("data"), name="Sam")
    assert "is not of its team" in give(client, row, person=str(stranger.pk)).content.decode()
    assert give(client, row, person="999999").status_code == 404
    row.refresh_from_db()
    assert row.assignee is None


def test_what_is_not_ours_goes_back_to_triage(client, contributor, row):
    tess = person("tess@example.com", "triager")
    assert "Say why" in give(client, row, disown="1").content.decode()
    give(client, row, disown="1", reason="it is the data team's bucket")
    row.refresh_from_db()
    assert (row.team, row.pinned) == (None, True)
    assert Event.objects.filter(subject_id=row.pk, reason="it is the data team's bucket").exists()
    assert [(each.user, each.kind) for each in Notification.objects.all()] == [(tess, "disowned")]


def test_what_was_given_back_says_by_whom_and_by_which_rule(client, contributor, web):
    row = finding(bucket="ours", owner=web)
    gave = {
        "rule": 1,
        "kind": "tag",
        "name": "Owner tag of the asset",
        "result": "matched",
        "why": {"message": "x", "params": {}},
    }
    trail = OwnerTrail.objects.create(digest=bytes([7] * 16), team_id=web.pk, steps=[gave])
    change(row, trail=trail)
    give(client, row, disown="1", reason="it is the data team's bucket")
    page = client.get(f"/findings/{row}").content.decode()
    assert "The team web says it is not theirs" in page
    assert "It gave it to the team web." in page
    assert "/owners/rules?subject=" in page
    client.force_login(person("tess@example.com", "triager"))
    page = unescape(client.get("/unowned").content.decode())
    assert "A team says that these are not theirs." in page
    assert "No rule speaks of these" not in page
    assert urlencode({"q": f"is:open account:{row.account.uid} team:none is:pinned"}) in page


def test_what_a_person_made_nobodys_is_not_to_be_mended_by_a_rule(client, triager, row):
    client.post(f"/findings/{row}/owner", {"team": "-", "version": row.version})
    page = client.get("/unowned").content.decode()
    assert "Somebody removed these from their team" in page
    assert "No rule speaks of these" not in page


def test_security_is_told_what_was_given_back_once(client, contributor, row):
    give(client, row, disown="1", reason="theirs")
    for _look in range(2):
        gathering.gather(at=now())
    [told] = Told.objects.filter(event__startswith="disowned:")
    assert (told.recipient, told.subject, told.content["findings"]) == ("role:security", "unowned", [row.pk])


def test_what_was_taken_back_at_once_is_told_to_nobody(client, contributor, row):
    give(client, row, disown="1", reason="theirs")
    acts.undo(act=Act.objects.get().pk, actor=of_user(contributor, door="page"), at=now())
    row.refresh_from_db()
    assert row.team.slug == "web"
    gathering.gather(at=now())
    assert not Told.objects.filter(event__startswith="disowned:").exists()


def test_nothing_is_given_back_without_a_reason_by_any_door(contributor, row):
    by = {"verb": "disown", "params": {}, "actor": of_user(contributor, door="api"), "at": now()}
    with pytest.raises(Invalid, match="Say why"):
        acts.ask(**by, query="is:open", reason=" ")
    with pytest.raises(Invalid, match="Say why"):
        acts.one(**by, finding=row.pk)
    assert not Act.objects.exists()


@pytest.mark.parametrize(("verb", "params"), [("disown", {}), ("person", {"person": "me"})])
def test_doing_many_costs_the_same_for_any_number(contributor, triager, web, verb, params):
    params = {name: str(contributor.pk) for name in params}
    counted = []
    for size in (1, 2, 12):  # the first stores the explanation that the others share
        rows = buckets(*(f"{verb}-{size}-{number}" for number in range(size)), check=f"check-{size}", owner=web)
        actor = of_user(triager, door="page")
        act = acts.ask(
            verb=verb, params=params, actor=actor, at=now(), findings=dict.fromkeys([each.pk for each in rows]), reason="x"
        )
        with CaptureQueriesContext(connection) as queries:
            assert acts.run(act.pk, clock=Clock(now()), actor=actor).done == size
        counted.append(len(queries))
    assert counted[1] == counted[2]


def test_many_are_given_at_once(client, triager, web, carl):
    rows = [finding(bucket=name, owner=web) for name in ("a", "b")]
    chosen = [f"{each.pk}.{each.version}" for each in rows]
    page = client.get("/acts/new", {"verb": "person", "person": carl.pk, "f": chosen}).content.decode()
    assert "2 findings change" in page
    client.post("/acts/new", {"verb": "person", "person": carl.pk, "f": chosen})
    assert Finding.objects.filter(assignee=carl).count() == 2


# --- what waits, and what there is to know --------------------------------------------------------------------------------------


def test_my_work_is_what_waits_for_me(client, contributor, web):
    finding(bucket="ours", owner=web)
    change(finding(bucket="claimed", owner=web), status="fix_claimed")
    finding(bucket="theirs", owner=team("data"))
    finding(bucket="nobodys")
    page = client.get("/me").content.decode()
    assert ("ours" in page, "claimed" in page, "theirs" in page, "nobodys" in page) == (True, True, False, False)
    client.force_login(person("tess@example.com", "triager"))
    page = client.get("/me").content.decode()
    assert ("nobodys" in page, "claimed" in page, "theirs" in page) == (True, True, False)


def test_unread_mentions_wait_for_me(client, contributor, row, carl):
    for number in range(12):
        comments.say(finding=row.pk, text=f"@cleo, look: {number}.", actor=of_user(carl, door="page"), at=now())
    bell.read(user=contributor, at=now(), notification=Notification.objects.latest("pk").pk)
    page = client.get("/me").content.decode()
    assert [f"look: {number}." in page for number in (11, 10, 1, 0)] == [False, True, True, False]


@pytest.mark.parametrize("count", [1, 9])
def test_my_work_costs_the_same_however_much_waits(client, contributor, web, carl, count, django_assert_num_queries):
    for number in range(count):
        comments.say(
            finding=finding(bucket=f"b-{number}", owner=web).pk, text="@cleo", actor=of_user(carl, door="page"), at=now()
        )
    client.get("/me")
    with django_assert_num_queries(10):
        client.get("/me")


def test_what_i_may_decide_waits_for_me_and_i_hear_what_was_decided(client, contributor, row):
    asked = ask(
        kind="accepted", about=About(finding=row.pk), reason="needed until March", until=now() + timedelta(days=9),
        actor=of_user(contributor, door="page"), at=now(),
    )  # fmt: skip
    boss = person("boss@example.com", "senior_approver")
    client.force_login(boss)
    assert "needed until March" in client.get("/me").content.decode()
    deciding.refuse(exception=asked.pk, actor=of_user(boss, door="page"), at=now(), reason="no")
    client.force_login(contributor)
    page = client.get("/me/inbox").content.decode()
    assert "Your request was decided" in page
    assert "refused" in page
    client.post("/me/inbox")
    contributor.refresh_from_db()
    assert contributor.unread == 0


def test_i_hear_what_came_of_a_verification(contributor, web, named_verifier):
    row = finding(bucket="fixed-1", check="named", owner=web)
    asked = verification.request(
        finding=row.pk, trigger=Verification.Trigger.PERSON, actor=of_user(contributor, door="page"), at=now()
    )
    verification.run(verification=asked.pk, clock=Clock(now()))
    [told] = bell.told(contributor)
    assert (told.kind, told.about) == ("verified", "fixed")


def test_a_desk_that_is_clear_says_so(client, viewer):
    assert "Nothing is waiting for you" in client.get("/me").content.decode()
    assert "Your inbox is empty" in client.get("/me/inbox").content.decode()


def test_an_erased_person_is_told_nothing_and_named_nowhere(client, triager, row, carl):
    comments.say(finding=row.pk, text="hello @tess", actor=of_user(carl, door="page"), at=now())
    comments.say(finding=row.pk, text="@carl", actor=of_user(triager, door="page"), at=now())
    users.erase(user=carl, reason="left", actor=of_machine(0), at=now())
    assert not Notification.objects.filter(user=carl).exists()
    page = client.get(f"/findings/{row}").content.decode()
    assert "carl" not in page.lower()
    assert User.objects.get(pk=carl.pk).name == ""


def test_what_an_erased_person_said_is_gone_and_so_is_its_hash(triager, row, carl):
    said = comments.say(finding=row.pk, text="ok", actor=of_user(carl, door="page"), at=now())
    comments.edit(comment=said.pk, text="ok, as Ana wants it", actor=of_user(carl, door="page"), at=now())
    other = comments.say(finding=row.pk, text="ok", actor=of_user(triager, door="page"), at=now())
    users.erase(user=carl, reason="left", actor=of_machine(0), at=now())
    said.refresh_from_db()
    assert (said.text, said.withdrawn_at is not None) == ("", True)
    trail = Event.objects.filter(subject="finding", subject_id=row.pk, kind__startswith="comment").order_by("pk")
    assert [(each.kind, each.after and each.after.get("comment")) for each in trail] == [
        ("commented", None), ("comment changed", None), ("commented", other.pk), ("comment withdrawn", None),
    ]  # fmt: skip
    assert trail.last().reason == "left"
    assert Event.objects.filter(kind="words erased").count() == 2


def test_an_erased_name_is_taken_out_of_what_others_said(triager, row, carl):
    person("carl@other.example", "viewer", name="Carl Grand")  # nobody knows which of the two “@carl” meant
    text = "@Carl.Petit. and (@carl@example.com), @carl, @tess; carl@example.com is no mention"
    said = comments.say(finding=row.pk, text=text, actor=of_user(triager, door="page"), at=now())
    users.erase(user=carl, reason="left", actor=of_machine(0), at=now())
    said.refresh_from_db()
    assert said.text == "@…. and (@…), @carl, @tess; carl@example.com is no mention"
    [changed] = Event.objects.filter(subject_id=row.pk, kind="comment changed")
    assert [each["comment"] for each in changed.after["comments"]] == [said.pk]


def test_what_an_erased_person_had_is_given_to_nobody(client, contributor, row, carl):
    give(client, row, person=str(carl.pk))
    users.erase(user=carl, reason="left", actor=of_machine(0), at=now())
    row.refresh_from_db()
    assert row.assignee is None
    assert Event.objects.filter(subject="finding", subject_id=row.pk).latest("pk").after == {"assignee_id": None}


@pytest.mark.parametrize("count", [1, 6])
def test_erasing_costs_the_same_for_any_number_of_comments(triager, row, carl, count, django_assert_max_num_queries):
    for number in range(count):
        comments.say(finding=row.pk, text=f"word {number}", actor=of_user(carl, door="page"), at=now())
        comments.say(finding=row.pk, text=f"@carl {number}", actor=of_user(triager, door="page"), at=now())
    with django_assert_max_num_queries(64):
        users.erase(user=carl, reason="left", actor=of_machine(0), at=now())


def test_what_is_old_is_forgotten_and_waits_no_more(carl, row):
    bell.ring([carl.pk], "mention", actor="user:0", at=now() - timedelta(days=400), finding=row.pk)
    bell.ring([carl.pk], "mention", actor="user:0", at=now(), finding=row.pk)
    assert bell.forget(at=now()) == 1
    carl.refresh_from_db()
    assert carl.unread == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_withdrawn_does_not_come_back_by_a_change_at_the_same_moment():
    web = team("web")
    actor = of_user(person("carl@example.com", "contributor", of=web), door="page")
    said = comments.say(finding=finding(owner=web).pk, text="secret", actor=actor, at=now())
    answers = []

    def edit():
        try:
            comments.edit(comment=said.pk, text="secret again", actor=actor, at=now())
            answers.append("changed")
        except NotFound:
            answers.append("gone")
        finally:
            connection.close()

    with transaction.atomic():
        comments.withdraw(comment=said.pk, actor=actor, at=now())
        other = threading.Thread(target=edit)
        other.start()
        other.join(timeout=0.3)  # it waits for this transaction
        assert answers == []
    other.join(timeout=10)
    said.refresh_from_db()
    assert (answers, said.text) == (["gone"], "")


@pytest.mark.parametrize("many", [2, 9])
def test_telling_costs_the_same_for_any_number_of_people(row, many, django_assert_num_queries):
    people = [person(f"p{number}@example.com", "viewer") for number in range(many)]
    with django_assert_num_queries(3):
        bell.ring([each.pk for each in people], "mention", actor="user:0", at=now(), finding=row.pk)


@pytest.mark.parametrize("count", [1, 6])
def test_the_page_costs_the_same_for_any_number_of_comments(client, contributor, row, carl, count, django_assert_max_num_queries):
    for _number in range(count):
        comments.say(finding=row.pk, text="hello", actor=of_user(carl, door="page"), at=now())
    client.get(f"/findings/{row}")
    with django_assert_max_num_queries(26):
        client.get(f"/findings/{row}")
