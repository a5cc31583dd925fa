"""An environment that has Prowler, as far as a verifier can tell: a Python of its own, and the names, calls and habits of its library.

What it finds is the scenario of a test; how it behaves is as Prowler 5.46 was seen to: a check that was denied says PASS, the log alone
knows; the check of one port passes when all are open; what is missing has an id that is another one once it is there; groups that are
not in use are skipped; what threads raise is lost. The clients of services are globals of modules.
"""

import json
import sys
import venv
from pathlib import Path
from typing import Any

VERSION = "5.46.0"

SCENARIO = """
import json, pathlib, sys
FOLDER = pathlib.Path(sys.prefix)
def told():
    return json.loads((FOLDER / "scenario.json").read_text())
def note(**what):
    with (FOLDER / "asked.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\\n")
"""

CLIENT = """
import scenario
class ClientError(Exception):
    def __init__(self, response, operation):
        error = response["Error"]
        super().__init__(f"An error occurred ({error['Code']}) when calling the {operation} operation: {error['Message']}")
        self.response = response
class Named:
    def __init__(self, **names):
        self.__dict__.update(names)
class BaseClient:
    def __init__(self, service, region_name=None):
        self.region = region_name
        model = Named(service_name=service, signing_name=service)
        self.meta = Named(service_model=model, region_name=region_name, events=Named(register=lambda *_, **__: None))
    def _make_api_call(self, operation, given):
        refusal = scenario.told().get("refused", {}).get(operation)
        if refusal:
            code, message, status = refusal
            meta = {"HTTPStatusCode": status, "RequestId": "REQ-1"}
            raise ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, operation)
        return {"ResponseMetadata": {"HTTPStatusCode": 200, "RequestId": f"REQ-{operation}"}}
    def get_caller_identity(self):
        self._make_api_call("GetCallerIdentity", {})
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/auditor/x", "Account": scenario.told().get("account", "123456789012")}
"""

COMMON = """
class Provider:
    _global = None
    @staticmethod
    def get_global_provider():
        return Provider._global
    @staticmethod
    def set_global_provider(provider):
        Provider._global = provider
"""

MODELS = """
class Audit_Metadata:
    def __init__(self, services_scanned, expected_checks, completed_checks, audit_progress):
        self.expected_checks = expected_checks
"""

AWS = """
import os
import scenario
from botocore.client import BaseClient, Named
class AwsProvider:
    def __init__(self, role_arn=None, session_duration=3600, external_id=None, role_session_name=None, profile=None, regions=set(),
                 scan_unused_services=False):
        scenario.note(regions=sorted(regions), profile=profile, role_arn=role_arn, external_id=external_id,
                      unused=scan_unused_services, environ=dict(os.environ), pid=os.getpid())
        failure = scenario.told().get("reach")
        if failure:
            raise type(failure[0], (Exception,), {})(failure[1])
        self.scan_unused_services = scan_unused_services
        session = Named(client=lambda service, region_name: BaseClient(service, region_name))
        self.session = Named(current_session=session)
        account = role_arn.split(":")[4] if role_arn else scenario.told().get("account", "123456789012")
        self.identity = Named(account=account, profile_region=os.environ["AWS_REGION"], audited_regions=regions)
"""

CHECK = """
from types import SimpleNamespace
def row(status, said, uid, name, region, muted=False):
    return SimpleNamespace(status=status, status_extended=said, resource_arn=uid, resource_id=name, region=region, muted=muted)
def plain(rows):
    return [SimpleNamespace(**each) for each in rows]
"""

