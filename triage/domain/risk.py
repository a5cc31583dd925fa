"""What to do first: a finding's score, the order of the queue. Each factor is a plain number, so that it can be shown."""

from collections.abc import Sequence

from django.db import connection

from triage.models import Criticality, Environment

SEVERITY = {5: 80, 4: 60, 3: 40, 2: 20, 1: 5}
ENVIRONMENT = {
    Environment.PRODUCTION: 8,
    Environment.STAGING: 3,
    Environment.UNKNOWN: 3,
    Environment.DEVELOPMENT: 0,
    Environment.TEST: 0,
}
EXPOSED = 10


def score(severity: int, environment: str, *, exposed: bool, criticality: int = Criticality.UNKNOWN) -> int:
    """0 to 106: severity first; exposure, production and criticality decide among equals."""
    return SEVERITY[severity] + ENVIRONMENT[Environment(environment)] + (EXPOSED if exposed else 0) + 2 * criticality


def rescore(findings: Sequence[int]) -> None:
    """Scores of these findings from what they are now: one statement, and only what differs is written."""
    severity = " ".join(f"WHEN {level} THEN {points}" for level, points in SEVERITY.items())
    environment = " ".join(f"WHEN '{name.value}' THEN {points}" for name, points in ENVIRONMENT.items())
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH now AS (SELECT f.id, (CASE f.severity " + severity + " END) + (CASE f.environment " + environment + " END)"
            " + CASE WHEN c.exposes THEN %s ELSE 0 END + 2 * a.criticality AS score FROM triage_finding f"
            " JOIN triage_check c ON c.id = f.check_id JOIN triage_asset a ON a.id = f.asset_id WHERE f.id = ANY(%s))"
            " UPDATE triage_finding f SET score = now.score FROM now WHERE f.id = now.id AND f.score <> now.score",
            [EXPOSED, list(findings)],
        )
