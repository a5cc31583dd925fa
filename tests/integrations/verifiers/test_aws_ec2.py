from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from integrations.verifiers import aws_ec2
from integrations.verifiers._aws import Stop
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

AT = datetime.now(UTC)
ARN = f"arn:aws:ec2:{REGION}:{ACCOUNT}:"
AMI = "ami-12c6146b"
REGIONAL = {
    "ec2_ebs_default_encryption", "ec2_ebs_snapshot_account_block_public_access", "ec2_instance_account_imdsv2_enabled",
}  # fmt: skip
# moto knows neither backup selections, nor Systems Manager's instances, nor the account's defaults.
NOT_IN_MOTO = {
    "ec2_ebs_snapshot_account_block_public_access", "ec2_instance_account_imdsv2_enabled", "ec2_instance_managed_by_ssm",
}  # fmt: skip


def look(check, asset, *, at=AT):
    target = Target(
        scanner="prowler", check=check, provider="aws", account=ACCOUNT, region=REGION, asset=ARN + asset, asset_name=""
    )
    return next(aws_ec2.verify([target], at))


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


# --- each check, broken and repaired ------------------------------------------------------------------------------------------


def volume(ec2, **settings):
    return "volume/" + ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, **settings)["VolumeId"]


def snapshot(ec2, **settings):
    return "snapshot/" + ec2.create_snapshot(VolumeId=ident(volume(ec2, **settings)))["SnapshotId"]


def share(operation, ec2, asset):
    ec2.modify_snapshot_attribute(
        SnapshotId=ident(asset), Attribute="createVolumePermission", OperationType=operation, GroupNames=["all"]
    )


def shared_snapshot(ec2):
    asset = snapshot(ec2)
    share("add", ec2, asset)
    return asset


def instance(ec2, **settings):
    return "instance/" + ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, **settings)["Instances"][0]["InstanceId"]


def image(ec2):
    made = ec2.create_image(InstanceId=ident(instance(ec2)), Name="acme")["ImageId"]
    launch("Add", ec2, made)
    return f"image/{made}"


def launch(operation, ec2, asset):
    ec2.modify_image_attribute(ImageId=ident(asset), LaunchPermission={operation: [{"Group": "all"}]})


def address(ec2):
    return "eip-allocation/" + ec2.allocate_address(Domain="vpc")["AllocationId"]


def assign(ec2, asset):
    ec2.associate_address(AllocationId=ident(asset), InstanceId=ident(instance(ec2)))


def ident(asset):
    return asset.rpartition("/")[2]


def another(make, **settings):
    """What cannot be changed is made anew, under another id."""
    return lambda ec2, _asset: make(ec2, **settings)


def default_encryption(ec2, _asset):
    ec2.enable_ebs_encryption_by_default()


def options(ec2, asset, **settings):
    ec2.modify_instance_metadata_options(InstanceId=ident(asset), **settings)


def monitored(ec2, asset):
    ec2.monitor_instances(InstanceIds=[ident(asset)])


def stopped(ec2, asset):
    ec2.stop_instances(InstanceIds=[ident(asset)])


def with_snapshot(ec2, asset):
    ec2.create_snapshot(VolumeId=ident(asset))


HIDDEN = {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": False}]}
SHOWN = {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}]}


@pytest.mark.parametrize(
    ("check", "broken", "repair"),
    [
        ("ec2_ami_public", image, partial(launch, "Remove")),
        ("ec2_ebs_default_encryption", lambda _ec2: "volume", default_encryption),
        ("ec2_ebs_public_snapshot", shared_snapshot, partial(share, "remove")),
        ("ec2_ebs_snapshots_encrypted", snapshot, another(snapshot, Encrypted=True)),
        ("ec2_ebs_volume_encryption", volume, another(volume, Encrypted=True)),
        ("ec2_ebs_volume_snapshots_exists", volume, with_snapshot),
        ("ec2_elastic_ip_unassigned", address, assign),
        ("ec2_instance_detailed_monitoring_enabled", instance, another(instance, Monitoring={"Enabled": True})),
        ("ec2_instance_imdsv2_enabled", instance, partial(options, HttpTokens="required", HttpEndpoint="enabled")),
        ("ec2_instance_imdsv2_enabled", instance, partial(options, HttpEndpoint="disabled")),
        ("ec2_instance_public_ip", partial(instance, **SHOWN), another(instance, **HIDDEN)),
    ],
)
def test_what_is_broken_fails_and_what_is_repaired_is_fixed(ec2, check, broken, repair):
    asset = broken(ec2)
    failing = look(check, asset)
    fixed = look(check, repair(ec2, asset) or asset)

    assert (failing.outcome, fixed.outcome) == (Outcome.FAILING, Outcome.FIXED)


