"""Prowler asked again, in an environment of its own: what must not fool us. The last test asks the real one, where there is one."""

import ast
import dataclasses
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from integrations.verifiers import _prowler_check, prowler
from tests.cloud import ACCOUNT, REGION
from tests.factories import AT
from tests.flows.planted import estate
from tests.servers.prowler import ALL, ANY, SSH, VERSION, lay
from triage.ports import Outcome, Target

DENIED_LOG = Path(__file__).parents[2] / "samples" / "prowler" / "denied.errors.log"
BUCKET = "arn:aws:s3:::acme"
GROUP = f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1"
NO_DETECTOR = f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/unknown"
GIVEN = "vpc_peering_least_privilege"
PEERING = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-peering-connection/pcx-1"


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    return lay(tmp_path_factory.mktemp("prowler"))


@pytest.fixture
def theirs(environment, settings):
    settings.PROWLER = environment.python
    environment.forget()
    return environment


def target(check, asset, *, name="", region=REGION, provider="aws", account=ACCOUNT, **options):
    name = name or asset.rpartition("/")[2].rpartition(":")[2]
    return Target(
        scanner="prowler",
        check=check,
        provider=provider,
        account=account,
        region=region,
        asset=asset,
        asset_name=name,
        options=options,
    )


def row(status, uid=PEERING, said="As Prowler says it.", *, name="x", region=REGION, **more):
    return {"status": status, "status_extended": said, "resource_arn": uid, "resource_id": name, "region": region, **more}


def verified(*targets):
    judgements = list(prowler.verify(targets, AT))
    assert len(judgements) == len(targets)
    return judgements if len(targets) > 1 else judgements[0]


def given(theirs, *rows, asset=PEERING, check=GIVEN, **scenario):
    """The judgement of a check that finds these rows."""
    theirs.told(rows=rows, **scenario)
    return verified(target(check, asset))


# --- a row, and nothing but a row ---------------------------------------------------------------------------------------------


def test_failing_fixed_and_failing_again_each_seen_by_a_fresh_process(theirs):
    for public, outcome in ((True, Outcome.FAILING), (False, Outcome.FIXED), (True, Outcome.FAILING)):
        theirs.told(buckets=[{"name": "acme", "public": public}])
        judgement = verified(target("s3_bucket_public_access", BUCKET))
        assert (judgement.outcome, judgement.missing) == (outcome, "")
    assert len({asked["pid"] for asked in theirs.asked}) == 3
    assert str(judgement.summary) == "Prowler's check fails: S3 Bucket acme is public."


def test_evidence_has_the_question_the_rows_the_log_and_the_calls(theirs):
    theirs.told(buckets=[{"name": "acme"}, {"name": "other", "public": True}])
    judgement = verified(target("s3_bucket_public_access", BUCKET))
    (exchange,) = judgement.exchanges
    assert (exchange.service, exchange.operation, exchange.region) == ("prowler", "s3_bucket_public_access", REGION)
    assert exchange.request == {
        "provider": "aws", "account": ACCOUNT, "region": REGION, "resource": BUCKET, "checks": ["s3_bucket_public_access"],
        "everywhere": False, "scan_unused_services": True, "prowler": VERSION, "python": judgement.tools["python"],
    }  # fmt: skip
    assert [found["uid"] for found in exchange.response["rows"]] == [BUCKET]
    assert exchange.response["rows_in_all"] == 2
    assert {"service": "s3", "operation": "GetBucketAcl", "region": REGION, "status": 200, "request_id": "REQ-GetBucketAcl"} in (
        exchange.response["calls"]
    )
    assert judgement.principal == "arn:aws:sts::123456789012:assumed-role/auditor/x"
    assert judgement.tools["prowler"] == VERSION
    assert exchange.at.tzinfo is not None


def test_no_row_at_all_is_no_verdict(theirs):
    """Prowler's command ends with 0 then, as it does when all passes."""
    judgement = given(theirs)
    assert (judgement.outcome, str(judgement.summary)) == (
        Outcome.CANNOT, f"Prowler says nothing of {PEERING}, and that proves nothing.",
    )  # fmt: skip


