import json
from datetime import UTC, datetime, timedelta

import pytest

from integrations.verifiers import aws_iam_policies, aws_iam_users
from integrations.verifiers._aws_actions import KMS, allows_all_of, allows_everything, may_on_all
from tests.cloud import ACCOUNT, REGION
from triage.ports import Outcome, Target

NOW = datetime.now(UTC)
ALICE = f"arn:aws:iam::{ACCOUNT}:user/staff/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/everything"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
RULES = f"arn:aws:iam:{REGION}:{ACCOUNT}:password-policy"
PASSES, FAILS, GONE = Outcome.FIXED, Outcome.FAILING, Outcome.GONE


def look(check, asset, name="", at=NOW):
    module = aws_iam_users if check in aws_iam_users.JUDGES else aws_iam_policies
    scanner = "cspm" if check == "iam_role_trust_anyone" else "prowler"
    assert (scanner, check) in module.CHECKS
    target = Target(
        scanner=scanner, check=check, provider="aws", account=ACCOUNT, region=REGION, asset=asset, asset_name=name,
    )  # fmt: skip
    return next(module.verify([target], at))


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def trust(principal, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"} | more)


@pytest.fixture
def iam(cloud):
    return cloud.client("iam")


# --- the password policy, the root user, the account --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("iam_password_policy_minimum_length_14", {"MinimumPasswordLength": 13}, {"MinimumPasswordLength": 14}),
        ("iam_password_policy_number", {"RequireNumbers": False}, {"RequireNumbers": True}),
        ("iam_password_policy_symbol", {"RequireSymbols": False}, {"RequireSymbols": True}),
        ("iam_password_policy_uppercase", {"RequireUppercaseCharacters": False}, {"RequireUppercaseCharacters": True}),
        ("iam_password_policy_lowercase", {"RequireLowercaseCharacters": False}, {"RequireLowercaseCharacters": True}),
        ("iam_password_policy_reuse_24", {"PasswordReusePrevention": 23}, {"PasswordReusePrevention": 24}),
        ("iam_password_policy_expires_passwords_within_90_days_or_less", {"MaxPasswordAge": 91}, {"MaxPasswordAge": 90}),
    ],
)
def test_the_password_policy(iam, check, broken, repaired):
    none = look(check, RULES)
    iam.update_account_password_policy(**broken)
    failing = look(check, RULES)
    iam.update_account_password_policy(**repaired)

    assert (none.outcome, failing.outcome, look(check, RULES).outcome) == (FAILS, FAILS, PASSES)


def summary(monkeypatch, module=aws_iam_users, **values):
    """moto's root user has no keys, no MFA, and nothing can change that."""
    known = {"AccountAccessKeysPresent": 0, "AccountMFAEnabled": 0, "AccountPasswordPresent": 1}
    monkeypatch.setattr(module, "_summary", lambda account: known | values)


def test_the_root_user_of_moto_has_no_keys_and_no_mfa(iam):
    outcomes = [look(check, ROOT).outcome for check in ("iam_no_root_access_key", "iam_root_mfa_enabled")]
    assert outcomes == [PASSES, FAILS]
    assert look("iam_root_hardware_mfa_enabled", f"arn:aws:iam::{ACCOUNT}:mfa").outcome == FAILS
    assert look("iam_user_two_active_access_key", ROOT).outcome == PASSES


def test_the_root_user_as_the_account_s_summary_tells(iam, monkeypatch):
    summary(monkeypatch, AccountAccessKeysPresent=1)
    assert look("iam_no_root_access_key", ROOT).outcome == FAILS
    assert look("iam_rotate_access_key_90_days", ROOT).outcome == Outcome.CANNOT

    summary(monkeypatch, AccountMFAEnabled=1)
    assert look("iam_root_mfa_enabled", ROOT).outcome == PASSES
    assert look("iam_root_hardware_mfa_enabled", ROOT).outcome == PASSES

    summary(monkeypatch, AccountPasswordPresent=0)
    assert look("iam_root_mfa_enabled", ROOT).outcome == PASSES


