"""Coming in by password and by link."""

from datetime import timedelta

import pytest

from tests.factories import AT, person
from triage.domain import sign_in
from triage.domain.errors import Invalid
from triage.domain.sign_in import TooManyAttempts
from triage.models import Event, SignInLink

WORD = "correct horse battery"
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.1"


@pytest.fixture
def ana(db):
    return person("ana@example.com", password=WORD)


def test_the_right_password_is_let_in_and_written_down(ana):
    found = sign_in.password(email=" ANA@Example.com ", password=WORD, address=HOME, at=AT)

    assert found == ana
    assert list(Event.objects.values_list("subject", "subject_id", "kind", "after")) == [
        ("user", ana.pk, "signed in", {"by": "password"})
    ]


@pytest.mark.parametrize(
    ("email", "word"), [("ana@example.com", "wrong"), ("nobody@example.com", WORD), ("", ""), ("ana@example.com", "")]
)
def test_a_wrong_pair_is_refused_without_saying_what_was_wrong(ana, email, word):
    with pytest.raises(Invalid, match="do not belong together"):
        sign_in.password(email=email, password=word, address=HOME, at=AT)

    assert Event.objects.filter(subject="address", kind="sign-in failed").count() == 1


def test_who_is_switched_off_stays_out(ana):
    ana.is_active = False
    ana.save()

    with pytest.raises(Invalid):
        sign_in.password(email=ana.email, password=WORD, address=HOME, at=AT)


def test_the_trail_keeps_no_address(ana):
    with pytest.raises(Invalid):
        sign_in.password(email=ana.email, password="wrong", address=HOME, at=AT)

    assert HOME not in str(list(Event.objects.values()))


def test_an_address_has_ten_attempts_in_a_quarter_of_an_hour(ana):
    for minute in range(10):
        with pytest.raises(Invalid):
            sign_in.password(
                email=f"guess{minute}@example.com", password="wrong", address=HOME, at=AT + timedelta(minutes=minute)
            )

    with pytest.raises(TooManyAttempts):
        sign_in.password(email=ana.email, password=WORD, address=HOME, at=AT + timedelta(minutes=10))
    assert sign_in.password(email=ana.email, password=WORD, address=ELSEWHERE, at=AT + timedelta(minutes=10)) == ana
    assert sign_in.password(email=ana.email, password=WORD, address=HOME, at=AT + timedelta(minutes=16)) == ana


def test_a_person_is_not_guessed_from_many_addresses(ana):
    for number in range(sign_in.FAILURES_OF_A_PERSON):
        with pytest.raises(Invalid):
            sign_in.password(email=ana.email, password="wrong", address=f"203.0.113.{number}", at=AT)

    with pytest.raises(TooManyAttempts):
        sign_in.password(email=ana.email, password=WORD, address=ELSEWHERE, at=AT)


def test_a_link_signs_in_once(ana):
    token = sign_in.issue_link(user=ana, at=AT, hours=2)

    assert sign_in.link_holds(token=token, at=AT)
    assert sign_in.use_link(token=token, at=AT) == ana
    assert not sign_in.link_holds(token=token, at=AT)
    with pytest.raises(Invalid, match="used already"):
        sign_in.use_link(token=token, at=AT)
    assert list(Event.objects.order_by("pk").values_list("kind", flat=True)) == ["sign-in link issued", "signed in"]


def test_a_link_is_good_for_its_hours_alone(ana):
    token = sign_in.issue_link(user=ana, at=AT, hours=2)

    with pytest.raises(Invalid):
        sign_in.use_link(token=token, at=AT + timedelta(hours=2))
    assert sign_in.use_link(token=token, at=AT + timedelta(hours=1, minutes=59)) == ana


def test_of_a_link_only_its_hash_is_kept(ana):
    token = sign_in.issue_link(user=ana, at=AT)

    assert token.encode() not in b"".join(bytes(row.sha256) for row in SignInLink.objects.all())
    assert token not in str(list(Event.objects.values()))


@pytest.mark.parametrize("token", ["", "x", "é" * 50, "\0"])
def test_an_unknown_link_is_refused(ana, token):
    with pytest.raises(Invalid):
        sign_in.use_link(token=token, at=AT)


def test_leaving_is_written_down(ana):
    sign_in.leave(user=ana, at=AT)

    assert Event.objects.get().kind == "signed out"
