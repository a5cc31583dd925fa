"""The page of one finding, and what a person does there."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from tests.factories import AT, change, finding, team
from triage.domain.audit import recording
from triage.models import CodePlace, CodeStream, Control, Event, Evidence, FindingAlias, Status, Verification

SCRIPT = "<script>alert(1)</script>"


def page(client, row):
    answer = client.get(f"/findings/{row}")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("written", ["F-{:06d}", "f-{:06d}", "{}", "F-{}"])
def test_the_number_can_be_written_in_any_way(client, viewer, written):
    row = finding()

    assert client.get("/findings/" + written.format(row.pk)).status_code == 200


def test_a_number_that_a_merge_retired_leads_on(client, viewer):
    row = finding()
    FindingAlias.objects.create(finding=row, name="F-000999")

    assert client.get("/findings/F-000999")["Location"] == f"/findings/{row}"


@pytest.mark.parametrize("number", ["F-000999", "999999999999999999"])
def test_a_finding_that_does_not_exist_is_not_found(client, viewer, number):
    answer = client.get(f"/findings/{number}")

    assert answer.status_code == 404
    assert b"There is no finding F-" in answer.content


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_costs_the_same_for_any_history(client, triager, count, django_assert_num_queries):
    row = finding(owner=team("web"))
    for number in range(count):
        finding(check=f"other_{number}")
        with recording(actor=f"user:{triager.pk}", at=AT + timedelta(hours=number), door="page"):
            type(row).objects.filter(pk=row.pk).update(
                status=Status.IN_PROGRESS if number % 2 == 0 else Status.OPEN, team=None if number % 2 else team("data")
            )
        row.check_ref.controls.add(Control.objects.create(framework="CIS", reference=f"2.{number}"))
        Verification.objects.create(
            finding=row, trigger="person", actor=f"user:{triager.pk}", state="done", outcome="failing", requested_at=AT
        )
    client.get(f"/findings/{row}")

    # session, person, rights; finding, events, tickets, verifications, clock, people, scopes, same asset, same check, teams in
    # the history; teams to choose from, controls; comments, colleagues
    with django_assert_num_queries(24):
        answer = client.get(f"/findings/{row}")

    assert len(answer.context["story"].timeline) == count + 1
    assert len(answer.context["controls"]) == count


def test_scripts_in_every_field_are_shown_as_text(client, triager):
    row = finding(message=SCRIPT)
    check, asset, account = row.check_ref, row.asset, row.account
    for name in ("title", "description", "risk", "remediation", "remediation_cli", "remediation_terraform", "remediation_other"):
        setattr(check, name, f"{name} {SCRIPT} **{SCRIPT}** `{SCRIPT}`\n- {SCRIPT}\n```\n{SCRIPT}\n```")
    check.remediation_url = f"javascript:alert(1)//{SCRIPT}"
    check.save()
    asset.uid, asset.name, asset.type = f"arn:{SCRIPT}", SCRIPT, SCRIPT
    asset.tag_set = type(asset.tag_set).objects.create(digest=b"1" * 16, tags=[[SCRIPT, SCRIPT]], folded={})
    asset.trail.steps = [
        {"rule": 1, "kind": "tag", "name": SCRIPT, "result": "skipped", "why": {"message": "“%(v)s”", "params": {"v": SCRIPT}}}
    ]
    asset.trail.save()
    asset.save()
    account.name = account.uid = SCRIPT
    account.save()
    check.controls.add(Control.objects.create(framework=SCRIPT, reference=SCRIPT))
    change(row, region=SCRIPT, team=team("web"))
    triager.name = SCRIPT
    triager.save()
    with recording(actor=f"user:{triager.pk}", at=AT, door="page", reason=SCRIPT):
        type(row).objects.filter(pk=row.pk).update(status=Status.IN_PROGRESS)
    stream = CodeStream.objects.create(scanner="x", account=account)
    CodePlace.objects.create(
        finding=row, stream=stream, path=SCRIPT, snippet=SCRIPT, address=SCRIPT, text_hash=b"", context_hash=b""
    )
    proof = Evidence.objects.create(sha256=b"\1" * 32, size=3, media_type="x", kept_at=AT)
    Verification.objects.create(
        finding=row, trigger="person", actor="worker", state="done", outcome="denied", requested_at=AT, verifier=SCRIPT, missing=SCRIPT,
        evidence=proof, summary={"message": SCRIPT, "params": {}},
    )  # fmt: skip

    for text in (page(client, row), client.get("/triage").content.decode()):
        assert SCRIPT not in text
        assert "<script>alert" not in text
        assert 'href="javascript:' not in text
    assert page(client, row).count("&lt;script&gt;alert(1)&lt;/script&gt;") > 30


def test_the_story_is_told_in_sentences(client, viewer, triager):
    row = finding(owner=team("web"))
    client.force_login(triager)
    client.post(f"/findings/{row}/status", {"to": "in_progress", "version": row.version})
    row.refresh_from_db()
    client.post(f"/findings/{row}/status", {"to": "fix_claimed", "version": row.version})
    change(row, at=now() + timedelta(days=1), status=Status.VERIFIED, grade="proof")
    change(row, at=now() + timedelta(days=5), status=Status.OPEN, grade="")
    change(row, at=now() + timedelta(days=5), presence="unreported")

    text = page(client, row)

    for sentence in (
        "Reported for the first time", "Work began", "Fix claimed: waiting for proof", "Fixed, with proof",
        "It is back: the check fails again", "the fix held 4 days", "fixed by Tess Martin", "That does not prove a fix",
    ):  # fmt: skip
        assert sentence in text


def test_the_owner_is_explained_step_by_step(client, viewer):
    row = finding(owner=team("web"))
    row.trail.steps = [
        {
            "rule": 1,
            "kind": "tag",
            "name": "Owner tag",
            "result": "no team",
            "why": {"message": "“%(value)s” is not a team here.", "params": {"value": "bob"}},
        },
        {
            "rule": 2,
            "kind": "account",
            "name": "Account",
            "result": "matched",
            "why": {"message": "The account belongs to it.", "params": {}},
        },
    ]
    row.trail.save()

    text = page(client, row)

    assert "“bob” is not a team here." in text
    assert text.index("names no known team") < text.index("decides")


def test_a_place_in_code_shows_its_lines(client, viewer):
    row = finding()
    stream = CodeStream.objects.create(scanner="bandit", account=row.account)
    CodePlace.objects.create(
        finding=row, stream=stream, path="app/db.py", start_line=12, snippet="eval(x)", text_hash=b"", context_hash=b""
    )

    text = page(client, row)

    assert "app/db.py:12" in text
    assert "eval(x)" in text


# --- what a person does -----------------------------------------------------------------------------------------------------


def test_work_begins_with_a_button(client, triager):
    row = finding()

    answer = client.post(f"/findings/{row}/status", {"to": "in_progress", "version": row.version})

    row.refresh_from_db()
    assert (answer["Location"], row.status) == (f"/findings/{row}", "in_progress")
    assert Event.objects.get(subject="finding", kind="status").actor == f"user:{triager.pk}"


def test_a_button_in_the_queue_leads_back_there(client, triager):
    row = finding()

    answer = client.post(
        f"/findings/{row}/status", {"to": "in_progress", "version": row.version, "next": "/triage?q=x&selected=1"}
    )

    assert answer["Location"] == "/triage?q=x&selected=1"


def test_a_stale_page_is_refused_and_says_what_changed(client, triager):
    row = finding()
    seen = row.version
    client.post(f"/findings/{row}/status", {"to": "in_progress", "version": seen})

    answer = client.post(f"/findings/{row}/status", {"to": "fix_claimed", "version": seen})

    row.refresh_from_db()
    assert (answer.status_code, row.status) == (409, "in_progress")
    text = answer.content.decode()
    assert "Somebody changed this finding in the meantime" in text
    last_change = text[text.index("Last change:") :].partition("</div>")[0]
    assert "Work began" in last_change
    assert "Tess Martin" in last_change


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 20])
def test_a_form_without_a_sensible_version_is_refused(client, triager, version):
    row = finding()

    assert client.post(f"/findings/{row}/status", {"to": "in_progress", "version": version}).status_code in (400, 409)
    row.refresh_from_db()
    assert row.status == "open"


@pytest.mark.parametrize("to", ["verified", "accepted", "nonsense", ""])
def test_no_button_leads_past_the_evidence(client, triager, to):
    row = finding()

    answer = client.post(f"/findings/{row}/status", {"to": to, "version": row.version})

    row.refresh_from_db()
    assert (answer.status_code, row.status) == (403, "open")


def test_it_is_given_to_a_team_and_released(client, triager):
    row = finding()
    team("data")

    client.post(f"/findings/{row}/owner", {"team": "data", "reason": "Theirs since May.", "version": row.version})
    row.refresh_from_db()
    assert (row.team.slug, row.pinned) == ("data", True)
    assert "Theirs since May." in page(client, row)

    client.post(f"/findings/{row}/owner", {"release": "1", "version": row.version})
    row.refresh_from_db()
    assert (row.team, row.pinned) == (None, False)


def test_an_unknown_team_is_named(client, triager):
    row = finding()
    team("payments")

    answer = client.post(f"/findings/{row}/owner", {"team": "paymets", "version": row.version})

    assert answer.status_code == 404
    assert "Did you mean “payments”?" in answer.content.decode()


DOORS = [
    ("status", {"to": "in_progress", "version": 1}), ("owner", {"team": "web", "version": 1}), ("owner", {"release": "1", "version": 1}),
    ("verify", {}), ("ticket", {}),
]  # fmt: skip


@pytest.mark.parametrize(("door", "fields"), DOORS)
def test_a_viewer_sees_no_buttons_and_gets_through_no_door(client, viewer, door, fields):
    team("web")
    row = finding(pinned=door == "owner")

    answer = client.post(f"/findings/{row}/{door}", fields)

    assert answer.status_code == 403
    text = page(client, row)
    assert f"/findings/{row}/{door}" not in text
    assert Event.objects.filter(subject="finding").count() == 1


@pytest.mark.parametrize(("owner", "code"), [("web", 302), ("data", 403), (None, 403)])
def test_a_contributor_works_on_the_own_teams_findings_alone(client, contributor, owner, code):
    row = finding(owner=team(owner) if owner else None)

    assert client.post(f"/findings/{row}/status", {"to": "in_progress", "version": row.version}).status_code == code
    assert (f'action="/findings/{row}/status"' in page(client, row)) == (code == 302)


@pytest.mark.parametrize("door", ["", "/status", "/owner", "/verify", "/ticket"])
def test_without_a_role_nothing_is_shown_and_nothing_done(client, stranger, door):
    row = finding()

    answer = (
        client.post(f"/findings/{row}{door}", {"to": "in_progress", "version": 1, "team": "web"})
        if door
        else client.get(f"/findings/{row}")
    )

    assert answer.status_code == 403
    assert "acme-public-assets" not in answer.content.decode()


@pytest.mark.parametrize("door", ["status", "owner", "verify", "ticket"])
def test_links_change_nothing(client, triager, door):
    assert client.get(f"/findings/{finding()}/{door}").status_code == 405


def test_a_verification_is_asked_for(client, triager):
    row = finding(status=Status.FIX_CLAIMED)

    client.post(f"/findings/{row}/verify")

    assert Verification.objects.get(finding=row).actor == f"user:{triager.pk}"


def test_a_ticket_is_opened(client, triager):
    row = finding(owner=team("web"))

    client.post(f"/findings/{row}/ticket")

    assert row.tickets.count() == 1
    assert "Being opened" in page(client, row)


def test_the_preview_is_a_part_and_leads_back_to_its_queue(client, triager):
    row = finding()

    answer = client.get(f"/findings/{row}", headers={"hx-request": "true", "hx-target": "preview", "x-preview": "/triage?q=x"})

    assert b"<html" not in answer.content
    assert b'name="next" value="/triage?q=x"' in answer.content
    assert "HX-Request" in answer["Vary"]
