"""What a ticket says, as Markdown in the wanted language: what is wrong where, whose it is and why, until when, how to fix it.

Texts of scanners are shown as they are, except that none of them can begin HTML, leave its table cell or close its code block.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from triage.domain.masking import masked
from triage.models import Check, Disclosure, Finding, Severity, Status, Verification
from triage.ports import Severity as PortSeverity
from triage.ports import TicketDraft

TITLE = 240
ROWS = 50
PARAGRAPH = 4000


def draft(*, mark: str, findings: Sequence[Finding], language: str, disclosure: str = Disclosure.FULL) -> TicketDraft:
    """The ticket for findings of one group, the worst first; with asset, check, account, team and trail.

    `disclosure`: how much of it leaves the house.
    """
    findings = sorted(findings, key=lambda finding: (-finding.severity, finding.pk))
    worst = findings[0]
    due = due_of(findings)
    full = disclosure == Disclosure.FULL
    fields = {"team": worst.team.slug if worst.team else "", "account": worst.account.uid, "check": worst.check_ref.key}
    labels = (worst.check_ref.scanner, *((worst.team.slug,) if worst.team else ()))
    with translation.override(language):
        return TicketDraft(
            mark=mark,
            title=_title(findings, disclosure),
            body=_body(findings, due, disclosure),
            severity=PortSeverity(worst.severity),
            due_at=due if disclosure != Disclosure.LINK else None,
            labels=("cspm", *(labels if full else ())),
            fields=fields if full else {},
            link=link(worst) if len(findings) == 1 else f"{settings.BASE_URL.rstrip('/')}/?q=ticket:{mark}",
        )


def due_of(findings: Iterable[Finding]) -> datetime | None:
    """When the first of them is due."""
    return min((finding.due_at for finding in findings if finding.due_at), default=None)


def settled(
    findings: Iterable[Finding], proofs: dict[int, Verification], *, language: str, disclosure: str = Disclosure.FULL
) -> str:
    """Why the ticket is closed: each finding with what showed it. `proofs`: the run that verified a finding, where one did."""
    with translation.override(language):
        lines = [_("Nothing is left to fix here, so this ticket is closed."), ""]
        for finding in findings:
            line = f"- {finding}: {_state(finding)}"
            proof = proofs.get(finding.pk)
            if proof is not None and proof.evidence_id is not None and disclosure != Disclosure.LINK:
                line += " · " + _("evidence SHA-256 %(hash)s") % {"hash": bytes(proof.evidence_id).hex()}
            lines.append(line)
        return "\n".join(lines)


def failing(
    findings: Iterable[Finding], runs: dict[int, Verification], *, language: str, disclosure: str = Disclosure.FULL
) -> str:
    """Why a ticket that was done is open again: what the check said. `runs`: the last verification of a finding."""
    with translation.override(language):
        lines = [_("The check was run again and still fails, so this ticket is open again."), ""]
        return "\n".join(lines + [_failing_line(finding, runs.get(finding.pk), disclosure) for finding in findings])


def contested(
    findings: Iterable[Finding], runs: dict[int, Verification], *, language: str, disclosure: str = Disclosure.FULL
) -> str:
    """The check failed again after the ticket was opened again once: people have to talk."""
    with translation.override(language):
        lines = [
            _("This was marked as fixed once more, and the check still fails. The ticket stays unchanged; its "
              "deadline keeps running."), "",
        ]  # fmt: skip
        return "\n".join(lines + [_failing_line(finding, runs.get(finding.pk), disclosure) for finding in findings])


def _failing_line(finding: Finding, run: Verification | None, disclosure: str) -> str:
    if disclosure != Disclosure.FULL:
        return f"- [{finding}]({link(finding)})"
    line = f"- {finding}: {said(run.summary)}" if run and run.summary else f"- {finding}: {_quoted(finding)}"
    if run is not None and run.evidence_id is not None:
        line += " · " + _("evidence SHA-256 %(hash)s") % {"hash": bytes(run.evidence_id).hex()}
    return line


def again(findings: Iterable[Finding], *, language: str, disclosure: str = Disclosure.FULL) -> str:
    """Why a closed ticket is open again: what was fixed is back."""
    with translation.override(language):
        lines = [_("What was fixed here is back, so this ticket is open again."), ""]
        return "\n".join(lines + [_row_line(finding, disclosure) for finding in findings])


def added(findings: Iterable[Finding], *, language: str, disclosure: str = Disclosure.FULL) -> str:
    """More findings of the same group."""
    with translation.override(language):
        return "\n".join([_("The same check fails on more assets:"), "", *(_row_line(each, disclosure) for each in findings)])


def late(findings: Iterable[Finding], due: datetime, *, language: str) -> str:
    """The deadline has passed."""
    with translation.override(language):
        names = ", ".join(f"[{finding}]({link(finding)})" for finding in findings)
        return _("The deadline of %(findings)s has passed: %(due)s.") % {"findings": names, "due": _when(due)}


def inventory(findings: Iterable[Finding], *, language: str) -> str:
    """All findings of a ticket as CSV, for tickets that show some of them. Fields that a spreadsheet would compute are quoted."""
    with translation.override(language):
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow([_("Finding"), _("Severity"), _("Asset"), _("Region"), _("Due"), _("What the scanner says")])
        for finding in findings:
            due = _when(finding.due_at) if finding.due_at else ""
            cells = [
                str(finding), str(Severity(finding.severity).label), finding.asset.uid, finding.region, due, masked(finding.message),
            ]  # fmt: skip
            rows.writerow([f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell for cell in cells])
        return text.getvalue()


def said(text: dict[str, object]) -> str:
    """A stored Text in the language that is active."""
    message, params = str(text["message"]), text.get("params")
    return _flat(_(message) % params if params else _(message))


def _title(findings: Sequence[Finding], disclosure: str) -> str:
    worst = findings[0]
    if disclosure == Disclosure.LINK:
        return f"CSPM {worst}" + (" " + _("and %(n)s more") % {"n": len(findings) - 1} if len(findings) > 1 else "")
    if disclosure == Disclosure.MINIMAL:
        return _cut(f"[{Severity(worst.severity).label}] {worst.check_ref} – {worst}")
    about = str(worst.check_ref)
    where = worst.asset.name or worst.asset.uid
    if len(findings) > 1:
        where = _("%(asset)s and %(n)s more") % {"asset": where, "n": len(findings) - 1}
    return _cut(f"[{Severity(worst.severity).label}] {about} – {where}")


def _cut(title: str) -> str:
    title = re.sub(r"\s+", " ", title)
    return title if len(title) <= TITLE else title[: TITLE - 1] + "…"


def _body(findings: Sequence[Finding], due: datetime | None, disclosure: str) -> str:
    worst = findings[0]
    then = _("Set this ticket to done. The check is run again: when it passes the ticket is closed, when not it is opened again.")
    names = "\n".join(f"- [{finding}]({link(finding)})" for finding in findings[:ROWS])
    if disclosure == Disclosure.LINK:
        return f"{names}\n\n{then}"
    if disclosure == Disclosure.MINIMAL:
        facts = [(_("Severity"), str(Severity(worst.severity).label)), (_("Due"), _when(due) if due else _("no due date"))]
        lines = "\n".join(f"- **{name}**: {value}" for name, value in facts)
        return f"{lines}\n\n{_flat(str(worst.check_ref))}\n\n{names}\n\n{then}"
    account = worst.account
    facts = [
        (_("Account"), f"{_flat(account.name)} ({_code(account.uid)})" if account.name else _code(account.uid)),
        (_("Check"), f"{_code(worst.check_ref.key)} ({worst.check_ref.scanner})"),
        (_("Owner"), _owner(worst)),
        (_("Due"), _when(due) if due else _("no due date")),
    ]
    parts = ["\n".join(f"- **{name}**: {value}" for name, value in facts), _table(findings)]
    parts += _at_once(worst)
    parts += _explanation(worst.check_ref)
    return "\n\n".join([*parts, f"## {_('When it is fixed')}", then])


def _owner(finding: Finding) -> str:
    """The team, and which rule named it."""
    if finding.team is None:
        return _("nobody yet")
    why = next((step for step in finding.trail.steps if step.get("result") == "matched"), None)
    if finding.pinned or why is None:
        return _flat(finding.team.name) + (f" ({_('set by hand')})" if finding.pinned else "")
    return f"{_flat(finding.team.name)} ({said(why['why'])})" if why.get("why") else _flat(finding.team.name)


def _table(findings: Sequence[Finding]) -> str:
    head = [_("Finding"), _("Severity"), _("Asset"), _("Region"), _("Due"), _("What the scanner says")]
    rows = [head, ["---"] * len(head)]
    rows += [
        [
            f"[{finding}]({link(finding)})",
            str(Severity(finding.severity).label),
            _code(finding.asset.uid),
            _flat(finding.region),
            _when(finding.due_at) if finding.due_at else "",
            _quoted(finding),
        ]
        for finding in findings[:ROWS]
    ]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if len(findings) > ROWS:
        lines += ["", _("… and %(n)s more.") % {"n": len(findings) - ROWS}]
    return "\n".join(lines)


def _at_once(worst: Finding) -> list[str]:
    """What cannot wait for the fix: cut an exposure off."""
    if not worst.check_ref.exposes:
        return []
    until = _(" by %(due)s") % {"due": _when(worst.contain_due)} if worst.contain_due and not worst.contained_at else ""
    text = _(
        "This can be reached from outside. Cut it off%(until)s, even before it is fixed: close the access, revoke the key, stop"
        " the service. Then say what was done, and whether it had been used, on the finding's page."
    ) % {"until": until}
    return [f"## {_('At once')}\n\n{text}"]


def _explanation(check: Check) -> list[str]:
    """What is wrong, why it matters, and how it is fixed: as far as the scanner says it."""
    parts = []
    if check.description:
        parts.append(f"## {_('What is wrong')}\n\n{_prose(check.said_description)}")
    if check.risk:
        parts.append(f"## {_('Risk')}\n\n{_prose(check.said_risk)}")
    steps = [_prose(check.said_remediation)] if check.remediation else []
    steps += [
        f"### {name}\n\n{_block(code)}"
        for name, code in (
            (_("Console"), check.remediation_other),
            (_("Command line"), check.remediation_cli),
            ("Terraform", check.remediation_terraform),
        )
        if code
    ]
    if check.remediation_url.startswith("https://"):
        steps.append("<" + re.sub(r"[<>\s]", "", check.remediation_url) + ">")
    if steps:
        parts.append(f"## {_('How to fix it')}\n\n" + "\n\n".join(steps))
    return parts


def _row_line(finding: Finding, disclosure: str) -> str:
    name = f"- [{finding}]({link(finding)})"
    return f"{name} {_code(finding.asset.uid)} {_quoted(finding)}" if disclosure == Disclosure.FULL else name


def _quoted(finding: Finding) -> str:
    """What the scanner says, without the secrets that it quotes."""
    return _flat(masked(finding.message))


def link(finding: Finding) -> str:
    """The finding's page."""
    return f"{settings.BASE_URL.rstrip('/')}/findings/{finding}"


