"""The audit trail as a log that shows tampering: sealed into a Merkle tree, its signed heads sent to witnesses outside."""

from triage.domain.ledger.erasing import erase
from triage.domain.ledger.sealing import rotate, seal, waiting
from triage.domain.ledger.standing import Standing, checks, keys_on_record, metrics, standing
from triage.domain.ledger.verifying import verify

__all__ = ["Standing", "checks", "erase", "keys_on_record", "metrics", "rotate", "seal", "standing", "verify", "waiting"]
