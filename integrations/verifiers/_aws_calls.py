"""Each call that a verifier or the collector may make, and the IAM action that allows it: a customer's policy is made from this.

Source: the Service Authorization Reference. All of it reads; nothing here can change anything.
"""

import json

NEEDS_NONE = frozenset({"sts:GetCallerIdentity"})  # AWS answers it whatever a policy says

# Actions that are named otherwise than their operation.
NAMED = {
    "iam": {
        "list_mfa_devices": "iam:ListMFADevices",
        "list_saml_providers": "iam:ListSAMLProviders",
        "list_virtual_mfa_devices": "iam:ListVirtualMFADevices",
    },
    "rds": {
        "describe_db_cluster_parameters": "rds:DescribeDBClusterParameters",
        "describe_db_cluster_snapshot_attributes": "rds:DescribeDBClusterSnapshotAttributes",
        "describe_db_cluster_snapshots": "rds:DescribeDBClusterSnapshots",
        "describe_db_clusters": "rds:DescribeDBClusters",
        "describe_db_engine_versions": "rds:DescribeDBEngineVersions",
        "describe_db_instances": "rds:DescribeDBInstances",
        "describe_db_parameters": "rds:DescribeDBParameters",
        "describe_db_snapshot_attributes": "rds:DescribeDBSnapshotAttributes",
        "describe_db_snapshots": "rds:DescribeDBSnapshots",
    },
    "s3": {
        "get_bucket_encryption": "s3:GetEncryptionConfiguration",
        "get_bucket_lifecycle_configuration": "s3:GetLifecycleConfiguration",
        "get_bucket_notification_configuration": "s3:GetBucketNotification",
        "get_bucket_replication": "s3:GetReplicationConfiguration",
        "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
        "get_public_access_block": "s3:GetBucketPublicAccessBlock",
        "list_buckets": "s3:ListAllMyBuckets",
    },
    "s3control": {"get_public_access_block": "s3:GetAccountPublicAccessBlock"},
}
# Services whose actions have another prefix than boto3's name of the client.
PREFIXES = {"accessanalyzer": "access-analyzer"}
READ = {
    "accessanalyzer": ("list_analyzers",),
    "backup": ("get_backup_selection", "list_backup_plans", "list_backup_selections"),
    "cloudtrail": ("describe_trails", "get_event_selectors", "get_insight_selectors", "get_trail_status", "list_tags", "list_trails"),
    "config": ("describe_configuration_recorder_status",),
    "ec2": (
        "describe_addresses", "describe_flow_logs", "describe_images", "describe_instances", "describe_network_acls",
        "describe_network_interfaces", "describe_regions", "describe_route_tables", "describe_security_groups",
        "describe_snapshot_attribute", "describe_snapshots", "describe_subnets", "describe_volumes", "describe_vpc_endpoints",
        "describe_vpcs",
        "get_ebs_encryption_by_default", "get_instance_metadata_defaults", "get_snapshot_block_public_access_state",
    ),
    "guardduty": ("get_detector", "list_detectors", "list_findings"),
    "iam": (
        "get_access_key_last_used", "get_account_authorization_details", "get_account_password_policy", "get_account_summary",
        "get_group_policy", "get_login_profile", "get_policy", "get_policy_version", "get_role", "get_role_policy", "get_user",
        "get_user_policy", "list_access_keys", "list_attached_group_policies", "list_attached_role_policies",
        "list_attached_user_policies", "list_entities_for_policy", "list_group_policies", "list_groups_for_user",
        "list_mfa_devices", "list_policies", "list_policy_tags", "list_role_policies", "list_saml_providers", "list_user_policies",
        "list_virtual_mfa_devices",
    ),
    "kms": ("describe_key", "get_key_policy", "get_key_rotation_status", "list_keys", "list_resource_tags"),
    "rds": (
        "describe_certificates", "describe_db_cluster_parameters", "describe_db_cluster_snapshot_attributes",
        "describe_db_cluster_snapshots", "describe_db_clusters", "describe_db_engine_versions",
        "describe_db_instances", "describe_db_parameters", "describe_db_snapshot_attributes", "describe_db_snapshots",
        "describe_event_subscriptions",
    ),
    "s3": (
        "get_bucket_acl", "get_bucket_encryption", "get_bucket_lifecycle_configuration", "get_bucket_location", "get_bucket_logging",
        "get_bucket_notification_configuration", "get_bucket_ownership_controls", "get_bucket_policy", "get_bucket_replication",
        "get_bucket_tagging", "get_bucket_versioning", "get_object_lock_configuration", "get_public_access_block", "list_buckets",
    ),
    "s3control": ("get_public_access_block",),
    "securityhub": ("describe_hub", "get_enabled_standards", "list_enabled_products_for_import"),
    "sns": ("get_topic_attributes", "list_tags_for_resource", "list_topics"),
    "sqs": ("get_queue_attributes", "get_queue_url", "list_queue_tags", "list_queues"),
    "ssm": ("describe_instance_information",),
    "sts": ("get_caller_identity",),
}  # fmt: skip


def action(service: str, operation: str) -> str:
    """`ec2`, `describe_volumes` -> `ec2:DescribeVolumes`."""
    words = "".join(part.capitalize() for part in operation.split("_"))
    return NAMED.get(service, {}).get(operation) or f"{PREFIXES.get(service, service)}:{words}"


ACTIONS = {service: {operation: action(service, operation) for operation in operations} for service, operations in READ.items()}


def policy() -> str:
    """The IAM policy that allows what verifiers ask, and nothing else. It fits into a managed policy: 6,144 characters without blanks."""
    allowed = sorted({named for operations in ACTIONS.values() for named in operations.values()} - NEEDS_NONE)
    statement = {"Sid": "CspmTriageVerification", "Effect": "Allow", "Action": allowed, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def trust(principal: str, external_id: str) -> str:
    """The trust policy of a role that `principal` may assume. Without an external id, whoever can be talked into it may, too."""
    statement: dict[str, object] = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)
