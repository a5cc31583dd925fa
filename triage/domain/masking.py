"""Secrets in what scanners quote: taken out before a text is shown or sent. What is stored stays as the report said it.

Patterns are those that the issuers document; a word that only looks random is left alone, as resource names do.
"""

import re

MASK = "•••"

# Ids of AWS access keys: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html (AKIA, ASIA and 16 characters)
_KEY_ID = re.compile(r"(?P<keep>\b(?:AKIA|ASIA))[A-Z0-9]{16}\b")
# Each keeps what stands before the secret, so that the reader sees what kind of thing was there.
_FORMS = [
    # GitHub: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    re.compile(r"(?P<keep>\b(?:gh[pousr]_|github_pat_))[A-Za-z0-9_]{20,255}"),
    re.compile(r"(?P<keep>\bglpat-)[A-Za-z0-9_-]{20,}"),
    # Slack: https://docs.slack.dev/authentication/tokens
    re.compile(r"(?P<keep>\bx(?:ox[abeoprs]|app)-)[A-Za-z0-9-]{10,}"),
    re.compile(r"(?P<keep>https://hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9/_-]+"),
    # Stripe, SendGrid, Google, npm, PyPI, Atlassian.
    re.compile(r"(?P<keep>\b[sr]k_(?:live|test)_)[A-Za-z0-9]{16,}"),
    re.compile(r"(?P<keep>\bSG\.)[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    re.compile(r"(?P<keep>\bAIza)[A-Za-z0-9_-]{35}"),
    re.compile(r"(?P<keep>\b(?:npm_|pypi-|ATATT3|ATCTT3))[A-Za-z0-9_=-]{20,}"),
    # JSON Web Tokens: RFC 7519, three parts of base64url of which two begin with {"
    re.compile(r"(?P<keep>\b)eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    # Keys in PEM: RFC 7468
    re.compile(
        r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)(?:[^-]|-(?!----))*(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    ),
    # user:password@host in an address: RFC 3986, 3.2.1
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]+:)[^\s/@]+(?=@)", re.IGNORECASE),
]
# Assignments of what is called a secret: password = "…", aws_secret_access_key: …
_ASSIGNED = re.compile(
    r"(?P<keep>\b[\w.-]*(?:password|passwd|pwd|secret(?:[_-]?(?:access)?[_-]?key)?|api[_-]?key|auth[_-]?token|access[_-]?token|"
    r"client[_-]?secret|private[_-]?key)\b[\"']?\s*(?:=>?|:)\s*)(?P<quote>[\"']?)(?!(?:true|false|null|none|\*|•|<|\$|\{))"
    r"[^\s\"',;}{]{6,}(?P=quote)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text with each secret that is known by its form or its name replaced, and ids of keys shortened."""
    return _ASSIGNED.sub(_kept, without_secrets(_KEY_ID.sub(_kept, text)))


def without_secrets(text: str) -> str:
    """The text with each secret that is known by its form alone replaced. Ids of keys stay: they say which key, and open nothing."""
    for pattern in _FORMS:
        text = pattern.sub(_kept, text)
    return text


def _kept(found: re.Match[str]) -> str:
    return found["keep"] + MASK
