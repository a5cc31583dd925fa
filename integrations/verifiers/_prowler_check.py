"""Run by the Python of Prowler's own environment, never by ours: a question on standard input, one JSON document on standard output.

    {"provider": "aws", "account": "123456789012", "region": "eu-west-1", "everywhere": false,
     "options": {…}, "checks": ["…", …], "seconds": 300}

It uses Prowler as a library, as its command line spends nearly a minute before it begins. Each question has a process of its own:
Prowler's clients are globals of modules, and answer a second question from what they read for the first one.

What is said is what Prowler found and what went wrong meanwhile; what follows from it is for who asked.
"""

import ast
import importlib
import inspect
import json
import logging
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROWS, CALLS, LENGTH = 20_000, 500, 600  # at most so many rows and calls, and so many characters of what is said of them
# Of a cloud's error, as it stands in a message.
CODE = re.compile(r"\(\w+\)(?: when calling the \w+ operation)?|\w+(?:Error|Exception)\b(?!\[)")
MUTATING = frozenset({"add", "append", "extend", "insert", "pop", "remove", "setdefault", "update"})
PASSING, ITERATING = (
    frozenset({"get", "items", "keys", "setdefault", "values"}),
    frozenset({"enumerate", "list", "reversed", "sorted", "zip"}),
)


class Impossible(Exception):
    """There will be no rows. `stage`: absent, version, provider, reach or check; `said`: the error, in Prowler's words."""

    def __init__(self, stage: str, said: str) -> None:
        super().__init__(said)
        self.stage, self.said = stage, said


def main() -> None:
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Prowler prints, too
    begun = time.monotonic()
    question = json.load(sys.stdin)
    signal.alarm(question["seconds"] + 30)  # whoever asked may be dead, and kills nobody then
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    said: dict[str, Any] = {"provider": question["provider"], "python": platform.python_version(), "at": at}
    try:
        said |= answered(question, said)
    except Impossible as impossible:
        said["impossible"] = {"stage": impossible.stage, "said": impossible.said[:LENGTH]}
    said |= {"seconds": round(time.monotonic() - begun, 1), "cpu": round(sum(os.times()[:2]), 1)}
    json.dump(said, answer, default=str)
    answer.close()
    os._exit(0)  # Prowler's threads may hang on


def answered(question: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The rows of all checks, and what was logged and refused while they ran. Raises Impossible."""
    said["prowler"] = version()
    kind = question["provider"]
    if kind not in PROVIDERS:
        raise Impossible("provider", kind)
    log = Log()
    calls = recorded_calls() if kind == "aws" else []
    provider, row = reached(kind, question, said, log)
    log.records.clear()
    calls.clear()  # of Prowler's own way in: who it is, which regions there are, whose organization
    rows: list[dict[str, Any]] = []
    ran: list[str] = []
    for name in question["checks"]:
        check = loaded(kind, name, needed=name == question["checks"][0])
        if check is None:
            continue
        ran.append(name)
        try:
            found = check.execute()
        except Exception as error:  # noqa: BLE001 - a check that crashes has no rows, and says why
            log.crashed(check.execute, error)
            continue
        rows += [
            {"check": name, "status": each.status, "said": each.status_extended[:LENGTH], **row(provider, each)} for each in found
        ]
    needs = Needs(kind, ran)
    refused = {(call["service"], call["operation"], call["code"], call["in"]): call for call in calls if call["code"]}
    for call in refused.values():
        call["matters"] = needs.touched(*call["in"])
    rows.sort(key=lambda each: bool(each["status"] != "FAIL"))
    return {
        "checks": ran,
        "rows": rows[:ROWS],
        "rows_left_out": max(0, len(rows) - ROWS),
        "log": log.told(needs),
        "calls": calls[:CALLS],
        "calls_left_out": max(0, len(calls) - CALLS),
        "refused": sorted(refused.values(), key=lambda call: not call["matters"]),
    }


def version() -> str:
    """Raises Impossible for what is not Prowler 5."""
    try:
        found = str(importlib.import_module("prowler.config.config").prowler_version)
    except (ImportError, AttributeError) as error:
        raise Impossible("absent", f"{type(error).__name__}: {error}") from error
    if not found.startswith("5."):
        raise Impossible("version", found)
    return found


def reached(
    kind: str, question: Mapping[str, Any], said: dict[str, Any], log: "Log"
) -> tuple[Any, Callable[[Any, Any], dict[str, Any]]]:
    """Prowler's provider, and what makes rows of its reports; who asks, and whom that reaches, is said. Raises Impossible."""
    make, whom, row = PROVIDERS[kind]
    try:
        provider = make(question)
        importlib.import_module("prowler.providers.common.provider").Provider.set_global_provider(provider)
        metadata = importlib.import_module("prowler.providers.common.models").Audit_Metadata
        provider.audit_metadata = metadata(
            services_scanned=0, expected_checks=list(question["checks"]), completed_checks=0, audit_progress=0
        )
        said |= whom(provider)
    except SystemExit as error:  # where Prowler gives up, the log alone says why
        raise Impossible("reach", str(log.records[-1].getMessage()) if log.records else f"exit {error.code}") from error
    except Exception as error:  # whatever Prowler and the clouds' libraries raise, it means: not reached
        raise Impossible("reach", f"{type(error).__name__}: {error}") from error
    return provider, row


def loaded(kind: str, name: str, *, needed: bool) -> Any:
    """The check, None for a sibling that this version has not. Raises Impossible."""
    module = f"prowler.providers.{kind}.services.{name.partition('_')[0]}.{name}.{name}"
    try:
        return getattr(importlib.import_module(module), name)()
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or "?"):
            raise Impossible("reach", f"{type(error).__name__}: {error}") from error
        if needed:
            raise Impossible("check", name) from error
        return None
    except (Exception, SystemExit) as error:  # the import is what reads the account: all can happen
        raise Impossible("reach", f"{type(error).__name__}: {error}") from error


