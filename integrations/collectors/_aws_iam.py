"""IAM: roles, users, policies, and what holds for the account as a whole.

Roles and users come from one call, GetAccountAuthorizationDetails; one alone is put together to the same shape from its own calls, so
that its evidence is about nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.collectors._aws_source import (
    Facts,
    Item,
    Part,
    Source,
    Tags,
    actions,
    age,
    flag,
    moment,
    number,
    patterns,
    principals,
    tags_of,
    text,
    texts,
)
from integrations.verifiers import aws_s3
from integrations.verifiers._aws import Account, Stop
from integrations.verifiers._aws_policy import is_public
from triage.ports import Outcome, Text

GONE = frozenset({"NoSuchEntity"})


# --- roles --------------------------------------------------------------------------------------------------------------------


def _roles(account: Account) -> Iterator[Item]:
    for raw in account.ask_all("iam", "get_account_authorization_details", "RoleDetailList", Filter=["Role"]):
        yield Item(raw["Arn"], raw["RoleName"], account.region, raw)


def _role(account: Account) -> Item:
    raw = dict(account.ask("iam", "get_role", gone=GONE, RoleName=account.name)["Role"])
    raw |= _policies_of(account, "role", account.name)
    return Item(raw["Arn"], raw["RoleName"], account.region, raw)


def _about_role(_account: Account, raw: Any) -> Facts:
    used = (raw.get("RoleLastUsed") or {}).get("LastUsedDate")
    return {
        "trust_policy": principals(raw["AssumeRolePolicyDocument"]),
        "trusts_anyone": is_public(raw["AssumeRolePolicyDocument"]),
        "path": raw.get("Path", "/"),
        "service_linked": raw.get("Path", "").startswith("/aws-service-role/"),
        "age_days": moment(raw["CreateDate"]),
        "unused_days": moment(used or raw["CreateDate"]),
        **_attached(raw),
    }


def _role_allows(account: Account, raw: Any) -> Facts:
    return _allowed(account, [raw], "RolePolicyList")


# --- users --------------------------------------------------------------------------------------------------------------------


def _users(account: Account) -> Iterator[Item]:
    for raw in account.ask_all("iam", "get_account_authorization_details", "UserDetailList", Filter=["User"]):
        yield Item(raw["Arn"], raw["UserName"], account.region, raw)


def _user(account: Account) -> Item:
    raw = dict(account.ask("iam", "get_user", gone=GONE, UserName=account.name)["User"])
    raw |= _policies_of(account, "user", account.name)
    groups = account.ask_all("iam", "list_groups_for_user", "Groups", gone=GONE, UserName=account.name)
    raw["GroupList"] = [group["GroupName"] for group in groups]
    return Item(raw["Arn"], raw["UserName"], account.region, raw)


def _about_user(_account: Account, raw: Any) -> Facts:
    return {
        "path": raw.get("Path", "/"),
        "groups": sorted(raw.get("GroupList", [])),
        "age_days": moment(raw["CreateDate"]),
        **_attached(raw),
    }


def _user_allows(account: Account, raw: Any) -> Facts:
    groups = [_policies_of(account, "group", name) for name in raw.get("GroupList", [])]
    return _allowed(account, [raw, *groups], "UserPolicyList", "GroupPolicyList")


def _signs_in(account: Account, raw: Any) -> Facts:
    profile = account.ask("iam", "get_login_profile", absent="NoSuchEntity", UserName=raw["UserName"])
    devices = account.ask_all("iam", "list_mfa_devices", "MFADevices", gone=GONE, UserName=raw["UserName"])
    return {"console_access": bool(profile), "mfa": bool(devices)}


def _uses_keys(account: Account, raw: Any) -> Facts:
    """Days without use count from the newest sign-in or use of a key; from its creation, of a user who never did."""
    user = account.ask("iam", "get_user", gone=GONE, UserName=raw["UserName"])["User"]
    keys = account.ask_all("iam", "list_access_keys", "AccessKeyMetadata", gone=GONE, UserName=raw["UserName"])
    active = [key for key in keys if key["Status"] == "Active"]
    used = [raw["CreateDate"], user.get("PasswordLastUsed")]
    for key in keys:
        answer = account.ask("iam", "get_access_key_last_used", AccessKeyId=key["AccessKeyId"])
        used.append(answer.get("AccessKeyLastUsed", {}).get("LastUsedDate"))
    return {
        "active_access_keys": len(active),
        "access_key_age_days": moment(min(key["CreateDate"] for key in active)) if active else "",
        "unused_days": moment(max(filter(None, used))),
    }


# --- policies -----------------------------------------------------------------------------------------------------------------


def _policies(account: Account) -> Iterator[Item]:
    for raw in account.ask_all("iam", "list_policies", "Policies", Scope="Local"):
        yield Item(raw["Arn"], raw["PolicyName"], account.region, raw)


def _policy(account: Account) -> Item:
    raw = dict(account.ask("iam", "get_policy", gone=GONE, PolicyArn=account.target.asset)["Policy"])
    return Item(raw["Arn"], raw["PolicyName"], account.region, raw)


def _about_policy(account: Account, raw: Any) -> Facts:
    documents = [_document(account, raw["Arn"])]
    return {
        "permissions": actions(documents),
        "permissions_everywhere": actions(documents, everywhere=True),
        "attachments": raw.get("AttachmentCount", 0),
        "path": raw.get("Path", "/"),
        "age_days": moment(raw["CreateDate"]),
    }


def _policy_tags(account: Account, raw: Any) -> Tags:
    return tags_of(account.ask_all("iam", "list_policy_tags", "Tags", gone=GONE, PolicyArn=raw["Arn"]))


# --- the account --------------------------------------------------------------------------------------------------------------


def _account(account: Account) -> Item:
    number_ = account.target.account
    partition = account.principal.split(":")[1]
    return Item(f"arn:{partition}:iam::{number_}:root", number_, account.region, None)


def _passwords(account: Account, _raw: Any) -> Facts:
    """Where no policy is set, AWS asks for eight characters and nothing else: `password_policy` is false."""
    policy = account.ask("iam", "get_account_password_policy", absent="NoSuchEntity").get("PasswordPolicy", {})
    return {
        "password_policy": bool(policy),
        "password_length": policy.get("MinimumPasswordLength", 8),
        "password_symbols": bool(policy.get("RequireSymbols")),
        "password_numbers": bool(policy.get("RequireNumbers")),
        "password_upper_case": bool(policy.get("RequireUppercaseCharacters")),
        "password_lower_case": bool(policy.get("RequireLowercaseCharacters")),
        "password_history": policy.get("PasswordReusePrevention", 0),
        "password_days": policy.get("MaxPasswordAge", 0),
    }


def _root(account: Account, _raw: Any) -> Facts:
    summary = account.ask("iam", "get_account_summary")["SummaryMap"]
    return {"root_mfa": bool(summary.get("AccountMFAEnabled")), "root_access_keys": summary.get("AccountAccessKeysPresent", 0)}


def _blocks_buckets(account: Account, _raw: Any) -> Facts:
    return {"blocks_public_buckets": aws_s3.account_block(account)[0]}


# --- what they share ----------------------------------------------------------------------------------------------------------


def _policies_of(account: Account, holder: str, name: str) -> dict[str, Any]:
    """Policies of a role, a user or a group, in the shape of GetAccountAuthorizationDetails."""
    request = {f"{holder.capitalize()}Name": name}
    attached = account.ask_all("iam", f"list_attached_{holder}_policies", "AttachedPolicies", gone=GONE, **request)
    inline = account.ask_all("iam", f"list_{holder}_policies", "PolicyNames", gone=GONE, **request)
    documents = [
        {
            "PolicyName": policy,
            "PolicyDocument": account.ask("iam", f"get_{holder}_policy", gone=GONE, PolicyName=policy, **request)[
                "PolicyDocument"
            ],
        }
        for policy in inline
    ]
    return {"AttachedManagedPolicies": attached, f"{holder.capitalize()}PolicyList": documents}


def _attached(raw: Mapping[str, Any]) -> dict[str, Any]:
    inline = [*raw.get("RolePolicyList", []), *raw.get("UserPolicyList", [])]
    return {
        "attached_policies": sorted(policy["PolicyName"] for policy in raw.get("AttachedManagedPolicies", [])),
        "inline_policies": sorted(policy["PolicyName"] for policy in inline),
        "permissions_boundary": (raw.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""),
    }


def _allowed(account: Account, holders: list[Mapping[str, Any]], *inline: str) -> Facts:
    documents = [policy["PolicyDocument"] for holder in holders for key in inline for policy in holder.get(key, [])]
    managed = {policy["PolicyArn"] for holder in holders for policy in holder.get("AttachedManagedPolicies", [])}
    documents += [_document(account, arn) for arn in sorted(managed)]
    return {"permissions": actions(documents), "permissions_everywhere": actions(documents, everywhere=True)}


def _document(account: Account, arn: str) -> Mapping[str, Any]:
    """A policy's document. That it is gone while its holder is there is a race, and no news of the holder."""
    policy = account.ask("iam", "get_policy", absent="NoSuchEntity", PolicyArn=arn).get("Policy")
    if policy is None:
        raise Stop(Outcome.ERROR, Text(_("The policy %(policy)s was removed while it was read."), {"policy": arn}))
    version = account.ask("iam", "get_policy_version", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    document: Mapping[str, Any] = version["PolicyVersion"]["Document"]
    return document


def _tags(_account: Account, raw: Any) -> Tags:
    return tags_of(raw.get("Tags"))


PERMISSIONS = (
    patterns("permissions", _("Actions that attached and inline policies allow, as written; “all but …” counts as *")),
    patterns("permissions_everywhere", _("Those of them that are allowed on all resources")),
)
ATTACHED = (
    texts("attached_policies", _("Names of attached policies")),
    texts("inline_policies", _("Names of inline policies")),
    text("permissions_boundary", _("ARN of the permissions boundary; empty without one")),
    text("path", _("Path, such as /service/")),
)
CREATED = age("age_days", _("Days since it was created"))

ROLE = Source(
    name="iam_role", label=_("IAM role"), type="AwsIamRole", service="iam", regional=False, listed=_roles, found=_role, tags=_tags,
    parts=(
        Part(_role_allows, PERMISSIONS),
        Part(
            _about_role,
            (
                patterns("trust_policy", _("Who may assume it, as written: accounts, services, * for everybody; whatever the conditions")),
                flag("trusts_anyone", _("Everybody may assume it, and no condition says who that is")),
                *ATTACHED,
                flag("service_linked", _("A service of AWS made it for itself")),
                CREATED,
                age("unused_days", _("Days since it was last used; since it was created, if it never was")),
            ),
        ),
    ),
)  # fmt: skip
USER = Source(
    name="iam_user", label=_("IAM user"), type="AwsIamUser", service="iam", regional=False, listed=_users, found=_user, tags=_tags,
    parts=(
        Part(_user_allows, PERMISSIONS),
        Part(_about_user, (*ATTACHED, texts("groups", _("Names of its groups")), CREATED)),
        Part(
            _signs_in,
            (flag("console_access", _("It has a password for the console")), flag("mfa", _("It has a second factor"))),
        ),
        Part(
            _uses_keys,
            (
                number("active_access_keys", _("Number of active access keys")),
                age("access_key_age_days", _("Days since the oldest active access key was made; 0 without one")),
                age("unused_days", _("Days since it last signed in or used a key; since it was created, if it never did")),
            ),
        ),
    ),
)  # fmt: skip
POLICY = Source(
    name="iam_policy", label=_("IAM policy of the customer"), type="AwsIamPolicy", service="iam", regional=False, listed=_policies,
    found=_policy, tags=_policy_tags,
    parts=(
        Part(
            _about_policy,
            (
                patterns("permissions", _("Actions that it allows, as written; “all but …” counts as *")),
                patterns("permissions_everywhere", _("Those of them that are allowed on all resources")),
                number("attachments", _("To how many roles, users and groups it is attached")),
                text("path", _("Path, such as /service/")),
                CREATED,
            ),
        ),
    ),
)  # fmt: skip
ACCOUNT = Source(
    name="account", label=_("The account itself"), type="Other", service="iam", regional=False,
    listed=lambda account: [_account(account)], found=_account, tags=lambda _account, _raw: (),
    parts=(
        Part(
            _passwords,
            (
                flag("password_policy", _("A password policy is set")),
                number("password_length", _("Shortest password that is allowed")),
                flag("password_symbols", _("Passwords need a symbol")),
                flag("password_numbers", _("Passwords need a digit")),
                flag("password_upper_case", _("Passwords need a capital letter")),
                flag("password_lower_case", _("Passwords need a small letter")),
                number("password_history", _("How many old passwords may not come again; 0 for none")),
                number("password_days", _("Days until a password expires; 0 for never")),
            ),
        ),
        Part(
            _root,
            (
                flag("root_mfa", _("The root user has a second factor")),
                number("root_access_keys", _("Number of access keys of the root user")),
            ),
        ),
        Part(_blocks_buckets, (flag("blocks_public_buckets", _("The account blocks public access to all its buckets")),)),
    ),
)  # fmt: skip
