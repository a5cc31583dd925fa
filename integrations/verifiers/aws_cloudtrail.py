"""CloudTrail: whether trails log, what they log, and who may touch the logs. What is fixed here passes in Prowler."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Stop, Verdict, asset_gone, verified
from triage.ports import Judgement, Outcome, Target, Text

LABEL = "AWS CloudTrail"

Fact = Mapping[str, Any]
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
S3_OBJECT = "AWS::S3::Object"
BEDROCK_TYPES = tuple(
    f"AWS::Bedrock::{kind}"
    for kind in ("AgentAlias", "FlowAlias", "Guardrail", "InlineAgent", "KnowledgeBase", "Model", "Prompt")
)
BEDROCK_SOURCES = tuple(
    f"bedrock{part}.amazonaws.com"
    for part in ("", "-agent", "-runtime", "-agent-runtime", "-data-automation", "-data-automation-runtime")
)
TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


# --- one trail ----------------------------------------------------------------------------------------------------------------


def kms_encryption(account: Account) -> Verdict:
    key = _trail(account).get("KmsKeyId")
    return bool(key), Text(_("The trail's KMS key is: %(key)s."), {"key": key or "–"})


def log_file_validation(account: Account) -> Verdict:
    if _trail(account).get("LogFileValidationEnabled"):
        return True, Text(_("The trail's log files can be validated."))
    return False, Text(_("The trail's log files cannot be validated."))


def cloudwatch_logging(account: Account) -> Verdict:
    delivered = _status(account, _trail(account)).get("LatestCloudWatchLogsDeliveryTime")
    if delivered is None:
        return False, Text(_("The trail delivers nothing to CloudWatch."))
    return account.at - delivered <= timedelta(days=1), Text(
        _("The trail delivered to CloudWatch last at %(at)s."), {"at": delivered.isoformat()}
    )


def insights(account: Account) -> Verdict:
    trail = _trail(account)
    answer = account.ask("cloudtrail", "get_insight_selectors", absent="InsightNotEnabledException", TrailName=trail["TrailARN"])
    kinds = [selector.get("InsightType", "") for selector in answer.get("InsightSelectors") or []]
    return any(kinds[:1]), Text(_("The trail's insights are: %(kinds)s."), {"kinds": ", ".join(kinds) or "–"})


def bucket_mfa_delete(account: Account) -> Verdict:
    status = _of_bucket(account, "get_bucket_versioning").get("MFADelete", "Disabled")
    return status == "Enabled", Text(_("The bucket's MFA delete is: %(status)s."), {"status": status})


def bucket_access_logging(account: Account) -> Verdict:
    if "LoggingEnabled" in _of_bucket(account, "get_bucket_logging"):
        return True, Text(_("The bucket logs access."))
    return False, Text(_("The bucket does not log access."))


def bucket_not_public(account: Account) -> Verdict:
    """By its ACL alone: Prowler looks at nothing else here."""
    grants = _of_bucket(account, "get_bucket_acl").get("Grants", [])
    given = [f"{grant['Permission']} to AllUsers" for grant in grants if grant.get("Grantee", {}).get("URI") == ALL_USERS]
    if given:
        return False, Text(_("The bucket's ACL gives %(grants)s."), {"grants": ", ".join(given)})
    return True, Text(_("The bucket's ACL gives nothing of this to everybody."))


# --- any trail, of the region or of the account -------------------------------------------------------------------------------


def any_trail(account: Account, *, everywhere: bool, logs: Callable[[Account, Fact], bool]) -> Verdict:
    """A region has the trails that begin in it, and those that are for all regions."""
    regions = [account.region]
    if everywhere:
        regions += sorted(
            {trail["HomeRegion"] for trail in account.ask_all("cloudtrail", "list_trails", "Trails")} - set(regions)
        )
    for region in regions:
        for trail in account.ask("cloudtrail", "describe_trails", region=region)["trailList"]:
            if logs(account, trail):
                return True, Text(_("The trail %(trail)s logs what the check asks for."), {"trail": trail["Name"]})
    return False, Text(_("No trail logs what the check asks for."))


def logs(account: Account, trail: Fact) -> bool:
    return bool(_status(account, trail)["IsLogging"])


def logs_management(account: Account, trail: Fact) -> bool:
    """All management events, by a selector of the old kind or by the console's selector of the new kind."""
    old, new = _selectors(account, trail)
    return logs(account, trail) and (
        any(selector.get("ReadWriteType") == "All" and selector.get("IncludeManagementEvents") for selector in old)
        or any(selector.get("Name") == "Management events selector" and not _on(selector, "readOnly") for selector in new)
    )


