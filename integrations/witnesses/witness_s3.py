"""S3 with Object Lock: heads that not even the account's root may delete before their time (compliance mode)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Options, Probe, Refused, SealedHead, Setting, Text

LABEL = _("S3 with Object Lock")
SETTINGS = (
    Setting("bucket", _("Bucket"), _("Made with Object Lock, best in an account of its own."), required=True),
    Setting("prefix", _("Prefix"), default="cspm-triage/"),
    Setting("days", _("Days"), _("How long a head is locked."), default="730"),
    Setting("mode", _("Mode"), default="COMPLIANCE", choices=("COMPLIANCE", "GOVERNANCE"), seldom=True),
    Setting("region", _("Region")),
    Setting("endpoint_url", _("Address"), _("Of a compatible cloud."), seldom=True),
    Setting("access_key", _("Access key"), _("Empty: what boto3 finds."), secret=True, seldom=True),
    Setting("secret_key", _("Secret key"), secret=True, seldom=True),
)


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        found = _call(options, "get_object_lock_configuration", Bucket=str(options["bucket"]))
        locked = found["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"
        yield Probe(Text(_("The bucket locks objects")), locked)
    except DeliveryError as error:
        yield Probe(Text(_("The bucket locks objects")), False, Text("%(said)s", {"said": str(error)}))


def leads_to(options: Options, /) -> str:
    return urlsplit(str(options.get("endpoint_url") or "")).netloc or f"s3://{options.get('bucket', '')}"


def publish(head: SealedHead, options: Options, /) -> str:
    """A repetition makes another version of the same object, with the same bytes."""
    key = f"{options.get('prefix') or ''}{head.size:012d}.checkpoint"
    answer = _call(
        options, "put_object", Bucket=str(options["bucket"]), Key=key, Body=head.note.encode(), ContentType="text/plain; charset=utf-8",
        ObjectLockMode=str(options.get("mode") or "COMPLIANCE"), ChecksumAlgorithm="SHA256",
        ObjectLockRetainUntilDate=head.at + timedelta(days=int(options.get("days") or 730)),
    )  # fmt: skip
    return f"s3://{options['bucket']}/{key} {answer.get('VersionId', '')}".strip()


def _call(options: Options, operation: str, **request: Any) -> dict[str, Any]:
    import boto3  # noqa: PLC0415 - heavy
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        client = boto3.client(
            "s3",
            region_name=options.get("region") or None,
            endpoint_url=options.get("endpoint_url") or None,
            aws_access_key_id=options.get("access_key") or None,
            aws_secret_access_key=options.get("secret_key") or None,
            config=Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2}),
        )
        answer: dict[str, Any] = getattr(client, operation)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if error.response["ResponseMetadata"].get("HTTPStatusCode") in (401, 403):
            raise Refused(code) from None
        raise DeliveryError(code, permanent=code in ("NoSuchBucket", "InvalidRequest")) from None
    except BotoCoreError as error:
        raise DeliveryError(type(error).__name__) from None
    return answer
