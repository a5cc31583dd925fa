"""KMS keys of customers: rotation, who may use them, keys that are off or about to be deleted. What is fixed here passes in Prowler."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Stop, Verdict, verified
from integrations.verifiers._aws_policy import is_public
from triage.ports import Judgement, Outcome, Target, Text

LABEL = "AWS KMS"

GONE = frozenset({"NotFoundException"})
DELETED = ("PendingDeletion", "PendingReplicaDeletion")


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def rotation(account: Account) -> Verdict:
    """AWS cannot rotate what was imported."""
    key = _kept(account)
    rotates = "EXTERNAL" not in key["Origin"] and _of_key(account, "get_key_rotation_status")["KeyRotationEnabled"]
    if rotates:
        return True, Text(_("The key is rotated by AWS."))
    return False, Text(_("The key is not rotated by AWS."))


def public_access(account: Account) -> Verdict:
    _kept(account)
    if is_public(json.loads(_of_key(account, "get_key_policy", PolicyName="default")["Policy"])):
        return False, Text(_("The key's policy lets everybody in."))
    return True, Text(_("The key's policy does not let everybody in."))


def used(account: Account) -> Verdict:
    """A key that is going to be deleted is settled, too."""
    state = _key(account)["KeyState"]
    return state in ("Enabled", "PendingDeletion"), Text(_("The key's state is: %(state)s."), {"state": state})


def not_deleted(account: Account) -> Verdict:
    state = _key(account)["KeyState"]
    return state != "PendingDeletion", Text(_("The key's state is: %(state)s."), {"state": state})


JUDGES: dict[str, Judge] = {
    "kms_cmk_rotation_enabled": rotation,
    "kms_key_not_publicly_accessible": public_access,
    "kms_cmk_are_used": used,
    "kms_cmk_not_deleted_unintentionally": not_deleted,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _of_key(account: Account, operation: str, **request: Any) -> dict[str, Any]:
    return account.ask("kms", operation, gone=GONE, KeyId=account.target.asset, **request)


def _key(account: Account) -> Mapping[str, Any]:
    key: Mapping[str, Any] = _of_key(account, "describe_key")["KeyMetadata"]
    return key


def _kept(account: Account) -> Mapping[str, Any]:
    key = _key(account)
    if key["KeyState"] in DELETED:
        raise Stop(Outcome.GONE, Text(_("%(asset)s is going to be deleted."), {"asset": account.target.asset}))
    return key
