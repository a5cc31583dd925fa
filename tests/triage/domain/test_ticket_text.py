import pytest

from tests.factories import AT, finding, team
from triage.domain import ticket_text
from triage.models import Check, OwnerTrail

pytestmark = pytest.mark.django_db


def draft(*rows, language="en"):
    return ticket_text.draft(mark="cspm-mark-1", findings=rows, language=language)


def test_a_ticket_says_what_the_triage_guide_asks(settings):
    settings.BASE_URL = "https://cspm.example/"
    why = {"message": "Tag %(key)s says “%(value)s”.", "params": {"key": "team", "value": "web"}}
    trail = OwnerTrail.objects.create(
        digest=b"1" * 16, steps=[{"rule": 1, "kind": "tag", "name": "Tag", "result": "matched", "why": why}]
    )
    row = finding(owner=team("web"))
    row.trail = trail

    ticket = draft(row)

    assert ticket.title == "[Critical] S3 bucket is not publicly accessible – acme-public-assets"
    assert (ticket.severity, ticket.due_at, ticket.labels) == (5, row.due_at, ("cspm", "prowler", "web"))
    assert ticket.fields == {"team": "web", "account": "123456789012", "check": "s3_bucket_public_access"}
    cells = (
        "Critical | `arn:aws:s3:::acme-public-assets` | eu-west-1 | Nov. 24, 2026 11:00 (Europe/Paris)"
        " | S3 Bucket acme-public-assets has public access due to bucket ACL."
    )
    assert ticket.body == "\n".join([
        "- **Account**: Acme (`123456789012`)",
        "- **Check**: `s3_bucket_public_access` (prowler)",
        "- **Owner**: Team Web (Tag team says “web”.)",
        "- **Due**: Nov. 24, 2026 11:00 (Europe/Paris)",
        "",
        "| Finding | Severity | Asset | Region | Due | What the scanner says |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| [{row}](https://cspm.example/findings/{row}) | {cells} |",
        "",
        "## Risk",
        "",
        "Everybody can read it.",
        "",
        "## How to fix it",
        "",
        "Block **public access**.",
        "",
        "### Command line",
        "",
        "```",
        "aws s3api put-public-access-block --bucket acme-public-assets",
        "```",
        "",
        "### Terraform",
        "",
        "```",
        'resource "aws_s3_bucket_public_access_block" "x" {}',
        "```",
        "",
        "<https://hub.example/s3>",
        "",
        "## When it is fixed",
        "",
        "Set this ticket to done. The check is run again: when it passes the ticket is closed, when not it is opened again.",
    ])  # fmt: skip


def test_the_worst_finding_leads_and_the_first_due_date_counts():
    rows = [finding(bucket="b-1", severity=3), finding(bucket="b-2", due_at=AT), finding(bucket="b-3", due_at=None)]

    ticket = draft(*rows)

    assert ticket.title == "[Critical] S3 bucket is not publicly accessible – b-2 and 2 more"
    assert (ticket.severity, ticket.due_at) == (5, AT)


def test_many_findings_are_counted_not_listed():
    ticket = draft(*[finding(bucket=f"b-{number}") for number in range(53)])

    assert ticket.body.count("| Critical |") == 50
    assert "… and 3 more." in ticket.body


def test_nobody_owns_it():
    assert "- **Owner**: nobody yet" in draft(finding()).body


def test_a_hand_set_owner_is_said():
    assert "- **Owner**: Team Web (set by hand)" in draft(finding(owner=team("web"), pinned=True)).body


def test_texts_of_scanners_stay_where_they_are_put():
    row = finding(message="a | b\n\n# Title <script>alert(1)</script> `x`", bucket="b`|`b")
    Check.objects.update(
        risk="# Big\n<img src=x onerror=alert(1)>",
        remediation_cli="```bash\necho\n```\n```\nescape",
        remediation_url="javascript:alert(1)",
    )
    row.check_ref.refresh_from_db()

    body = draft(row).body

    assert "<script" not in body
    assert "<img" not in body
    assert "javascript:" not in body
    assert "\\# Big\n&lt;img" in body
    assert "a \\| b # Title &lt;script>alert(1)&lt;/script> `x` |" in body
    assert "`` arn:aws:s3:::b`\\|`b ``" in body
    assert "````\n```bash\necho\n```\n```\nescape\n````" in body


def test_a_long_title_is_cut_and_has_one_line():
    row = finding(bucket="b" * 300)
    Check.objects.update(title="Public\r\nbucket")
    row.check_ref.refresh_from_db()

    title = draft(row).title

    assert len(title) == 240
    assert title.startswith("[Critical] Public bucket – bbb")
    assert title.endswith("b…")
