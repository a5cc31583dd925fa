"""A simulated AWS account with problems to fix: moto's server, an estate in it, and a scan of that estate by our own verifiers.

Needs moto, which the development environment has (`make setup-dev`). Nothing here is of the product: it stands for the outside.
"""

import csv
import io
import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from triage import plugins
from triage.ports import Outcome, Target

ACCOUNT, NAME, REGION = "345678901234", "acme-simulated", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/cspm-triage"
BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
ANYBODY = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
OFFICE = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with an asset, and how it is mended and broken again. `check`: the one that says so."""

    check: str
    service: str
    severity: str
    title: str
    asset: str
    name: str
    tags: dict[str, str]
    mend: Callable[[], object]
    spoil: Callable[[], object]


@dataclass(slots=True)
class Estate:
    """The account at `url`. `problems` are there once it is built."""

    url: str
    problems: list[Problem] = field(default_factory=list)

    def build(self) -> None:
        """Assets of four teams, each with something wrong."""
        self._buckets()
        self._network()
        self._people()
        self._rest()
        for problem in self.problems:
            problem.spoil()

    def about(self, check: str, asset: str) -> Problem:
        """The problem that a finding is about. Raises LookupError for what the simulation cannot mend."""
        found = next((each for each in self.problems if (each.check, each.asset) == (check, asset)), None)
        if found is None:
            raise LookupError(f"{check} on {asset}")
        return found

    def scan(self, at: datetime) -> bytes:
        """What a scanner would report: a Prowler CSV whose verdicts come from our verifiers, asked in this process."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(_row(self.problems[0], "PASS", "", at)), delimiter=";")
        writer.writeheader()
        for problem, outcome, said in self._judged(at):
            if outcome in (Outcome.FIXED, Outcome.FAILING):
                writer.writerow(_row(problem, "PASS" if outcome == Outcome.FIXED else "FAIL", said, at))
        return text.getvalue().encode()

    @property
    def options(self) -> dict[str, str]:
        """Of the account, so that verifications find their way here."""
        return {"endpoint_url": self.url, "region": REGION, "role_arn": ROLE, "external_id": "demo"}

    def _judged(self, at: datetime) -> Iterator[tuple[Problem, Outcome, str]]:
        answers = {pair: name for name in plugins.names("verifiers") for pair in plugins.get("verifiers", name).CHECKS}
        for problem in self.problems:
            verifier = answers.get(("prowler", problem.check))
            if verifier:
                target = Target("prowler", problem.check, "aws", ACCOUNT, REGION, problem.asset, problem.name, self.options)
                (judgement,) = plugins.get("verifiers", verifier).verify([target], at)
                yield problem, judgement.outcome, str(judgement.summary)

    def _client(self, service: str) -> Any:
        plain = {"region_name": REGION, "endpoint_url": self.url, "config": Config(retries={"total_max_attempts": 2})}
        sts = boto3.client("sts", aws_access_key_id="simulated", aws_secret_access_key="simulated", **plain)
        given = sts.assume_role(RoleArn=ROLE, RoleSessionName="estate", ExternalId="demo")["Credentials"]
        return boto3.client(
            service, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"], **plain,
        )  # fmt: skip

    def _add(  # noqa: PLR0917 - a row of a table
        self, check: str, severity: str, title: str, asset: str, tags: dict[str, str], mend: Any, spoil: Any
    ) -> None:
        name = asset.rpartition("/")[2].rpartition(":")[2]
        service = check.partition("_")[0]
        self.problems.append(Problem(check, service, severity, title, asset, name, tags, mend, spoil))

    def _buckets(self) -> None:
        s3 = self._client("s3")
        for name, team in (("acme-simulated-assets", "web"), ("acme-simulated-exports", "data")):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
            tags = {"owner": team, "env": "prod"}
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]})
            arn = f"arn:aws:s3:::{name}"
            self._add(
                "s3_bucket_public_access", "critical", "S3 bucket is not publicly accessible", arn, tags,
                lambda name=name: (s3.put_bucket_acl(Bucket=name, ACL="private"),
                                   s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=BLOCK)),
                lambda name=name: (s3.delete_public_access_block(Bucket=name), s3.put_bucket_acl(Bucket=name, ACL="public-read")),
            )  # fmt: skip
            self._add(
                "s3_bucket_object_versioning", "medium", "S3 bucket has versioning enabled", arn, tags,
                lambda name=name: s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"}),
                lambda name=name: s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"}),
            )  # fmt: skip

    def _network(self) -> None:
        ec2 = self._client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="bastion", Description="way in", VpcId=vpc)["GroupId"]
        ec2.create_network_interface(SubnetId=subnet, Groups=[group])
        tags = {"owner": "platform", "env": "prod"}
        ec2.create_tags(Resources=[group], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
        self._add(
            "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22", "high", "Security group does not open SSH to the internet",
            f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/{group}", tags,
            lambda: (_let_be(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[ANYBODY]),
                     _let_be(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[OFFICE])),
            lambda: _let_be(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[ANYBODY]),
        )  # fmt: skip
        self._add(
            "ec2_ebs_default_encryption", "medium", "EBS encrypts new volumes", f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume", {},
            ec2.enable_ebs_encryption_by_default, ec2.disable_ebs_encryption_by_default,
        )  # fmt: skip

    def _people(self) -> None:
        iam = self._client("iam")
        self._add(
            "iam_password_policy_minimum_length_14", "medium", "IAM password policy asks for 14 characters",
            f"arn:aws:iam::{ACCOUNT}:password-policy", {},
            lambda: iam.update_account_password_policy(MinimumPasswordLength=16), lambda: iam.update_account_password_policy(MinimumPasswordLength=8),
        )  # fmt: skip

    def _rest(self) -> None:
        sqs, kms = self._client("sqs"), self._client("kms")
        queue = sqs.create_queue(QueueName="orders", tags={"owner": "orders", "env": "prod"})["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"
        anybody = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": arn}],
        }
        own = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sqs:*", "Resource": arn}],
        }
        self._add(
            "sqs_queues_not_publicly_accessible", "critical", "SQS queue is not open to everybody", arn, {"owner": "orders", "env": "prod"},
            lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(own)}),
            lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(anybody)}),
        )  # fmt: skip
        key = kms.create_key(Description="finance", Tags=[{"TagKey": "owner", "TagValue": "finance"}])["KeyMetadata"]
        self._add(
            "kms_cmk_rotation_enabled", "high", "KMS key rotates", key["Arn"], {"owner": "finance"},
            lambda: kms.enable_key_rotation(KeyId=key["KeyId"]), lambda: kms.disable_key_rotation(KeyId=key["KeyId"]),
        )  # fmt: skip


