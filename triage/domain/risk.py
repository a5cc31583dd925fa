"""What to do first: a finding's score, the order of the queue. Each factor is a plain number, so that it can be shown."""

from triage.models import Criticality, Environment

SEVERITY = {5: 80, 4: 60, 3: 40, 2: 20, 1: 5}
ENVIRONMENT = {Environment.PRODUCTION: 8, Environment.STAGING: 3, Environment.UNKNOWN: 3, Environment.DEVELOPMENT: 0, Environment.TEST: 0}
EXPOSED = 10


def score(severity: int, environment: str, *, exposed: bool, criticality: int = Criticality.UNKNOWN) -> int:
    """0 to 106: severity first; exposure, production and criticality decide among equals."""
    return SEVERITY[severity] + ENVIRONMENT[Environment(environment)] + (EXPOSED if exposed else 0) + 2 * criticality
