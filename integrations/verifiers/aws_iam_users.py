"""IAM users, the root user and the password policy. What is fixed here passes in Prowler.

Asked directly: Prowler's source, the credential report, may be four hours old.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Stop, Verdict, verified
from triage.ports import Judgement, Outcome, Target, Text

LABEL = "AWS IAM users"

GONE = frozenset({"NoSuchEntity"})
ROTATED = 90  # days
USED = 45  # days, Prowler's max_unused_access_keys_days
VIRTUAL = frozenset({"mfa", "sms-mfa"})


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def password_policy(account: Account, *, setting: str, holds: Callable[[Any], bool] = bool) -> Verdict:
    policy = account.ask("iam", "get_account_password_policy", absent="NoSuchEntity").get("PasswordPolicy", {})
    value = policy.get(setting)
    said = {"setting": setting, "value": "–" if value is None else str(value)}
    return holds(value), Text(_("The password policy's %(setting)s is: %(value)s."), said)


def hardware_mfa(account: Account) -> Verdict:
    kinds = _mfa(account)
    return bool(kinds) and VIRTUAL.isdisjoint(kinds), _mfa_said(kinds)


def console_mfa(account: Account) -> Verdict:
    kinds = _mfa(account)
    if not account.ask("iam", "get_login_profile", absent="NoSuchEntity", UserName=account.name):
        return True, Text(_("The user has no password."))
    return bool(kinds), _mfa_said(kinds)


def rotated(account: Account) -> Verdict:
    """All active keys of the user: which of them is the report's first cannot be told."""
    ages = [(account.at - key["CreateDate"]).days for key in _active_keys(account)]
    return all(age <= ROTATED for age in ages), Text(
        _("Days since the user's active access keys were made: %(days)s."), {"days": _numbers(ages)}
    )


def used(account: Account) -> Verdict:
    """A key that was never used passes."""
    days = []
    for key in _active_keys(account):
        answer = account.ask("iam", "get_access_key_last_used", gone=GONE, AccessKeyId=key["AccessKeyId"])
        if "LastUsedDate" in answer["AccessKeyLastUsed"]:
            days.append((account.at - answer["AccessKeyLastUsed"]["LastUsedDate"]).days)
    return all(day <= USED for day in days), Text(
        _("Days since the user's active access keys were used: %(days)s."), {"days": _numbers(days)}
    )


def two_keys(account: Account) -> Verdict:
    count = len(_active_keys(account))
    return count < 2, Text(_("Active access keys of the user: %(n)s."), {"n": count})


def no_policy(account: Account) -> Verdict:
    """The name is `alice/policy`; without a policy in it, any policy of the user counts."""
    attached = account.ask_all("iam", "list_attached_user_policies", "AttachedPolicies", gone=GONE, UserName=account.name)
    names = [policy["PolicyName"] for policy in attached]
    names += account.ask_all("iam", "list_user_policies", "PolicyNames", gone=GONE, UserName=account.name)
    _user, _slash, policy = account.target.asset_name.partition("/")
    has = policy in names if policy else bool(names)
    return not has, Text(_("Policies of the user itself: %(policies)s."), {"policies": ", ".join(names) or "–"})


def root_keys(account: Account) -> Verdict:
    if _summary(account)["AccountAccessKeysPresent"]:
        return False, Text(_("The root user has access keys."))
    return True, Text(_("The root user has no access keys."))


def root_mfa(account: Account, *, hardware: bool = False) -> Verdict:
    summary = _summary(account)
    if not (summary.get("AccountPasswordPresent", 1) or summary["AccountAccessKeysPresent"]):
        return True, Text(_("The root user has neither a password nor access keys."))
    if not summary["AccountMFAEnabled"]:
        return False, Text(_("The root user has no MFA."))
    if hardware:
        devices = account.ask_all("iam", "list_virtual_mfa_devices", "VirtualMFADevices")
        if any("root" in device.get("User", {}).get("Arn", "") for device in devices):
            return False, Text(_("The root user's MFA is virtual."))
    return True, Text(_("The root user has MFA."))


def saml_provider(account: Account) -> Verdict:
    providers = account.ask("iam", "list_saml_providers")["SAMLProviderList"]
    return bool(providers), Text(_("SAML providers of the account: %(n)s."), {"n": len(providers)})


JUDGES: dict[str, Judge] = {
    "iam_password_policy_minimum_length_14": partial(
        password_policy, setting="MinimumPasswordLength", holds=lambda length: (length or 0) >= 14
    ),
    "iam_password_policy_number": partial(password_policy, setting="RequireNumbers"),
    "iam_password_policy_symbol": partial(password_policy, setting="RequireSymbols"),
    "iam_password_policy_uppercase": partial(password_policy, setting="RequireUppercaseCharacters"),
    "iam_password_policy_lowercase": partial(password_policy, setting="RequireLowercaseCharacters"),
    "iam_password_policy_reuse_24": partial(
        password_policy, setting="PasswordReusePrevention", holds=lambda remembered: remembered == 24
    ),
    "iam_password_policy_expires_passwords_within_90_days_or_less": partial(
        password_policy, setting="MaxPasswordAge", holds=lambda days: 0 < (days or 0) <= 90
    ),
    "iam_user_hardware_mfa_enabled": hardware_mfa,
    "iam_user_mfa_enabled_console_access": console_mfa,
    "iam_rotate_access_key_90_days": rotated,
    "iam_user_accesskey_unused": used,
    "iam_user_two_active_access_key": two_keys,
    "iam_policy_attached_only_to_group_or_roles": no_policy,
    "iam_no_root_access_key": root_keys,
    "iam_root_mfa_enabled": root_mfa,
    "iam_root_hardware_mfa_enabled": partial(root_mfa, hardware=True),
    "iam_check_saml_providers_sts": saml_provider,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _mfa(account: Account) -> list[str]:
    """Kinds of the user's devices: `mfa` is virtual, `u2f` a key, and a serial number that is no ARN is hardware."""
    devices = account.ask_all("iam", "list_mfa_devices", "MFADevices", gone=GONE, UserName=account.name)
    parts = [device["SerialNumber"].split(":") for device in devices]
    return [part[5].partition("/")[0] if len(part) > 5 else "hardware" for part in parts]


def _mfa_said(kinds: Sequence[str]) -> Text:
    return Text(_("The user's MFA devices: %(devices)s."), {"devices": ", ".join(kinds) or "–"})


def _active_keys(account: Account) -> list[Mapping[str, Any]]:
    """Of the root user one can only learn whether it has keys at all."""
    if account.target.asset.endswith(":root"):
        if _summary(account)["AccountAccessKeysPresent"]:
            raise Stop(Outcome.CANNOT, Text(_("The root user has access keys; AWS does not tell more about them.")))
        return []
    keys = account.ask_all("iam", "list_access_keys", "AccessKeyMetadata", gone=GONE, UserName=account.name)
    return [key for key in keys if key["Status"] == "Active"]


def _summary(account: Account) -> Mapping[str, int]:
    summary: Mapping[str, int] = account.ask("iam", "get_account_summary")["SummaryMap"]
    return summary


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) or "–"