def test_a_row_of_another_resource_is_no_verdict(theirs):
    assert given(theirs, row("PASS", f"{PEERING}2")).outcome == Outcome.CANNOT


def test_of_several_rows_of_one_resource_the_failing_one_counts(theirs):
    rows = [row("PASS", name="alice/one"), row("FAIL", said="two", name="alice/two")]
    assert given(theirs, *rows).outcome == Outcome.FAILING


def test_what_prowler_leaves_to_people_is_left_to_people(theirs):
    assert given(theirs, row("MANUAL")).outcome == Outcome.CANNOT


def test_a_muted_row_says_what_it_says_under_the_mute(theirs):
    assert given(theirs, row("FAIL", muted=True)).outcome == Outcome.FAILING
    assert given(theirs, row("PASS", muted=True)).outcome == Outcome.FIXED


# --- gone -------------------------------------------------------------------------------------------------------------------


def test_gone_is_what_the_cloud_says_is_not_there(theirs, cloud):
    cloud.bucket("acme")
    theirs.told(buckets=[])
    there = verified(target("s3_bucket_public_access", BUCKET))
    assert (there.outcome, str(there.summary)) == (
        Outcome.CANNOT, f"Prowler says nothing of {BUCKET}, which is there all the same.",
    )  # fmt: skip
    cloud.client("s3").delete_bucket(Bucket="acme")
    gone = verified(target("s3_bucket_public_access", BUCKET))
    assert gone.outcome == Outcome.GONE
    assert [exchange.operation for exchange in gone.exchanges] == [
        "s3_bucket_public_access",
        "GetCallerIdentity",
        "GetBucketLocation",
    ]


def test_what_may_not_be_looked_for_is_not_gone(theirs, cloud, monkeypatch):
    theirs.told(buckets=[])
    with cloud.allowing_nothing(monkeypatch):
        assert verified(target("s3_bucket_public_access", BUCKET)).outcome == Outcome.CANNOT


@pytest.mark.parametrize(
    ("arn", "make"),
    [
        ("ec2:{region}:{account}:{kind}/", "volume"),
        ("ec2:{region}:{account}:{kind}/", "instance"),
        ("ec2:{region}:{account}:{kind}/", "security-group"),
        ("iam::{account}:{kind}/", "user"),
        ("kms:{region}:{account}:{kind}/", "key"),
    ],
)
def test_kinds_that_are_looked_for(theirs, cloud, arn, make):
    ec2 = cloud.client("ec2")
    made = {
        "volume": lambda: ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"],
        "instance": lambda: ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"],
        "security-group": lambda: ec2.create_security_group(GroupName="x", Description="x")["GroupId"],
        "user": lambda: cloud.client("iam").create_user(UserName="alice")["User"]["UserName"],
        "key": lambda: cloud.client("kms").create_key()["KeyMetadata"]["KeyId"],
    }[make]()
    arn = "arn:aws:" + arn.format(region=REGION, account=ACCOUNT, kind=make)
    absent = {"user": "bob", "key": "00000000-0000-0000-0000-000000000000"}.get(make) or made[:-4] + "ffff"
    there, gone = verified(target(GIVEN, arn + made), target(GIVEN, arn + absent))
    assert (there.outcome, gone.outcome) == (Outcome.CANNOT, Outcome.GONE)
    if make == "instance":
        ec2.terminate_instances(InstanceIds=[made])
        assert verified(target(GIVEN, arn + made)).outcome == Outcome.GONE


# --- what was refused ---------------------------------------------------------------------------------------------------------

NO = ["AccessDenied", "Access Denied", 403]


def test_a_pass_that_was_denied_is_denied(theirs):
    """As Prowler 5.46 said of two public buckets that they are not."""
    theirs.told(buckets=[{"name": "acme", "public": True}], refused={"GetBucketAcl": NO})
    judgement = verified(target("s3_bucket_public_access", BUCKET))
    assert (judgement.outcome, judgement.missing) == (Outcome.DENIED, "s3:GetBucketAcl")
    assert judgement.exchanges[0].response["rows"][0]["status"] == "PASS"
    assert str(judgement.summary) == (
        "arn:aws:sts::123456789012:assumed-role/auditor/x may not do all that Prowler asks, so that its word does not count. "
        "Missing: s3:GetBucketAcl."
    )