# --- providers ----------------------------------------------------------------------------------------------------------------


def _provider(kind: str, class_name: str, **given: Any) -> Any:
    """With those arguments alone that this version's provider knows."""
    make = getattr(importlib.import_module(f"prowler.providers.{kind}.{kind}_provider"), class_name)
    known = inspect.signature(make).parameters
    return make(**{name: value for name, value in given.items() if name in known})


def _aws(question: Mapping[str, Any]) -> Any:
    options = question["options"]
    return _provider(
        "aws", "AwsProvider", regions=set() if question["everywhere"] else {question["region"]}, scan_unused_services=True,
        profile=options.get("profile"), role_arn=options.get("role_arn"), external_id=options.get("external_id"),
        role_session_name="cspm-triage-verification", session_duration=900,
    )  # fmt: skip


def _aws_whom(provider: Any) -> dict[str, Any]:
    """Asked again: after assuming a role, Prowler takes the account from the role's name."""
    caller = provider.session.current_session.client("sts", region_name=provider.identity.profile_region).get_caller_identity()
    return {"principal": caller["Arn"], "accounts": [caller["Account"]]}


def _azure(question: Mapping[str, Any]) -> Any:
    secret, cli = bool(os.environ.get("AZURE_CLIENT_SECRET")), (Path.home() / ".azure").is_dir()
    account = question["account"]
    return _provider(
        "azure", "AzureProvider", sp_env_auth=secret, az_cli_auth=cli and not secret, managed_identity_auth=not cli and not secret,
        subscription_ids=[account] if account != os.environ.get("AZURE_TENANT_ID") else [],
    )  # fmt: skip


def _gcp(question: Mapping[str, Any]) -> Any:
    return _provider(
        "gcp", "GcpProvider", project_ids=[question["account"]], credentials_file=os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    )


def _kubernetes(question: Mapping[str, Any]) -> Any:
    """The context of the cluster that the finding names, where a kubeconfig has one: the active one may be of another."""
    file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    context = None
    if Path(file).is_file():
        contexts, _active = importlib.import_module("kubernetes.config").list_kube_config_contexts(config_file=file)
        context = next((each["name"] for each in contexts if each["context"]["cluster"] == question["account"]), None)
    return _provider("kubernetes", "KubernetesProvider", kubeconfig_file=file, context=context)


