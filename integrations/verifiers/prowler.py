"""Prowler itself, asked again: any of its checks that no verifier here answers by itself.

It runs in an environment of its own, whose Python is the setting CSPM_PROWLER; without it, nothing is answered. Its exit code says
nothing and its silence neither: only a row about that very resource does, and only if nothing was refused while it was made.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop as _

from integrations.parsers._prowler import SCANNER, is_stand_in
from integrations.verifiers._aws import DENIED, FRESH, NO_CREDENTIALS, Account, Reach, Stop
from integrations.verifiers._aws_calls import NAMED
from integrations.verifiers._aws_existence import is_there
from triage.ports import Exchange, Judgement, Outcome, Target, Text

LABEL = "Prowler"
CHECKS: frozenset[tuple[str, str]] = frozenset()

SCRIPT = Path(__file__).with_name("_prowler_check.py")
NAME = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")  # a check is a module that is imported: nothing else may be one
PORT_CHECK = "ec2_securitygroup_allow_ingress_from_internet_to_"
ALL_PORTS, ANY_PORT = f"{PORT_CHECK}all_ports", f"{PORT_CHECK}any_port"
ERRORS = ("ERROR", "CRITICAL")
SHOWN = 50  # rows and lines of log in evidence

# What a run may know of our environment: where things are, how the net is reached, and the credentials of its own cloud.
PLAIN = (
    "PATH", "HOME", "LANG", "TZ", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
CREDENTIALS = {
    "aws": ("AWS_",),
    "azure": ("AZURE_", "IDENTITY_", "MSI_"),
    "gcp": ("GOOGLE_", "CLOUDSDK_", "GCE_METADATA_"),
    "kubernetes": (
        "KUBECONFIG",
        "KUBERNETES_",
        "K8S_",
        "CLUSTER_NAME",
        "AWS_",
        "AZURE_",
        "GOOGLE_",
        "CLOUDSDK_",
    ),  # plugins sign in
    "m365": ("AZURE_", "M365_"),
    "github": ("GITHUB_PERSONAL_ACCESS_TOKEN", "GITHUB_OAUTH_APP_TOKEN", "GITHUB_APP_ID", "GITHUB_APP_KEY"),
}
LOCAL = ("127.0.0.1", "::1", "localhost")
SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|_KEY$|CERTIFICATE_CONTENT")

REFUSED = re.compile(
    r"access ?denied|\bunauthorized\b|not authorized|\bforbidden\b|(?<![\w-])40[13](?![\w-])|AuthorizationFailed|RequestDenied"
    r"|permission[ _]?denied|insufficient[ _]?(?:permission|privilege)|not accessible by"
    r"|does not have [\w.]* ?(?:permission|authorization|access)",
    re.IGNORECASE,
)
LINE = re.compile(r"\w+\[\d+\]")  # where in Prowler's source it happened
# Answers that are sent as refusals: that a service is not switched on, or that another account is its administrator.
STATE = re.compile(r"is not enabled|not subscribed|No default admin|only available to .* Administrators", re.IGNORECASE)
# Errors that say that something is not configured. That the asset itself is not there, none of them says.
ABSENT = re.compile(r"\((?!NoSuchBucket\))(?:NoSuch\w+|\w*NotFound\w*)\)|\(404\)\s+Reason|HttpError 404")
UNKNOWN_TO_CLOUD = re.compile(
    r"NoCredentials|CredentialsError|CredentialUnavailable|Authentication|EnvironmentVariable|Unable to locate credentials|ProfileNotFound"
    r"|SetUpSession|SetUpIdentity|InvalidKubeConfig|AccessKeyIDInvalid|SecretAccessKeyInvalid|TokenExpired|"
    + "|".join(sorted(NO_CREDENTIALS))
)
PERMISSIONS = (
    re.compile(r"not authorized to perform: (?P<named>[\w-]+:\w+)"),  # AWS
    re.compile(r"perform(?:ing)? action '(?P<named>[\w./*-]+)'"),  # Azure
    re.compile(r"[Pp]ermission '(?P<named>[\w.]+)' denied|Required '(?P<too>[\w.]+)' permission"),  # Google
    re.compile(r"cannot (?P<named>\w+ resource \\?\"[\w./-]+)"),  # Kubernetes
)
AWS_PREFIXES = {"monitoring": "cloudwatch"}  # signs as one, and is allowed as the other

DIED = _("Prowler's process ended without an answer: %(said)s.")
LATE = _("Prowler did not answer within %(n)s seconds.")
ABSENT_PYTHON = _("Prowler's Python, %(path)s, cannot be run (%(error)s).")
NO_PROWLER = _("There is no Prowler where %(path)s looks for it (%(said)s).")
UNSUPPORTED = _("Prowler's checks of %(provider)s cannot be run again here.")
WRONG_VERSION = _("Prowler %(version)s cannot be asked: this needs Prowler 5.")
NO_CHECK = _("Prowler %(version)s has no check %(check)s.")
NO_CREDENTIALS_SAID = _("Prowler could not sign in: %(said)s.")
UNREACHED = _("Prowler could not begin: %(said)s.")
FOREIGN = _("Prowler reached %(ours)s, and the finding belongs to %(theirs)s.")
NOT_ALLOWED = _("%(who)s may not do all that Prowler asks, so that its word does not count. Missing: %(these)s.")
FAULTY = _("Something went wrong while Prowler asked, so that its word does not count: %(said)s.")
PASSES = _("Prowler's check passes: %(said)s")
CAME = _("What was missing is there, and Prowler's check passes: %(said)s")
FAILS = _("Prowler's check fails: %(said)s")
BY_HAND = _("Prowler leaves this to a person: %(said)s")
NO_ROW = _("Prowler says nothing of %(asset)s, and that proves nothing.")
THERE = _("Prowler says nothing of %(asset)s, which is there all the same.")


class Question(NamedTuple):
    """What one process answers. `options`: sorted pairs. `everywhere`: in all regions, asked from this one."""

    provider: str
    account: str
    region: str
    options: tuple[tuple[str, str], ...]
    checks: tuple[str, ...]
    everywhere: bool = False


def answers(scanner: str, check: str) -> bool:
    """Any check of Prowler that is a module, where there is a Prowler."""
    return scanner == SCANNER and bool(settings.PROWLER) and NAME.fullmatch(check) is not None


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    """Targets of one question share a process while its answer is fresh; nothing is kept from one call to the next."""
    known: dict[Question, tuple[float, dict[str, Any]]] = {}
    reach: Reach | None = None
    for target in targets:
        if target.provider not in CREDENTIALS:
            yield Judgement(Outcome.CANNOT, Text(UNSUPPORTED, {"provider": target.provider}))
            continue
        if reach is None or (reach.account, reach.options) != (target.account, target.options):
            reach = Reach(target)
        question = _question(target)
        judgement = _judged(target, question, _answer(question, known), Account(target, at, reach))
        if judgement.outcome is Outcome.FAILING and _stands_in(target):
            # What is missing here may be there in another region, and enough: only all of them tell.
            question = question._replace(everywhere=True)
            wider = _judged(target, question, _answer(question, known), Account(target, at, reach))
            judgement = replace(wider, exchanges=judgement.exchanges + wider.exchanges)
        yield judgement


def _answer(question: Question, known: dict[Question, tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    if question not in known or time.monotonic() - known[question][0] > FRESH:
        answer = _asked(question)
        known[question] = (time.monotonic(), answer)
    return known[question][1]


def _question(target: Target) -> Question:
    checks = [target.check]
    if target.check.startswith(PORT_CHECK):
        checks += [check for check in (ALL_PORTS, ANY_PORT) if check != target.check]
    options = tuple(sorted((name, value) for name, value in target.options.items() if value))
    return Question(target.provider, target.account, _region(target) if target.provider == "aws" else "", options, tuple(checks))


def _region(target: Target) -> str:
    """Where it is; for what is nowhere, the session's region stands in ids, and is that of the finding if that says one."""
    own = target.region if target.region != "global" else ""
    return own or target.options.get("region") or (target.asset.split(":") + [""] * 4)[3] or "us-east-1"