def test_a_denial_of_something_else_counts_when_prowler_calls_it_an_error(theirs):
    theirs.told(buckets=[{"name": "acme"}], refused={"GetBucketEncryption": NO})
    judgement = verified(target("s3_bucket_public_access", BUCKET))
    assert (judgement.outcome, judgement.missing) == (Outcome.DENIED, "s3:GetEncryptionConfiguration")


def test_what_the_check_needs_is_named_first(theirs):
    theirs.told(buckets=[{"name": "acme"}], refused={"GetBucketEncryption": NO, "GetBucketAcl": NO})
    judgement = verified(target("s3_bucket_default_encryption", BUCKET))
    assert (judgement.outcome, judgement.missing) == (Outcome.DENIED, "s3:GetEncryptionConfiguration")
    assert "s3:GetEncryptionConfiguration, s3:GetBucketAcl." in str(judgement.summary)


def test_a_refusal_that_prowler_expects_and_the_check_does_not_look_at_is_none(theirs):
    theirs.told(buckets=[{"name": "acme"}], refused={"ListOrganizationAdminAccounts": NO})
    assert verified(target("s3_bucket_public_access", BUCKET)).outcome == Outcome.FIXED


def test_each_line_of_a_recorded_log_of_denials_is_one(theirs):
    """The log of a real run: each line by itself keeps a PASS from counting, if it says that something was denied."""
    lines = [line["message"] for line in map(json.loads, DENIED_LOG.read_text().splitlines())]
    denied = [line for line in lines if "AccessDenied" in line]
    assert len(denied) > 5
    for line in denied:
        assert prowler._refuses(line), line
    named = {prowler._permission(line) for line in denied}
    assert {"ec2:DescribeSecurityGroups", "iam:GetAccountPasswordPolicy"} <= named


REFUSALS = {
    "azure": (
        "Subscription: x -- HttpResponseError[30]: (AuthorizationFailed) The client 'c' with object id 'o' does not have authorization "
        "to perform action 'Microsoft.Storage/storageAccounts/read' over scope '/subscriptions/s'"
    ),
    "gcp": (
        'HttpError[44]: <HttpError 403 when requesting https://compute.googleapis.com returned "Required '
        "'compute.firewalls.list' permission for 'projects/p'>"
    ),
    "kubernetes": (
        r'ApiException[20]: (403) Reason: Forbidden {"message":"pods is forbidden: User \"u\" cannot list resource \"pods\" in API group'
    ),
    "m365": "APIError[9]: Authorization_RequestDenied: Insufficient privileges to complete the operation.",
    "github": "acme/shop: insufficient permissions to query repository rulesets.",
}


@pytest.mark.parametrize(
    ("provider", "check", "missing"),
    [
        ("azure", "storage_secure_transfer_required_is_enabled", "Microsoft.Storage/storageAccounts/read"),
        ("gcp", "compute_firewall_ssh_access", "compute.firewalls.list"),
        ("kubernetes", "core_minimize_privileged_containers", "list resource pods"),
        ("m365", "entra_policy_default_users", "entra_policy_default_users"),
        ("github", "repository_secret_scanning_enabled", "repository_secret_scanning_enabled"),
    ],
)
@pytest.mark.parametrize("level", ["warning", "error"])
def test_a_denial_in_the_log_counts_for_every_provider(theirs, provider, check, missing, level):
    whom = {"identity_type": "app", "identity_id": "7", "subscriptions": {"acme": "Acme"}, "tenant_ids": ["t"], "tenant_domain": "acme",
            "tenant_id": "t", "profile": "sa@acme", "user": "u", "cluster": "acme", "account_name": "acme"}  # fmt: skip
    theirs.told(identity=whom, projects={"acme": {}}, log=[[level, REFUSALS[provider]]])
    judgement = verified(target(check, "thing", provider=provider, account="acme"))
    assert (judgement.outcome, judgement.missing) == (Outcome.DENIED, missing)


