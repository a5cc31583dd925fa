"""Markdown as Jira's wiki markup, which Cloud (REST v2) and Data Center both take. Nothing of a text becomes markup of its own.

Source: https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all
"""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

_READER = MarkdownIt("commonmark", {"html": False}).enable("table")
_ALWAYS = re.compile(r"[\\{}\[\]|*!]")
_AT_AN_EDGE = re.compile(r"(?<![^\W_])[-_+^~?]|[-_+^~?](?![^\W_])")  # a mark begins or ends a word; within one it is a letter
_FACES = re.compile(r"\((?=(?:[!?/xyni*+-]|on|off|\*[rgby])\))|(?<=[:;])[()DP](?!\w)")
_AT_THE_START = re.compile(r"^(\s*)(?=h[1-6]\.|bq\.|#)", re.MULTILINE)


def of_markdown(text: str) -> str:
    """The document, without trailing space."""
    return _blocks(_READER.parse(text)).strip()


def escaped(text: str) -> str:
    """Text that shows as it is."""
    text = _ALWAYS.sub(r"\\\g<0>", text)
    text = _AT_AN_EDGE.sub(r"\\\g<0>", text)
    text = _FACES.sub(r"\\\g<0>", text)
    return _AT_THE_START.sub(r"\1\\", text)


def _blocks(tokens: Sequence[Token]) -> str:
    document = _Document()
    for token in tokens:
        document.take(token)
    return "\n".join(document.lines)


class _Document:
    """The lines so far, and what the next text belongs to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._markers: list[str] = []  # of the lists that are open
        self._cells: list[str] = []
        self._inside = ""  # h1 to h6, th, td
        self._begins = False  # an item

    def take(self, token: Token) -> None:
        kind = token.type
        if kind in ("heading_open", "th_open", "td_open"):
            self._inside = token.tag
        elif kind in ("bullet_list_open", "ordered_list_open"):
            self._markers.append("*" if kind.startswith("bullet") else "#")
        elif kind == "list_item_open":
            self._begins = True
        elif kind == "inline":
            self._text(_inline(token.children or []))
        elif kind in ("fence", "code_block"):
            self.lines += [_code(token.content, token.info.strip()), ""]
        elif kind == "hr":
            self.lines += ["----", ""]
        else:
            self._end(kind)

    def _end(self, kind: str) -> None:
        if kind in ("bullet_list_close", "ordered_list_close"):
            self._markers.pop()
            if not self._markers:
                self.lines.append("")
        elif kind == "tr_close":
            bar = "||" if self._inside == "th" else "|"
            self.lines.append(bar + bar.join(self._cells) + bar)
            self._cells, self._inside = [], ""
        elif kind == "table_close":
            self.lines.append("")

    def _text(self, text: str) -> None:
        if self._inside in ("th", "td"):
            self._cells.append(text.replace("\n", " ") or " ")
        elif self._inside:
            self.lines += [f"{self._inside}. {text}".replace("\n", " "), ""]
            self._inside = ""
        elif self._markers:
            self.lines.append(f"{''.join(self._markers)} {text}" if self._begins else text)
            self._begins = False
        else:
            self.lines += [text, ""]


def _inline(tokens: Sequence[Token]) -> str:
    out: list[str] = []
    targets: list[str] = []
    for token in tokens:
        match token.type:
            case "text":
                out.append(escaped(token.content))
            case "code_inline":
                out.append("{{" + escaped(token.content) + "}}")
            case "strong_open" | "strong_close":
                out.append("*")
            case "em_open" | "em_close":
                out.append("_")
            case "link_open":
                targets.append(_address(str(token.attrGet("href") or "")))
                out.append("[")
            case "link_close":
                out.append(f"|{targets.pop()}]")
            case "softbreak" | "hardbreak":
                out.append("\n")
            case _:
                out.append(escaped(token.content))
    return "".join(out)


def _address(href: str) -> str:
    return re.sub(r"[|\]\[{}\s\\]", lambda found: f"%{ord(found[0]):02X}", href)


def _code(content: str, language: str) -> str:
    macro = "noformat" if "{code" in content else "code"
    content = content.rstrip("\n").replace("{noformat", "{ noformat")
    name = f":{language}" if macro == "code" and re.fullmatch(r"bash|json|yaml|python|sql|xml", language) else ""
    return f"{{{macro}{name}}}\n{content}\n{{{macro}}}"
