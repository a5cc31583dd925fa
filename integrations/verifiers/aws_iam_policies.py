"""IAM policies and roles: what they allow, and whom roles trust. What is fixed here passes in Prowler."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, asset_gone, verified
from integrations.verifiers._aws_actions import CLOUDTRAIL, KMS, allows_all_of, allows_everything, may_assume_any, may_on_all
from integrations.verifiers._aws_policy import is_public
from triage.ports import Judgement, Target, Text

LABEL = "AWS IAM policies"

GONE = frozenset({"NoSuchEntity"})
Allows = Callable[[Mapping[str, Any]], bool]


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def managed(account: Account, *, what: str, allows: Allows, attached: bool = False) -> Verdict:
    """A policy with an ARN of its own. `attached`: it counts only while it is attached to somebody."""
    policy = account.ask("iam", "get_policy", gone=GONE, PolicyArn=account.target.asset)["Policy"]
    if attached and not policy["AttachmentCount"]:
        return True, Text(_("The policy is attached to nobody."))
    version = account.ask(
        "iam", "get_policy_version", gone=GONE, PolicyArn=account.target.asset, VersionId=policy["DefaultVersionId"]
    )
    return _said(what, allows=allows(version["PolicyVersion"]["Document"]))


def inline(account: Account) -> Verdict:
    """A policy inside a user, a group or a role, which is the asset; the name is `alice/policy`."""
    kind = account.target.asset.rpartition(":")[2].partition("/")[0]
    request: dict[str, Any] = {f"{kind.capitalize()}Name": account.name}
    request["PolicyName"] = account.target.asset_name.rpartition("/")[2]
    answer = account.ask("iam", f"get_{kind}_policy", absent="NoSuchEntity", **request)
    if not answer:
        raise asset_gone(account, account.target.asset_name)
    return _said("*:*", allows=allows_everything(answer["PolicyDocument"]))


def confused_deputy(account: Account) -> Verdict:
    trust = _role(account)["AssumeRolePolicyDocument"]
    if is_public(trust, actions=("sts:AssumeRole", "sts:*"), deputy=True):
        return False, Text(_("The role trusts a service of AWS or everybody, for whomever they act."))
    return True, Text(_("The role trusts nobody who may act for strangers."))


def trust_anyone(account: Account) -> Verdict:
    if is_public(_role(account)["AssumeRolePolicyDocument"]):
        return False, Text(_("The role trusts everybody."))
    return True, Text(_("The role does not trust everybody."))


def administrator(account: Account) -> Verdict:
    attached = account.ask_all("iam", "list_attached_role_policies", "AttachedPolicies", gone=GONE, RoleName=account.name)
    has = any(policy["PolicyName"] == "AdministratorAccess" for policy in attached)
    return not has, Text(_("Policies attached to the role: %(policies)s."), {"policies": _listed(attached)})


def role_with(account: Account, *, policy: str) -> Verdict:
    """Whether any role has the policy of AWS."""
    arn = f"arn:{account.target.asset.split(':')[1]}:iam::aws:policy/{policy}"
    roles = account.ask_all("iam", "list_entities_for_policy", "PolicyRoles", PolicyArn=arn, EntityFilter="Role")
    names = ", ".join(role["RoleName"] for role in roles) or "–"
    return bool(roles), Text(_("Roles with the policy %(policy)s: %(roles)s."), {"policy": policy, "roles": names})


ADMIN = partial(managed, what="*:*", allows=allows_everything)
JUDGES: dict[str, Judge] = {
    "iam_customer_attached_policy_no_administrative_privileges": partial(ADMIN, attached=True),
    "iam_customer_unattached_policy_no_administrative_privileges": ADMIN,
    "iam_aws_attached_policy_no_administrative_privileges": partial(ADMIN, attached=True),
    "iam_inline_policy_no_administrative_privileges": inline,
    "iam_no_custom_policy_permissive_role_assumption": partial(managed, what="sts:AssumeRole", allows=may_assume_any),
    "iam_policy_no_full_access_to_cloudtrail": partial(
        managed, what="cloudtrail:*", allows=partial(allows_all_of, actions=CLOUDTRAIL)
    ),
    "iam_policy_no_full_access_to_kms": partial(managed, what="kms:*", allows=partial(allows_all_of, actions=KMS)),
    "iam_policy_no_wildcard_marketplace_subscribe": partial(
        managed, what="aws-marketplace:Subscribe", allows=partial(may_on_all, action="aws-marketplace:Subscribe")
    ),
    "iam_role_cross_service_confused_deputy_prevention": confused_deputy,
    "iam_role_administratoraccess_policy": administrator,
    "iam_role_trust_anyone": trust_anyone,
    "iam_securityaudit_role_created": partial(role_with, policy="SecurityAudit"),
    "iam_support_role_created": partial(role_with, policy="AWSSupportAccess"),
}
OURS = "iam_role_trust_anyone"  # Prowler has no such check
CHECKS = frozenset(("cspm" if check == OURS else "prowler", check) for check in JUDGES)


def _said(what: str, *, allows: bool) -> Verdict:
    if allows:
        return False, Text(_("The policy allows %(what)s on all resources."), {"what": what})
    return True, Text(_("The policy does not allow %(what)s on all resources."), {"what": what})


def _role(account: Account) -> Mapping[str, Any]:
    role: Mapping[str, Any] = account.ask("iam", "get_role", gone=GONE, RoleName=account.name)["Role"]
    return role


def _listed(policies: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(policy["PolicyName"] for policy in policies) or "–"
