"""AWS by boto3: a session in the finding's account, each exchange recorded, each error read for what it says.

How an account is reached is in REACH. Credentials come from where boto3 finds them: environment, profile, instance.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws_calls import ACTIONS
from triage.ports import Exchange, Judgement, Outcome, Setting, Target, Text

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.loaders import Loader

DENIED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthorizationError", "AuthorizationErrorException",
        "Forbidden", "UnauthorizedOperation", "403",
    }
)  # fmt: skip
NO_CREDENTIALS = frozenset(
    {
        "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId",
        "InvalidClientTokenId", "InvalidToken", "MissingAuthenticationToken", "NotSignedUp", "OptInRequired", "RequestExpired",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
    }
)  # fmt: skip

REACH = {
    "aws": (
        Setting("role_arn", _("Role to assume"), _("It trusts whoever runs the worker; `cspm aws policy` prints what it has to allow.")),
        Setting("external_id", _("External id"), _("As the trust policy of the role asks for it.")),
        Setting("profile", _("Profile"), _("Of the AWS configuration where the worker runs.")),
        Setting("region", _("Region"), _("For what has no region of its own.")),
        Setting("regions", _("Regions to collect"), _("Only those, separated by commas; without any, all that the account "
                                                      "has enabled.")),
        Setting("collect", _("Collect"), _("`daily`: a worker enumerates the account once a day.")),
        Setting("endpoint_url", _("Endpoint"), _("Of a compatible cloud, such as https://s3.fr-par.scw.cloud.")),
    )
}  # fmt: skip

Verdict = tuple[bool, Text]
"""Whether the check passes now, and why."""

Judge = Callable[["Account"], Verdict]
FRESH = 60.0  # seconds: so long an answer counts for the other findings of a batch
PAGES = 200


class Stop(Exception):
    """The check cannot be answered; the outcome says why not."""

    def __init__(self, outcome: Outcome, summary: Text, *, missing: str = "") -> None:
        super().__init__(str(summary))
        self.outcome = outcome
        self.summary = summary
        self.missing = missing


class Reach:
    """An account's credentials, clients and what was answered lately: shared by the targets of one batch."""

    def __init__(self, target: Target) -> None:
        self.account, self.options = target.account, target.options
        self.principal = ""
        self.entry: tuple[Exchange, ...] | None = None
        self.closed: Stop | None = None
        self.answers: dict[str, tuple[float, Exchange | None, dict[str, Any] | Exception]] = {}
        self._credentials: Mapping[str, Any] | None = None
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def become(self, credentials: Mapping[str, Any]) -> None:
        self._credentials, self._session = credentials, None
        self._clients.clear()

    def client(self, service: str, region: str) -> Any:
        if (service, region) not in self._clients:
            from botocore.config import Config  # noqa: PLC0415 - heavy

            if self._session is None:
                self._session = _session(self.options, self._credentials)
            client = self._session.client(
                service,
                region_name=region,
                endpoint_url=self.options.get("endpoint_url") or None,
                config=Config(
                    connect_timeout=5,
                    read_timeout=15,
                    retries={"mode": "adaptive", "total_max_attempts": 4},
                    user_agent_extra="cspm-triage",
                ),
            )
            events = client.meta.events
            events.register("before-parameter-build.*.*", _remember)
            events.register("before-sign.s3-control.*", _without_account_in_host)
            self._clients[service, region] = client
        return self._clients[service, region]