# What a service reads is read when its client is imported, by threads, and what goes wrong is logged there and nowhere else.
S3_SERVICE = """
import logging
from concurrent.futures import ThreadPoolExecutor, as_completed
import scenario
logger = logging.getLogger()
class S3:
    def __init__(self, provider):
        self.client = provider.session.current_session.client("s3", region_name="eu-west-1")
        self.provider = provider
        self.buckets = {}
        self.account_block = None
        self._list_buckets()
        self.pool = ThreadPoolExecutor(2)
        self.threads(self._get_bucket_acl)
        self.threads(self._get_bucket_encryption)
        self.threads(self._list_administrators)
    def threads(self, call):
        for done in as_completed([self.pool.submit(call, bucket) for bucket in self.buckets.values()]):
            try:
                done.result()
            except Exception:
                pass
    def _list_buckets(self):
        for bucket in scenario.told().get("buckets", ()):
            self.buckets[bucket["name"]] = type("Bucket", (), {"region": "eu-west-1", "public": False, "encryption": None, **bucket})()
    def _get_bucket_acl(self, bucket):
        try:
            self.client._make_api_call("GetBucketAcl", {"Bucket": bucket.name})
            bucket.acl_public = bucket.public
        except Exception as error:
            bucket.acl_public = False
            logger.error(f"{type(error).__name__}[248]: {error}")
    def _get_bucket_encryption(self, bucket):
        if scenario.told().get("raises_in_thread"):
            raise ValueError("Bucket has no field encryption")
        try:
            self.client._make_api_call("GetBucketEncryption", {"Bucket": bucket.name})
            bucket.encryption = "AES256"
        except Exception as error:
            logger.error(f"eu-west-1 -- {type(error).__name__}[144]: {error}")
    def _list_administrators(self, bucket):
        try:
            self.client._make_api_call("ListOrganizationAdminAccounts", {})
            self.administrators = []
        except Exception as error:
            logger.warning(f"eu-west-1 -- {type(error).__name__}[9]: {error}")
"""

EC2_SERVICE = """
import scenario
class EC2:
    failed = set()
    def __init__(self, provider):
        self.provider = provider
        self.groups = {group["arn"]: type("Group", (), group)() for group in scenario.told().get("groups", ())}
"""

CLIENT_OF = """
from prowler.providers.common.provider import Provider
from prowler.providers.aws.services.{service}.{service}_service import {name}
{service}_client = {name}(Provider.get_global_provider())
"""

S3_PUBLIC = """
from check import row
from prowler.providers.aws.services.s3.s3_client import s3_client
class s3_bucket_public_access:
    def execute(self):
        for bucket in s3_client.buckets.values():
            said = f"S3 Bucket {bucket.name} is not public."
            yield row("FAIL" if bucket.acl_public else "PASS", said.replace(" not", "" if bucket.acl_public else " not"),
                      f"arn:aws:s3:::{bucket.name}", bucket.name, bucket.region)
"""

S3_ENCRYPTED = """
from check import row
from prowler.providers.aws.services.s3.s3_client import s3_client
class s3_bucket_default_encryption:
    def execute(self):
        return [row("PASS" if bucket.encryption else "FAIL", "Encryption.", f"arn:aws:s3:::{bucket.name}", bucket.name, bucket.region)
                for bucket in s3_client.buckets.values()]
"""

PORTS = """
from check import row
from prowler.providers.aws.services.ec2.ec2_client import ec2_client
class {name}:
    def execute(self):
        rows = []
        for arn, group in ec2_client.groups.items():
            if not (ec2_client.provider.scan_unused_services or group.in_use):
                continue
            is_open = {expression}
            if is_open and {is_all}:
                ec2_client.failed.add(arn)
            elif is_open and arn in ec2_client.failed:
                rows.append(row("PASS", "has all ports open and therefore was not checked against the specific port.", arn, group.arn, "eu-west-1"))
                continue
            rows.append(row("FAIL" if is_open else "PASS", "is open." if is_open else "is not open.", arn, group.arn, "eu-west-1"))
        return rows
"""

# The rows that the scenario gives, and what may happen meanwhile.
GIVEN = """
import logging, os, subprocess, sys, time
import check, scenario
from prowler.providers.common.provider import Provider
logger = logging.getLogger()
class {name}:
    def execute(self):
        told = scenario.told()
        print("Something went wrong, please use --log-level ERROR")
        for level, message in told.get("log", ()):
            getattr(logger, level)(message)
        if told.get("crashes"):
            raise KeyError(told["crashes"])
        if told.get("dies"):
            sys.stderr.write("Segmentation fault: " + told["dies"] + "\\n")
            os._exit(139)
        if told.get("hangs"):
            child = subprocess.Popen(["sleep", "60"])
            scenario.note(child=child.pid, pid=os.getpid())
            time.sleep(60)
        everywhere = "rows_everywhere" in told and not Provider.get_global_provider().identity.audited_regions
        return check.plain(told.get("rows_everywhere" if everywhere else "rows", ()))
"""