def test_a_saml_provider_settles_it(iam):
    broken = look("iam_check_saml_providers_sts", ROOT)
    iam.create_saml_provider(Name="okta", SAMLMetadataDocument="x" * 1024)

    assert (broken.outcome, look("iam_check_saml_providers_sts", ROOT).outcome) == (FAILS, PASSES)


# --- users --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(iam):
    iam.create_user(UserName="alice", Path="/staff/")
    return iam


def device(iam, serial):
    iam.enable_mfa_device(UserName="alice", SerialNumber=serial, AuthenticationCode1="123456", AuthenticationCode2="654321")


def test_mfa_of_a_user(alice):
    assert look("iam_user_mfa_enabled_console_access", ALICE).outcome == PASSES
    alice.create_login_profile(UserName="alice", Password="Correct-horse-9")
    assert look("iam_user_mfa_enabled_console_access", ALICE).outcome == FAILS
    assert look("iam_user_hardware_mfa_enabled", ALICE).outcome == FAILS

    device(alice, f"arn:aws:iam::{ACCOUNT}:mfa/alice")
    assert look("iam_user_mfa_enabled_console_access", ALICE).outcome == PASSES
    assert look("iam_user_hardware_mfa_enabled", ALICE).outcome == FAILS

    alice.deactivate_mfa_device(UserName="alice", SerialNumber=f"arn:aws:iam::{ACCOUNT}:mfa/alice")
    device(alice, "GAHT12345678")
    assert look("iam_user_hardware_mfa_enabled", ALICE).outcome == PASSES


def test_the_age_of_access_keys(alice):
    key = alice.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    check, name = "iam_rotate_access_key_90_days", "alice-access-key-1"
    assert look(check, ALICE, name, NOW + timedelta(days=90)).outcome == PASSES
    assert look(check, ALICE, name, NOW + timedelta(days=92)).outcome == FAILS

    alice.update_access_key(UserName="alice", AccessKeyId=key, Status="Inactive")

    assert look(check, ALICE, name, NOW + timedelta(days=92)).outcome == PASSES


def test_an_access_key_that_was_used_and_is_no_more(alice, cloud):
    key = alice.create_access_key(UserName="alice")["AccessKey"]
    check, later = "iam_user_accesskey_unused", NOW + timedelta(days=47)
    assert look(check, ALICE, at=later).outcome == PASSES
    cloud.client("iam", (key["AccessKeyId"], key["SecretAccessKey"])).list_users()
    assert look(check, ALICE).outcome == PASSES
    assert look(check, ALICE, at=later).outcome == FAILS

    alice.delete_access_key(UserName="alice", AccessKeyId=key["AccessKeyId"])

    assert look(check, ALICE, at=later).outcome == PASSES


def test_two_active_keys(alice):
    alice.create_access_key(UserName="alice")
    key = alice.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    assert look("iam_user_two_active_access_key", ALICE).outcome == FAILS

    alice.update_access_key(UserName="alice", AccessKeyId=key, Status="Inactive")

    assert look("iam_user_two_active_access_key", ALICE).outcome == PASSES


def test_policies_of_a_user_are_judged_one_by_one(alice):
    alice.create_policy(PolicyName="everything", PolicyDocument=document(allow("*")))
    alice.attach_user_policy(UserName="alice", PolicyArn=POLICY)
    alice.put_user_policy(UserName="alice", PolicyName="own", PolicyDocument=document(allow("s3:*")))
    check = "iam_policy_attached_only_to_group_or_roles"
    assert [look(check, ALICE, f"alice/{name}").outcome for name in ("everything", "own")] == [FAILS, FAILS]

    alice.detach_user_policy(UserName="alice", PolicyArn=POLICY)
    assert [look(check, ALICE, f"alice/{name}").outcome for name in ("everything", "own")] == [PASSES, FAILS]

    alice.delete_user_policy(UserName="alice", PolicyName="own")
    assert [look(check, ALICE, f"alice/{name}").outcome for name in ("everything", "own")] == [PASSES, PASSES]


