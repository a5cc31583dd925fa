"""What a policy of users and roles allows to do, as Prowler sees it. Actions: the Service Authorization Reference, October 2026."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from integrations.verifiers._aws_policy import listed, statements


def _actions(service: str, names: str) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names.split())


CLOUDTRAIL = _actions(
    "cloudtrail",
    "AddTags CancelQuery CreateChannel CreateDashboard CreateEventDataStore CreateServiceLinkedChannel CreateTrail DeleteChannel "
    "DeleteDashboard DeleteEventDataStore DeleteResourcePolicy DeleteServiceLinkedChannel DeleteTrail "
    "DeregisterOrganizationDelegatedAdmin DescribeQuery DescribeTrails DisableFederation EnableFederation GenerateQuery "
    "GenerateQueryResultsSummary GetChannel GetDashboard GetEventConfiguration GetEventDataStore GetEventDataStoreData "
    "GetEventSelectors GetImport GetInsightSelectors GetQueryResults GetResourcePolicy GetServiceLinkedChannel GetTrail "
    "GetTrailStatus ListChannels ListDashboards ListEventDataStores ListImportFailures ListImports ListInsightsData "
    "ListPublicKeys ListQueries ListServiceLinkedChannels ListTags ListTrails LookupEvents PutEventConfiguration "
    "PutEventSelectors PutInsightSelectors PutResourcePolicy RegisterOrganizationDelegatedAdmin RemoveTags "
    "RestoreEventDataStore SearchSampleQueries StartDashboardRefresh StartEventDataStoreIngestion StartImport StartLogging "
    "StartQuery StopEventDataStoreIngestion StopImport StopLogging UpdateChannel UpdateDashboard UpdateEventDataStore "
    "UpdateServiceLinkedChannel UpdateTrail",
)
KMS = _actions(
    "kms",
    "CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey Decapsulate Decrypt "
    "DeleteAlias DeleteCustomKeyStore DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DescribeKey "
    "DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey EnableKeyRotation Encapsulate Encrypt GenerateDataKey "
    "GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom "
    "GetKeyLastUsage GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey ImportKeyMaterial ListAliases "
    "ListGrants ListKeyPolicies ListKeyRotations ListKeys ListResourceTags ListRetirableGrants PutKeyPolicy ReEncryptFrom "
    "ReEncryptTo ReplicateKey RetireGrant RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion Sign SynchronizeMultiRegionKey "
    "TagResource UntagResource UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac",
)
ALL_RESOURCES = ("*", "*/*", "*:*")
ASSUME = frozenset({"sts:AssumeRole", "sts:*", "*"})


def allows_everything(policy: Mapping[str, Any]) -> bool:
    """`*` on all resources, whatever is denied. All but a few actions counts too: Prowler lets that pass beside other actions."""
    return any(
        _effect(statement) == "allow"
        and _everywhere(statement)
        and ("*" in listed(statement.get("Action")) or bool(listed(statement.get("NotAction"))))
        for statement in statements(policy)
    )


def allows_all_of(policy: Mapping[str, Any], actions: Iterable[str]) -> bool:
    """Each of the actions on all resources, and none of them denied anywhere.

    What several statements except by NotAction is excepted from them all, as Prowler adds up.
    """
    allowing = [statement for statement in statements(policy) if _effect(statement) == "allow"]
    denying = [statement for statement in statements(policy) if _effect(statement) == "deny"]
    everywhere = [statement for statement in allowing if _on_star(statement)]
    together, denied = _together(allowing), _together(denying)
    return all(_names(everywhere, action) and _is_about(together, action) and not _is_about(denied, action) for action in actions)


def may_on_all(policy: Mapping[str, Any], action: str) -> bool:
    """The action on all resources. A denial counts if it is for all resources and without a condition."""
    everywhere = [statement for statement in statements(policy) if _on_star(statement)]
    allowing = [statement for statement in everywhere if _effect(statement) == "allow"]
    denying = [statement for statement in everywhere if _effect(statement) == "deny" and "Condition" not in statement]
    return _names(allowing, action) and not _names(denying, action)


def may_assume_any(policy: Mapping[str, Any]) -> bool:
    """Assume roles, of which a star names more than one."""
    return any(
        statement.get("Effect") == "Allow"
        and any("*" in resource for resource in listed(statement.get("Resource")))
        and not ASSUME.isdisjoint(listed(statement.get("Action")))
        for statement in statements(policy)
    )


def _effect(statement: Mapping[str, Any]) -> str:
    return str(statement.get("Effect", "")).strip().lower()


def _on_star(statement: Mapping[str, Any]) -> bool:
    return "*" in listed(statement.get("Resource"))


def _everywhere(statement: Mapping[str, Any]) -> bool:
    resources, others = listed(statement.get("Resource")), listed(statement.get("NotResource"))
    return (len(resources) == 1 and resources[0] in ALL_RESOURCES) or (bool(others) and others != ["*"])


def _names(found: Iterable[Mapping[str, Any]], action: str) -> bool:
    """Whether one of the statements is about the action."""
    return any(_is_about(statement, action) for statement in found)


def _together(found: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """One statement of all their actions."""
    return {key: [name for one in found for name in listed(one.get(key))] for key in ("Action", "NotAction")}


def _is_about(statement: Mapping[str, Any], action: str) -> bool:
    others = listed(statement.get("NotAction"))
    return any(_matches(pattern, action) for pattern in listed(statement.get("Action"))) or (
        bool(others) and not any(_matches(pattern, action) for pattern in others)
    )


def _matches(pattern: str, action: str) -> bool:
    if pattern == "*":
        return True
    service, _colon, name = pattern.lower().partition(":")
    its_service, _colon, its_name = action.lower().partition(":")
    return fnmatchcase(its_service, service) and fnmatchcase(its_name, name)
