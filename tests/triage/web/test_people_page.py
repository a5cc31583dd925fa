"""People and their roles."""

import re

import pytest

from tests.factories import person, team
from triage.models import Event, Member, Role, RoleGrant, User


@pytest.fixture
def admin(client, db):
    user = person("root@example.com", "administrator", name="Ada Root")
    client.force_login(user)
    return user


@pytest.fixture
def bob(db):
    return person("bob@example.com", "viewer", name="Bob")


def test_somebody_new_comes_in_by_a_link_that_is_shown_once(client, admin):
    team("web")
    said = {"email": "new@example.com", "name": "Nina", "role": "contributor", "team": "web"}
    page = client.post("/people/new", said).content.decode()
    link = re.search(r"http://testserver(/sign-in/[\w-]+)", page)[1]
    user = User.objects.get(email="new@example.com")
    assert [(grant.role, grant.team.slug) for grant in user.grants.all()] == [("contributor", "web")]
    assert link not in client.get("/people").content.decode()
    client.logout()
    client.post(link)
    assert client.get("/me").status_code == 200


def test_roles_are_given_and_taken_and_that_is_told(client, admin, bob):
    client.post(f"/people/{bob.pk}", {"give": "1", "role": "triager"})
    client.post(f"/people/{bob.pk}", {"take": "viewer"})
    assert list(bob.grants.values_list("role", flat=True)) == ["triager"]
    kinds = Event.objects.filter(subject="user", subject_id=bob.pk, actor=admin.actor).values_list("kind", flat=True)
    assert sorted(kinds) == ["role given", "role taken"]


def test_somebody_is_kept_out_and_let_in_again(client, admin, bob):
    client.post(f"/people/{bob.pk}", {"keep-out": "1"})
    bob.refresh_from_db()
    assert not bob.is_active
    client.post(f"/people/{bob.pk}", {"let-in": "1"})
    bob.refresh_from_db()
    assert bob.is_active


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"give": "1", "role": "contributor"}, "say which"), ({"give": "1", "role": "king"}, "no such role"),
        ({"give": "1", "role": "contributor", "team": "nowhere"}, "no team"), ({"give": "1"}, "Say which role"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(client, admin, bob, what, said):
    assert said in client.post(f"/people/{bob.pk}", what, follow=True).content.decode()
    assert bob.grants.count() == 1


def test_nobody_locks_himself_out(client, admin):
    for what, said in (({"take": "administrator"}, "this role from yourself"), ({"keep-out": "1"}, "suspend your own access")):
        assert said in client.post(f"/people/{admin.pk}", what, follow=True).content.decode()
    assert RoleGrant.objects.filter(user=admin, role=Role.ADMINISTRATOR).exists()


def test_only_administrators_come_here(client, triager, bob):
    assert client.get("/people").status_code == 403
    assert client.post("/people/new", {"email": "x@example.com", "role": "administrator"}).status_code == 403
    assert client.post(f"/people/{bob.pk}", {"give": "1", "role": "administrator"}).status_code == 403
    assert not RoleGrant.objects.filter(role=Role.ADMINISTRATOR).exists()


@pytest.mark.parametrize("count", [1, 8])
def test_the_page_costs_the_same_for_any_number_of_people(client, admin, count, django_assert_max_num_queries):
    for number in range(count):
        person(f"p{number}@example.com", "viewer")
    with django_assert_max_num_queries(9):
        client.get("/people")


def test_a_person_stands_there_with_the_teams_it_is_a_member_of(client, admin, bob):
    web, data = team("web"), team("data")
    Member.objects.create(team=web, email="Bob@Example.com")
    Member.objects.create(team=data, email="robert@example.com", user=bob)
    Member.objects.create(team=data, email="bob@example.com")
    assert "Member of Team Data, Team Web" in client.get("/people").content.decode()


@pytest.mark.parametrize("count", [1, 20])
def test_the_page_costs_the_same_for_any_number_of_teams(client, admin, count, django_assert_num_queries):
    for number in range(count):
        someone = person(f"p{number}@example.com", "contributor", of=team(f"t{number}"))
        Member.objects.create(team=team("web"), email=someone.email, user=someone)
    client.get("/people")
    with django_assert_num_queries(8):
        client.get("/people")


@pytest.mark.parametrize("who", ["triager", "viewer", "contributor", "stranger"])
def test_each_door_is_for_administrators(client, request, who, bob):
    request.getfixturevalue(who)
    assert client.get("/people").status_code == 403
    assert client.post("/people/new", {"email": "new@example.com", "role": "administrator"}).status_code == 403
    for what in ({"give": "1", "role": "administrator"}, {"take": "viewer"}, {"link": "1"}, {"keep-out": "1"}):
        assert client.post(f"/people/{bob.pk}", what).status_code == 403
    assert not User.objects.filter(email="new@example.com").exists()
    assert list(bob.grants.values_list("role", flat=True)) == ["viewer"]
