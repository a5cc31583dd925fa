"""A finding in code is verified by running its scanner again over the repository: a source that makes reports, and names it.

What the run says of everything else counts, too: it is a report like any other, imported by the same door.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from django.utils.translation import gettext_noop as _

from triage.domain import connections, ingest, sources
from triage.models import Account, Connection, Finding, Presence, Scan, ScanScope, ScanState, SourceReport, Status
from triage.ports import Exchange, Judgement, Outcome, Text

NAME = "rescan"  # of this verifier, where others have the names of their files

GONE_QUIET = _("The scanner was rerun on the repository and no longer reports it (%(scan)s).")
FAILS = _("The scanner was run again and still reports it (%(scan)s).")
NOT_COVERED = _("The scanner was run again, but its report does not cover this finding (%(scan)s).")
NOT_RUN = _("The scanner could not be run again: %(said)s")


def places() -> dict[int, Connection]:
    """Numbers of the repositories whose findings can be scanned again, with the source that does."""
    rows = Connection.objects.filter(kind="sources", state__in=connections.SENDING, options__repository__gt="").order_by("-pk")
    making = {str(row.options["repository"]): row for row in rows if sources.makes(row)}
    known = Account.objects.filter(provider="code", uid__in=making) if making else Account.objects.none()
    return {account.pk: making[account.uid] for account in known}


def verify(findings: Sequence[Finding], *, clock: Callable[[], datetime]) -> Iterator[Judgement]:
    """A judgement for each, in their order; findings of one repository. The scanner is run once for all of them."""
    source = places().get(findings[0].account_id)
    brought = sources.now(source, clock=clock) if source else []
    scans = {row.scan_id: row for row in brought if row.scan_id is not None}
    if not scans:
        said = next((str(Text(row.said["message"], row.said["params"])) for row in brought if row.said), _silent(source))
        for _finding in findings:
            yield Judgement(Outcome.ERROR, Text(NOT_RUN, {"said": said}))
        return
    done = [ingest.run(number, clock=clock) for number in scans]
    for finding in findings:
        yield _judged(finding, done, scans, clock())


def _silent(source: Connection | None) -> str:
    return source.state_reason if source and source.state_reason else "no report"


def _judged(finding: Finding, scans: Sequence[Scan], brought: dict[int, SourceReport], at: datetime) -> Judgement:
    failed = next((scan for scan in scans if scan.state not in (ScanState.DONE, ScanState.DUPLICATE)), None)
    if failed is not None:
        problem = (
            Text(failed.problem["message"], failed.problem["params"])
            if failed.problem
            else Text("%(said)s", {"said": str(failed)})
        )
        return Judgement(Outcome.ERROR, Text(NOT_RUN, {"said": str(problem)}))
    now = Finding.objects.get(pk=finding.pk)
    # of its own stream: another category or branch of the same tool neither reports it nor says that it is gone
    scope = (
        ScanScope.objects.filter(scan__in=scans, stream__places__finding=finding, complete=True)
        .select_related("scan")
        .order_by("-at", "-pk")
        .first()
    )
    if scope is None:
        return Judgement(Outcome.CANNOT, Text(NOT_COVERED, {"scan": str(scans[0])}))
    scan = scope.scan
    proof = (_exchange(finding, scan, brought[scan.pk], at),)
    tools = {scan.scanner: scan.version}
    if now.status == Status.VERIFIED or now.presence != Presence.REPORTED:
        return Judgement(Outcome.FIXED, Text(GONE_QUIET, {"scan": str(scan)}), proof, tools=tools)
    return Judgement(Outcome.FAILING, Text(FAILS, {"scan": str(scan)}), proof, tools=tools)


def _exchange(finding: Finding, scan: Scan, brought: SourceReport, at: datetime) -> Exchange:
    """What was run, and the report that came of it, which is kept under its own hash."""
    return Exchange(
        service="rescan",
        operation=brought.name,
        request={
            "source": brought.connection.name,
            "version": brought.version,
            "repository": finding.account.uid,
            "check": finding.check_ref.key,
        },
        response={"scan": str(scan), "report_sha256": bytes(scan.sha256).hex(), "size": scan.size, "counts": scan.counts},
        request_id=brought.version,
        region="",
        at=at,
    )
