"""The little Markdown that scanners write: bold, code, lists and fences become HTML; everything else is shown as it is."""

import re
from collections.abc import Iterator

from django import template
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

LONGEST = 20_000  # characters that are shown; a hostile report has a million
FENCE = re.compile(r"^\s*```[\w+-]*\s*$")
ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+(.*)$")
NUMBERED = re.compile(r"^\s*\d{1,2}[.)]\s")
# What is marked never contains its own mark, so that each text is read once, however many marks stay open.
MARKED = re.compile(r"\*\*([^*\n]+)\*\*|`([^`\n]+)`")


@register.filter
def scanner_text(text: str) -> SafeString:
    """Paragraphs, lists and code blocks. Every character of the scanner's is escaped."""
    lines = text[:LONGEST].replace("\r\n", "\n").split("\n")
    return mark_safe("".join(_blocks(lines)))  # noqa: S308 - put together from escaped parts


@register.filter
def unfenced(code: str) -> str:
    """Code without the fence around all of it."""
    lines = code[:LONGEST].strip().split("\n")
    if len(lines) > 2 and FENCE.match(lines[0]) and FENCE.match(lines[-1]):
        lines = lines[1:-1]
    return "\n".join(lines)


def _blocks(lines: list[str]) -> Iterator[SafeString]:
    held: list[str] = []
    kind = ""
    for line in [*lines, ""]:
        if kind == "code":
            if FENCE.match(line):
                yield _block(kind, held)
                held, kind = [], ""
            else:
                held.append(line)
            continue
        now = _kind(line)
        if now != kind and held:
            yield _block(kind, held)
            held = []
        kind = now
        if kind in ("text", "list", "numbers"):
            held.append(line)
    if held:
        yield _block(kind, held)  # a fence that nobody closed


def _kind(line: str) -> str:
    if FENCE.match(line):
        return "code"
    if not line.strip():
        return ""
    if ITEM.match(line):
        return "numbers" if NUMBERED.match(line) else "list"
    return "text"


def _block(kind: str, lines: list[str]) -> SafeString:
    if kind == "code":
        return format_html('<div class="code"><pre tabindex="0">{}</pre></div>', "\n".join(lines).rstrip())
    if kind == "text":
        return format_html("<p>{}</p>", format_html_join(mark_safe("<br>"), "{}", ((_inline(line.strip()),) for line in lines)))
    items = format_html_join("", "<li>{}</li>", ((_inline(_item(line)),) for line in lines))
    if kind == "list":
        return format_html("<ul>{}</ul>", items)
    return format_html('<ol start="{}">{}</ol>', int(re.match(r"\s*(\d+)", lines[0])[1]), items)  # type: ignore[index]


def _item(line: str) -> str:
    found = ITEM.match(line)
    return found.group(1) if found else line


def _inline(text: str) -> SafeString:
    parts: list[SafeString] = []
    end = 0
    for mark in MARKED.finditer(text):
        parts.append(conditional_escape(text[end : mark.start()]))
        bold, code = mark.groups()
        parts.append(format_html("<strong>{}</strong>", bold) if bold else format_html("<code>{}</code>", code))
        end = mark.end()
    return mark_safe("".join([*parts, conditional_escape(text[end:])]))  # noqa: S308 - all parts are escaped
