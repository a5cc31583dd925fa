"""S3, or a compatible cloud's, as a delivery speaks to it: its settings, and its failures in the words of deliveries."""

from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Options, Refused, Setting

ACCESS = (
    Setting("region", _("Region")),
    Setting("endpoint_url", _("Address"), _("Of a compatible cloud."), seldom=True),
    Setting("access_key", _("Access key"), _("Empty: what boto3 finds."), secret=True, seldom=True),
    Setting("secret_key", _("Secret key"), secret=True, seldom=True),
)
NEEDS = {
    "list_objects_v2": "s3:ListBucket",
    "get_object": "s3:GetObject",
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
    "put_object": "s3:PutObject, s3:PutObjectRetention",
}
LASTING = ("NoSuchKey", "NoSuchBucket", "InvalidRequest")


def address_of(options: Options, /) -> str:
    """The host of a compatible cloud, or the bucket."""
    return urlsplit(str(options.get("endpoint_url") or "")).netloc or f"s3://{options.get('bucket', '')}"


def call(options: Options, operation: str, **request: Any) -> dict[str, Any]:
    """The answer. Raises DeliveryError; Refused where a permission is missing, which it names."""
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
            config=Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}),
        )
        answer: dict[str, Any] = getattr(client, operation)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if error.response["ResponseMetadata"].get("HTTPStatusCode") in (401, 403):
            raise Refused(f"{code}: {NEEDS[operation]} is needed") from None
        raise DeliveryError(code, permanent=code in LASTING) from None
    except BotoCoreError as error:
        raise DeliveryError(type(error).__name__) from None
    return answer