def _m365(_question: Mapping[str, Any]) -> Any:
    certificate = bool(os.environ.get("M365_CERTIFICATE_CONTENT"))
    return _provider("m365", "M365Provider", certificate_auth=certificate, sp_env_auth=not certificate)


def _github(question: Mapping[str, Any]) -> Any:
    return _provider("github", "GithubProvider", organizations=[question["account"]])


def _github_name(provider: Any) -> str:
    return str(getattr(provider.identity, "account_name", "") or getattr(provider.identity, "app_name", ""))


def _row(report: Any, account: str, region: str) -> dict[str, Any]:
    return {"uid": str(report.resource_id), "name": str(report.resource_name), "region": region, "account": account}


def _azure_row(provider: Any, report: Any) -> dict[str, Any]:
    tenant = "Tenant:" in report.subscription
    return _row(report, provider.identity.tenant_ids[0] if tenant else report.subscription, report.location)


# How it is made, whom it reaches, and a row of its report: as Prowler's finding.py has them, which is what reports say.
PROVIDERS: dict[str, tuple[Callable[..., Any], Callable[..., dict[str, Any]], Callable[..., dict[str, Any]]]] = {
    "aws": (
        _aws,
        _aws_whom,
        lambda provider, report: {
            "uid": report.resource_arn, "name": report.resource_id, "region": report.region, "account": provider.identity.account,
        },
    ),
    "azure": (
        _azure,
        lambda provider: {
            "principal": f"{provider.identity.identity_type}: {provider.identity.identity_id}",
            "accounts": [*provider.identity.subscriptions, *provider.identity.tenant_ids],
        },
        _azure_row,
    ),
    "gcp": (
        _gcp,
        lambda provider: {"principal": provider.identity.profile, "accounts": list(provider.projects)},
        lambda _provider, report: _row(report, report.project_id, report.location),
    ),
    "kubernetes": (
        _kubernetes,
        lambda provider: {"principal": provider.identity.user, "accounts": [provider.identity.cluster]},
        lambda provider, report: _row(report, provider.identity.cluster, report.namespace),
    ),
    "m365": (
        _m365,
        lambda provider: {
            "principal": f"{provider.identity.identity_type}: {provider.identity.identity_id}",
            "accounts": [provider.identity.tenant_domain, provider.identity.tenant_id],
        },
        lambda provider, report: _row(report, provider.identity.tenant_domain, report.location),
    ),
    "github": (
        _github,
        lambda provider: {
            "principal": _github_name(provider),
            "accounts": [_github_name(provider), *getattr(provider, "organizations", [])],
        },
        lambda provider, report: _row(report, report.owner or _github_name(provider), report.owner),
    ),
}  # fmt: skip


# --- what went wrong ----------------------------------------------------------------------------------------------------------


