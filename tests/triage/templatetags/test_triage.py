"""How our nouns are said."""

from datetime import timedelta

import pytest
from django.utils.translation import override

from tests.factories import AT
from triage.models import Finding
from triage.ports import Text
from triage.templatetags import triage as said


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ({"seconds": 5}, "1 minute"), ({"minutes": 59}, "59 minutes"), ({"hours": 1}, "1 hour"), ({"hours": 23}, "23 hours"),
        ({"days": 1}, "1 day"), ({"days": -3}, "3 days"), ({"days": 400}, "400 days"),
    ],
)  # fmt: skip
def test_a_span_is_said_in_its_largest_unit(span, words):
    assert said.lasting(timedelta(**span)) == words


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ({"seconds": 10}, "just now"), ({"hours": 2}, "2 hours ago"), ({"days": 80}, "80 days ago"), ({"days": 100}, "3 months ago"),
        ({"days": 800}, "2 years ago"), ({"days": -2}, "in 2 days"),
    ],
)  # fmt: skip
def test_a_moment_is_said_from_now(before, words):
    assert f">{words}</time>" in said.ago(AT - timedelta(**before), AT)


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({}, "none"),
        ({"due_at": AT + timedelta(days=9)}, "ahead"),
        ({"due_at": AT + timedelta(days=2)}, "soon"),
        ({"due_at": AT - timedelta(seconds=1)}, "overdue"),
        ({"due_at": AT - timedelta(days=9), "paused_at": AT - timedelta(days=10)}, "paused"),
        ({"due_at": AT, "settled_at": AT}, "met"),
        ({"due_at": AT, "settled_at": AT + timedelta(hours=1)}, "missed"),
        ({"due_at": AT - timedelta(days=1), "is_open": False}, "none"),
    ],
)
def test_a_due_date_has_a_state(columns, state):
    row = Finding(**{"is_open": True, **columns})

    assert said.due_state(row, AT)["state"] == state


def test_the_clock_says_how_much_of_the_time_has_passed():
    row = Finding(is_open=True, clock_from=AT - timedelta(days=3), due_at=AT + timedelta(days=1))

    assert said.clock(row, AT) == {"share": 75, "shown": 75, "state": "soon"}
    assert said.clock(row, AT + timedelta(days=40))["shown"] == 100


@pytest.mark.parametrize(
    ("count", "english", "french"), [(999, "999", "999"), (10_000, "10,000", "10\xa0000"), (10_001, "10,000+", "10\xa0000+")]
)
def test_counts_stop_where_counting_costs(count, english, french):
    with override("en"):
        assert said.capped(count) == english
    with override("fr"):
        assert said.capped(count) == french


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("arn:aws:s3:::bucket", "bucket"), ("arn:aws:iam::123456789012:role/admin", "admin"), ("src/app/db.py", "db.py"), ("plain", "plain"),
        ("/", "/"), ("", ""), ("arn:", "arn:"),
    ],
)  # fmt: skip
def test_an_asset_has_a_short_name(uid, name):
    assert said.short(uid) == name


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (4_294_967_296, "4.3 GB"), (12_000_000, "12 MB")]
)
def test_bytes_are_said_as_people_write_them(size, words):
    assert said.weight(size) == words


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ana Ferreira", "AF"), ("payments", "PA"), ("data-platform", "DP"), ("ana@example.com", "AE"), ("", ""), ("é", "É")],
)
def test_names_have_initials(name, letters):
    assert said.initials(name) == letters


def test_a_text_is_said_with_our_words_in_the_readers_language():
    text = Text("A finding that is “%(before)s” cannot become “%(after)s”.", {"before": "in_progress", "after": "verified"})

    assert said.said(text) == "A finding that is “In progress” cannot become “Verified”."


@pytest.mark.parametrize("stored", [None, {}, "", {"message": ""}])
def test_nothing_is_said_of_nothing(stored):
    assert said.said(stored) == ""


def test_a_text_whose_params_are_lost_is_still_said():
    assert said.said({"message": "Row %(row)s is broken."}) == "Row %(row)s is broken."
