"""Twenty-five planted problems, verified by somebody who has the policy that `cspm aws policy` prints, and nothing else."""

import json

import pytest

from tests.factories import Clock
from tests.flows.planted import estate
from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import access, evidence, reach, verification
from triage.models import Account, Event, Finding, Verification

pytestmark = pytest.mark.django_db(transaction=True)
OPERATOR = access.of_machine(0)


@pytest.fixture(autouse=True)
def house(tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.EVIDENCE_DIR.mkdir()
    settings.CSPM_HOME = tmp_path


class Hands:
    """Administrators work while nobody enforces anything; the verifier asks while everybody is held to a policy."""

    def __init__(self, cloud, monkeypatch):
        self.cloud, self.monkeypatch, self.clock = cloud, monkeypatch, Clock(DAY)
        self.iam = cloud.client("iam")
        self.iam.create_user(UserName="verifier")
        self.allow(json.loads(reach.policy(provider="aws")))
        key = self.iam.create_access_key(UserName="verifier")["AccessKey"]
        self.keys = key["AccessKeyId"], key["SecretAccessKey"]

    def allow(self, policy):
        """What AWS calls s3:GetBucketPublicAccessBlock, moto 5.2 takes for s3:ListBucket."""
        policy["Statement"][0]["Action"].append("s3:ListBucket")
        self.iam.put_user_policy(UserName="verifier", PolicyName="may", PolicyDocument=json.dumps(policy))

    def verify(self):
        """All open or verified findings again; the outcomes by check and asset."""
        self.clock.pass_(hours=1)
        verification.request_all(
            findings=list(Finding.objects.values_list("pk", flat=True)), trigger="person", actor=OPERATOR, at=self.clock()
        )
        with self.monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", self.keys[0])
            patch.setenv("AWS_SECRET_ACCESS_KEY", self.keys[1])
            self.cloud._post("/moto-api/reset-auth", b"0")
            try:
                verification.drain(clock=self.clock, limit=1000)
            finally:
                self.cloud._post("/moto-api/reset-auth", b"inf")
        runs = Verification.objects.order_by("pk").select_related("finding__check_ref", "finding__asset")
        return {(run.finding.check_ref.key, run.finding.asset.uid): run for run in runs}


def outcomes(runs):
    return {key: f"{run.outcome} {run.missing}".strip() for key, run in runs.items()}


def other_than(outcome, runs):
    found = {key: (said, str(runs[key].summary)) for key, said in outcomes(runs).items() if said != outcome}
    print(*found.items(), sep="\n")
    return found


def test_each_is_failing_fixed_verified_broken_again_and_some_are_gone(cloud, monkeypatch):
    problems = estate(cloud)
    assert len(problems) == 25
    for problem in problems:
        problem.plant()
    imported(prowler([report_row(problem.asset.rpartition("/")[2].rpartition(":")[2], check=problem.check, uid=problem.asset,
                                 service=problem.check.partition("_")[0], region="eu-west-1") for problem in problems], at=DAY))  # fmt: skip
    hands = Hands(cloud, monkeypatch)

    assert other_than("failing", hands.verify()) == {}

    for problem in problems:
        problem.mend()
    runs = hands.verify()
    assert (len(runs), other_than("fixed", runs)) == (25, {})
    assert set(Finding.objects.values_list("status", "grade")) == {("verified", "proof")}
    for run in runs.values():
        kept = json.loads(evidence.read(bytes(run.evidence_id)))
        assert kept["principal"].endswith(":user/verifier")
        assert kept["exchanges"][-1]["request_id"]
        assert "AKIA" not in json.dumps(kept["exchanges"])

    for problem in problems:
        problem.plant()
    assert other_than("failing", hands.verify()) == {}
    assert set(Finding.objects.values_list("status", "regressions")) == {("open", 1)}
    assert Event.objects.filter(subject="finding", kind="regressed").count() == 25

    deleted = [problem for problem in problems if problem.delete]
    gone = {problem.asset for problem in deleted}
    for problem in problems:
        if problem.check == "rds_instance_deletion_protection":
            problem.plant()
    for problem in deleted:
        problem.mend()
        problem.delete()
    runs = hands.verify()
    assert {asset: run.outcome for (_check, asset), run in runs.items() if asset in gone} == dict.fromkeys(gone, "gone")
    assert set(Finding.objects.filter(asset__uid__in=gone).values_list("presence", flat=True)) == {"gone"}
    assert not Finding.objects.filter(asset__uid__in=gone, status="verified").exists()


def test_a_permission_that_is_missing_never_ends_as_fixed_and_is_named(cloud, monkeypatch):
    problems = [problem for problem in estate(cloud) if problem.check.startswith(("s3_", "ec2_securitygroup"))]
    for problem in problems:
        problem.plant()
    imported(prowler([report_row(problem.asset.rpartition("/")[2].rpartition(":")[2], check=problem.check, uid=problem.asset,
                                 service=problem.check.partition("_")[0], region="eu-west-1") for problem in problems], at=DAY))  # fmt: skip
    hands = Hands(cloud, monkeypatch)
    policy = json.loads(reach.policy(provider="aws"))
    without = {"s3:GetBucketAcl", "ec2:DescribeSecurityGroups"}
    policy["Statement"][0]["Action"] = [action for action in policy["Statement"][0]["Action"] if action not in without]
    hands.allow(policy)

    said = outcomes(hands.verify())

    assert {text for (check, _asset), text in said.items() if check.startswith("ec2")} == {"denied ec2:DescribeSecurityGroups"}
    assert [text for (check, _asset), text in said.items() if check == "s3_bucket_public_access"] == ["denied s3:GetBucketAcl"]
    denied = Finding.objects.filter(verifications__outcome="denied")
    assert set(denied.values_list("status", "event_seq")) == {("open", 2)}  # that it was looked at is told, and nothing else


def test_a_foreign_account_is_refused(cloud, monkeypatch):
    cloud.bucket("ours")
    imported(prowler([report_row("ours", account="210987654321")], at=DAY))
    hands = Hands(cloud, monkeypatch)
    (run,) = hands.verify().values()
    assert run.outcome == "cannot"
    assert "123456789012" in run.summary["params"].values()
    assert Account.objects.get().uid == "210987654321"
    assert Finding.objects.get().status == "open"