def test_an_instance_gets_a_profile(ec2, cloud):
    asset = instance(ec2)
    assert look("ec2_instance_profile_attached", asset).outcome == Outcome.FAILING

    profile = cloud.client("iam").create_instance_profile(InstanceProfileName="web")["InstanceProfile"]["Arn"]
    ec2.associate_iam_instance_profile(IamInstanceProfile={"Arn": profile}, InstanceId=ident(asset))

    answer = look("ec2_instance_profile_attached", asset)
    assert (answer.outcome, str(answer.summary)) == (Outcome.FIXED, f"The instance has the profile {profile}.")


@pytest.mark.parametrize(("days", "outcome"), [(180, Outcome.FIXED), (181, Outcome.FAILING)])
def test_an_instance_is_old_after_half_a_year_of_running(ec2, days, outcome):
    asset, later = instance(ec2), datetime.now(UTC) + timedelta(days=days, hours=1)
    assert look("ec2_instance_older_than_specific_days", asset, at=later).outcome == outcome

    stopped(ec2, asset)

    assert look("ec2_instance_older_than_specific_days", asset, at=later).outcome == Outcome.FIXED


# --- what moto does not hold --------------------------------------------------------------------------------------------------


class Answers:
    """An account that answers what the test says."""

    region, at, name = REGION, AT, "vol-1"

    def __init__(self, asset, answers):
        self.target = SimpleNamespace(asset=ARN + asset, account=ACCOUNT)
        self.name = ident(asset)
        self._answers = answers

    def ask(self, _service, operation, **_request):
        return self._answers[operation]

    def ask_all(self, _service, operation, key, **_request):
        return self._answers[operation][key]


def passes(check, asset, **answers):
    return aws_ec2.JUDGES[check](Answers(asset, answers))[0]


def in_state(state):
    return {"Reservations": [{"Instances": [{"InstanceId": "i-1", "State": {"Name": state}}]}]}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([], False), (["arn:aws:rds:*:*:db:*"], False), ([ARN + "volume/vol-2"], False), ([ARN + "volume/vol-1"], True),
        (["arn:aws:ec2:*:*:volume/*"], True), (["*"], True),
    ],
)  # fmt: skip
def test_a_backup_plan_names_the_volume(named, expected):
    assert expected is passes(
        "ec2_ebs_volume_protected_by_backup_plan", "volume/vol-1",
        describe_volumes={"Volumes": [{"VolumeId": "vol-1", "State": "in-use"}]},
        list_backup_plans={"BackupPlansList": [{"BackupPlanId": "p"}]},
        list_backup_selections={"BackupSelectionsList": [{"SelectionId": "s"}]},
        get_backup_selection={"BackupSelection": {"Resources": named}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "known", "expected"),
    [
        ("running", [], False), ("running", [{"InstanceId": "i-1"}], True), ("stopping", [], False),
        ("stopped", [], True), ("pending", [], True),
    ],
)  # fmt: skip
def test_systems_manager_knows_the_running_instance(state, known, expected):
    answers = {"describe_instances": in_state(state), "describe_instance_information": {"InstanceInformationList": known}}

    assert passes("ec2_instance_managed_by_ssm", "instance/i-1", **answers) is expected


@pytest.mark.parametrize("state", sorted(aws_ec2.ENDED))
def test_an_ended_instance_is_gone(state):
    with pytest.raises(Stop) as stop:
        passes("ec2_instance_imdsv2_enabled", "instance/i-1", describe_instances=in_state(state))

    assert stop.value.outcome == Outcome.GONE


def test_a_volume_that_is_being_deleted_is_gone():
    with pytest.raises(Stop) as stop:
        passes("ec2_ebs_volume_encryption", "volume/vol-1", describe_volumes={"Volumes": [{"State": "deleting"}]})

    assert stop.value.outcome == Outcome.GONE


@pytest.mark.parametrize(("state", "expected"), [("unblocked", False), ("block-new-sharing", False), ("block-all-sharing", True)])
def test_only_a_block_of_all_sharing_counts(state, expected):
    answers = {"get_snapshot_block_public_access_state": {"State": state}}

    assert passes("ec2_ebs_snapshot_account_block_public_access", "account", **answers) is expected


@pytest.mark.parametrize(
    ("level", "expected"), [({}, False), ({"HttpTokens": "optional"}, False), ({"HttpTokens": "required"}, True)]
)
def test_new_instances_require_version_2(level, expected):
    answers = {"get_instance_metadata_defaults": {"AccountLevel": level}}

    assert passes("ec2_instance_account_imdsv2_enabled", "account", **answers) is expected


