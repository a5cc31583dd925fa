from datetime import UTC, datetime

import pytest

from integrations.tickets import files
from triage.ports import DeliveryError, Severity, TicketCategory, TicketDraft

DRAFT = TicketDraft(
    mark="cspm-0123456789abcdef",
    title="[Critical] S3 bucket is public: acme-public-assets",
    body="Close it.\n\n---\nstatus: done\n---",
    severity=Severity.CRITICAL,
    due_at=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
    labels=("cspm", "team-web"),
)
NAME = "critical-s3-bucket-is-public-acme-public-assets.cspm-0123456789abcdef"


@pytest.fixture
def options(tmp_path):
    return {"folder": str(tmp_path / "tickets")}


@pytest.fixture
def path(tmp_path, options):
    files.create(DRAFT, options)
    return tmp_path / "tickets" / f"{NAME}.md"


def test_a_ticket_is_a_file_with_a_head_and_the_text(path, options):
    assert path.read_text() == (
        "---\nid: cspm-0123456789abcdef\nstatus: open\nseverity: critical\ndue: 2026-11-24T09:30+00:00\nlabels: cspm, team-web\n---\n"
        "\n# [Critical] S3 bucket is public: acme-public-assets\n\nClose it.\n\n---\nstatus: done\n---\n"
    )
    state = files.fetch(DRAFT.mark, options)
    assert (state.remote_id, state.key, state.category, state.status) == (DRAFT.mark, NAME, TicketCategory.NEW, "open")


def test_creating_twice_makes_one_file_and_keeps_what_people_wrote(path, options):
    path.write_text(path.read_text() + "\nAsked Bob.\n")

    again = files.create(DRAFT, options)

    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text().endswith("Asked Bob.\n")
    assert again.remote_id == DRAFT.mark


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("status: done", TicketCategory.DONE),
        ("Status : Done.", TicketCategory.DONE),
        ('status: "DONE"   # bucket closed on Friday', TicketCategory.DONE),
        ("  status:   terminé", TicketCategory.DONE),
        ("status: won’t do", TicketCategory.DECLINED),
        ("status: In  Progress", TicketCategory.IN_PROGRESS),
        ("status: open", TicketCategory.NEW),
        ("status: undone", TicketCategory.NEW),
        ("status:", TicketCategory.NEW),
        ("state: done", TicketCategory.NEW),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_status_written_by_hand_is_read(path, options, line, category, newline):
    path.write_text("\ufeff" + path.read_text().replace("status: open", line, 1), newline=newline, encoding="utf-8")

    assert files.fetch(DRAFT.mark, options).category == category


def test_a_renamed_file_is_found_by_its_head(path, options):
    path.rename(path.with_name("public bucket (Bob).md"))

    assert files.find(DRAFT.mark, options)[0].key == "public bucket (Bob)"


def test_a_file_that_lost_its_head_is_still_that_ticket(path, options):
    path.write_text("all done here")

    assert files.fetch(DRAFT.mark, options).category == TicketCategory.NEW
    assert files.close(DRAFT.mark, options).category == TicketCategory.DONE
    assert path.read_text() == "---\nstatus: done\n---\n\nall done here"


def test_a_head_without_status_gets_one(path, options):
    path.write_text("---\nowner: bob\n---\ntext")

    assert files.close(DRAFT.mark, options).category == TicketCategory.DONE
    assert path.read_text() == "---\nstatus: done\nowner: bob\n---\ntext"


def test_closing_and_reopening_change_the_status_line_alone(path, options):
    before = path.read_text()

    assert files.close(DRAFT.mark, options).category == TicketCategory.DONE
    assert path.read_text() == before.replace("status: open", "status: done", 1)
    assert files.reopen(DRAFT.mark, options).category == TicketCategory.NEW
    assert path.read_text() == before


def test_closing_what_a_person_closed_leaves_their_word(path, options):
    path.write_text(path.read_text().replace("status: open", "status: Terminé", 1))

    files.close(DRAFT.mark, options)

    assert "status: Terminé" in path.read_text()


def test_a_comment_is_written_once(path, options):
    for _again in range(2):
        files.comment(DRAFT.mark, "failing:12", "The check still fails.", options)
    files.comment(DRAFT.mark, "verified:13", "Verified.", options)

    assert path.read_text().count("The check still fails.") == 1
    assert path.read_text().endswith("The check still fails.\n\n---\n\n<!-- comment verified:13 -->\nVerified.\n")


def test_bytes_that_are_no_text_survive(path, options):
    path.write_bytes(path.read_bytes() + b"caf\xe9\n")

    files.close(DRAFT.mark, options)

    assert path.read_bytes().endswith(b"caf\xe9\n")


def test_a_deleted_file_is_a_deleted_ticket(path, options):
    path.unlink()

    assert files.find(DRAFT.mark, options) == ()
    assert files.fetch(DRAFT.mark, options).category == TicketCategory.DELETED
    with pytest.raises(DeliveryError, match="not there any more") as refusal:
        files.comment(DRAFT.mark, "k", "text", options)
    assert refusal.value.permanent


@pytest.mark.parametrize("mark", ["../../etc/passwd", "a", "", "x" * 101, "cspm-*"])
def test_a_mark_that_is_no_mark_never_becomes_a_path(options, mark):
    with pytest.raises(DeliveryError) as refusal:
        files.fetch(mark, options)
    assert refusal.value.permanent


def test_a_connection_without_a_folder_is_refused():
    with pytest.raises(DeliveryError, match="names no folder"):
        files.create(DRAFT, {})


def test_a_folder_that_cannot_be_written_may_be_tried_again(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DeliveryError) as refusal:
        files.create(DRAFT, {"folder": str(tmp_path / "file")})

    assert not refusal.value.permanent
