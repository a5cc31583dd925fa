"""S3 with Object Lock: heads that not even the account's root may delete before their time (compliance mode)."""

from collections.abc import Iterator
from datetime import timedelta

from django.utils.translation import gettext_noop as _

from integrations._s3 import ACCESS, address_of, call
from triage.ports import DeliveryError, Options, Probe, SealedHead, Setting, Text

LABEL = _("S3 with Object Lock")
SETTINGS = (
    Setting("bucket", _("Bucket"), _("Made with Object Lock, best in an account of its own."), required=True),
    Setting("prefix", _("Prefix"), default="cspm-triage/"),
    Setting("days", _("Days"), _("How long a head is locked."), default="730"),
    Setting("mode", _("Mode"), default="COMPLIANCE", choices=("COMPLIANCE", "GOVERNANCE"), seldom=True),
    *ACCESS,
)
leads_to = address_of


def probe(options: Options, /) -> Iterator[Probe]:
    try:
        found = call(options, "get_object_lock_configuration", Bucket=str(options["bucket"]))
        locked = found["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"
        yield Probe(Text(_("The bucket locks objects")), locked)
    except DeliveryError as error:
        yield Probe(Text(_("The bucket locks objects")), False, Text("%(said)s", {"said": str(error)}))


def publish(head: SealedHead, options: Options, /) -> str:
    """A repetition makes another version of the same object, with the same bytes."""
    key = f"{options.get('prefix') or ''}{head.size:012d}.checkpoint"
    answer = call(
        options, "put_object", Bucket=str(options["bucket"]), Key=key, Body=head.note.encode(), ContentType="text/plain; charset=utf-8",
        ObjectLockMode=str(options.get("mode") or "COMPLIANCE"), ChecksumAlgorithm="SHA256",
        ObjectLockRetainUntilDate=head.at + timedelta(days=int(options.get("days") or 730)),
    )  # fmt: skip
    return f"s3://{options['bucket']}/{key} {answer.get('VersionId', '')}".strip()
