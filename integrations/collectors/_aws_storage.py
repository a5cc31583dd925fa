"""What keeps data, keys and messages: buckets, databases, keys, trails, queues, topics."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.collectors._aws_source import (
    Facts,
    Item,
    Part,
    Source,
    Tags,
    age,
    flag,
    moment,
    number,
    patterns,
    principals,
    tags_of,
    text,
)
from integrations.verifiers import aws_kms, aws_s3, aws_sqs
from integrations.verifiers._aws import Account, Stop, asset_gone
from integrations.verifiers._aws_policy import is_public
from triage.ports import Outcome

CREATED = age("age_days", _("Days since it was created"))
LETS_IN = patterns("policy_principals", _("Who its policy lets in, as written; * for everybody; whatever the conditions"))


# --- S3 -----------------------------------------------------------------------------------------------------------------------

NO_BUCKET = frozenset({"NoSuchBucket"})


def _buckets(account: Account) -> Iterator[Item]:
    for raw in account.ask_all("s3", "list_buckets", "Buckets"):
        region = raw.get("BucketRegion") or _bucket_region(account, raw["Name"])
        if region:
            yield _bucket_item(account, raw["Name"], region)


def _bucket(account: Account) -> Item:
    name = account.target.asset.rpartition(":::")[2]
    region = _bucket_region(account, name)
    if not region:
        raise asset_gone(account)
    return _bucket_item(account, name, region)


def _bucket_item(account: Account, name: str, region: str) -> Item:
    return Item(f"arn:{account.principal.split(':')[1]}:s3:::{name}", name, region, name)


def _bucket_region(account: Account, name: str) -> str:
    """'' when it was deleted meanwhile. The oldest regions have names of their own here."""
    try:
        answer = account.ask("s3", "get_bucket_location", gone=NO_BUCKET, Bucket=name, ExpectedBucketOwner=account.target.account)
    except Stop as stop:
        if stop.outcome == Outcome.GONE:
            return ""
        raise
    place = answer.get("LocationConstraint") or "us-east-1"
    return "eu-west-1" if place == "EU" else str(place)


def _of_bucket(account: Account, operation: str, absent: str) -> dict[str, Any]:
    bucket, owner = account.target.asset_name, account.target.account
    return account.ask("s3", operation, absent=absent, gone=NO_BUCKET, Bucket=bucket, ExpectedBucketOwner=owner)


def _bucket_reach(account: Account, _raw: Any) -> Facts:
    policy = json.loads(_of_bucket(account, "get_bucket_policy", "NoSuchBucketPolicy").get("Policy") or "{}")
    return {
        "public": not aws_s3.public_access(account)[0],
        "policy_principals": principals(policy),
        "requires_tls": aws_s3.tls_only(account)[0],
    }


def _bucket_block(account: Account, _raw: Any) -> Facts:
    return {"blocks_public_access": aws_s3.bucket_block(account)[0]}


def _bucket_encryption(account: Account, _raw: Any) -> Facts:
    answer = _of_bucket(account, "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    return {"encryption": default.get("SSEAlgorithm", ""), "kms_key": default.get("KMSMasterKeyID", "")}


def _bucket_versions(account: Account, _raw: Any) -> Facts:
    return {"versioning": aws_s3.versioning(account)[0], "mfa_delete": aws_s3.mfa_delete(account)[0]}


def _bucket_logging(account: Account, _raw: Any) -> Facts:
    return {"access_logging": aws_s3.access_logging(account)[0]}


def _bucket_tags(account: Account, _raw: Any) -> Tags:
    return tags_of(_of_bucket(account, "get_bucket_tagging", "NoSuchTagSet").get("TagSet"))


BUCKET = Source(
    name="s3_bucket", label=_("S3 bucket"), type="AwsS3Bucket", service="s3", regional=False, listed=_buckets, found=_bucket,
    tags=_bucket_tags,
    parts=(
        Part(
            _bucket_reach,
            (
                flag("public", _("Everybody may reach it, by ACL or policy, and neither it nor the account blocks that")),
                LETS_IN,
                flag("requires_tls", _("Its policy denies requests without TLS")),
            ),
        ),
        Part(_bucket_block, (flag("blocks_public_access", _("It blocks public access by itself")),)),
        Part(
            _bucket_encryption,
            (
                text("encryption", _("AES256, aws:kms or aws:kms:dsse; empty without encryption by default")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
            ),
        ),
        Part(
            _bucket_versions,
            (flag("versioning", _("Old versions are kept")), flag("mfa_delete", _("Deleting versions needs a second factor"))),
        ),
        Part(_bucket_logging, (flag("access_logging", _("Access is logged")),)),
    ),
)  # fmt: skip


# --- RDS ----------------------------------------------------------------------------------------------------------------------

NO_INSTANCE = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"})


def _instances(account: Account) -> Iterator[Item]:
    for raw in account.ask_all("rds", "describe_db_instances", "DBInstances"):
        yield Item(raw["DBInstanceArn"], raw["DBInstanceIdentifier"], account.region, raw)


def _instance(account: Account) -> Item:
    answer = account.ask("rds", "describe_db_instances", gone=NO_INSTANCE, DBInstanceIdentifier=account.name)
    raw = answer["DBInstances"][0]
    return Item(raw["DBInstanceArn"], raw["DBInstanceIdentifier"], account.region, raw)


def _about_instance(_account: Account, raw: Any) -> Facts:
    return {
        "public_address": bool(raw.get("PubliclyAccessible")),
        "encrypted": bool(raw.get("StorageEncrypted")),
        "kms_key": raw.get("KmsKeyId", ""),
        "engine": raw.get("Engine", ""),
        "engine_version": raw.get("EngineVersion", ""),
        "instance_class": raw.get("DBInstanceClass", ""),
        "multi_az": bool(raw.get("MultiAZ")),
        "backup_days": raw.get("BackupRetentionPeriod", 0),
        "deletion_protection": bool(raw.get("DeletionProtection")),
        "minor_upgrades": bool(raw.get("AutoMinorVersionUpgrade")),
        "iam_authentication": bool(raw.get("IAMDatabaseAuthenticationEnabled")),
        "age_days": moment(raw["InstanceCreateTime"]) if raw.get("InstanceCreateTime") else "",
    }


DATABASE = Source(
    name="rds_instance", label=_("RDS instance"), type="AwsRdsDbInstance", service="rds", listed=_instances, found=_instance,
    tags=lambda _account, raw: tags_of(raw.get("TagList")),
    parts=(
        Part(
            _about_instance,
            (
                flag("public_address", _("It is set to have a public address")),
                flag("encrypted", _("Its storage is encrypted")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
                text("engine", _("Engine, such as postgres")),
                text("engine_version", _("Version of the engine")),
                text("instance_class", _("Class, such as db.t3.medium")),
                flag("multi_az", _("It is in several zones")),
                number("backup_days", _("Days that backups are kept; 0 for no backups")),
                flag("deletion_protection", _("It is protected from deletion")),
                flag("minor_upgrades", _("Minor versions are installed by AWS")),
                flag("iam_authentication", _("Users may sign in by IAM")),
                CREATED,
            ),
        ),
    ),
)  # fmt: skip


# --- KMS ----------------------------------------------------------------------------------------------------------------------


def _keys(account: Account) -> Iterator[Item]:
    """Keys of the customer; those that AWS made for its services are nobody's business here."""
    for listed in account.ask_all("kms", "list_keys", "Keys"):
        raw = account.ask("kms", "describe_key", KeyId=listed["KeyArn"])["KeyMetadata"]
        if raw.get("KeyManager") != "AWS":
            yield Item(raw["Arn"], raw["KeyId"], account.region, raw)