@contextmanager
def running(port: int = 0) -> Iterator[Estate]:
    """The account, built, for as long as it is needed."""
    import logging  # noqa: PLC0415

    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only a demonstration needs it

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, at = server.get_host_and_port()
    try:
        estate = Estate(f"http://{host}:{at}")
        # One process has one simulation, whatever ran in it before.
        urllib.request.urlopen(urllib.request.Request(f"{estate.url}/moto-api/reset", method="POST")).close()
        estate.build()
        yield estate
    finally:
        server.stop()


def _let_be(call: Callable[..., object], **request: object) -> None:
    """What is so already stays so."""
    with suppress(ClientError):
        call(**request)


def _row(problem: Problem, status: str, said: str, at: datetime) -> dict[str, str]:
    """A row as Prowler 5 writes it, of the columns that mean something here."""
    tags: Sequence[str] = [f"{key}={value}" for key, value in problem.tags.items()]
    return {
        "AUTH_METHOD": "", "TIMESTAMP": f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", "ACCOUNT_UID": ACCOUNT, "ACCOUNT_NAME": NAME,
        "ACCOUNT_EMAIL": "", "ACCOUNT_ORGANIZATION_UID": "", "ACCOUNT_ORGANIZATION_NAME": "", "ACCOUNT_TAGS": "",
        "FINDING_UID": f"prowler-aws-{problem.check}-{ACCOUNT}-{REGION}-{problem.name}", "PROVIDER": "aws", "CHECK_ID": problem.check,
        "CHECK_TITLE": problem.title, "CHECK_TYPE": "", "STATUS": status, "STATUS_EXTENDED": said, "MUTED": "False",
        "SERVICE_NAME": problem.service, "SUBSERVICE_NAME": "", "SEVERITY": problem.severity, "RESOURCE_TYPE": "", "RESOURCE_UID": problem.asset,
        "RESOURCE_NAME": problem.name, "RESOURCE_DETAILS": "", "RESOURCE_TAGS": " | ".join(tags), "PARTITION": "aws", "REGION": REGION,
        "DESCRIPTION": problem.title, "RISK": "", "RELATED_URL": "", "REMEDIATION_RECOMMENDATION_TEXT": "", "REMEDIATION_RECOMMENDATION_URL": "",
        "REMEDIATION_CODE_NATIVEIAC": "", "REMEDIATION_CODE_TERRAFORM": "", "REMEDIATION_CODE_CLI": "", "REMEDIATION_CODE_OTHER": "",
        "COMPLIANCE": "", "CATEGORIES": "", "DEPENDS_ON": "", "RELATED_TO": "", "NOTES": "", "PROWLER_VERSION": "5.46.0-simulated",
    }  # fmt: skip
