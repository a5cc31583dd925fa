"""A bundle's pages: for reading, without a script or anything from outside. What counts is in events.jsonl, which they are made from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, ngettext

from triage.domain.bundles.population import Wanted
from triage.domain.bundles.verifier import SEVERITIES, Said
from triage.domain.rows import written
from triage.models import Checkpoint

STYLE = """
:root{color-scheme:light dark;--line:#8884;--quiet:#7a7a7a}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;line-height:1.3;margin:.2em 0}table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:start;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line)}th{font-weight:600}
td{overflow-wrap:anywhere}td:not(:nth-last-child(-n+2)){white-space:nowrap}.quiet,small{color:var(--quiet)}code{font-size:.9em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}td:not(:nth-last-child(-n+2)){white-space:normal}}
"""
HIDDEN = ("trail_id", "due_original", "scanner_severity")  # these are in events.jsonl
PAGE = """<!doctype html>
<html lang="{}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{}</title><style>{}</style></head>
<body>{}</body></html>
"""


def index(rows: Mapping[str, Mapping[str, str]], sampled: Sequence[str], *, wanted: Wanted, head: Checkpoint) -> str:
    """What the bundle is about, and the sampled findings."""
    late = sum(row["breached"] == "yes" for row in rows.values())
    facts = (
        (gettext("Period"), f"{written(wanted.since)} – {written(wanted.to)}"),
        (gettext("Chosen by"), " ".join(filter(None, (wanted.query, wanted.framework))) or gettext("everything")),
        (gettext("Population"), ngettext("%(n)s finding", "%(n)s findings", len(rows)) % {"n": len(rows)}),
        (gettext("Past their deadline"), late),
        (gettext("Signed head"), gettext("%(n)s leaves") % {"n": head.size}),
    )
    body = format_html(
        '<h1>{}</h1>{}<p>{} <a href="population.csv">population.csv</a> · <a href="controls.csv">controls.csv</a> ·'
        ' <a href="exceptions.json">exceptions.json</a> · <a href="roles.json">roles.json</a></p><h2>{}</h2>{}<p class="quiet">{}</p>',
        gettext("Evidence bundle"), _facts(facts), gettext("For machines and spreadsheets:"), gettext("Sample"),
        _table(
            (gettext("Finding"), gettext("Severity"), gettext("Detected"), gettext("Due"), gettext("Fixed"), gettext("Status"),
             gettext("Check")),
            ((format_html('<a href="findings/{}.html">{}</a>', name, name), rows[name]["severity"], _day(rows[name]["detected_at"]),
              _day(rows[name]["due_at"]), _day(rows[name]["fixed_at"]), rows[name]["status"], rows[name]["title"] or rows[name]["check"])
             for name in sampled),
        ),
        gettext("These pages are for reading. Whether they are true, verify.py says: see README.txt."),
    )  # fmt: skip
    return _page(gettext("Evidence bundle"), body)


def story(
    row: Mapping[str, str], events: Sequence[Said], people: Mapping[str, Mapping[str, str]], absent: Mapping[str, str]
) -> str:
    """One finding from its detection on."""
    facts = (
        (gettext("Asset"), row["asset"]), (gettext("Account"), f"{row['account']} {row['account_name']}".strip()),
        (gettext("Region"), row["region"]), (gettext("Owner"), row["team"] or gettext("nobody")),
        (gettext("Severity"), row["severity"]), (gettext("Detected"), row["detected_at"]), (gettext("Due"), row["due_at"]),
        (gettext("Fixed"), row["fixed_at"]), (gettext("Confirmed by"), _proof(row, absent)),
    )  # fmt: skip
    body = format_html(
        '<p><a href="../index.html">{}</a></p><h1>{} · {}</h1>{}<h2>{}</h2>{}',
        gettext("Evidence bundle"), row["finding"], row["title"] or row["check"], _facts(facts), gettext("Timeline"),
        _table(
            (gettext("When"), gettext("What"), gettext("By"), gettext("Says"), gettext("Leaf")),
            ((said.sealed["at"][:19].replace("T", " "), said.sealed["kind"], _by(said.sealed["actor"], people),
              _says(said, absent), said.leaf) for said in events),
        ),
    )  # fmt: skip
    return _page(row["finding"], body)


def _shown(name: str, value: object) -> str:
    if name in ("severity", "scanner_severity") and isinstance(value, int):
        return SEVERITIES[value]
    return "–" if value in (None, "") else str(value)


def _says(said: Said, absent: Mapping[str, str]) -> SafeString:
    before: Mapping[str, Any] = said.sealed.get("before") or said.words.get("before") or {}
    after: Mapping[str, Any] = said.sealed.get("after") or said.words.get("after") or {}
    parts = [
        f"{name}: {_shown(name, before[name])} → {_shown(name, value)}" if name in before else f"{name}: {_shown(name, value)}"
        for name, value in after.items()
        if name not in HIDDEN and (value or before.get(name))
    ]
    lines = format_html_join("", "<div><small>{}</small></div>", ((part,) for part in parts))
    reason = said.words.get("reason") or ""
    digest = said.sealed.get("evidence") or (after.get("evidence") if said.sealed["kind"] == "checked" else None)
    return format_html("{}{}{}", reason, lines, _link(digest, absent) if digest else "")


def _proof(row: Mapping[str, str], absent: Mapping[str, str]) -> SafeString | str:
    if row["fixed_evidence"]:
        return _link(row["fixed_evidence"], absent)
    return gettext("scan S-%(n)s") % {"n": row["fixed_scan"]} if row["fixed_scan"] else ""


def _link(digest: str, absent: Mapping[str, str]) -> SafeString:
    if digest in absent:
        return format_html("<div><code>{}</code> {}</div>", digest, absent[digest])
    return format_html('<div><a href="../evidence/{}"><code>{}</code></a></div>', digest, digest)


def _by(actor: str, people: Mapping[str, Mapping[str, str]]) -> str:
    name = people.get(actor, {}).get("name")
    return f"{name} ({actor})" if name else actor


def _facts(facts: Iterable[tuple[str, object]]) -> SafeString:
    return format_html("<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", (fact for fact in facts if fact[1] != "")))


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    head = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, body)


def _day(moment: str) -> str:
    return moment[:10]


def _page(title: str, body: SafeString) -> str:
    return format_html(PAGE, get_language() or "en", title, SafeString(STYLE), body)
