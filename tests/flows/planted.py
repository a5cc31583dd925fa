"""Twenty-five problems in a simulated AWS account: each is planted, mended, and some of their assets deleted."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.cloud import ACCOUNT, BLOCK, REGION

ANYBODY = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
DEFAULTS = {
    "RequireSymbols": False,
    "RequireNumbers": False,
    "RequireUppercaseCharacters": False,
    "RequireLowercaseCharacters": False,
}


@dataclass(frozen=True)
class Problem:
    check: str
    asset: str
    plant: Callable[[], object]
    mend: Callable[[], object]
    delete: Callable[[], object] | None = None


def policy(effect, principal, action, resource, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource, **more}]})  # fmt: skip


def estate(cloud) -> list[Problem]:
    found: list[Problem] = []
    for part in (_buckets, _groups, _compute, _people, _data):
        found += part(cloud)
    return found


def _buckets(cloud):
    s3 = cloud.client("s3")

    def bucket(name):
        cloud.bucket(name)
        return f"arn:aws:s3:::{name}"

    public, policied, plain, versions, clear = map(
        bucket, ("planted-acl", "planted-policy", "planted-block", "planted-versions", "planted-tls")
    )
    tls = policy("Deny", "*", "s3:*", [clear, f"{clear}/*"], Condition={"Bool": {"aws:SecureTransport": "false"}})
    open_ = policy("Allow", "*", "s3:GetObject", f"{policied}/*")
    return [
        Problem("s3_bucket_public_access", public, lambda: cloud.open("planted-acl"), lambda: cloud.close("planted-acl"),
                lambda: s3.delete_bucket(Bucket="planted-acl")),
        Problem("s3_bucket_policy_public_write_access", policied,
                lambda: s3.put_bucket_policy(Bucket="planted-policy", Policy=open_.replace("GetObject", "PutObject")),
                lambda: s3.delete_bucket_policy(Bucket="planted-policy"), lambda: s3.delete_bucket(Bucket="planted-policy")),
        Problem("s3_bucket_level_public_access_block", plain, lambda: s3.delete_public_access_block(Bucket="planted-block"),
                lambda: s3.put_public_access_block(Bucket="planted-block", PublicAccessBlockConfiguration=BLOCK)),
        Problem("s3_bucket_object_versioning", versions,
                lambda: s3.put_bucket_versioning(Bucket="planted-versions", VersioningConfiguration={"Status": "Suspended"}),
                lambda: s3.put_bucket_versioning(Bucket="planted-versions", VersioningConfiguration={"Status": "Enabled"})),
        Problem("s3_bucket_secure_transport_policy", clear, lambda: s3.delete_bucket_policy(Bucket="planted-tls"),
                lambda: s3.put_bucket_policy(Bucket="planted-tls", Policy=tls)),
    ]  # fmt: skip


def _groups(cloud):
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    problems = []
    cases = (
        ("tcp_port_22", {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **ANYBODY}),
        ("tcp_port_3389", {"IpProtocol": "tcp", "FromPort": 3389, "ToPort": 3389, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}),
        ("tcp_port_postgres_5432", {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000, **ANYBODY}),
        ("all_ports", {"IpProtocol": "-1", **ANYBODY}),
    )
    for name, rule in cases:
        group = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"]
        interface = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["NetworkInterfaceId"]
        problems.append(Problem(
            f"ec2_securitygroup_allow_ingress_from_internet_to_{name}", f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/{group}",
            lambda group=group, rule=rule: ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule]),
            lambda group=group, rule=rule: ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule]),
            lambda group=group, interface=interface: (ec2.delete_network_interface(NetworkInterfaceId=interface),
                                                      ec2.delete_security_group(GroupId=group)),
        ))  # fmt: skip
    problems.append(Problem(
        "vpc_subnet_no_public_ip_by_default", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{subnet}",
        lambda: ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True}),
        lambda: ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False}),
    ))  # fmt: skip
    return problems


def _compute(cloud):
    ec2 = cloud.client("ec2")
    instance = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:"
    share = {"SnapshotId": snapshot, "Attribute": "createVolumePermission", "GroupNames": ["all"]}
    return [
        Problem("ec2_instance_imdsv2_enabled", f"{arn}instance/{instance}",
                lambda: ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional", HttpEndpoint="enabled"),
                lambda: ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required", HttpEndpoint="enabled"),
                lambda: ec2.terminate_instances(InstanceIds=[instance])),
        Problem("ec2_ebs_public_snapshot", f"{arn}snapshot/{snapshot}", lambda: ec2.modify_snapshot_attribute(**share, OperationType="add"),
                lambda: ec2.modify_snapshot_attribute(**share, OperationType="remove"), lambda: ec2.delete_snapshot(SnapshotId=snapshot)),
        Problem("ec2_ebs_default_encryption", f"{arn}volume", ec2.disable_ebs_encryption_by_default, ec2.enable_ebs_encryption_by_default),
    ]  # fmt: skip


def _people(cloud):
    iam = cloud.client("iam")
    iam.create_user(UserName="planted-user")
    iam.create_login_profile(UserName="planted-user", Password="a long password, 42")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="planted")["VirtualMFADevice"]["SerialNumber"]
    mfa = {"UserName": "planted-user", "SerialNumber": device}
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    something = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::x/*"}],
    }
    admin = iam.create_policy(PolicyName="planted-admin", PolicyDocument=json.dumps(something))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="planted-user", PolicyArn=admin)

    def version(document):
        for each in iam.list_policy_versions(PolicyArn=admin)["Versions"]:
            if not each["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=admin, VersionId=each["VersionId"])
        iam.create_policy_version(PolicyArn=admin, PolicyDocument=json.dumps(document), SetAsDefault=True)

    def passwords(**more):
        return lambda: iam.update_account_password_policy(**{**DEFAULTS, "MinimumPasswordLength": 8, **more})

    account = f"arn:aws:iam::{ACCOUNT}:password-policy"
    return [
        Problem("iam_user_mfa_enabled_console_access", f"arn:aws:iam::{ACCOUNT}:user/planted-user",
                lambda: iam.deactivate_mfa_device(**mfa) if iam.list_mfa_devices(UserName="planted-user")["MFADevices"] else None,
                lambda: iam.enable_mfa_device(**mfa, AuthenticationCode1="123456", AuthenticationCode2="654321")),
        Problem("iam_customer_attached_policy_no_administrative_privileges", admin, lambda: version(everything), lambda: version(something)),
        Problem("iam_password_policy_minimum_length_14", account, passwords(), passwords(MinimumPasswordLength=16)),
        Problem("iam_password_policy_symbol", account, passwords(), passwords(RequireSymbols=True, MinimumPasswordLength=16)),
    ]  # fmt: skip


def _data(cloud):
    sqs, kms, rds, trail, sns = (cloud.client(name) for name in ("sqs", "kms", "rds", "cloudtrail", "sns"))
    queue = sqs.create_queue(QueueName="planted")["QueueUrl"]
    plain = sqs.create_queue(QueueName="planted-plain")["QueueUrl"]
    queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:planted"
    topic = sns.create_topic(Name="planted")["TopicArn"]
    key = kms.create_key()["KeyMetadata"]
    rds.create_db_instance(DBInstanceIdentifier="planted", DBInstanceClass="db.t3.micro", Engine="postgres", MasterUsername="x",
                           MasterUserPassword="a long password", AllocatedStorage=20, StorageEncrypted=True)  # fmt: skip
    cloud.bucket("planted-trail")
    trail.create_trail(Name="planted", S3BucketName="planted-trail")
    queue_policy = {who: policy("Allow", who_is, "sqs:*", queue_arn) for who, who_is in (("all", "*"), ("us", {"AWS": ACCOUNT}))}
    topic_policy = {
        who: policy("Allow", who_is, "sns:Publish", topic) for who, who_is in (("all", "*"), ("us", {"AWS": ACCOUNT}))
    }
    return [
        Problem("sqs_queues_not_publicly_accessible", queue_arn,
                lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": queue_policy["all"]}),
                lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": queue_policy["us"]}),
                lambda: sqs.delete_queue(QueueUrl=queue)),
        Problem("sns_topics_not_publicly_accessible", topic,
                lambda: sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=topic_policy["all"]),
                lambda: sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=topic_policy["us"]),
                lambda: sns.delete_topic(TopicArn=topic)),
        Problem("kms_cmk_rotation_enabled", key["Arn"], lambda: kms.disable_key_rotation(KeyId=key["KeyId"]),
                lambda: kms.enable_key_rotation(KeyId=key["KeyId"]),
                lambda: kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)),
        Problem("rds_instance_multi_az", f"arn:aws:rds:{REGION}:{ACCOUNT}:db:planted",
                lambda: rds.modify_db_instance(DBInstanceIdentifier="planted", MultiAZ=False),
                lambda: rds.modify_db_instance(DBInstanceIdentifier="planted", MultiAZ=True),
                lambda: rds.delete_db_instance(DBInstanceIdentifier="planted", SkipFinalSnapshot=True)),
        Problem("rds_instance_deletion_protection", f"arn:aws:rds:{REGION}:{ACCOUNT}:db:planted",
                lambda: rds.modify_db_instance(DBInstanceIdentifier="planted", DeletionProtection=False),
                lambda: rds.modify_db_instance(DBInstanceIdentifier="planted", DeletionProtection=True)),
        Problem("cloudtrail_log_file_validation_enabled", f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/planted",
                lambda: trail.update_trail(Name="planted", EnableLogFileValidation=False),
                lambda: trail.update_trail(Name="planted", EnableLogFileValidation=True),
                lambda: trail.delete_trail(Name="planted")),
        Problem("sqs_queues_server_side_encryption_enabled", f"{queue_arn}-plain",
                lambda: sqs.set_queue_attributes(QueueUrl=plain, Attributes={"SqsManagedSseEnabled": "false", "KmsMasterKeyId": ""}),
                lambda: sqs.set_queue_attributes(QueueUrl=plain, Attributes={"KmsMasterKeyId": "alias/aws/sqs"})),
        Problem("sns_topics_kms_encryption_at_rest_enabled", topic,
                lambda: sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=""),
                lambda: sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="alias/aws/sns")),
    ]  # fmt: skip