def _key(account: Account) -> Item:
    raw = account.ask("kms", "describe_key", gone=aws_kms.GONE, KeyId=account.target.asset)["KeyMetadata"]
    return Item(raw["Arn"], raw["KeyId"], account.region, raw)


def _about_key(_account: Account, raw: Any) -> Facts:
    return {
        "state": raw["KeyState"],
        "usage": raw.get("KeyUsage", ""),
        "spec": raw.get("KeySpec", ""),
        "imported": raw.get("Origin") == "EXTERNAL",
        "multi_region": bool(raw.get("MultiRegion")),
        "age_days": moment(raw["CreationDate"]),
    }


def _key_policy(account: Account, raw: Any) -> Facts:
    answer = account.ask("kms", "get_key_policy", gone=aws_kms.GONE, KeyId=raw["Arn"], PolicyName="default")
    # Not by `aws_kms.public_access`: a key that is going to be deleted has a policy, too.
    policy = json.loads(answer["Policy"])
    return {"public": is_public(policy), "policy_principals": principals(policy)}


def _key_rotation(account: Account, raw: Any) -> Facts:
    """AWS rotates symmetric keys that it made, and refuses the question for others."""
    asked = raw.get("KeySpec") == "SYMMETRIC_DEFAULT" and raw.get("Origin") == "AWS_KMS" and raw["KeyState"] == "Enabled"
    return {"rotation": bool(asked and account.ask("kms", "get_key_rotation_status", KeyId=raw["Arn"])["KeyRotationEnabled"])}