class Account:
    """A finding's account, as the credentials reach it, and the exchanges that this finding's judgement rests on."""

    def __init__(self, target: Target, at: datetime, reach: Reach) -> None:
        self.target = target
        self.exchanges: list[Exchange] = []
        self.at = at
        # Asked in another region, an asset would look as if it were gone: the option counts for what has none.
        own = target.region if target.region != "global" else ""
        self.region = own or target.options.get("region") or "us-east-1"
        self._reach = reach

    @property
    def principal(self) -> str:
        """The caller's ARN, once the account was entered."""
        return self._reach.principal

    @property
    def name(self) -> str:
        """The last part of the asset's ARN: `vol-0a1b`, `alice`, `orders-db`."""
        return self.target.asset.rpartition("/")[2].rpartition(":")[2]

    def enter(self) -> None:
        """Assume the account's role, if one is configured, and make sure that the credentials belong to the finding's account.

        Once a batch. Raises Stop.
        """
        reach = self._reach
        if reach.entry is None:
            try:
                self._enter()
            except Stop as stop:
                reach.closed = stop
            reach.entry = tuple(self.exchanges)
        else:
            self.exchanges += reach.entry
        if reach.closed is not None:
            raise reach.closed

    def _enter(self) -> None:
        options, reach = self.target.options, self._reach
        role = options.get("role_arn")
        if role:
            request: dict[str, Any] = {"RoleArn": role, "RoleSessionName": "cspm-triage-verification", "DurationSeconds": 900}
            if options.get("external_id"):
                request["ExternalId"] = options["external_id"]
            assumed = self.ask("sts", "assume_role", permission=f"sts:AssumeRole ({role})", **request)
            reach.become(assumed["Credentials"])
        caller = self.ask("sts", "get_caller_identity")
        reach.principal = caller["Arn"]
        if caller["Account"] != self.target.account:
            raise Stop(
                Outcome.CANNOT,
                Text(
                    _("The credentials belong to account %(ours)s, the finding to account %(theirs)s. Give that account a role."),
                    {"ours": caller["Account"], "theirs": self.target.account},
                ),
            )

    def ask(
        self,
        service: str,
        operation: str,
        *,
        region: str = "",
        permission: str = "",
        absent: str = "",
        gone: frozenset[str] = frozenset(),
        **request: Any,
    ) -> dict[str, Any]:
        """One call. `absent`: the error code that says that nothing is configured, answered as {}. `gone`: codes of no asset.

        An operation that ACTIONS lacks is a KeyError: so the policy that we ask for is never short. Raises Stop.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - heavy, and the web process asks nothing

        action = permission or ACTIONS[service][operation]
        region = region or self.region
        known = json.dumps([service, operation, region, request], sort_keys=True, default=str)
        lately = self._reach.answers.get(known)
        if lately is None or time.monotonic() - lately[0] > FRESH:
            lately = self._reach.answers[known] = (time.monotonic(), *self._call(service, operation, region, request))
        _asked, exchange, answer = lately
        if exchange is not None:
            self.exchanges.append(exchange)
        if isinstance(answer, ClientError):
            if absent and answer.response["Error"]["Code"] == absent:
                return {}
            raise self._refusal(answer, action, gone) from answer
        if isinstance(answer, Exception):
            raise _unreached(answer) from answer
        return answer

    def ask_all(self, service: str, operation: str, key: str, **request: Any) -> list[Any]:
        """All pages of a list, at most `PAGES`: what is not all is an error, and no verdict. Raises Stop."""
        found: list[Any] = []
        for _page in range(PAGES):
            answer = self.ask(service, operation, **request)
            found += answer.get(key, [])
            token_in, token_out = _tokens(self._reach.client(service, request.get("region") or self.region), operation)
            if not token_out or not answer.get(token_out):
                return found
            request[token_in] = answer[token_out]
        raise Stop(
            Outcome.ERROR, Text(_("AWS answered more than %(n)s pages to %(operation)s."), {"n": PAGES, "operation": operation})
        )

    def _call(
        self, service: str, operation: str, region: str, request: Mapping[str, Any]
    ) -> tuple[Exchange | None, dict[str, Any] | Exception]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy
        from botocore.parsers import ResponseParserError  # noqa: PLC0415 - an answer that is not AWS's

        heard: list[Exchange] = []

        def record(parsed: dict[str, Any], model: Any, context: dict[str, Any], **_event: Any) -> None:
            meta = parsed.get("ResponseMetadata", {})
            answer = {name: value for name, value in parsed.items() if name not in ("ResponseMetadata", "Credentials")}
            date = meta.get("HTTPHeaders", {}).get("date")
            heard.append(
                Exchange(
                    service=model.service_model.service_name,
                    operation=model.name,
                    request=context.get("cspm_request", {}),
                    response={"HTTPStatusCode": meta.get("HTTPStatusCode")} | answer,
                    request_id=meta.get("RequestId", ""),
                    region=region,
                    at=parsedate_to_datetime(date) if date else self.at,
                )
            )

        try:
            client = self._reach.client(service, region)
        except BotoCoreError as error:
            return None, error
        client.meta.events.register("after-call.*.*", record, unique_id="cspm-record")
        try:
            answer: dict[str, Any] | Exception = getattr(client, operation)(**request)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            answer = error
        finally:
            client.meta.events.unregister("after-call.*.*", record, unique_id="cspm-record")
        return (heard[-1] if heard else None), answer

    def _refusal(self, error: "ClientError", permission: str, gone: frozenset[str]) -> Stop:
        code = error.response["Error"]["Code"]
        refused = error.response["ResponseMetadata"].get("HTTPStatusCode") == 403 and code not in NO_CREDENTIALS
        if code in gone:
            return asset_gone(self)
        if code in DENIED or refused:
            return Stop(
                Outcome.DENIED,
                Text(_("AWS does not let %(who)s do %(permission)s."), {"who": self.principal or "?", "permission": permission}),
                missing=permission,
            )
        if code in NO_CREDENTIALS:
            return Stop(
                Outcome.DENIED, Text(_("AWS does not accept the credentials: %(code)s."), {"code": code}), missing="credentials"
            )
        return Stop(
            Outcome.ERROR, Text(_("AWS answered %(code)s to %(operation)s."), {"code": code, "operation": error.operation_name})
        )


def verified(targets: Sequence[Target], at: datetime, judges: Mapping[str, Judge]) -> Iterator[Judgement]:
    """The frame of each AWS verifier: enter the account, judge, and turn whatever happens into an outcome."""
    reach: Reach | None = None
    for target in targets:
        if reach is None or (reach.account, reach.options) != (target.account, target.options):
            reach = Reach(target)
        yield _judged(Account(target, at, reach), judges[target.check])


def _judged(account: Account, judge: Judge) -> Judgement:
    missing = ""
    try:
        account.enter()
        passes, summary = judge(account)
        outcome = Outcome.FIXED if passes else Outcome.FAILING
    except Stop as stop:
        outcome, summary, missing = stop.outcome, stop.summary, stop.missing
    return Judgement(
        outcome=outcome,
        summary=summary,
        exchanges=tuple(account.exchanges),
        principal=account.principal,
        missing=missing,
        tools=tools(),
    )


def _session(options: Mapping[str, str], credentials: Mapping[str, Any] | None) -> Any:
    import boto3  # noqa: PLC0415 - heavy
    import botocore.session  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    core = botocore.session.Session(profile=options.get("profile"))
    core.register_component("data_loader", _loader())
    if credentials is None and _is_simulated(options) and core.get_credentials() is None:
        credentials = {"AccessKeyId": "simulated", "SecretAccessKey": "simulated", "SessionToken": None}
    try:
        return boto3.Session(
            botocore_session=core,
            aws_access_key_id=credentials["AccessKeyId"] if credentials else None,
            aws_secret_access_key=credentials["SecretAccessKey"] if credentials else None,
            aws_session_token=credentials["SessionToken"] if credentials else None,
        )
    except BotoCoreError as error:
        raise _unreached(error) from error


def _is_simulated(options: Mapping[str, str]) -> bool:
    """A cloud on this machine asks for a signature, and for nobody's."""
    return urlsplit(options.get("endpoint_url", "")).hostname in ("127.0.0.1", "::1", "localhost")


