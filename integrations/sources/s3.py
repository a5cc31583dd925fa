"""A prefix of an S3 bucket, or of a compatible cloud's, into which scanners write their reports."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Offered, Options, Probe, Refused, Setting, Text

LABEL = _("S3 bucket")
MAKES = False
SETTINGS = (
    Setting("bucket", _("Bucket"), required=True),
    Setting("prefix", _("Prefix")),
    Setting("pattern", _("Object names"), _("Behind the prefix; `*` stands for anything."), default="*"),
    Setting("region", _("Region")),
    Setting("endpoint_url", _("Address"), _("Of a compatible cloud."), seldom=True),
    Setting("access_key", _("Access key"), _("Empty: what boto3 finds."), secret=True, seldom=True),
    Setting("secret_key", _("Secret key"), secret=True, seldom=True),
)
BLOCK = 2**20
PAGE = 1_000
NEEDS = {"list_objects_v2": "s3:ListBucket", "get_object": "s3:GetObject"}


def probe(options: Options, /) -> Iterator[Probe]:
    what = Text(_("The bucket can be listed"))
    try:
        _call(options, "list_objects_v2", Bucket=options["bucket"], Prefix=options.get("prefix") or "", MaxKeys=1)
        yield Probe(what, True)
    except DeliveryError as error:
        yield Probe(what, False, Text("%(said)s", {"said": str(error)}))


def leads_to(options: Options, /) -> str:
    return urlsplit(str(options.get("endpoint_url") or "")).netloc or f"s3://{options.get('bucket', '')}"


def offered(slot: str, options: Options, /) -> Iterator[Offered]:  # noqa: ARG001 - what lies there, whenever it is asked
    prefix, pattern, after = str(options.get("prefix") or ""), str(options.get("pattern") or "*"), ""
    found = []
    while True:
        wanted = {"Bucket": options["bucket"], "Prefix": prefix, "MaxKeys": PAGE}
        page = _call(options, "list_objects_v2", **wanted, **({"ContinuationToken": after} if after else {}))
        found += page.get("Contents", ())
        after = page.get("NextContinuationToken", "")
        if not after:
            break
    for each in sorted(found, key=lambda each: each["LastModified"]):
        if each["Size"] and fnmatchcase(each["Key"].removeprefix(prefix), pattern):
            yield Offered(each["Key"], each["ETag"].strip('"'), each["Size"])


def fetch(offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]:
    answer = _call(options, "get_object", Bucket=options["bucket"], Key=offered.name)
    try:
        with into.open("xb") as file, closing(answer["Body"]) as body:
            for block in body.iter_chunks(BLOCK):
                file.write(block)
                if stop.is_set():
                    raise DeliveryError("stopped")
    except OSError as error:  # what botocore's stream raises when the line breaks is one, too
        raise DeliveryError(f"{offered.name}: {type(error).__name__}") from None
    return ()


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
            config=Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}),
        )
        answer: dict[str, Any] = getattr(client, operation)(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if error.response["ResponseMetadata"].get("HTTPStatusCode") in (401, 403):
            raise Refused(f"{code}: {NEEDS[operation]} is needed") from None
        raise DeliveryError(code, permanent=code in ("NoSuchKey", "NoSuchBucket")) from None
    except BotoCoreError as error:
        raise DeliveryError(type(error).__name__) from None
    return answer