# --- what is no verdict -------------------------------------------------------------------------------------------------------


def asset_of(check):
    """An id that is well formed and nobody's."""
    if check in REGIONAL:
        return "volume" if check == "ec2_ebs_default_encryption" else "account"
    kinds = {"ami": "image/ami", "ebs_volume": "volume/vol", "ebs": "snapshot/snap", "elastic": "eip-allocation/eipalloc"}
    kind = next((kind for part, kind in kinds.items() if check.startswith(f"ec2_{part}_")), "instance/i")
    return f"{kind}-0123456789abcdef0"


@pytest.mark.parametrize("check", sorted(set(aws_ec2.JUDGES) - REGIONAL))
def test_what_never_was_is_gone(cloud, check):
    answer = look(check, asset_of(check))

    assert answer.outcome == Outcome.GONE
    assert str(answer.summary) == f"{ARN}{asset_of(check)} no longer exists."


def test_what_is_deleted_is_gone(ec2):
    disk, copy, server, ip, picture = volume(ec2), snapshot(ec2), instance(ec2), address(ec2), image(ec2)
    ec2.delete_volume(VolumeId=ident(disk))
    ec2.delete_snapshot(SnapshotId=ident(copy))
    ec2.terminate_instances(InstanceIds=[ident(server)])
    ec2.release_address(AllocationId=ident(ip))
    ec2.deregister_image(ImageId=ident(picture))
    assets = {
        "ec2_ebs_volume_encryption": disk, "ec2_ebs_volume_snapshots_exists": disk, "ec2_ebs_public_snapshot": copy,
        "ec2_ebs_snapshots_encrypted": copy, "ec2_instance_public_ip": server, "ec2_elastic_ip_unassigned": ip,
        "ec2_ami_public": picture,
    }  # fmt: skip

    outcomes = {check: look(check, asset).outcome for check, asset in assets.items()}

    assert outcomes == dict.fromkeys(assets, Outcome.GONE)


def test_a_missing_permission_is_never_a_verdict(cloud, monkeypatch):
    with cloud.allowing_nothing(monkeypatch):
        answers = {check: look(check, asset_of(check)) for check in set(aws_ec2.JUDGES) - NOT_IN_MOTO}

    assert {answer.outcome for answer in answers.values()} == {Outcome.DENIED}
    assert {
        check: answers[check].missing for check in ("ec2_ami_public", "ec2_ebs_public_snapshot", "ec2_instance_public_ip")
    } == {
        "ec2_ami_public": "ec2:DescribeImages",
        "ec2_ebs_public_snapshot": "ec2:DescribeSnapshotAttribute",
        "ec2_instance_public_ip": "ec2:DescribeInstances",
    }


@pytest.mark.parametrize(
    ("check", "denied", "asset"),
    [
        ("ec2_ebs_volume_snapshots_exists", "ec2:DescribeSnapshots", volume),
        ("ec2_ebs_volume_protected_by_backup_plan", "backup:ListBackupPlans", volume),
        ("ec2_instance_managed_by_ssm", "ssm:DescribeInstanceInformation", instance),
    ],
)
def test_a_second_question_may_be_denied_too(ec2, cloud, monkeypatch, check, denied, asset):
    asset = asset(ec2)
    may = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    may_not = {"Effect": "Deny", "Action": denied, "Resource": "*"}
    with cloud.enforcing({"Version": "2012-10-17", "Statement": [may, may_not]}) as (key, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)

        answer = look(check, asset)

    assert (answer.outcome, answer.missing) == (Outcome.DENIED, denied)


def test_each_declared_check_has_a_judge():
    assert {("prowler", check) for check in aws_ec2.JUDGES} == aws_ec2.CHECKS
    assert sorted(aws_ec2.JUDGES) == [
        "ec2_ami_public", "ec2_ebs_default_encryption", "ec2_ebs_public_snapshot", "ec2_ebs_snapshot_account_block_public_access",
        "ec2_ebs_snapshots_encrypted", "ec2_ebs_volume_encryption", "ec2_ebs_volume_protected_by_backup_plan",
        "ec2_ebs_volume_snapshots_exists", "ec2_elastic_ip_unassigned", "ec2_instance_account_imdsv2_enabled",
        "ec2_instance_detailed_monitoring_enabled", "ec2_instance_imdsv2_enabled", "ec2_instance_managed_by_ssm",
        "ec2_instance_older_than_specific_days", "ec2_instance_profile_attached", "ec2_instance_public_ip",
    ]  # fmt: skip