@cache
def _loader() -> "Loader":
    """Service descriptions, read once a process: they are most of what a new session costs."""
    import botocore.session  # noqa: PLC0415 - heavy

    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader


@cache
def tools() -> dict[str, str]:
    """Versions of what asks."""
    import boto3  # noqa: PLC0415 - heavy
    import botocore  # noqa: PLC0415

    return {"boto3": boto3.__version__, "botocore": botocore.__version__}


def _unreached(error: Exception) -> Stop:
    from botocore.exceptions import (  # noqa: PLC0415 - heavy
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        TokenRetrievalError,
    )

    absent = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, TokenRetrievalError)
    if isinstance(error, absent):
        summary = Text(_("There are no AWS credentials where the worker runs (%(error)s)."), {"error": type(error).__name__})
        return Stop(Outcome.DENIED, summary, missing="credentials")
    return Stop(Outcome.ERROR, Text(_("AWS could not be reached (%(error)s)."), {"error": type(error).__name__}))


def _tokens(client: Any, operation: str) -> tuple[str, str]:
    """Names of the token to ask with and of the one that is answered, ('', '') where there are no pages.

    Raises NotImplementedError for pages that need more than a name: the first of them must not pass for all.
    """
    if not client.can_paginate(operation):
        return "", ""
    config = client.get_paginator(operation)._pagination_cfg  # noqa: SLF001 - the paginator itself would hide the exchanges
    token_in, token_out = config["input_token"], config["output_token"]
    if not (isinstance(token_in, str) and isinstance(token_out, str) and token_out.isidentifier()):
        raise NotImplementedError(operation)
    return token_in, token_out


def _remember(params: Mapping[str, Any], context: dict[str, Any], **_event: Any) -> None:
    context["cspm_request"] = dict(params)


def _without_account_in_host(request: Any, **_event: Any) -> None:
    """S3 Control puts the account before the host's name, which only Amazon's own name servers know."""
    parts = urlsplit(request.url)
    account, _dot, host = parts.netloc.partition(".")
    if (
        account.isdecimal()
        and len(account) == 12
        and not parts.netloc.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
    ):
        request.url = parts._replace(netloc=host).geturl()


def asset_gone(account: Account, name: str = "") -> Stop:
    """That the asset is not there; `name`: where its identifier is another's, as that of a policy within a user is."""
    return Stop(Outcome.GONE, Text(_("%(asset)s no longer exists."), {"asset": name or account.target.asset}))