OTHERS = """
import os
import scenario
from types import SimpleNamespace
class {name}:
    def __init__(self, {argument}=None, sp_env_auth=False):
        scenario.note({argument}={argument}, environ=dict(os.environ))
        told = scenario.told()
        self.identity = SimpleNamespace(**told.get("identity", {{}}))
        self.projects = told.get("projects", {{}})
        self.organizations = told.get("organizations", [])
"""

ALL = "ec2_securitygroup_allow_ingress_from_internet_to_all_ports"
ANY = "ec2_securitygroup_allow_ingress_from_internet_to_any_port"
SSH = "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22"
GIVEN_CHECKS = {
    "aws": (
        "guardduty_is_enabled",
        "cloudtrail_multi_region_enabled",
        "iam_password_policy_symbol",
        "vpc_peering_least_privilege",
    ),
    "azure": ("storage_secure_transfer_required_is_enabled", "entra_security_defaults_enabled"),
    "gcp": ("compute_firewall_ssh_access",),
    "kubernetes": ("core_minimize_privileged_containers",),
    "m365": ("entra_policy_default_users",),
    "github": ("repository_secret_scanning_enabled",),
}


def _tree() -> dict[str, str]:
    aws = "prowler/providers/aws/services"
    found = {
        "scenario.py": SCENARIO,
        "check.py": CHECK,
        "botocore/client.py": CLIENT,
        "prowler/config/config.py": f"import scenario\nprowler_version = scenario.told().get('version', '{VERSION}')\n",
        "prowler/providers/common/provider.py": COMMON,
        "prowler/providers/common/models.py": MODELS,
        "prowler/providers/aws/aws_provider.py": AWS,
        f"{aws}/s3/s3_service.py": S3_SERVICE,
        f"{aws}/s3/s3_client.py": CLIENT_OF.format(service="s3", name="S3"),
        f"{aws}/s3/s3_bucket_public_access/s3_bucket_public_access.py": S3_PUBLIC,
        f"{aws}/s3/s3_bucket_default_encryption/s3_bucket_default_encryption.py": S3_ENCRYPTED,
        f"{aws}/ec2/ec2_service.py": EC2_SERVICE,
        f"{aws}/ec2/ec2_client.py": CLIENT_OF.format(service="ec2", name="EC2"),
    }
    for name, expression in ((ALL, "group.ports == 'all'"), (ANY, "bool(group.ports)"), (SSH, "group.ports in ('all', 22)")):
        found[f"{aws}/ec2/{name}/{name}.py"] = PORTS.format(name=name, expression=expression, is_all=name == ALL)
    for provider, checks in GIVEN_CHECKS.items():
        for name in checks:
            folder = f"prowler/providers/{provider}/services/{name.partition('_')[0]}/{name}"
            found[f"{folder}/{name}.py"] = GIVEN.format(name=name)
    for provider, name, argument in (
        ("azure", "AzureProvider", "subscription_ids"), ("gcp", "GcpProvider", "project_ids"), ("m365", "M365Provider", "region"),
        ("kubernetes", "KubernetesProvider", "context"), ("github", "GithubProvider", "organizations"),
    ):  # fmt: skip
        found[f"prowler/providers/{provider}/{provider}_provider.py"] = OTHERS.format(name=name, argument=argument)
    return found


class Prowler:
    """`python`: what the setting CSPM_PROWLER is to be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, str(folder / "bin" / "python")

    def told(self, **scenario: Any) -> None:
        """What it is to find from now on."""
        (self.folder / "scenario.json").write_text(json.dumps(scenario))

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What its providers were made with, in which environment, in this order; and whatever else a check had to note."""
        noted = self.folder / "asked.jsonl"
        return [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []

    def forget(self) -> None:
        (self.folder / "asked.jsonl").unlink(missing_ok=True)
        self.told()


def lay(folder: Path) -> Prowler:
    """Make the environment. Nothing of ours is in it."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name, text in _tree().items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return Prowler(folder)
