"""Secrets that scanners quote are taken out; what only looks like one stays."""

import pytest

from triage.domain.masking import MASK, masked


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key AKIAIOSFODNN7EXAMPLE in user data", "IOSFODNN7EXAMPLE"),
        ('aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', "wJalrXUtnFEMI"),
        ("password: hunter2hunter2", "hunter2hunter2"),
        ("DB_PASSWORD='s3cr3t-value'", "s3cr3t-value"),
        ("postgres://app:s3cr3t-value@db:5432/x", "s3cr3t-value"),
        ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnop"),
        ("xoxb-123456789012-abcdefghij", "123456789012-abcdefghij"),
        ("https://hooks.slack.com/services/T000/B000/XXXXXXXX", "T000/B000"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def_ghi", "eyJzdWIiOiIxMjM0In0"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow== and no end", "MIIEow"),
    ],
)
def test_a_secret_is_taken_out(text, secret):
    shown = masked(text)
    assert secret not in shown
    assert MASK in shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "S3 Bucket acme-invoices has no default encryption.", "arn:aws:iam::123456789012:role/password-rotation",
        "IAM password policy requires at least 14 characters", "password = var.x", "secret: ${VAULT}", "api_key: <redacted>",
        "kms key arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab is not rotated",
    ],
)  # fmt: skip
def test_what_is_none_stays(text):
    assert masked(text) == text