def _key_tags(account: Account, raw: Any) -> Tags:
    return tags_of(account.ask_all("kms", "list_resource_tags", "Tags", KeyId=raw["Arn"]), "TagKey", "TagValue")


KEY = Source(
    name="kms_key", label=_("KMS key of the customer"), type="AwsKmsKey", service="kms", listed=_keys, found=_key, tags=_key_tags,
    parts=(
        Part(
            _about_key,
            (
                text("state", _("Enabled, Disabled, PendingDeletion …")),
                text("usage", _("ENCRYPT_DECRYPT, SIGN_VERIFY …")),
                text("spec", _("SYMMETRIC_DEFAULT, RSA_2048 …")),
                flag("imported", _("Its material was made elsewhere")),
                flag("multi_region", _("It is for several regions")),
                CREATED,
            ),
        ),
        Part(
            _key_policy,
            (flag("public", _("Its policy lets everybody in, and no condition says who that is")), LETS_IN),
        ),
        Part(_key_rotation, (flag("rotation", _("AWS rotates it; no for a key that AWS cannot rotate, or that is off")),)),
    ),
)  # fmt: skip


# --- CloudTrail ---------------------------------------------------------------------------------------------------------------


def _trails(account: Account) -> Iterator[Item]:
    """Of a trail for all regions the one in its home region."""
    for raw in account.ask("cloudtrail", "describe_trails", includeShadowTrails=False)["trailList"]:
        if raw.get("HomeRegion", account.region) == account.region:
            yield Item(raw["TrailARN"], raw["Name"], account.region, raw)


def _trail(account: Account) -> Item:
    answer = account.ask("cloudtrail", "describe_trails", trailNameList=[account.target.asset], includeShadowTrails=False)
    for raw in answer["trailList"]:
        if raw["TrailARN"] == account.target.asset:
            return Item(raw["TrailARN"], raw["Name"], account.region, raw)
    raise asset_gone(account)


def _about_trail(_account: Account, raw: Any) -> Facts:
    return {
        "multi_region": bool(raw.get("IsMultiRegionTrail")),
        "organization": bool(raw.get("IsOrganizationTrail")),
        "validation": bool(raw.get("LogFileValidationEnabled")),
        "bucket": raw.get("S3BucketName", ""),
        "kms_key": raw.get("KmsKeyId", ""),
        "cloudwatch": bool(raw.get("CloudWatchLogsLogGroupArn")),
    }


def _trail_status(account: Account, raw: Any) -> Facts:
    status = account.ask("cloudtrail", "get_trail_status", gone=frozenset({"TrailNotFoundException"}), Name=raw["TrailARN"])
    return {"logging": bool(status.get("IsLogging"))}


def _trail_tags(account: Account, raw: Any) -> Tags:
    found = account.ask_all("cloudtrail", "list_tags", "ResourceTagList", ResourceIdList=[raw["TrailARN"]])
    return tags_of(tag for resource in found for tag in resource.get("TagsList", []))


