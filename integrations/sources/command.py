"""A scanner that is run as a command of the server's: semgrep, checkov, trivy, gitleaks, a CI's own script.

Which commands there are stands in the file CSPM_SCAN_COMMANDS alone, so that no page can have the server run something.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.sources import _processes
from triage.ports import DeliveryError, Offered, Options, Probe, Setting, Text

LABEL = _("Command")
MAKES = True
SETTINGS = (Setting("command", _("Command"), _("One of those in CSPM_SCAN_COMMANDS on the server."), required=True),)
SECONDS = 3_600
EXITS = (0, 1)  # most scanners answer 1 for findings
REPORT = "{report}"


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        _command(options)
        yield Probe(Text(_("The command")), True)
    except DeliveryError as error:
        yield Probe(Text(_("The command")), False, Text("%(said)s", {"said": str(error)}))


def leads_to(options: Options, /) -> str:  # noqa: ARG001 - it runs here
    return ""


def offered(slot: str, options: Options, /) -> Iterator[Offered]:
    yield Offered(f"{options['command']}", slot)


def fetch(offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]:  # noqa: ARG001
    wanted = _command(options)
    argv = [each.replace(REPORT, str(into)) for each in wanted["argv"]]
    output = None if any(REPORT in each for each in wanted["argv"]) else into
    code, said = _processes.run(
        argv, folder=into.parent, output=output, env=wanted.get("env", {}), seconds=wanted.get("seconds", SECONDS), stop=stop
    )
    if code not in wanted.get("exits", EXITS):
        raise DeliveryError(f"{argv[0]} ended with {code}: {said[-300:]}")
    if not into.exists() or not into.stat().st_size:
        raise DeliveryError(f"{argv[0]} ended with {code} and wrote no report: {said[-300:]}")
    return ()


def _command(options: Options) -> Mapping[str, Any]:
    known: Mapping[str, Mapping[str, Any]] = options["server"]["commands"]
    if options["command"] not in known:
        raise DeliveryError(
            f"CSPM_SCAN_COMMANDS has no “{options['command']}”, but: {', '.join(known) or 'none'}", permanent=True
        )
    return known[options["command"]]