class Log(logging.Handler):
    """What Prowler and the checks log, warnings and worse; and what threads raise, which Prowler passes over in silence."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []
        root = logging.getLogger()
        root.handlers[:] = [self]
        root.setLevel(logging.WARNING)
        submit = ThreadPoolExecutor.submit

        def submit_and_tell(pool: ThreadPoolExecutor, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
            return submit(pool, self._telling(call), *given, **named)

        ThreadPoolExecutor.submit = submit_and_tell  # type: ignore[assignment,method-assign]

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root":  # that is Prowler's; libraries have loggers of their own, and errors that nobody minds
            self.records.append(record)

    def crashed(self, call: Any, error: BaseException) -> None:
        """An error that is nobody's but Prowler's own."""
        code = getattr(call, "__code__", None)
        path, line, name = (code.co_filename, code.co_firstlineno, code.co_name) if code else ("?", 0, "?")
        said = f"{type(error).__name__}: {error}"
        self.records.append(logging.LogRecord("root", logging.ERROR, path, line, said, None, None, func=name))

    def told(self, needs: "Needs") -> list[dict[str, Any]]:
        """What was logged, once for each place and error, and whether it can change what the checks say. What can comes first."""
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for record in self.records:
            said, path = str(record.getMessage()), Path(record.pathname)
            where = f"{path.name}:{record.lineno} {record.funcName}"
            code = CODE.search(said)
            line = found.setdefault(
                (record.levelname, where, code[0] if code else said[:80]),
                {
                    "level": record.levelname,
                    "where": where,
                    "service": record.module.removesuffix("_service"),
                    "said": said[:LENGTH],
                    "matters": needs.touched(path.name, record.funcName or ""),
                    "times": 0,
                },
            )
            line["times"] += 1
        return sorted(found.values(), key=lambda line: not line["matters"])

    def _telling(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call, assigned=("__name__",) if hasattr(call, "__name__") else ())
        def told(*given: Any, **named: Any) -> Any:
            try:
                return call(*given, **named)
            except Exception as error:  # whatever it is, it goes on: only noted here
                self.crashed(call, error)
                raise

        return told


class Needs:
    """Which methods of the services that were read feed what these checks look at: an error in another one changes no verdict.

    Names alone are compared, so that it errs on the side of too many. A check looks at each attribute that its module names, and the
    modules of its service's `lib`. A method that writes one of them is needed, with all that it names itself, and so on.
    """

    def __init__(self, kind: str, checks: list[str]) -> None:
        base = f"prowler.providers.{kind}.services."
        ours = {
            name: module for name, module in sys.modules.items() if name.startswith(base) and getattr(module, "__file__", None)
        }
        self._names: dict[str, set[str]] = {}
        self._writes: dict[str, set[str]] = {}
        wanted: set[str] = set()
        for name, module in ours.items():
            tree = ast.parse(Path(str(module.__file__)).read_bytes())
            if name.endswith("_service"):
                wanted |= self._read(name, tree)
            elif ".lib." in name or name.rpartition(".")[2] in checks:
                wanted |= _names(tree)
        self._needed = self._closure(wanted)

    def touched(self, file: str, method: str) -> bool:
        """Whether what fails in this method can change a verdict. Also true of what is no method of a service, but a function."""
        return not file.endswith("_service.py") or method not in self._names or method in self._needed

    def _read(self, module: str, tree: ast.AST) -> set[str]:
        """Note what each method names and writes. Answered is what may be behind anything: conditions of constructors, hidden writers."""
        always: set[str] = set()
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        methods = [node for each in classes for node in each.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for method in methods:
            if method.name != "__init__":
                into = Locals(method).written()
                self._note(method.name, _names(method), into.union(_written(method)) - {""})
                always |= {method.name} if "" in into else set()
        for constructor in (method for method in methods if method.name == "__init__"):
            for node in ast.walk(constructor):
                if isinstance(node, ast.If):
                    always |= _names(node.test)
                elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                    self._note(f"{module}:{node.lineno}", _names(node), set(_written(node)))
                elif isinstance(node, ast.Call):
                    self._given(node)
        return always

    def _given(self, call: ast.Call) -> None:
        """`threads(self._get_policy, self.buckets)`: what the one does hangs on the others, and `threads` on none of the methods."""
        given = set().union(*(_names(each) for each in (*call.args, *call.keywords)))
        for name in given & self._names.keys():
            self._names[name] |= given
        if isinstance(call.func, ast.Attribute) and call.func.attr in self._names:
            self._names[call.func.attr] |= given - self._names.keys()

    def _note(self, name: str, names: set[str], writes: set[str]) -> None:
        self._names.setdefault(name, set()).update(names)
        self._writes.setdefault(name, set()).update(writes)

    def _closure(self, wanted: set[str]) -> set[str]:
        needed: set[str] = set()
        while more := {
            name for name in self._names.keys() - needed if name in wanted or not wanted.isdisjoint(self._writes[name])
        }:
            needed |= more
            wanted = wanted.union(*(self._names[name] for name in more))
        return needed


def _names(tree: ast.AST) -> set[str]:
    """Attributes, also those that are got by a text."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            found |= {each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found


