"""Deadlines: what was kept, what is in force, and the change of a policy with its consequences."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils.timezone import now

from tests.factories import change, finding, person, team
from triage.domain.access import of_machine
from triage.domain.audit import recording
from triage.domain.configuration.applying import apply_duty
from triage.domain.sla import clocks
from triage.domain.sla.drafts import Applies
from triage.domain.sla.presets import PRESETS
from triage.domain.sla.wording import working_days
from triage.models import CalendarVersion, Containment, Event, Finding, SlaVersion

POLICY = """
calendars:
  office: {time_zone: Europe/Paris, hours: {weekdays: ["09:00-18:00"]}, holidays: FR-57, closures: [2026-12-24]}
sla:
  default:
    targets:
      - {severity: critical, within: 1 hour}
      - {severity: high, within: 8 business hours, calendar: office}
"""


@pytest.fixture
def administrator(client, db):
    user = person("ada@example.com", "administrator", name="Ada")
    client.force_login(user)
    return user


def running(**columns) -> Finding:
    at = now() - timedelta(hours=columns.pop("hours", 5))
    row = finding(at=at, due_at=None, owner=team("web"), **columns)
    with recording(actor="worker", at=at, door="task"):
        clocks.restart([row.pk], at=at)
    row.refresh_from_db()
    return row


def test_the_page_says_what_was_kept_and_what_is_in_force(client, viewer):
    running(hours=80)
    page = client.get(reverse("sla"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "0.0 %" in text
    assert "Missed dates" in text
    assert "72 hours" in text
    assert "Change policies" not in text


def test_without_anything_it_says_so(client, viewer):
    text = client.get(reverse("sla")).content.decode()
    assert "No deadline fell due" in text
    assert "No policy is in force yet" in text


def test_strangers_see_nothing_and_viewers_change_nothing(client, stranger):
    assert client.get(reverse("sla")).status_code == 403
    client.force_login(person("vic@example.com", "viewer"))
    assert client.get(reverse("sla-edit")).status_code == 403
    assert client.post(reverse("sla-edit"), {"text": POLICY, "publish": "1"}).status_code == 403
    assert not SlaVersion.objects.filter(number=2).exists()


def test_the_consequences_are_shown_before_anything_is_published(client, administrator):
    row = running()
    assert client.get(reverse("sla-edit")).content.decode().count("72 hours") >= 2

    shown = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1", "applies": "open"})

    assert "1 would get a new date, 1 would be overdue immediately" in shown.content.decode()
    row.refresh_from_db()
    assert (str(row.sla), SlaVersion.objects.count()) == ("Default v1", 1)

    done = client.post(reverse("sla-edit"), {"text": POLICY, "publish": "1", "applies": "open", "reason": "agreed"}, follow=True)

    assert "Published: office, default." in done.content.decode()
    row.refresh_from_db()
    assert str(row.sla) == "Default v2"
    assert row.due_at == row.clock_from + timedelta(hours=1)
    assert row.due_original == row.clock_from + timedelta(hours=72)
    told = Event.objects.get(subject="sla", kind="published", after__version=2)
    assert told.actor == administrator.actor
    again = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1"})
    assert "nothing would change" in again.content.decode()


def test_what_is_wrong_is_said_with_its_line_and_kept_in_the_form(client, administrator):
    wrong = POLICY.replace("1 hour}", "soon}").replace("calendar: office}", "calendar: offce}")
    page = client.post(reverse("sla-edit"), {"text": wrong, "publish": "1"})
    assert page.status_code == 400
    text = page.content.decode()
    assert "Line 7: “soon” is not a duration" in text
    assert "Line 8: there is no calendar “offce”" in text
    assert "within: soon" in text
    assert "teams" in client.post(reverse("sla-edit"), {"text": "teams: []", "publish": "1"}).content.decode()


def test_a_policy_is_tried_on_what_was(client, administrator, monkeypatch):
    running(severity=5, hours=5)
    page = client.post(reverse("sla-edit"), {"text": POLICY, "simulate": "1"})
    [(level, tally)] = page.context["tallies"]
    assert (level, tally.clocks, tally.missed, tally.would_miss) == (5, 1, 0, 1)
    assert "Met, but would have been missed" in page.content.decode()
    assert SlaVersion.objects.count() == 1
    monkeypatch.setattr("triage.web.sla.MOST_TRIED", 0)
    assert "cspm sla simulate" in client.post(reverse("sla-edit"), {"text": POLICY, "simulate": "1"}).content.decode()


def test_a_table_writes_the_file_and_publishes_nothing_by_itself(client, administrator):
    table = {"cell:default:critical:": "72 hours", "was:default:critical:": "1 hour"}
    table |= {"cell:default:high:": "8 business hours", "was:default:high:": "8 business hours"}
    table |= {"cell:default:medium:prod": "30 days", "was:default:medium:prod": "", "calendar": "office"}

    shown = client.post(reverse("sla-edit"), {"text": POLICY, "publish": "1", **table})

    text = shown.context["text"]
    assert "within: 72 hours" in text
    assert "environment: prod\n      within: 30 days\n      calendar: office" in text
    assert "Nothing is published yet" in shown.content.decode()
    assert not SlaVersion.objects.exists()
    assert client.post(reverse("sla-edit"), {"text": text, "publish": "1"}).status_code == 302
    stored = SlaVersion.objects.get().targets.order_by("-severity").values_list("severity", "environment", "amount", "unit")
    assert list(stored) == [(5, "", 72, "hours"), (4, "", 8, "business_hours"), (3, "prod", 30, "days")]


def test_a_table_speaks_the_language_and_the_file_its_own(client, administrator):
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "fr"
    page = client.get(reverse("sla-edit"), {"preset": "default"})
    assert 'name="cell:default:critical:" value="72 heures"' in page.content.decode()
    table = {"cell:default:high:prod": "3 jours", "was:default:high:prod": "", "calendar": "office"}
    shown = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1", **table})
    assert "within: 3 days" in shown.context["text"]
    assert 'value="3 jours"' in shown.content.decode()


def test_a_table_that_cannot_be_keeps_what_was_typed(client, administrator):
    table = {"cell:default:critical:": "soonish", "was:default:critical:": "1 hour"}
    page = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1", **table})
    assert page.status_code == 400
    assert "“soonish” is not a duration" in page.content.decode()
    assert 'value="soonish"' in page.content.decode()
    assert client.post(reverse("sla-edit"), {"text": "[", "preview": "1", **table}).status_code == 400
    assert client.post(reverse("sla-edit"), {"text": "sla: {other: {}}", "preview": "1", **table}).status_code == 400


def test_a_table_leaves_what_it_cannot_show(client, administrator):
    page = client.get(reverse("sla-edit"), {"preset": "default"})
    assert "4 other targets of this policy" in page.content.decode()
    blank = {"cell:default:low:": "", "was:default:low:": "2160 hours"}
    shown = client.post(reverse("sla-edit"), {"text": page.context["text"], "preview": "1", **blank}).context["text"]
    assert "2160" not in shown
    assert shown.count("clock: contain") == 2


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_each_preset_can_be_published_as_it_is(client, administrator, preset):
    text = client.get(reverse("sla-edit"), {"preset": preset}).context["text"]
    assert client.post(reverse("sla-edit"), {"text": text, "publish": "1"}).status_code == 302
    assert SlaVersion.objects.filter(policy__slug=preset).exists()


def test_a_clock_is_paused_and_resumed_from_the_page(client, triager):
    row = running()
    where = reverse("finding-clock", args=[row.pk])
    until = (now() + timedelta(days=3)).date().isoformat()

    done = client.post(where, {"version": row.version, "pause": "1", "until": until, "reason": "frozen"}, follow=True)

    assert "The clock is paused until" in done.content.decode()
    row.refresh_from_db()
    assert (row.due_at, row.paused_at is not None) == (None, True)
    page = client.get(reverse("finding", args=[row.pk])).content.decode()
    assert "The clock is paused" in page
    assert "frozen" in page

    client.post(where, {"version": row.version, "resume": "1"})
    row.refresh_from_db()
    assert row.paused_at is None
    assert row.due_at > row.due_original

    stale = client.post(where, {"version": 1, "pause": "1", "until": until, "reason": "again"})
    assert stale.status_code == 409
    bad = client.post(where, {"version": row.version, "pause": "1", "until": "soon", "reason": "again"})
    assert "is not a date" in bad.content.decode()


def test_what_is_left_is_told_in_working_days(client, viewer):
    text = POLICY.replace("1 hour}", "80 business hours, calendar: office}")
    apply_duty(text=text, applies=Applies.NEW, actor=of_machine(0), at=now() - timedelta(days=1), reason="")
    row = running(severity=5, hours=0)
    left = working_days(version=row.sla_id, at=now(), due=row.due_at)
    assert left in (8, 9, 10)  # 80 hours of days of 9, of which one may have begun, one be a holiday
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "fr"
    assert f"dans {left} jours ouvrés" in client.get(reverse("queue")).content.decode()
    assert working_days(version=row.sla_id, at=row.due_at, due=row.due_at) is None
    assert working_days(version=None, at=now(), due=row.due_at) is None


def test_an_exposure_is_contained_and_seen_from_the_page(client, contributor):
    row = running()
    row.check_ref.exposes = True
    row.check_ref.save(update_fields=["exposes"])
    page = client.get(reverse("finding", args=[row.pk])).content.decode()
    assert "Contain" in page
    assert "Pause the clock" not in page
    where = reverse("finding-clock", args=[row.pk])
    client.post(where, {"version": row.version, "contain": "1", "done": "Closed it", "exploited": "no"})
    kept = Containment.objects.get()
    assert (kept.done, kept.exploited, kept.actor) == ("Closed it", "no", contributor.actor)
    row.refresh_from_db()
    assert row.acknowledged_at is not None
    assert "Closed it" in client.get(reverse("finding", args=[row.pk])).content.decode()
    # Another team's finding is none of theirs.
    other = change(row, team=team("payments"))
    assert client.post(where, {"version": other.version, "acknowledge": "1"}).status_code == 403


def test_the_page_of_a_finding_says_why_it_is_due(client, viewer):
    row = running()
    page = client.get(reverse("finding", args=[row.pk])).content.decode()
    assert "Why this date" in page
    assert "Remediate · Critical: 72 hours" in page
    assert "50 %" in page


def test_a_calendar_is_filled_in_and_one_is_added(client, administrator):
    page = client.get(reverse("sla-edit"))
    assert "Business hours and business days need one" in page.content.decode()
    shown = client.post(reverse("sla-edit"), {"text": POLICY, "add": "1", "slug": "night", "publish": "1"})
    text = shown.context["text"]
    assert "night:" in text
    assert not SlaVersion.objects.exists()

    fields = {"field:office:mon": "09:00-12:00; 14:00 - 18:00", "was:office:mon": "09:00-18:00", "field:office:holidays": "DE-BY"}
    fields |= {"was:office:holidays": "FR-57", "field:office:name": "Office", "was:office:name": "Office"}
    shown = client.post(reverse("sla-edit"), {"text": text, "publish": "1", **fields})
    text = shown.context["text"]
    assert 'value="09:00-12:00, 14:00-18:00"' in shown.content.decode()
    assert "1 closure is in the file" in shown.content.decode()
    assert client.post(reverse("sla-edit"), {"text": text, "publish": "1"}).status_code == 302
    version = CalendarVersion.objects.get(calendar__slug="office")
    assert (version.country, version.subdivision, version.hours["mon"]) == ("DE", "BY", [["09:00", "12:00"], ["14:00", "18:00"]])
    assert version.hours["tue"] == [["09:00", "18:00"]]
    assert CalendarVersion.objects.get(calendar__slug="night").country == "FR"


def test_a_ladder_is_filled_in(client, administrator):
    page = client.get(reverse("sla-edit"), {"preset": "default"})
    assert 'name="was:rungs:default" value="50:owner;80:owner;100:lead,owner;150:lead,security"' in page.content.decode()
    rungs = {
        "was:rungs:default": "50:owner;80:owner;100:lead,owner;150:lead,security",
        "rung:default:0": "90",
        "told:default:0": ["owner", "lead"],
    }
    rungs |= {"rung:default:1": "", "told:default:1": ["security"]}
    shown = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1", **rungs})
    assert "ladder:\n    - percent: 90\n      tell:\n      - owner\n      - lead\n" in shown.context["text"]
    client.post(reverse("sla-edit"), {"text": shown.context["text"], "publish": "1"})
    assert SlaVersion.objects.get().ladder == [[90, ["owner", "lead"]]]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"add": "1", "slug": "My office"}, "cannot be a slug"), ({"add": "1", "slug": "office"}, "a calendar “office” already"),
        ({"field:office:tue": "nine", "was:office:tue": ""}, "“nine” are not opening hours"), ({"field:night:mon": "09:00-10:00"}, "The file has no “night”"),
        ({"was:rungs:default": "", "rung:default:0": "soon"}, "“soon” is not a number"),
        ({"was:rungs:default": "", "rung:default:0": "90", "told:default:0": "everybody"}, "cannot be “everybody”"),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_are_said(client, administrator, fields, said):
    page = client.post(reverse("sla-edit"), {"text": POLICY, "preview": "1", **fields})
    assert page.status_code == 400
    assert said in page.content.decode()