@pytest.mark.parametrize(
    ("said", "refuses"),
    [
        ("eu-west-1 -- ResponseParserError[403]: Unable to parse response", False),
        ("vol-403-x: KeyError[12]: 'unauthorized_api_calls'", False),
        ("ClientError[7]: (AccessDeniedException) when calling: Macie is not enabled", False),
        ("ApiException[9]: (403) Reason: no", True),
        ("401 Client Error: Unauthorized for url", True),
    ],
)
def test_numbers_of_lines_and_names_are_no_refusals(said, refuses):
    assert prowler._refuses(said) is refuses


@pytest.mark.parametrize(
    ("said", "absent"),
    [
        ("An error occurred (NoSuchBucketPolicy) when calling", True),
        ("An error occurred (ResourceNotFoundException) when calling", True),
        ("An error occurred (NoSuchBucket) when calling", False),
        ("An error occurred (InvalidInstanceID.NotFound) when calling", False),
        ("ApiException[3]: (404)\nReason: Not Found", True),
        ("An error occurred (404) when calling the GetContactInformation operation: <!doctype html>", False),
        ("FileNotFoundError: no such file", False),
        ("ModuleNotFoundError: No module named 'x'", False),
    ],
)
def test_what_is_not_configured_is_an_answer_and_what_is_not_there_is_none(said, absent):
    assert bool(prowler.ABSENT.search(said)) is absent


@pytest.mark.parametrize(
    ("failure", "outcome", "missing"),
    [
        (("AWSAccessKeyIDInvalidError", "An error occurred (InvalidClientTokenId)"), Outcome.DENIED, "credentials"),
        (("AWSSetUpSessionError", "The config profile (x) could not be found"), Outcome.DENIED, "credentials"),
        (
            ("AWSAssumeRoleError", "An error occurred (AccessDenied): User: u is not authorized to perform: sts:AssumeRole on resource: r"),
            Outcome.DENIED, "sts:AssumeRole",
        ),
        (("EndpointConnectionError", "Could not connect to the endpoint URL"), Outcome.ERROR, ""),
    ],
)  # fmt: skip
def test_who_does_not_get_in_has_no_verdict(theirs, failure, outcome, missing):
    judgement = given(theirs, row("PASS"), reach=failure)
    assert (judgement.outcome, judgement.missing) == (outcome, missing)


# --- what went wrong ----------------------------------------------------------------------------------------------------------


def test_an_error_of_what_the_check_looks_at_is_no_fix(theirs):
    theirs.told(buckets=[{"name": "acme"}], refused={"GetBucketAcl": ["SlowDown", "Please reduce your request rate.", 503]})
    judgement = verified(target("s3_bucket_public_access", BUCKET))
    assert judgement.outcome == Outcome.ERROR
    assert "SlowDown" in str(judgement.summary)


def test_an_error_of_what_it_does_not_look_at_changes_nothing_and_is_in_the_evidence(theirs):
    theirs.told(
        buckets=[{"name": "acme"}], refused={"GetBucketEncryption": ["SlowDown", "Please reduce your request rate.", 503]}
    )
    judgement = verified(target("s3_bucket_public_access", BUCKET))
    assert judgement.outcome == Outcome.FIXED
    (line,) = judgement.exchanges[0].response["log"]
    assert (line["where"].split()[1], line["matters"], line["times"]) == ("_get_bucket_encryption", False, 1)
    assert verified(target("s3_bucket_default_encryption", BUCKET)).outcome == Outcome.ERROR


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ("for key in self.keys: key['policy'] = 1", {"keys"}),
        ("held = self.keys\n for key in held.values(): key['policy'] = 1", {"keys"}),
        ("for at, key in enumerate(self.keys): key.append(at)", {"keys"}),
        ("for key in client.list_keys().get('Keys'): key['Arn'] = 1", set()),
        ("page = [{}]\n for key in page: key['Arn'] = 1", set()),
        ("given['policy'] = 1", {""}),
        ("for key in given.keys_of: key['policy'] = 1", {"keys_of"}),
    ],
)
def test_what_a_method_writes_through_a_local_name(body, written):
    """'' is what it was given: that may be a part of anything, and so its errors always matter."""
    method = ast.parse(f"def read(self, client, given):\n {body}").body[0]
    assert _prowler_check.Locals(method).written() == written