# --- asking -------------------------------------------------------------------------------------------------------------------


def _asked(question: Question) -> dict[str, Any]:
    """Prowler's document; `failed`, a Judgement, where there is none. The process and all that it started are gone afterwards."""
    seconds = settings.PROWLER_SECONDS
    environment = _environment(question)
    asked = json.dumps({**question._asdict(), "options": dict(question.options), "seconds": seconds})
    with tempfile.TemporaryDirectory(prefix="cspm-prowler-") as folder, tempfile.TemporaryFile(dir=folder) as log:
        try:
            process = subprocess.Popen(
                [settings.PROWLER, "-I", str(SCRIPT)],  # isolated: this folder has a prowler.py, too
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=folder, text=True, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            said = {"path": str(settings.PROWLER), "error": type(error).__name__}
            return {"failed": Judgement(Outcome.ERROR, Text(ABSENT_PYTHON, said))}
        try:
            output = process.communicate(asked, timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            return {"failed": Judgement(Outcome.ERROR, Text(LATE, {"n": seconds}))}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        try:
            answer: dict[str, Any] = json.loads(_without_secrets(output, environment))
        except ValueError:
            log.seek(0)
            last = log.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
            said = {"said": _without_secrets(last, environment)[:300] or f"exit {process.returncode}"}
            return {"failed": Judgement(Outcome.ERROR, Text(DIED, said))}
    return answer


def _environment(question: Question) -> dict[str, str]:
    wanted = CREDENTIALS[question.provider]
    environment = {name: value for name, value in os.environ.items() if name in PLAIN or name.startswith(wanted)}
    if question.provider == "aws":
        options = dict(question.options)
        environment |= {"AWS_REGION": question.region, "AWS_DEFAULT_REGION": question.region}
        endpoint = options.get("endpoint_url", "")
        if endpoint:
            environment["AWS_ENDPOINT_URL"] = endpoint
        keys = options.get("profile") or {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & environment.keys()
        if not keys and urlsplit(endpoint).hostname in LOCAL:  # asks for a signature, and for nobody's
            environment |= {"AWS_ACCESS_KEY_ID": "simulated", "AWS_SECRET_ACCESS_KEY": "simulated"}
    return environment


def _without_secrets(text: str, environment: Mapping[str, str]) -> str:
    for name, value in environment.items():
        if SECRET.search(name) and len(value) >= 8:
            text = text.replace(value, "•••").replace(json.dumps(value)[1:-1], "•••")
    return text


# --- judging ------------------------------------------------------------------------------------------------------------------


def _judged(target: Target, question: Question, answer: Mapping[str, Any], account: Account) -> Judgement:
    if "failed" in answer:
        failed: Judgement = answer["failed"]
        return failed
    rows = _rows(target, answer.get("rows", ()), everywhere=question.everywhere)
    exchanges = [_exchange(target, question, answer, rows)]
    try:
        outcome, summary = _verdict(target, answer, rows)
        missing = ""
    except _Silent:
        outcome, summary, missing = _silence(target, account)
        exchanges += account.exchanges
    except Stop as stop:
        outcome, summary, missing = stop.outcome, stop.summary, stop.missing
    return Judgement(
        outcome=outcome,
        summary=summary,
        exchanges=tuple(exchanges),
        principal=answer.get("principal", ""),
        missing=missing,
        tools={"prowler": answer.get("prowler", "?"), "python": answer["python"]},
    )


class _Silent(Exception):
    """There is no row of the asset, and nothing else is to be said."""


def _verdict(target: Target, answer: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[Outcome, Text]:
    """Raises Stop for what is no verdict, _Silent."""
    _stop_if_impossible(target, answer)
    reached = [str(one) for one in answer["accounts"]]
    if target.account.casefold() not in map(str.casefold, reached):
        raise Stop(Outcome.CANNOT, Text(FOREIGN, {"ours": ", ".join(reached[:5]), "theirs": target.account}))
    if lacking := _lacking(answer):
        said = {"who": answer["principal"] or "?", "these": ", ".join(lacking[:10])}
        raise Stop(Outcome.DENIED, Text(NOT_ALLOWED, said), missing=lacking[0])
    for line in answer["log"]:
        if line["level"] in ERRORS and line["matters"] and not ABSENT.search(line["said"]):
            raise Stop(Outcome.ERROR, Text(FAULTY, {"said": line["said"][:300]}))
    own = [row for row in rows if row["check"] == target.check]
    # A group that is open on all ports may pass the check of some, which leaves it to the check of all.
    siblings = [row for row in rows if row["check"] == ALL_PORTS and "tcp_port" in target.check]
    for row in (*own, *siblings):
        if row["status"] == "FAIL":
            return Outcome.FAILING, Text(FAILS, {"said": row["said"]})
    for row in own:
        if row["status"] != "PASS":
            return Outcome.CANNOT, Text(BY_HAND, {"said": row["said"]})
    if not own:
        raise _Silent
    came = not _is_of(target, own[0])
    return Outcome.FIXED, Text(CAME if came else PASSES, {"said": own[0]["said"]})


def _stop_if_impossible(target: Target, answer: Mapping[str, Any]) -> None:
    impossible = answer.get("impossible")
    if not impossible:
        return
    said, version = impossible["said"], answer.get("prowler", "?")
    match impossible["stage"]:
        case "absent":
            raise Stop(Outcome.CANNOT, Text(NO_PROWLER, {"path": str(settings.PROWLER), "said": said}))
        case "version":
            raise Stop(Outcome.CANNOT, Text(WRONG_VERSION, {"version": said}))
        case "provider":
            raise Stop(Outcome.CANNOT, Text(UNSUPPORTED, {"provider": target.provider}))
        case "check":
            raise Stop(Outcome.CANNOT, Text(NO_CHECK, {"version": version, "check": target.check}))
    if UNKNOWN_TO_CLOUD.search(said):
        raise Stop(Outcome.DENIED, Text(NO_CREDENTIALS_SAID, {"said": said[:300]}), missing="credentials")
    if _refuses(said):
        missing = _permission(said) or "credentials"
        raise Stop(Outcome.DENIED, Text(NO_CREDENTIALS_SAID, {"said": said[:300]}), missing=missing)
    raise Stop(Outcome.ERROR, Text(UNREACHED, {"said": said[:300]}))


def _rows(target: Target, rows: Iterable[Mapping[str, Any]], *, everywhere: bool) -> list[Mapping[str, Any]]:
    """Those of the asset, its own region before others; if it stands for what was missing and is not there, those of its place.

    Where it was missing from its region, and is not when all of them are asked, those of the others have settled it.
    """
    checks = {target.check, ALL_PORTS} if target.check.startswith(PORT_CHECK) else {target.check}
    ours = [row for row in rows if row["check"] in checks and row["account"].casefold() == target.account.casefold()]
    found = [row for row in ours if _is_of(target, row)]
    if target.provider != "aws":
        return found
    if not found and _stands_in(target):
        here = [row for row in ours if row["region"] == target.region or not target.region]
        return here or (ours if everywhere else [])
    return [row for row in found if row["region"] == target.region] or found


def _stands_in(target: Target) -> bool:
    return target.provider == "aws" and is_stand_in(target.asset, target.asset_name, target.account)


def _is_of(target: Target, row: Mapping[str, Any]) -> bool:
    """Whether the row is of the asset. Objects of Kubernetes have another uid after each roll-out, and IAM the session's region."""
    if target.provider == "kubernetes" and (row["name"], row["region"]) == (target.asset_name, target.region):
        return True
    return _plain(row["uid"]) == _plain(target.asset)


def _plain(uid: str) -> str:
    parts = uid.split(":")
    if uid.startswith("arn:") and len(parts) > 5:
        return ":".join([*parts[:3], "", *parts[4:]]) if parts[2] == "iam" else uid
    return uid.casefold()


def _lacking(answer: Mapping[str, Any]) -> list[str]:
    """Permissions that were missing, those first that the check needs; `credentials` for what is not accepted at all.

    One refusal counts for nothing: what Prowler expects (it logs no error: another account is the administrator, say), of a call
    that the check does not look at. No permission would change it.
    """
    found: dict[str, None] = {}
    errors = [line["said"] for line in answer["log"] if line["level"] in ERRORS]
    for call in answer["refused"]:
        expected = not call["matters"] and not any(f"calling the {call['operation']} operation" in said for said in errors)
        if expected or STATE.search(call["said"]):
            continue
        if call["code"] in NO_CREDENTIALS:
            found["credentials"] = None
        elif call["code"] in DENIED or call["status"] == 403:
            found[_permission(call["said"]) or _action(call)] = None
    for line in answer["log"]:
        said = line["said"]
        known = answer["provider"] == "aws" and "An error occurred (" in said  # as a call, which was recorded
        if _refuses(said) and not known:
            found[_permission(said) or line["service"]] = None
    return list(found)


def _refuses(said: str) -> bool:
    return REFUSED.search(LINE.sub("", said)) is not None and STATE.search(said) is None


def _permission(said: str) -> str:
    for pattern in PERMISSIONS:
        if match := pattern.search(said):
            return next(named for named in match.groups() if named).replace('\\"', "").replace('"', "")
    return ""


def _action(call: Mapping[str, Any]) -> str:
    operation = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", call["operation"]).lower()
    prefix = AWS_PREFIXES.get(call["prefix"], call["prefix"])
    return NAMED.get(call["service"], {}).get(operation) or f"{prefix}:{call['operation']}"


def _silence(target: Target, account: Account) -> tuple[Outcome, Text, str]:
    """What it means that there is no row: gone, if the cloud itself says so, and nothing else."""
    said = {"asset": target.asset}
    if target.provider != "aws" or _stands_in(target):
        return Outcome.CANNOT, Text(NO_ROW, said), ""
    try:
        return Outcome.CANNOT, Text(THERE if is_there(account) else NO_ROW, said), ""
    except Stop as stop:
        if stop.outcome is Outcome.GONE:
            return Outcome.GONE, stop.summary, ""
        return Outcome.CANNOT, Text(NO_ROW, said), ""


def _exchange(target: Target, question: Question, answer: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Exchange:
    """What was asked, and of the answer what is of this asset: its rows, what was logged, the calls that were made."""
    kept = ("impossible", "accounts", "checks", "rows_left_out", "calls_left_out", "seconds", "cpu")
    return Exchange(
        service="prowler",
        operation=target.check,
        request={
            "provider": target.provider, "account": target.account, "region": question.region, "everywhere": question.everywhere,
            "resource": target.asset, "checks": list(question.checks), "scan_unused_services": True,
            "prowler": answer.get("prowler", "?"), "python": answer["python"],
        },
        response={
            **{name: answer[name] for name in kept if name in answer},
            "rows": list(rows)[:SHOWN],
            "rows_in_all": len(answer.get("rows", ())),
            "log": list(answer.get("log", ()))[:SHOWN],
            "calls": [
                {name: value for name, value in call.items() if value and name not in ("prefix", "said", "in")}
                for call in answer.get("calls", ())
            ],
        },
        request_id="",
        region=target.region,
        at=datetime.fromisoformat(answer["at"]),
    )  # fmt: skip