TRAIL = Source(
    name="cloudtrail_trail", label=_("CloudTrail trail"), type="AwsCloudTrailTrail", service="cloudtrail", listed=_trails, found=_trail,
    tags=_trail_tags,
    parts=(
        Part(
            _about_trail,
            (
                flag("multi_region", _("It is for all regions")),
                flag("organization", _("It is for all accounts of the organization")),
                flag("validation", _("Its files are signed, so that a change shows")),
                text("bucket", _("Bucket that it writes to")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
                flag("cloudwatch", _("It writes to CloudWatch Logs as well")),
            ),
        ),
        Part(_trail_status, (flag("logging", _("It is on")),)),
    ),
)  # fmt: skip


# --- SQS and SNS --------------------------------------------------------------------------------------------------------------

PAGE = 1000  # SQS says that there is more only to who asks for a number


def _queues(account: Account) -> Iterator[Item]:
    for url in account.ask_all("sqs", "list_queues", "QueueUrls", MaxResults=PAGE):
        raw = _attributes(account, url)
        if raw:
            yield Item(raw["QueueArn"], raw["QueueArn"].rpartition(":")[2], account.region, {**raw, "url": url})


def _queue(account: Account) -> Item:
    url = account.ask("sqs", "get_queue_url", gone=aws_sqs.NO_QUEUE, QueueName=account.name)["QueueUrl"]
    answer = account.ask("sqs", "get_queue_attributes", gone=aws_sqs.NO_QUEUE, QueueUrl=url, AttributeNames=["All"])
    raw = answer["Attributes"]
    return Item(raw["QueueArn"], account.name, account.region, {**raw, "url": url})


def _attributes(account: Account, url: str) -> Mapping[str, Any]:
    """Empty for a queue that was deleted meanwhile."""
    try:
        answer = account.ask("sqs", "get_queue_attributes", gone=aws_sqs.NO_QUEUE, QueueUrl=url, AttributeNames=["All"])
    except Stop as stop:
        if stop.outcome == Outcome.GONE:
            return {}
        raise
    found: Mapping[str, Any] = answer["Attributes"]
    return found


def _about_queue(account: Account, raw: Any) -> Facts:
    return {
        "public": not aws_sqs.queue_public(account)[0],
        "policy_principals": principals(json.loads(raw.get("Policy") or "{}")),
        "encrypted": raw.get("SqsManagedSseEnabled") == "true" or bool(raw.get("KmsMasterKeyId")),
        "kms_key": raw.get("KmsMasterKeyId", ""),
        "dead_letters": bool(raw.get("RedrivePolicy")),
        "retention_days": int(raw.get("MessageRetentionPeriod", 0)) / 86_400,
    }


def _queue_tags(account: Account, raw: Any) -> Tags:
    return tuple(account.ask("sqs", "list_queue_tags", gone=aws_sqs.NO_QUEUE, QueueUrl=raw["url"]).get("Tags", {}).items())


QUEUE = Source(
    name="sqs_queue", label=_("SQS queue"), type="AwsSqsQueue", service="sqs", listed=_queues, found=_queue, tags=_queue_tags,
    parts=(
        Part(
            _about_queue,
            (
                flag("public", _("Its policy lets everybody in, and no condition says who that is")),
                LETS_IN,
                flag("encrypted", _("Messages are encrypted")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
                flag("dead_letters", _("Messages that cannot be handled go to another queue")),
                number("retention_days", _("Days that a message is kept")),
            ),
        ),
    ),
)  # fmt: skip


def _topics(account: Account) -> Iterator[Item]:
    for listed in account.ask_all("sns", "list_topics", "Topics"):
        yield _topic_item(account, listed["TopicArn"])


def _topic(account: Account) -> Item:
    account.ask("sns", "get_topic_attributes", gone=aws_sqs.NO_TOPIC, TopicArn=account.target.asset)
    return _topic_item(account, account.target.asset)


def _topic_item(account: Account, arn: str) -> Item:
    return Item(arn, arn.rpartition(":")[2], account.region, arn)


def _about_topic(account: Account, raw: Any) -> Facts:
    about = account.ask("sns", "get_topic_attributes", gone=aws_sqs.NO_TOPIC, TopicArn=raw)["Attributes"]
    return {
        "public": not aws_sqs.topic_public(account)[0],
        "policy_principals": principals(json.loads(about.get("Policy") or "{}")),
        "encrypted": bool(about.get("KmsMasterKeyId")),
        "kms_key": about.get("KmsMasterKeyId", ""),
        "subscriptions": int(about.get("SubscriptionsConfirmed", 0)),
    }


def _topic_tags(account: Account, raw: Any) -> Tags:
    return tags_of(account.ask("sns", "list_tags_for_resource", ResourceArn=raw).get("Tags"))


TOPIC = Source(
    name="sns_topic", label=_("SNS topic"), type="AwsSnsTopic", service="sns", listed=_topics, found=_topic, tags=_topic_tags,
    parts=(
        Part(
            _about_topic,
            (
                flag("public", _("Its policy lets everybody in, and no condition says who that is")),
                LETS_IN,
                flag("encrypted", _("Messages are encrypted")),
                text("kms_key", _("Key that encrypts it; empty for a key of AWS")),
                number("subscriptions", _("Number of confirmed subscriptions")),
            ),
        ),
    ),
)  # fmt: skip