def test_that_nothing_is_configured_is_an_answer(theirs):
    refusal = ["ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found", 404]
    theirs.told(buckets=[{"name": "acme"}], refused={"GetBucketEncryption": refusal})
    assert verified(target("s3_bucket_default_encryption", BUCKET)).outcome == Outcome.FAILING


def test_what_a_thread_raises_and_prowler_loses_is_heard(theirs):
    theirs.told(buckets=[{"name": "acme"}], raises_in_thread=True)
    assert verified(target("s3_bucket_default_encryption", BUCKET)).outcome == Outcome.ERROR
    assert verified(target("s3_bucket_public_access", BUCKET)).outcome == Outcome.FIXED


def test_a_check_that_crashes_is_an_error(theirs):
    judgement = given(theirs, row("PASS"), crashes="Grants")
    assert (judgement.outcome, "KeyError: 'Grants'" in str(judgement.summary)) == (Outcome.ERROR, True)


def test_a_process_that_dies_is_an_error(theirs):
    judgement = given(theirs, row("PASS"), dies="core dumped")
    assert (judgement.outcome, str(judgement.summary)) == (
        Outcome.ERROR, "Prowler's process ended without an answer: Segmentation fault: core dumped.",
    )  # fmt: skip


def test_what_hangs_is_killed_with_all_that_it_started(theirs, settings):
    settings.PROWLER_SECONDS = 2
    judgement = given(theirs, row("PASS"), hangs=True)
    assert (judgement.outcome, str(judgement.summary)) == (Outcome.ERROR, "Prowler did not answer within 2 seconds.")
    noted = theirs.asked[-1]
    for pid in (noted["pid"], noted["child"]):
        assert _is_gone(pid)


def _is_gone(pid):
    """Nobody, or a zombie that init has not collected yet."""
    for _turn in range(50):
        status = Path(f"/proc/{pid}/stat")
        with suppress(FileNotFoundError, ProcessLookupError):
            if status.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


# --- ports, groups, stand-ins, regions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ports", "outcomes"),
    [
        ("all", ("failing", "failing", "failing")),
        (22, ("fixed", "failing", "failing")),
        (443, ("fixed", "failing", "fixed")),
        (None, ("fixed", "fixed", "fixed")),
    ],
)
def test_a_group_that_is_open_on_all_ports_is_open_on_each_and_an_unused_one_is_looked_at(theirs, ports, outcomes):
    theirs.told(groups=[{"arn": GROUP, "ports": ports, "in_use": False}])
    found = verified(*(target(check, GROUP) for check in (ALL, ANY, SSH)))
    assert tuple(each.outcome for each in found) == outcomes
    assert found[2].exchanges[0].request["checks"] == [SSH, ALL, ANY]
    assert all(asked["unused"] for asked in theirs.asked)


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        (SSH, Outcome.FAILING),
        (SSH.replace("_22", "_mysql_3306"), Outcome.FAILING),
        (f"{ANY}_from_ip", Outcome.FIXED),
        (ANY, Outcome.FIXED),
    ],
)
def test_a_check_of_some_ports_that_left_it_to_the_check_of_all_is_failing(check, outcome):
    """However it comes that Prowler runs that one first. Whether single addresses are let in is another question."""
    row = {"uid": GROUP, "name": "x", "region": REGION, "account": ACCOUNT}
    rows = [
        {"check": check, "status": "PASS", "said": "was not checked", **row},
        {"check": ALL, "status": "FAIL", "said": "all open", **row},
    ]
    answer = {"accounts": [ACCOUNT], "principal": "", "log": [], "refused": [], "provider": "aws"}
    thing = target(check, GROUP)
    assert prowler._verdict(thing, answer, prowler._rows(thing, rows, everywhere=False))[0] == outcome


def test_what_stood_for_something_missing_is_fixed_when_that_is_there(theirs):
    detector = NO_DETECTOR.replace("unknown", "71b4")
    missing = target("guardduty_is_enabled", NO_DETECTOR, name="detector/unknown")

    def now(*rows):
        theirs.told(rows=rows)
        return verified(missing)

    assert now(row("FAIL", NO_DETECTOR, name="detector/unknown")).outcome == Outcome.FAILING
    fixed = now(row("PASS", detector, "GuardDuty detector 71b4 enabled.", name="71b4"))
    assert (fixed.outcome, str(fixed.summary)) == (
        Outcome.FIXED, "What was missing is there, and Prowler's check passes: GuardDuty detector 71b4 enabled.",
    )  # fmt: skip
    assert now(row("FAIL", detector, "configured but suspended")).outcome == Outcome.FAILING
    assert now(row("PASS", detector.replace(REGION, "eu-west-3"), region="eu-west-3")).outcome == Outcome.CANNOT
    assert now().outcome == Outcome.CANNOT


