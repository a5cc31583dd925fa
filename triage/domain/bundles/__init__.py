"""What an auditor takes home: a period's findings with the proof of each, checked by one file of Python."""

from triage.domain.bundles.exporting import SAMPLE, Bundle, export, verifier_digest
from triage.domain.bundles.ordering import fetch, listed, make, order, waiting
from triage.domain.bundles.population import Wanted
from triage.domain.bundles.verifier import Refused, report, told, verify

__all__ = [
    "SAMPLE", "Bundle", "Refused", "Wanted", "export", "fetch", "listed", "make", "order", "report", "told",
    "verifier_digest", "verify", "waiting",
]  # fmt: skip
