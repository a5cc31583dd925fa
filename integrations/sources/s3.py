"""A prefix of an S3 bucket, or of a compatible cloud's, into which scanners write their reports."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event

from django.utils.translation import gettext_noop as _

from integrations._s3 import ACCESS, address_of, call
from triage.ports import DeliveryError, Offered, Options, Probe, Setting, Text

LABEL = _("S3 bucket")
MAKES = False
SETTINGS = (
    Setting("bucket", _("Bucket"), required=True),
    Setting("prefix", _("Prefix")),
    Setting("pattern", _("Object names"), _("After the prefix; `*` matches anything."), default="*"),
    *ACCESS,
)
BLOCK = 2**20
PAGE = 1_000
leads_to = address_of


def probe(options: Options, /) -> Iterator[Probe]:
    what = Text(_("The bucket can be listed"))
    try:
        call(options, "list_objects_v2", Bucket=options["bucket"], Prefix=options.get("prefix") or "", MaxKeys=1)
        yield Probe(what, True)
    except DeliveryError as error:
        yield Probe(what, False, Text("%(said)s", {"said": str(error)}))


def offered(slot: str, options: Options, /) -> Iterator[Offered]:  # noqa: ARG001 - what lies there, whenever it is asked
    prefix, pattern, after = str(options.get("prefix") or ""), str(options.get("pattern") or "*"), ""
    found = []
    while True:
        wanted = {"Bucket": options["bucket"], "Prefix": prefix, "MaxKeys": PAGE}
        page = call(options, "list_objects_v2", **wanted, **({"ContinuationToken": after} if after else {}))
        found += page.get("Contents", ())
        after = page.get("NextContinuationToken", "")
        if not after:
            break
    for each in sorted(found, key=lambda each: each["LastModified"]):
        if each["Size"] and fnmatchcase(each["Key"].removeprefix(prefix), pattern):
            yield Offered(each["Key"], each["ETag"].strip('"'), each["Size"])


def fetch(offered: Offered, into: Path, options: Options, stop: Event, /) -> Sequence[Text]:
    answer = call(options, "get_object", Bucket=options["bucket"], Key=offered.name)
    try:
        with into.open("xb") as file, closing(answer["Body"]) as body:
            for block in body.iter_chunks(BLOCK):
                file.write(block)
                if stop.is_set():
                    raise DeliveryError("stopped")
    except OSError as error:  # what botocore's stream raises when the line breaks is one, too
        raise DeliveryError(f"{offered.name}: {type(error).__name__}") from None
    return ()
