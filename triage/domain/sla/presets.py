"""Policies to begin with. They are written for misconfigurations: where a rule of others speaks of exploited vulnerabilities, its
longest and shortest terms are given to what is exposed and what is not.
"""

from triage.domain.sla.drafts import PolicyDraft, TargetDraft
from triage.models import ClockKind, Severity

_CRITICAL, _HIGH, _MEDIUM, _LOW = (
    Severity.CRITICAL.value, Severity.HIGH.value, Severity.MEDIUM.value, Severity.LOW.value,
)  # fmt: skip


def _fix(within: str, severity: int, *, exposed: bool | None = None, framework: str = "") -> TargetDraft:
    return TargetDraft(within, ClockKind.REMEDIATE.value, severity, exposed=exposed, framework=framework)


# A sensible default: what a team can keep that has other work too. Nothing is asked of informational findings.
DEFAULT = PolicyDraft(
    "default", "Default",
    (
        _fix("72 hours", _CRITICAL), _fix("168 hours", _HIGH), _fix("720 hours", _MEDIUM), _fix("2160 hours", _LOW),
        TargetDraft("24 hours", ClockKind.CONTAIN.value, _CRITICAL, exposed=True),
        TargetDraft("72 hours", ClockKind.CONTAIN.value, _HIGH, exposed=True),
        TargetDraft("24 hours", ClockKind.ACKNOWLEDGE.value, _CRITICAL),
        TargetDraft("72 hours", ClockKind.VERIFY.value),
    ),
)  # fmt: skip

# CISA Binding Operational Directive 26-04 (June 2026, revokes 19-02 and 22-01): 3, 14 and 60 days by exposure and impact.
BOD_26_04 = PolicyDraft(
    "bod-26-04", "CISA BOD 26-04",
    (
        _fix("72 hours", _CRITICAL, exposed=True), _fix("336 hours", _HIGH, exposed=True), _fix("336 hours", _CRITICAL),
        _fix("1440 hours", _HIGH), _fix("1440 hours", _MEDIUM, exposed=True),
        TargetDraft("72 hours", ClockKind.CONTAIN.value, _CRITICAL, exposed=True),
    ),
)  # fmt: skip

# FedRAMP Rev. 5 continuous monitoring: high 30, moderate 90, low 180 days from detection; its "high" covers critical.
FEDRAMP = PolicyDraft(
    "fedramp-rev5", "FedRAMP Rev. 5",
    (_fix("720 hours", _CRITICAL), _fix("720 hours", _HIGH), _fix("2160 hours", _MEDIUM), _fix("4320 hours", _LOW)),
)  # fmt: skip

# PCI DSS 4.0: requirement 6.3.3 gives a month to what is critical, 11.3.1 asks that high and critical be resolved by the next
# quarterly scan. For checks that serve PCI DSS only.
PCI_DSS = PolicyDraft(
    "pci-dss-4", "PCI DSS 4.0",
    (_fix("720 hours", _CRITICAL, framework="pci"), _fix("2160 hours", _HIGH, framework="pci")),
)  # fmt: skip

PRESETS: dict[str, PolicyDraft] = {draft.slug: draft for draft in (DEFAULT, BOD_26_04, FEDRAMP, PCI_DSS)}
