"""What watches a region: Config, GuardDuty, Security Hub, Access Analyzer. What is fixed here passes in Prowler."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.utils.translation import gettext_noop as _

from integrations.verifiers._aws import Account, Judge, Verdict, asset_gone, verified
from triage.ports import Judgement, Target, Text

LABEL = "AWS Config, GuardDuty, Security Hub, Access Analyzer"

HIGH = {"Criterion": {"severity": {"Eq": ["8"]}, "service.archived": {"Eq": ["false"]}}}


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    return verified(targets, at, JUDGES)


def config_recorder(account: Account) -> Verdict:
    recorders = account.ask("config", "describe_configuration_recorder_status")["ConfigurationRecordersStatus"]
    for recorder in recorders:
        if recorder.get("recording") and recorder.get("lastStatus", "Failure") != "Failure":
            return True, Text(_("The recorder %(name)s records."), {"name": recorder["name"]})
    return False, Text(_("No recorder of the region records."))


def guardduty(account: Account) -> Verdict:
    """A region has one detector at most."""
    for detector in _detectors(account):
        if account.ask("guardduty", "get_detector", DetectorId=detector).get("Status") == "ENABLED":
            return True, Text(_("The detector %(name)s is enabled."), {"name": detector})
    return False, Text(_("No detector of the region is enabled."))


def guardduty_findings(account: Account) -> Verdict:
    """High is what has the severity 8, as Prowler asks."""
    if account.name not in _detectors(account):
        raise asset_gone(account)
    found = account.ask_all("guardduty", "list_findings", "FindingIds", DetectorId=account.name, FindingCriteria=HIGH)
    return not found, Text(_("Findings of high severity that are not archived: %(n)s."), {"n": len(found)})


def security_hub(account: Account) -> Verdict:
    """With a standard, or with a product beside itself."""
    if not account.ask("securityhub", "describe_hub", absent="InvalidAccessException"):
        return False, Text(_("Security Hub is not enabled in the region."))
    if account.ask_all("securityhub", "get_enabled_standards", "StandardsSubscriptions"):
        return True, Text(_("Security Hub is enabled with a standard."))
    products = account.ask_all("securityhub", "list_enabled_products_for_import", "ProductSubscriptions")
    if any("/aws/securityhub" not in product for product in products):
        return True, Text(_("Security Hub is enabled with another product."))
    return False, Text(_("Security Hub is enabled, but without a standard or another product."))


def access_analyzer(account: Account) -> Verdict:
    """`analyzer/unknown` stands for any of the region."""
    found = account.ask_all("accessanalyzer", "list_analyzers", "analyzers")
    if account.name != "unknown":
        found = [analyzer for analyzer in found if analyzer["arn"] == account.target.asset]
        if not found:
            raise asset_gone(account)
    for analyzer in found:
        if analyzer["status"] == "ACTIVE":
            return True, Text(_("The analyzer %(name)s is active."), {"name": analyzer["name"]})
    return False, Text(_("No analyzer is active."))


JUDGES: dict[str, Judge] = {
    "config_recorder_all_regions_enabled": config_recorder,
    "guardduty_is_enabled": guardduty,
    "guardduty_no_high_severity_findings": guardduty_findings,
    "securityhub_enabled": security_hub,
    "accessanalyzer_enabled": access_analyzer,
}
CHECKS = frozenset(("prowler", check) for check in JUDGES)


def _detectors(account: Account) -> list[str]:
    return account.ask_all("guardduty", "list_detectors", "DetectorIds")