@pytest.mark.parametrize(
    "check",
    [
        "iam_user_hardware_mfa_enabled", "iam_user_mfa_enabled_console_access", "iam_rotate_access_key_90_days",
        "iam_user_accesskey_unused", "iam_user_two_active_access_key", "iam_policy_attached_only_to_group_or_roles",
    ],
)  # fmt: skip
def test_a_deleted_user_is_gone(iam, check):
    assert look(check, ALICE, "alice/own").outcome == GONE


# --- policies -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        ("iam_customer_attached_policy_no_administrative_privileges", allow("*"), allow("s3:*")),
        ("iam_customer_unattached_policy_no_administrative_privileges", allow(["s3:*", "*"]), allow("*", "arn:aws:s3:::a")),
        ("iam_aws_attached_policy_no_administrative_privileges", allow("*"), allow("s3:*")),
        ("iam_no_custom_policy_permissive_role_assumption", allow("sts:*"), allow("sts:AssumeRole", ROLE)),
        ("iam_policy_no_full_access_to_cloudtrail", allow("cloudtrail:*"), allow("cloudtrail:Describe*")),
        ("iam_policy_no_full_access_to_kms", allow("kms:*"), allow("kms:*", "arn:aws:kms:*:*:key/a")),
        ("iam_policy_no_wildcard_marketplace_subscribe", allow("aws-marketplace:*"), allow("aws-marketplace:View*")),
    ],
)
def test_a_policy(iam, check, broken, repaired):
    assert look(check, POLICY).outcome == GONE
    iam.create_policy(PolicyName="everything", PolicyDocument=document(broken))
    iam.create_group(GroupName="staff")
    iam.attach_group_policy(GroupName="staff", PolicyArn=POLICY)
    failing = look(check, POLICY)
    iam.create_policy_version(PolicyArn=POLICY, PolicyDocument=document(repaired), SetAsDefault=True)

    assert (failing.outcome, look(check, POLICY).outcome) == (FAILS, PASSES)


def test_an_attached_policy_counts_while_it_is_attached(iam):
    iam.create_policy(PolicyName="everything", PolicyDocument=document(allow("*")))

    assert look("iam_customer_attached_policy_no_administrative_privileges", POLICY).outcome == PASSES
    assert look("iam_customer_unattached_policy_no_administrative_privileges", POLICY).outcome == FAILS


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_a_policy_inside_a_user_a_group_or_a_role(iam, kind):
    more = {"AssumeRolePolicyDocument": trust({"AWS": ROOT})} if kind == "role" else {}
    name = {f"{kind.capitalize()}Name": "it"}
    getattr(iam, f"create_{kind}")(**name, **more)
    put, delete = getattr(iam, f"put_{kind}_policy"), getattr(iam, f"delete_{kind}_policy")
    seen = []
    for action in ("*", "s3:*"):
        put(**name, PolicyName="own", PolicyDocument=document(allow(action)))
        seen.append(look("iam_inline_policy_no_administrative_privileges", f"arn:aws:iam::{ACCOUNT}:{kind}/it", "it/own").outcome)
    delete(**name, PolicyName="own")
    gone = look("iam_inline_policy_no_administrative_privileges", f"arn:aws:iam::{ACCOUNT}:{kind}/it", "it/own")

    assert seen == [FAILS, PASSES]
    assert (gone.outcome, str(gone.summary)) == (GONE, "it/own no longer exists.")