def _written(tree: ast.AST) -> Iterator[str]:
    """Attributes that are set, of which a part is set, or of which a method is called that changes them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                yield node.attr
            elif node.attr in MUTATING:
                yield from _path(node.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield from _path(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
            yield from _names(node)


class Locals:
    """`for key in self.keys: key["policy"] = …` writes into `keys`: where the local names of a method come from."""

    def __init__(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._method = method
        self._given = {each.arg for each in ast.walk(method.args) if isinstance(each, ast.arg)}
        self._sources: dict[str, list[ast.AST]] = {}
        for node in ast.walk(method):
            if isinstance(node, ast.Assign):
                self._come_from(node.targets, node.value)
            elif isinstance(node, (ast.For, ast.AsyncFor)):
                self._come_from([node.target], node.iter)

    def written(self) -> set[str]:
        """Attributes of which a part is changed through a local name; '' for what the method was given, which may be part of anything."""
        found: set[str] = set()
        for node in ast.walk(self._method):
            stored = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
            called = isinstance(node, ast.Attribute) and node.attr in MUTATING
            if isinstance(node, (ast.Subscript, ast.Attribute)) and (stored or called):
                found |= self._origin(node.value, frozenset())
        return found

    def _come_from(self, targets: list[ast.expr], source: ast.AST) -> None:
        for name in {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}:
            self._sources.setdefault(name, []).append(source)

    def _origin(self, node: ast.AST, seen: frozenset[str]) -> set[str]:
        """What a call answers is new, except of those that hand out what is there."""
        attributes: set[str] = set()
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
                node = node.value
            elif isinstance(node, ast.Subscript):
                node = node.value
            elif isinstance(node.func, ast.Attribute) and node.func.attr in PASSING:
                node = node.func.value
            else:
                handed = node.args if getattr(node.func, "id", "") in ITERATING else []
                return attributes.union(*(self._origin(each, seen) for each in handed))
        if attributes or not isinstance(node, ast.Name) or node.id in seen:
            return attributes
        found = {""} if node.id in self._given else set()
        return found.union(*(self._origin(each, seen | {node.id}) for each in self._sources.get(node.id, ())))


def _path(node: ast.AST) -> Iterator[str]:
    """`a.b[c.d].e()` is at b and e; c.d only says which."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        node = node.func if isinstance(node, ast.Call) else node.value


def recorded_calls() -> list[dict[str, Any]]:
    """Each call to AWS from now on, and the code of its refusal: Prowler logs some of them as a warning, and some not at all."""
    client = importlib.import_module("botocore.client").BaseClient
    calls: list[dict[str, Any]] = []
    make = client._make_api_call  # noqa: SLF001 - the one place that all calls pass

    def make_and_note(self: Any, operation: str, given: Any) -> Any:
        self.meta.events.register("before-sign.s3-control.*", without_account_in_host, unique_id="cspm-host")
        code = said = ""
        answer: Any = {}
        try:
            answer = make(self, operation, given)
        except Exception as error:  # whatever it is, it goes on: only noted here
            answer = getattr(error, "response", {})
            code = answer.get("Error", {}).get("Code") or type(error).__name__
            said = str(error)[:LENGTH]
            raise
        finally:
            meta = answer.get("ResponseMetadata", {})
            calls.append(
                {
                    "service": self.meta.service_model.service_name,
                    "prefix": self.meta.service_model.signing_name,
                    "operation": operation,
                    "region": self.meta.region_name,
                    "status": meta.get("HTTPStatusCode", 0),
                    "request_id": meta.get("RequestId", ""),
                    "code": code,
                    "said": said,
                    "in": _caller(),
                }
            )
        return answer

    client._make_api_call = make_and_note  # noqa: SLF001
    return calls


def _caller() -> tuple[str, str]:
    """File and method of Prowler that asks, through however many layers."""
    frame = sys._getframe(2)  # noqa: SLF001 - a whole stack for each call would cost more than the call
    while frame.f_back is not None and f"{os.sep}prowler{os.sep}providers{os.sep}" not in frame.f_code.co_filename:
        frame = frame.f_back
    return os.path.basename(frame.f_code.co_filename), frame.f_code.co_name  # noqa: PTH119


def without_account_in_host(request: Any, **_event: Any) -> None:
    """S3 Control puts the account before the host's name, which only Amazon's own name servers know."""
    parts = urlsplit(request.url)
    account, _dot, host = parts.netloc.partition(".")
    if (
        account.isdecimal()
        and len(account) == 12
        and not parts.netloc.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
    ):
        request.url = parts._replace(netloc=host).geturl()


if __name__ == "__main__":
    main()