def _state(finding: Finding) -> str:
    if finding.status == Status.VERIFIED:
        return str(Status(finding.status).label) + (f" {_when(finding.settled_at)}" if finding.settled_at else "")
    return _("the asset is gone") if finding.presence == "gone" else str(Status(finding.status).label)


def _when(moment: datetime) -> str:
    """In the installation's zone, which is named, as a ticket has many readers."""
    zone = timezone.get_default_timezone()
    local = moment.astimezone(zone)
    return f"{formats.date_format(local, 'DATE_FORMAT')} {local:%H:%M} ({zone})"


def _flat(text: str) -> str:
    """One line that cannot begin HTML."""
    return re.sub(r"\s+", " ", text).strip().replace("<", "&lt;")[:PARAGRAPH]


def _prose(text: str) -> str:
    """Paragraphs of the scanner's own Markdown; its headings do not become ours."""
    return re.sub(r"(?m)^(\s*)#", r"\1\\#", text.strip().replace("<", "&lt;"))[:PARAGRAPH]


def _code(text: str) -> str:
    """A code span that the text cannot leave."""
    flat = re.sub(r"\s+", " ", text).strip()
    fence = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    return f"{fence}{flat}{fence}" if fence == "`" else f"{fence} {flat} {fence}"


def _block(text: str) -> str:
    """A code block that the text cannot close. Scanners often fence it themselves."""
    code = text.strip()
    fenced = re.fullmatch(r"```[\w-]*\n(.*?)\n?```", code, re.DOTALL)
    if fenced:
        code = fenced[1]
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", code)), default=0) + 1)
    return f"{fence}\n{code[:PARAGRAPH]}\n{fence}"
