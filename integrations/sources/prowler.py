"""Prowler, in its own environment, over the accounts that verifications know how to reach."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event

from django.utils.translation import gettext_noop as _

from integrations.sources import _processes
from triage.ports import DeliveryError, Offered, Options, Probe, Setting, Text

LABEL = _("Prowler")
MAKES = True
PROVIDERS = ("aws", "azure", "gcp", "kubernetes", "m365", "github")
SETTINGS = (
    Setting("provider", _("Provider"), default="aws", choices=PROVIDERS),
    Setting("accounts", _("Accounts"), _("Separated by commas; without any, all of them that verifications know how to reach.")),
    Setting("services", _("Services"), _("Only those, separated by commas.")),
    Setting("regions", _("Regions"), _("Only those, separated by commas.")),
    Setting("hours", _("Maximum hours"), _("A scan that takes longer is stopped."), default="4", seldom=True),
)
EXITS = (0, 3)  # 3: something fails
DENIED = re.compile(r"\b(?:AccessDenied\w*|UnauthorizedOperation|AuthorizationFailed|Forbidden|PERMISSION_DENIED)\b")
ACTIONS = (re.compile(r"perform: ([a-z0-9-]+:[A-Za-z0-9]+)"), re.compile(r"calling the ([A-Za-z0-9]+) operation"))


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        prowler = _prowler(options)
        passed, said = prowler.is_file(), Text(_("There is no %(path)s."), {"path": str(prowler)})
    except DeliveryError as error:
        passed, said = False, Text("%(said)s", {"said": str(error)})
    yield Probe(Text(_("Prowler in its own environment")), passed, None if passed else said)
    yield Probe(Text(_("Accounts that can be reached")), bool(_accounts(options)))


def leads_to(options: Options, /) -> str:
    return str(options.get("provider") or "aws")


def offered(slot: str, options: Options, /) -> Iterator[Offered]:
    for uid in _accounts(options):
        yield Offered(uid, slot)


def fetch(offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]:
    provider, reach = str(options.get("provider") or "aws"), _reach(options).get(offered.name, {})
    argv = [str(_prowler(options)), provider, "-M", "csv", "-F", "report", "-o", str(into.parent), "-b", "--no-color"]
    argv += ["--log-level", "ERROR", "--log-file", str(into.parent / "errors.jsonl")]
    for flag, name in (("--services", "services"), ("--region", "regions")):
        if words := _words(options.get(name)):
            argv += [flag, *words]
    if provider == "aws":
        argv += [part for flag, name in (("-R", "role_arn"), ("-I", "external_id"), ("-p", "profile")) if reach.get(name)
                 for part in (flag, str(reach[name]))]  # fmt: skip
    elif which := {"azure": "--subscription-ids", "gcp": "--project-ids", "kubernetes": "--context"}.get(provider):
        argv += [which, offered.name]
    env = {"AWS_ENDPOINT_URL": str(reach["endpoint_url"])} if reach.get("endpoint_url") else {}
    code, said = _processes.run(
        argv, folder=into.parent, output=None, env=env, seconds=3_600 * float(options.get("hours") or 4), stop=stop
    )
    if code not in EXITS:
        raise DeliveryError(f"Prowler ended with {code}: {said[-300:]}")
    found = sorted(into.parent.glob("report*.csv"))
    if not found:
        raise DeliveryError(f"Prowler ended with {code} and found nothing to look at: {said[-300:]}")
    found[0].rename(into)
    return _denied(into.parent / "errors.jsonl")


def _denied(log: Path) -> Sequence[Text]:
    """Prowler calls some checks passed that it was not allowed to look at (its issue 12872): only this log tells."""
    if not log.exists():
        return ()
    missing: set[str] = set()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said = str(json.loads(line).get("message", ""))
        except (ValueError, AttributeError):
            said = line
        if DENIED.search(said):
            named = next(filter(None, (pattern.search(said) for pattern in ACTIONS)), None)
            missing.add(named[1] if named else said[:100])
    if not missing:
        return ()
    return (
        Text(
            _("Prowler was refused %(missing)s: what it calls passed there may not be. Allow it, and let it scan again."),
            {"missing": ", ".join(sorted(missing)[:20])},
        ),
    )


def _accounts(options: Options) -> Sequence[str]:
    return _words(options.get("accounts")) or sorted(uid for uid, reach in _reach(options).items() if reach)


def _reach(options: Options) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = options["reach"].get(str(options.get("provider") or "aws"), {})
    return found


def _words(text: object) -> list[str]:
    return [word for word in re.split(r"[,\s]+", str(text or "")) if word]


def _prowler(options: Options) -> Path:
    python = str(options["server"]["prowler"] or "")
    if not python:
        raise DeliveryError("CSPM_PROWLER names no environment of Prowler", permanent=True)
    return Path(python).with_name("prowler")
