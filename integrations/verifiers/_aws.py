"""AWS by boto3: a session in the finding's account, each exchange recorded, each error read for what it says.

Options of an account (none is a secret): `role_arn` and `external_id` to assume a role, `profile` of the AWS configuration,
`region`, `endpoint_url` for a compatible cloud. Credentials come from where boto3 finds them: environment, profile, instance.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from triage.ports import Exchange, Judgement, Outcome, Target, Text

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
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

Verdict = tuple[bool, Text]
"""Whether the check passes now, and why."""


class Stop(Exception):
    """The check cannot be answered; the outcome says why not."""

    def __init__(self, outcome: Outcome, summary: Text, *, missing: str = "") -> None:
        super().__init__(str(summary))
        self.outcome = outcome
        self.summary = summary
        self.missing = missing


class Account:
    """The finding's account, as the credentials reach it. Made by `verified`; `principal` is known once it was `entered`."""

    def __init__(self, target: Target, at: datetime) -> None:
        self.target = target
        self.principal = ""
        self.exchanges: list[Exchange] = []
        self._at = at
        self._region = target.options.get("region") or (target.region if target.region not in ("", "global") else "us-east-1")
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def enter(self) -> None:
        """Assume the account's role, if one is configured, and make sure that the credentials belong to the finding's account."""
        role = self.target.options.get("role_arn")
        if role:
            request: dict[str, Any] = {"RoleArn": role, "RoleSessionName": "cspm-triage-verification", "DurationSeconds": 900}
            if self.target.options.get("external_id"):
                request["ExternalId"] = self.target.options["external_id"]
            assumed = self.ask("sts", "assume_role", permission=f"sts:AssumeRole ({role})", **request)
            self._clients.clear()
            self._session = _session(self.target.options, assumed["Credentials"])
        caller = self.ask("sts", "get_caller_identity", permission="sts:GetCallerIdentity")
        self.principal = caller["Arn"]
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
        permission: str,
        absent: str = "",
        gone: frozenset[str] = frozenset(),
        **request: Any,
    ) -> dict[str, Any]:
        """One call. `absent`: the error code that says that nothing is configured, answered as {}. `gone`: codes of no asset.

        Raises Stop.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy, and the web process asks nothing

        try:
            answer: dict[str, Any] = getattr(self._client(service), operation)(**request)
        except ClientError as error:
            if absent and error.response["Error"]["Code"] == absent:
                return {}
            raise self._refusal(error, permission, gone) from error
        except BotoCoreError as error:
            raise _unreached(error) from error
        return answer

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            from botocore.config import Config  # noqa: PLC0415 - heavy

            if self._session is None:
                self._session = _session(self.target.options, None)
            client = self._session.client(
                service,
                region_name=self._region,
                endpoint_url=self.target.options.get("endpoint_url") or None,
                config=Config(
                    connect_timeout=5,
                    read_timeout=15,
                    retries={"mode": "standard", "total_max_attempts": 3},
                    user_agent_extra="cspm-triage",
                ),
            )
            events = client.meta.events
            events.register("before-parameter-build.*.*", _remember)
            events.register("after-call.*.*", self._record)
            events.register("before-sign.s3-control.*", _without_account_in_host)
            self._clients[service] = client
        return self._clients[service]

    def _record(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_event: Any) -> None:
        meta = parsed.get("ResponseMetadata", {})
        answer = {name: value for name, value in parsed.items() if name not in ("ResponseMetadata", "Credentials")}
        date = meta.get("HTTPHeaders", {}).get("date")
        self.exchanges.append(
            Exchange(
                service=model.service_model.service_name,
                operation=model.name,
                request=context.get("cspm_request", {}),
                response={"HTTPStatusCode": meta.get("HTTPStatusCode")} | answer,
                request_id=meta.get("RequestId", ""),
                region=self._region,
                at=parsedate_to_datetime(date) if date else self._at,
            )
        )

    def _refusal(self, error: "ClientError", permission: str, gone: frozenset[str]) -> Stop:
        code = error.response["Error"]["Code"]
        refused = error.response["ResponseMetadata"].get("HTTPStatusCode") == 403 and code not in NO_CREDENTIALS
        if code in gone:
            return Stop(Outcome.GONE, Text(_("%(asset)s does not exist any more."), {"asset": self.target.asset}))
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


def verified(target: Target, at: datetime, judge: Callable[[Account], Verdict]) -> Judgement:
    """The frame of each AWS verifier: enter the account, judge, and turn whatever happens into an outcome."""
    account = Account(target, at)
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
        tools=_tools(),
    )


def _session(options: Mapping[str, str], credentials: Mapping[str, Any] | None) -> Any:
    import boto3  # noqa: PLC0415 - heavy
    import botocore.session  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    core = botocore.session.Session(profile=options.get("profile"))
    core.register_component("data_loader", _loader())
    try:
        return boto3.Session(
            botocore_session=core,
            aws_access_key_id=credentials["AccessKeyId"] if credentials else None,
            aws_secret_access_key=credentials["SecretAccessKey"] if credentials else None,
            aws_session_token=credentials["SessionToken"] if credentials else None,
        )
    except BotoCoreError as error:
        raise _unreached(error) from error


@cache
def _loader() -> "Loader":
    """Service descriptions, read once a process: they are most of what a new session costs."""
    import botocore.session  # noqa: PLC0415 - heavy

    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader


@cache
def _tools() -> dict[str, str]:
    import boto3  # noqa: PLC0415 - heavy
    import botocore  # noqa: PLC0415

    return {"boto3": boto3.__version__, "botocore": botocore.__version__}


def _unreached(error: "BotoCoreError") -> Stop:
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
