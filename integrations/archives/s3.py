"""S3 with Object Lock, or a compatible cloud's: versions that nobody may delete before their time."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from triage.ports import Absent, ArchiveError, Locked, Options, Probe, Text, Unfit

LABEL = _("S3 with Object Lock")
BLOCK = 2**20
UNFIT = ("BadDigest", "EntityTooLarge", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch")
NEEDS = {
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "put_object": "s3:PutObject, s3:PutObjectRetention",
    "put_object_retention": "s3:PutObjectRetention",
    "put_object_legal_hold": "s3:PutObjectLegalHold",
    "head_object": "s3:GetObject, s3:GetObjectVersion, s3:GetObjectRetention, s3:GetObjectLegalHold",
    "get_object": "s3:GetObjectVersion",
    "delete_object": "s3:DeleteObjectVersion",
}
SAID = re.compile(r"perform: (s3:\w+)")
DENIED = _("S3 refuses %(operation)s (%(code)s): %(permission)s is needed.")
FAILED = _("S3 answers %(operation)s with %(code)s.")
SILENT = _("S3 was not reached: %(error)s.")
UNLOCKED = _("The bucket %(bucket)s has no Object Lock. Make one that has it: docs/audit.md says how.")
UNVERSIONED = _("The bucket %(bucket)s does not keep versions.")
OTHER = _("The archive has other bytes under %(name)s. They are left unchanged.")
REFUSED = _("The archive does not take %(name)s: %(code)s.")
GONE = _("The archive has no %(name)s.")
LOCKED = _("%(name)s is locked in the archive until %(until)s.")
HELD = _("%(name)s has a legal hold in the archive.")


class _Failed(ArchiveError):
    """`code`, `status`: as S3 said them."""

    def __init__(self, code: str, status: int, message: str, /, **params: str) -> None:
        super().__init__(message, **params)
        self.code, self.status = code, status


def probe(options: Options, /) -> Iterator[Probe]:
    bucket = _bucket(options)
    for operation, what, lacks in (
        ("get_object_lock_configuration", _("The bucket locks objects"), UNLOCKED),
        ("get_bucket_versioning", _("The bucket keeps versions"), UNVERSIONED),
    ):
        try:
            answer = _call(options, operation, Bucket=bucket)
            said = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") or answer.get("Status")
            yield Probe(Text(what), said == "Enabled", None if said == "Enabled" else Text(lacks, {"bucket": bucket}))
        except _Failed as error:
            unlocked = error.code == "ObjectLockConfigurationNotFoundError"
            yield Probe(Text(what), False, Text(lacks, {"bucket": bucket}) if unlocked else error.text)
        except ArchiveError as error:
            yield Probe(Text(what), False, error.text)


def store(name: str, stream: BinaryIO, sha256: bytes, retain_until: datetime, options: Options, /) -> str:
    md5 = hashlib.md5(usedforsecurity=False)  # what compatible clouds want with a lock, and know instead of SHA-256
    while block := stream.read(BLOCK):
        md5.update(block)
    wanted = {
        **_object(options, name), "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64.b64encode(sha256).decode(),
        "ContentMD5": base64.b64encode(md5.digest()).decode(), "ObjectLockMode": _mode(options), "ObjectLockRetainUntilDate": retain_until,
    }  # fmt: skip
    try:
        stream.seek(0)
        return str(_call(options, "put_object", Body=stream, IfNoneMatch="*", **wanted)["VersionId"])
    except _Failed as error:
        if error.status == 412:
            return _taken(name, sha256, retain_until, options)
        if error.status != 501:
            raise
    # A cloud that knows no conditions: at worst there is another version, of the same bytes.
    stream.seek(0)
    return str(_call(options, "put_object", Body=stream, **wanted)["VersionId"])


def fetch(name: str, version: str, into: BinaryIO, options: Options, /) -> None:
    answer = _call(options, "get_object", **_object(options, name), VersionId=version)
    into.writelines(_blocks(answer))


def hold(name: str, version: str, on: bool, options: Options, /) -> None:  # noqa: FBT001 - as S3 has it
    status = {"Status": "ON" if on else "OFF"}
    _call(options, "put_object_legal_hold", **_object(options, name), VersionId=version, LegalHold=status)


def delete(name: str, version: str, options: Options, /) -> None:
    try:
        _call(options, "delete_object", **_object(options, name), VersionId=version)
    except Absent:
        return
    except _Failed as refusal:
        if refusal.status != 403:
            raise
        # A lock and a lacking permission are refused with the same code.
        found = _call(options, "head_object", **_object(options, name), VersionId=version)
        until = found.get("ObjectLockRetainUntilDate")
        if found.get("ObjectLockLegalHoldStatus") == "ON":
            raise Locked(HELD, name=name) from None
        if until is not None and until > datetime.now(UTC):
            raise Locked(LOCKED, name=name, until=f"{until:%Y-%m-%d}") from None
        raise


def _taken(name: str, sha256: bytes, retain_until: datetime, options: Options) -> str:
    """The version that lies there, if it has these bytes: locked as long as it should be."""
    found = _call(options, "head_object", **_object(options, name), ChecksumMode="ENABLED")
    version = str(found["VersionId"])
    known = base64.b64decode(found.get("ChecksumSHA256") or "") or _hashed(name, version, options)
    if known != sha256:
        raise Unfit(OTHER, name=name)
    until = found.get("ObjectLockRetainUntilDate")
    if until is None or until < retain_until.replace(microsecond=0):
        retention = {"Mode": _mode(options), "RetainUntilDate": retain_until}
        _call(options, "put_object_retention", **_object(options, name), VersionId=version, Retention=retention)
    return version


def _hashed(name: str, version: str, options: Options) -> bytes:
    """For clouds that keep no SHA-256 beside an object."""
    hashed = hashlib.sha256()
    for block in _blocks(_call(options, "get_object", **_object(options, name), VersionId=version)):
        hashed.update(block)
    return hashed.digest()


def _blocks(answer: Mapping[str, Any]) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - heavy

    try:
        with closing(answer["Body"]) as body:
            yield from body.iter_chunks(BLOCK)
    except BotoCoreError as error:  # the line broke
        raise ArchiveError(SILENT, error=type(error).__name__) from None


def _bucket(options: Options) -> str:
    return urlsplit(str(options["address"])).netloc


def _object(options: Options, name: str) -> dict[str, str]:
    prefix = urlsplit(str(options["address"])).path.strip("/")
    return {"Bucket": _bucket(options), "Key": f"{prefix}/{name}" if prefix else name}


def _mode(options: Options) -> str:
    return str(options.get("mode") or "COMPLIANCE")


def _call(options: Options, operation: str, **request: Any) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy

    try:
        client = _client(str(options.get("region") or ""), str(options.get("endpoint_url") or ""), operation == "get_object")
        answer: dict[str, Any] = getattr(client, operation)(**request)
    except ClientError as error:
        raise _said(error.response, operation, str(request.get("Key", ""))) from None
    except BotoCoreError as error:
        raise ArchiveError(SILENT, error=type(error).__name__) from None
    return answer


def _said(response: Any, operation: str, name: str) -> ArchiveError:
    code, status = response["Error"]["Code"], int(response["ResponseMetadata"].get("HTTPStatusCode") or 0)
    if code in ("404", "NoSuchKey", "NoSuchVersion"):
        return Absent(GONE, name=name)
    if code in UNFIT:
        return Unfit(REFUSED, name=name, code=code)
    if status in (401, 403):
        named = SAID.search(response["Error"].get("Message", ""))
        permission = named[1] if named else NEEDS[operation]
        return _Failed(code, status, DENIED, operation=operation, code=code, permission=permission)
    return _Failed(code, status, FAILED, operation=operation, code=code)


@cache
def _client(region: str, endpoint_url: str, waited_for: bool) -> Any:  # noqa: FBT001
    """One for all threads. What somebody waits for gives up early."""
    import boto3  # noqa: PLC0415 - heavy
    from botocore.config import Config  # noqa: PLC0415

    return boto3.session.Session().client(
        "s3",
        region_name=region or None,
        endpoint_url=endpoint_url or None,
        config=Config(
            connect_timeout=3 if waited_for else 5,
            read_timeout=10 if waited_for else 60,
            retries={"mode": "standard", "total_max_attempts": 2 if waited_for else 3},
            # Some compatible clouds know no checksums but those that are asked of them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
        ),
    )
