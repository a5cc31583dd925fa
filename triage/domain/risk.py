"""What to do first: a finding's score, the order of the queue. Each factor is a plain number, so that it can be shown.

Severity comes first. What can be reached, what is exploited, where it runs and what it holds decide among findings of one severity and
can lift one by a step; age and regressions break ties.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils.translation import gettext_noop as _

from triage.models import Criticality, DataClass, Environment, Finding

SEVERITY = {5: 80, 4: 60, 3: 40, 2: 20, 1: 5}
ENVIRONMENT = {
    Environment.PRODUCTION: 8,
    Environment.STAGING: 3,
    Environment.UNKNOWN: 3,
    Environment.DEVELOPMENT: 0,
    Environment.TEST: 0,
}
EXPOSED = 10
CRITICALITY = 2  # a level
DATA = {
    DataClass.UNKNOWN: 0, DataClass.PUBLIC: 0, DataClass.INTERNAL: 1, DataClass.CONFIDENTIAL: 3, DataClass.PERSONAL: 5,
    DataClass.PAYMENT: 6, DataClass.HEALTH: 6,
}  # fmt: skip
REGRESSION, MOST_REGRESSIONS = 2, 3
AGES = ((180, 3), (90, 2), (30, 1))  # days since it was first seen, points; the first that fits


@dataclass(frozen=True, slots=True)
class Facts:
    """What a score is made of. `threat`: points for a CVE (`domain.threat`)."""

    severity: int
    environment: str
    exposed: bool
    criticality: int = Criticality.UNKNOWN
    data: str = ""
    threat: int = 0
    regressions: int = 0


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of a score. `name`: message id; `value`: what is so, as stored; `source`: message id of where it is from."""

    name: str
    value: str
    points: int
    source: str


def score(facts: Facts, *, seen: datetime, at: datetime) -> int:
    """The sum of the factors: 5 to 137. `seen`: when the finding was first seen."""
    return (
        SEVERITY[facts.severity]
        + ENVIRONMENT[Environment(facts.environment)]
        + (EXPOSED if facts.exposed else 0)
        + CRITICALITY * facts.criticality
        + DATA[DataClass(facts.data)]
        + facts.threat
        + REGRESSION * min(facts.regressions, MOST_REGRESSIONS)
        + aged(seen, at)
    )


def aged(seen: datetime, at: datetime) -> int:
    """Points for how long it has been known."""
    return next((points for days, points in AGES if at - seen >= timedelta(days=days)), 0)


def factors(finding: Finding, *, at: datetime) -> list[Factor]:
    """The score's parts, with where each comes from; what counts nothing is left out, but for severity."""
    asset, check, application = finding.asset, finding.check_ref, finding.asset.application
    data = DataClass(application.data) if application else DataClass.UNKNOWN
    found = [
        Factor(
            _("Severity"), str(finding.get_severity_display()), SEVERITY[finding.severity],
            _("what is said of the check here") if check.override else _("the scanner"),
        ),
        Factor(_("Exposure"), "", EXPOSED if check.exposes else 0, _("the check: a failure means reachable from the internet")),
        Factor(_("Known exploitation"), check.key, check.threat, _("the vulnerability data that was imported")),
        Factor(
            _("Environment"), str(Environment(finding.environment).label), ENVIRONMENT[Environment(finding.environment)],
            _("tags of the asset or its account"),
        ),
        Factor(
            _("Criticality"), str(asset.get_criticality_display()), CRITICALITY * asset.criticality,
            _("tags of the asset, its account or its application"),
        ),
        Factor(_("Data"), str(data.label), DATA[data], _("the application")),
        Factor(
            _("Regressions"), str(finding.regressions), REGRESSION * min(finding.regressions, MOST_REGRESSIONS),
            _("the history of the finding"),
        ),
        Factor(_("Age"), "", aged(finding.first_seen, at), _("when it was first seen")),
    ]  # fmt: skip
    return [factor for index, factor in enumerate(found) if factor.points or not index]


def _cases(column: str, points: dict[str, int] | dict[int, int]) -> str:
    cases = " ".join(f"WHEN {name!r} THEN {number}" for name, number in points.items())
    return f"(CASE {column} {cases} ELSE 0 END)"


_NOW = (
    "SELECT f.id, "
    + " + ".join(
        [
            _cases("f.severity", SEVERITY),
            _cases("f.environment", {name.value: points for name, points in ENVIRONMENT.items()}),
            f"CASE WHEN c.exposes THEN {EXPOSED} ELSE 0 END",
            f"{CRITICALITY} * a.criticality",
            _cases("coalesce(p.data, '')", {name.value: points for name, points in DATA.items()}),
            "c.threat",
            f"{REGRESSION} * least(f.regressions, {MOST_REGRESSIONS})",
            "(CASE "
            + " ".join(f"WHEN %(at)s - f.first_seen >= interval '{24 * days} hours' THEN {points}" for days, points in AGES)
            + " ELSE 0 END)",
        ]
    )
    + " AS score FROM triage_finding f JOIN triage_check c ON c.id = f.check_id JOIN triage_asset a ON a.id = f.asset_id"
    " LEFT JOIN triage_application p ON p.id = a.application_id"
)
_WRITE = "UPDATE triage_finding f SET score = now.score FROM now WHERE f.id = now.id AND f.score <> now.score"


def rescore(findings: Sequence[int], *, at: datetime) -> None:
    """Scores of these findings from what they are now: one statement, and only what differs is written. Inside a recording."""
    with connection.cursor() as cursor:
        cursor.execute(f"WITH now AS ({_NOW} WHERE f.id = ANY(%(ids)s)) {_WRITE}", {"ids": list(findings), "at": at})


def grow_older(*, at: datetime) -> int:
    """Score anew what is open: some of it has passed an age. How many changed; what did not is not written. Inside a recording."""
    youngest = min(days for days, _points in AGES)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH now AS ({_NOW} WHERE f.is_open AND f.first_seen <= %(at)s - interval '{24 * youngest} hours') {_WRITE}",
            {"at": at},
        )
        return int(cursor.rowcount)
