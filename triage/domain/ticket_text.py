"""What a ticket says, as Markdown in the wanted language: what is wrong where, whose it is and why, until when, how to fix it.

Texts of scanners are shown as they are, except that none of them can begin HTML, leave its table cell or close its code block.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from triage.models import Check, Finding, Severity, Status, Verification
from triage.ports import Severity as PortSeverity
from triage.ports import TicketDraft

TITLE = 240
ROWS = 50
PARAGRAPH = 4000


def draft(*, mark: str, findings: Sequence[Finding], language: str) -> TicketDraft:
    """The ticket for findings of one check, owner and account, the worst first; with asset, check, account, team and trail."""
    findings = sorted(findings, key=lambda finding: (-finding.severity, finding.pk))
    worst = findings[0]
    due = min((finding.due_at for finding in findings if finding.due_at), default=None)
    with translation.override(language):
        return TicketDraft(
            mark=mark,
            title=_title(findings),
            body=_body(findings, due),
            severity=PortSeverity(worst.severity),
            due_at=due,
            labels=("cspm", worst.check_ref.scanner, *((worst.team.slug,) if worst.team else ())),
            fields={"team": worst.team.slug if worst.team else "", "account": worst.account.uid, "check": worst.check_ref.key},
        )


def settled(findings: Iterable[Finding], proofs: dict[int, Verification], *, language: str) -> str:
    """Why the ticket is closed: each finding with what showed it. `proofs`: the run that verified a finding, where one did."""
    with translation.override(language):
        lines = [_("Nothing is left to fix here, so this ticket is closed."), ""]
        for finding in findings:
            line = f"- {finding}: {_state(finding)}"
            proof = proofs.get(finding.pk)
            if proof is not None and proof.evidence_id is not None:
                line += " · " + _("evidence SHA-256 %(hash)s") % {"hash": bytes(proof.evidence_id).hex()}
            lines.append(line)
        return "\n".join(lines)


def failing(findings: Iterable[Finding], runs: dict[int, Verification], *, language: str) -> str:
    """Why a ticket that was done is open again: what the check said. `runs`: the last verification of a finding."""
    with translation.override(language):
        lines = [_("The check was run again and still fails, so this ticket is open again."), ""]
        for finding in findings:
            run = runs.get(finding.pk)
            lines.append(f"- {finding}: {said(run.summary)}" if run and run.summary else f"- {finding}: {_flat(finding.message)}")
            if run is not None and run.evidence_id is not None:
                lines[-1] += " · " + _("evidence SHA-256 %(hash)s") % {"hash": bytes(run.evidence_id).hex()}
        return "\n".join(lines)


def again(findings: Iterable[Finding], *, language: str) -> str:
    """Why a closed ticket is open again: what was fixed is back."""
    with translation.override(language):
        lines = [_("What was fixed here is back, so this ticket is open again."), ""]
        return "\n".join(lines + [_row_line(finding) for finding in findings])


def added(findings: Iterable[Finding], *, language: str) -> str:
    """More findings of the same group."""
    with translation.override(language):
        return "\n".join([_("The same check fails on more assets:"), "", *(_row_line(finding) for finding in findings)])


def said(text: dict[str, object]) -> str:
    """A stored Text in the language that is active."""
    message, params = str(text["message"]), text.get("params")
    return _flat(_(message) % params if params else _(message))


def _title(findings: Sequence[Finding]) -> str:
    worst = findings[0]
    about = worst.check_ref.title or worst.check_ref.key
    where = worst.asset.name or worst.asset.uid
    if len(findings) > 1:
        where = _("%(asset)s and %(n)s more") % {"asset": where, "n": len(findings) - 1}
    title = re.sub(r"\s+", " ", f"[{Severity(worst.severity).label}] {about} – {where}")
    return title if len(title) <= TITLE else title[: TITLE - 1] + "…"


def _body(findings: Sequence[Finding], due: datetime | None) -> str:
    worst = findings[0]
    account = worst.account
    facts = [
        (_("Account"), f"{_flat(account.name)} ({_code(account.uid)})" if account.name else _code(account.uid)),
        (_("Check"), f"{_code(worst.check_ref.key)} ({worst.check_ref.scanner})"),
        (_("Owner"), _owner(worst)),
        (_("Due"), _when(due) if due else _("no due date")),
    ]
    parts = ["\n".join(f"- **{name}**: {value}" for name, value in facts), _table(findings)]
    parts += _explanation(worst.check_ref)
    then = _("Set this ticket to done. The check is run again: when it passes the ticket is closed, when not it is opened again.")
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
            _flat(finding.message),
        ]
        for finding in findings[:ROWS]
    ]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if len(findings) > ROWS:
        lines += ["", _("… and %(n)s more.") % {"n": len(findings) - ROWS}]
    return "\n".join(lines)


def _explanation(check: Check) -> list[str]:
    """What is wrong, why it matters, and how it is fixed: as far as the scanner says it."""
    parts = []
    if check.description:
        parts.append(f"## {_('What is wrong')}\n\n{_prose(check.description)}")
    if check.risk:
        parts.append(f"## {_('Risk')}\n\n{_prose(check.risk)}")
    steps = [_prose(check.remediation)] if check.remediation else []
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


def _row_line(finding: Finding) -> str:
    return f"- [{finding}]({link(finding)}) {_code(finding.asset.uid)} {_flat(finding.message)}"


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