@pytest.mark.parametrize(
    ("statements", "everything"),
    [
        ([allow("*")], True),
        ([allow("*"), {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}], True),
        ([allow("*", "*:*")], True),
        ([allow("*", ["*", "arn:aws:s3:::a"])], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::a"}], True),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True),
        ([{"Effect": "Deny", "Action": "*", "Resource": "*"}], False),
        ([allow("*:*")], False),
    ],
)
def test_what_is_everything(statements, everything):
    assert allows_everything({"Statement": statements}) is everything


@pytest.mark.parametrize(
    ("statements", "full"),
    [
        ([allow("*")], True),
        ([allow("KMS:*")], True),
        ([allow("k?s:*")], True),
        ([allow(["kms:A*", "kms:B*", "kms:C*"])], False),
        ([allow([f"kms:{letter}*" for letter in "CDEGILPRSTUV"])], True),
        ([allow("kms:*"), {"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"}], False),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "kms:Decrypt", "Resource": "*"}], False),
    ],
)
def test_what_is_all_of_a_service(statements, full):
    assert allows_all_of({"Statement": statements}, KMS) is full


def test_a_denial_counts_if_it_has_no_condition():
    deny = {"Effect": "Deny", "Action": "aws-marketplace:Subscribe", "Resource": "*"}
    tested = {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}
    subscribe = allow("aws-marketplace:subscribe")

    assert not may_on_all({"Statement": [subscribe, deny]}, "aws-marketplace:Subscribe")
    assert may_on_all({"Statement": [subscribe, deny | tested]}, "aws-marketplace:Subscribe")


# --- roles --------------------------------------------------------------------------------------------------------------------

OWN = {"Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}


@pytest.mark.parametrize(
    ("check", "broken", "repaired"),
    [
        (
            "iam_role_cross_service_confused_deputy_prevention",
            trust({"Service": "cloudtrail.amazonaws.com"}),
            trust({"Service": "cloudtrail.amazonaws.com"}, **OWN),
        ),
        (
            "iam_role_cross_service_confused_deputy_prevention",
            trust({"Service": ["ec2.amazonaws.com"]}),
            trust({"Service": "eks.amazonaws.com"}),
        ),
        ("iam_role_trust_anyone", trust("*"), trust({"AWS": ROOT})),
        ("iam_role_trust_anyone", trust({"AWS": "*"}), trust({"Service": "ec2.amazonaws.com"})),
    ],
)
def test_whom_a_role_trusts(iam, check, broken, repaired):
    assert look(check, ROLE).outcome == GONE
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=broken)
    failing = look(check, ROLE)
    iam.update_assume_role_policy(RoleName="deploy", PolicyDocument=repaired)

    assert (failing.outcome, look(check, ROLE).outcome) == (FAILS, PASSES)


def test_a_role_of_an_administrator(iam):
    assert look("iam_role_administratoraccess_policy", ROLE).outcome == GONE
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust({"AWS": ROOT}))
    policy = iam.create_policy(PolicyName="AdministratorAccess", PolicyDocument=document(allow("*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="deploy", PolicyArn=policy)
    failing = look("iam_role_administratoraccess_policy", ROLE)
    iam.detach_role_policy(RoleName="deploy", PolicyArn=policy)

    assert (failing.outcome, look("iam_role_administratoraccess_policy", ROLE).outcome) == (FAILS, PASSES)


@pytest.mark.parametrize(
    ("check", "policy"), [("iam_securityaudit_role_created", "SecurityAudit"), ("iam_support_role_created", "AWSSupportAccess")]
)
def test_a_role_for_audit_and_one_for_support(cloud, monkeypatch, check, policy):
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    cloud.reset()
    iam = cloud.client("iam")
    arn = f"arn:aws:iam::aws:policy/{policy}"
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust({"AWS": ROOT}))
    failing = look(check, arn, policy)
    iam.attach_role_policy(RoleName="deploy", PolicyArn=arn)

    assert (failing.outcome, look(check, arn, policy).outcome) == (FAILS, PASSES)


# --- what is no verdict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", sorted({**aws_iam_users.JUDGES, **aws_iam_policies.JUDGES}))
def test_a_missing_permission_is_never_a_verdict(alice, cloud, monkeypatch, check):
    asset = ALICE if "user" in check or "key" in check or "only_to" in check or "inline" in check else POLICY
    with cloud.allowing_nothing(monkeypatch):
        answer = look(check, asset, "alice/own")

    assert (answer.outcome, answer.missing.partition(":")[0]) == (Outcome.DENIED, "iam")