def logs_bedrock(account: Account, trail: Fact) -> bool:
    """Management events that write, or data events of Bedrock."""
    old, new = _selectors(account, trail)
    return logs(account, trail) and (
        any(
            selector.get("IncludeManagementEvents", True) and selector.get("ReadWriteType", "All") in ("All", "WriteOnly")
            for selector in old
        )
        or any(_is_bedrock_management(selector) or _is_bedrock_data(selector) for selector in new)
    )


def logs_s3_objects(account: Account, trail: Fact, *, kind: str) -> bool:
    """Of all buckets by a selector of the old kind; any selector of the new kind will do, and the trail need not log."""
    old, new = _selectors(account, trail)
    partition = trail["TrailARN"].split(":")[1]
    everything = {f"arn:{partition}:s3", f"arn:{partition}:s3:::", f"arn:{partition}:s3:::*/*"}
    return any(
        selector.get("ReadWriteType") in ("All", kind)
        and any(
            resource["Type"] == S3_OBJECT and not everything.isdisjoint(resource["Values"])
            for resource in selector.get("DataResources", [])
        )
        for selector in old
    ) or any(field.get("Equals", [""])[0] == S3_OBJECT for selector in new for field in _on(selector, "resources.type"))


JUDGES: dict[str, Judge] = {
    "cloudtrail_kms_encryption_enabled": kms_encryption,
    "cloudtrail_log_file_validation_enabled": log_file_validation,
    "cloudtrail_cloudwatch_logging_enabled": cloudwatch_logging,
    "cloudtrail_insights_exist": insights,
    "cloudtrail_bucket_requires_mfa_delete": bucket_mfa_delete,
    "cloudtrail_logs_s3_bucket_access_logging_enabled": bucket_access_logging,
    "cloudtrail_logs_s3_bucket_is_not_publicly_accessible": bucket_not_public,
    "cloudtrail_multi_region_enabled": partial(any_trail, everywhere=False, logs=logs),
    "cloudtrail_multi_region_enabled_logging_management_events": partial(any_trail, everywhere=False, logs=logs_management),
    "cloudtrail_bedrock_logging_enabled": partial(any_trail, everywhere=True, logs=logs_bedrock),
    "cloudtrail_s3_dataevents_read_enabled": partial(any_trail, everywhere=True, logs=partial(logs_s3_objects, kind="ReadOnly")),
    "cloudtrail_s3_dataevents_write_enabled": partial(
        any_trail, everywhere=True, logs=partial(logs_s3_objects, kind="WriteOnly")
    ),
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _trail(account: Account) -> Fact:
    trails: list[Fact] = account.ask("cloudtrail", "describe_trails", trailNameList=[account.target.asset])["trailList"]
    if not trails:
        raise asset_gone(account)
    return trails[0]


def _status(account: Account, trail: Fact) -> Fact:
    return account.ask("cloudtrail", "get_trail_status", region=trail["HomeRegion"], Name=trail["TrailARN"])


def _selectors(account: Account, trail: Fact) -> tuple[list[Fact], list[Fact]]:
    """A trail has selectors of the old kind or of the new one; the old ones count first."""
    answer = account.ask("cloudtrail", "get_event_selectors", region=trail["HomeRegion"], TrailName=trail["TrailARN"])
    old = answer.get("EventSelectors") or []
    return old, [] if old else answer.get("AdvancedEventSelectors") or []


def _of_bucket(account: Account, operation: str) -> dict[str, Any]:
    bucket = _trail(account)["S3BucketName"]
    if bucket not in {known["Name"] for known in account.ask_all("s3", "list_buckets", "Buckets")}:
        raise Stop(Outcome.CANNOT, Text(_("The trail's bucket %(bucket)s is not in this account."), {"bucket": bucket}))
    return account.ask("s3", operation, Bucket=bucket, ExpectedBucketOwner=account.target.account)


def _on(selector: Fact, field: str) -> list[Fact]:
    return [one for one in selector.get("FieldSelectors", []) if one.get("Field") == field]


def _is_bedrock_management(selector: Fact) -> bool:
    writes, sources = _on(selector, "readOnly"), _on(selector, "eventSource")
    return (
        _selects(_on(selector, "eventCategory"), ["Management"])
        and (not writes or any(_fits("false", one) for one in writes))
        and (not sources or _selects(sources, BEDROCK_SOURCES))
    )


def _is_bedrock_data(selector: Fact) -> bool:
    return _selects(_on(selector, "eventCategory"), ["Data"]) and _selects(_on(selector, "resources.type"), BEDROCK_TYPES)


def _selects(fields: Sequence[Fact], values: Iterable[str]) -> bool:
    """Whether there are such fields, and one of the values fits them all."""
    return bool(fields) and any(all(_fits(value, field) for field in fields) for value in values)


def _fits(value: str, field: Fact) -> bool:
    return all(
        (name not in field or any(test(value, part) for part in field[name]))
        and not any(test(value, part) for part in field.get(f"Not{name}", []))
        for name, test in TESTS.items()
    )