def test_a_trail_of_another_region_settles_this_one(theirs):
    trail = f"arn:aws:cloudtrail:eu-west-3:{ACCOUNT}:trail"
    theirs.told(rows=[row("PASS", f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/audit", region="eu-west-3", name="audit")])
    assert verified(target("cloudtrail_multi_region_enabled", trail, name=ACCOUNT, region="eu-west-3")).outcome == Outcome.FIXED
    assert theirs.asked[0]["regions"] == ["eu-west-3"]


def test_what_is_missing_here_may_be_there_in_another_region_and_enough(theirs):
    """A metric filter beside the trail of another region satisfies a check that still misses it where it looks at one region alone."""
    missing = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail"
    found = row("PASS", missing.replace(REGION, "us-east-1") + "/audit", region="us-east-1", name="audit")
    stand_in = row("FAIL", missing, name=ACCOUNT)
    thing = target("cloudtrail_multi_region_enabled", missing, name=ACCOUNT)

    theirs.told(rows=[stand_in], rows_everywhere=[found])
    judgement = verified(thing)
    assert judgement.outcome == Outcome.FIXED
    assert [exchange.request["everywhere"] for exchange in judgement.exchanges] == [False, True]
    assert [asked["regions"] for asked in theirs.asked] == [[REGION], []]

    theirs.told(rows=[stand_in], rows_everywhere=[stand_in, found])
    assert verified(thing).outcome == Outcome.FAILING
    theirs.told(rows=[stand_in], rows_everywhere=[])
    assert verified(thing).outcome == Outcome.CANNOT
    theirs.told(rows=[], rows_everywhere=[found])
    assert verified(thing).outcome == Outcome.CANNOT


def test_the_password_policy_has_the_sessions_region_in_its_name(theirs):
    policy = f"arn:aws:iam:eu-west-1:{ACCOUNT}:password-policy"
    theirs.told(rows=[row("PASS", policy.replace("eu-west-1", "eu-west-3"), region="eu-west-3", name=ACCOUNT)])
    assert verified(target("iam_password_policy_symbol", policy, region="")).outcome == Outcome.FIXED
    verified(dataclasses.replace(target("iam_password_policy_symbol", policy, region=""), options={"region": "eu-west-3"}))
    assert [asked["regions"] for asked in theirs.asked] == [["eu-west-1"], ["eu-west-3"]]


# --- whose account, which Prowler, what it gets to know -----------------------------------------------------------------------


def test_another_account_is_none_of_its_business(theirs):
    theirs.told(rows=[row("PASS")], account="210987654321")
    judgement = verified(target(GIVEN, PEERING))
    assert (judgement.outcome, str(judgement.summary)) == (
        Outcome.CANNOT, f"Prowler reached 210987654321, and the finding belongs to {ACCOUNT}.",
    )  # fmt: skip


def test_that_a_role_names_the_account_is_not_enough(theirs):
    """After assuming it, Prowler believes the ARN."""
    theirs.told(rows=[row("PASS")], account="210987654321")
    judgement = verified(target(GIVEN, PEERING, role_arn=f"arn:aws:iam::{ACCOUNT}:role/auditor", external_id="e"))
    assert judgement.outcome == Outcome.CANNOT
    asked = theirs.asked[0]
    assert (asked["role_arn"], asked["external_id"]) == (f"arn:aws:iam::{ACCOUNT}:role/auditor", "e")


def test_a_process_knows_of_our_environment_what_it_needs(theirs, monkeypatch):
    for name, value in {
        "DATABASE_URL": "postgres://us:secret@db/cspm", "CSPM_SECRET_KEY": "ours", "AWS_SESSION_TOKEN": "a-session-token",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_x",
        "HTTPS_PROXY": "http://proxy:3128", "LOG_LEVEL": "DEBUG", "PYTHONPATH": "/ours",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    said = "signed with wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY and a-session-token"
    judgement = given(theirs, row("FAIL", said=said))
    environ = theirs.asked[0]["environ"]
    assert (
        not {"DATABASE_URL", "CSPM_SECRET_KEY", "GITHUB_PERSONAL_ACCESS_TOKEN", "LOG_LEVEL", "PYTHONPATH", "CSPM_HOME"}
        & environ.keys()
    )
    assert (environ["HTTPS_PROXY"], environ["AWS_REGION"], environ["HOME"]) == ("http://proxy:3128", REGION, os.environ["HOME"])
    assert str(judgement.summary) == "Prowler's check fails: signed with ••• and •••"


def test_a_simulated_cloud_gets_a_signature_of_nobody(theirs, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    theirs.told(rows=[row("PASS")])
    verified(target(GIVEN, PEERING, endpoint_url="http://127.0.0.1:9"))
    environ = theirs.asked[0]["environ"]
    assert (environ["AWS_ENDPOINT_URL"], environ["AWS_ACCESS_KEY_ID"]) == ("http://127.0.0.1:9", "simulated")


@pytest.mark.parametrize(
    ("scenario", "check", "said"),
    [
        ({"version": "4.6.1"}, GIVEN, "Prowler 4.6.1 cannot be asked: this needs Prowler 5."),
        ({}, "vpc_no_such_check", f"Prowler {VERSION} has no check vpc_no_such_check."),
        ({}, "nothing_of_the_kind", f"Prowler {VERSION} has no check nothing_of_the_kind."),
    ],
)
def test_what_this_prowler_cannot_do_is_said(theirs, scenario, check, said):
    judgement = given(theirs, row("PASS"), check=check, **scenario)
    assert (judgement.outcome, str(judgement.summary)) == (Outcome.CANNOT, said)


def test_a_provider_that_cannot_be_asked_costs_no_process(theirs):
    judgement = verified(target("compute_instance_public", "x", provider="oraclecloud", account="t"))
    assert (judgement.outcome, str(judgement.summary)) == (
        Outcome.CANNOT,
        "Prowler's checks of oraclecloud cannot be run again here.",
    )
    assert theirs.asked == []


def test_a_python_that_is_not_there_or_has_no_prowler(theirs, settings):
    settings.PROWLER = "/opt/nowhere/bin/python"
    judgement = verified(target(GIVEN, PEERING))
    assert (judgement.outcome, "/opt/nowhere/bin/python" in str(judgement.summary)) == (Outcome.ERROR, True)
    settings.PROWLER = os.path.realpath(theirs.python)
    judgement = verified(target(GIVEN, PEERING))
    assert (judgement.outcome, "No module named 'prowler'" in str(judgement.summary)) == (Outcome.CANNOT, True)


def test_targets_of_one_question_share_a_process_and_have_their_own_evidence(theirs, monkeypatch):
    theirs.told(buckets=[{"name": "one", "public": True}, {"name": "two"}])
    targets = [target("s3_bucket_public_access", f"arn:aws:s3:::{name}") for name in ("one", "two")]
    one, two, other = verified(*targets, target("s3_bucket_default_encryption", "arn:aws:s3:::one"))
    assert (one.outcome, two.outcome, other.outcome) == (Outcome.FAILING, Outcome.FIXED, Outcome.FIXED)
    assert [each["uid"] for each in two.exchanges[0].response["rows"]] == ["arn:aws:s3:::two"]
    assert len(theirs.asked) == 2
    monkeypatch.setattr(prowler, "FRESH", -1)
    verified(*targets)
    assert len(theirs.asked) == 4


# --- other clouds -------------------------------------------------------------------------------------------------------------


def other(status, uid, name, **more):
    return {"status": status, "status_extended": "said", "resource_id": uid, "resource_name": name, **more}


STORAGE = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme"
AZURE = {"identity_type": "app", "identity_id": "7", "subscriptions": {"s-1": "Acme"}, "tenant_ids": ["t-1"]}


@pytest.mark.parametrize(
    ("provider", "check", "account", "region", "asset", "name", "scenario"),
    [
        ("azure", "storage_secure_transfer_required_is_enabled", "s-1", "westeurope", STORAGE.lower(), "acme",
         {"identity": AZURE, "rows": [other("PASS", STORAGE, "acme", subscription="s-1", location="westeurope")]}),
        ("azure", "entra_security_defaults_enabled", "t-1", "global", "Security Default", "Security Default",
         {"identity": AZURE, "rows": [other("PASS", "Security Default", "Security Default", subscription="Tenant: acme", location="global")]}),
        ("gcp", "compute_firewall_ssh_access", "acme-prod", "global", "777", "default-allow-ssh",
         {"identity": {"profile": "sa@acme"}, "projects": {"acme-prod": {}},
          "rows": [other("PASS", "777", "default-allow-ssh", project_id="acme-prod", location="global")]}),
        ("kubernetes", "core_minimize_privileged_containers", "prod", "shop", "uid-of-an-older-roll-out", "cart",
         {"identity": {"cluster": "prod", "user": "u"}, "rows": [other("PASS", "uid-of-today", "cart", namespace="shop")]}),
        ("m365", "entra_policy_default_users", "acme.onmicrosoft.com", "global", "authorizationPolicy", "Authorization Policy",
         {"identity": {"identity_type": "app", "identity_id": "7", "tenant_domain": "acme.onmicrosoft.com", "tenant_id": "t"},
          "rows": [other("PASS", "authorizationPolicy", "Authorization Policy", location="global")]}),
        ("github", "repository_secret_scanning_enabled", "acme", "acme", "42", "shop",
         {"identity": {"account_name": "robot"}, "organizations": ["acme"], "rows": [other("PASS", "42", "shop", owner="acme")]}),
    ],
)  # fmt: skip
def test_rows_of_other_clouds_are_known_by_what_reports_say_of_them(
    theirs, provider, check, account, region, asset, name, scenario, monkeypatch, tmp_path
):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    theirs.told(**scenario)
    thing = target(check, asset, name=name, region=region, provider=provider, account=account)
    assert verified(thing).outcome == Outcome.FIXED
    assert verified(dataclasses.replace(thing, account="another")).outcome == Outcome.CANNOT
    theirs.told(**{**scenario, "rows": [{**each, "status": "FAIL"} for each in scenario["rows"]]})
    assert verified(thing).outcome == Outcome.FAILING
    theirs.told(**{**scenario, "rows": []})
    assert verified(thing).outcome == Outcome.CANNOT


# --- what is answered ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scanner", "check", "answered"),
    [
        ("prowler", "iam_avoid_root_usage", True),
        ("prowler", "check11", False),
        ("prowler", "AVD-AWS-0001", False),
        ("prowler", "os.system_x", False),
        ("prowler", "../x_y", False),
        ("checkov", "iam_avoid_root_usage", False),
    ],
)
def test_checks_that_are_modules_of_prowler_are_answered(theirs, settings, scanner, check, answered):
    assert prowler.answers(scanner, check) is answered
    settings.PROWLER = ""
    assert not prowler.answers(scanner, check)


# --- the real one -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    "CSPM_TEST_PROWLER" not in os.environ, reason="CSPM_TEST_PROWLER=/path/to/python of an environment with Prowler"
)
def test_the_real_prowler_says_of_planted_problems_what_our_verifiers_say(cloud, settings):
    """But KMS, of which moto 5.2 leaves out a field that Prowler needs: that is an error, and no verdict."""
    settings.PROWLER = os.environ["CSPM_TEST_PROWLER"]
    problems = estate(cloud)
    for turn, outcome in (("plant", Outcome.FAILING), ("mend", Outcome.FIXED), ("plant", Outcome.FAILING)):
        for problem in problems:
            getattr(problem, turn)()
            region = "" if ":iam:" in problem.asset else REGION
            name = ACCOUNT if problem.asset.endswith((":password-policy", ":volume")) else ""
            judgement = verified(target(problem.check, problem.asset, region=region, name=name))
            expected = Outcome.ERROR if problem.check.startswith("kms_") else outcome
            assert (problem.check, judgement.outcome, str(judgement.summary)) == (problem.check, expected, str(judgement.summary))
