"""Text from outside, made fit to keep and to show: what PostgreSQL refuses and what deceives a reader's eye is taken out."""

import re

# Controls but tab and line feed; lone surrogates; bidirectional controls, which make text read as it is not (CVE-2021-42574).
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
MESSAGE_LIMIT = 8_000
UID_LIMIT = 4_000


def one_line(text: str) -> str:
    """A name or identifier: without controls of any kind."""
    return text if text.isprintable() else _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " ").replace("\t", " "))


def prose(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """A text of several lines, at most `limit` characters."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isprintable() else _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))
