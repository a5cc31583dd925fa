"""What an auditor takes home: a period's findings with the proof of each, checked by one file of Python."""

from triage.domain.bundles.exporting import SAMPLE, Bundle, export
from triage.domain.bundles.population import Wanted
from triage.domain.bundles.verifier import Refused, report, told, verify

__all__ = ["SAMPLE", "Bundle", "Refused", "Wanted", "export", "report", "told", "verify"]
