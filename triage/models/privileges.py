"""What the application's database role may do: everything it needs, and no rewriting of history."""

from typing import Any

from django.db import connections

APP_ROLE = "cspm_app"
# Rows here are added and never changed: not by a bug, not by an injection, not by an administrator of the application.
APPEND_ONLY = (
    "triage_event", "triage_clockentry", "triage_slaversion", "triage_slatarget", "triage_slanotice", "triage_containment",
    "triage_calendarversion", "triage_openinterval", "triage_calendarday", "triage_leaf", "triage_node", "triage_checkpoint",
    "triage_ledgerkey", "triage_ledgercheck", "triage_publication",
)  # fmt: skip
# What events, evidence and other rows point at is never deleted.
NEVER_DELETED = (
    "triage_finding", "triage_asset", "triage_assettags", "triage_tagset", "triage_check", "triage_control", "triage_account",
    "triage_scan", "triage_scanscope", "triage_checkset", "triage_ownertrail", "triage_evidence", "triage_verification",
    "triage_verificationrun", "triage_hold", "triage_holditem", "triage_slapolicy", "triage_calendar", "triage_application",
    "triage_riskexception", "triage_exceptionitem", "triage_ticket",
)  # fmt: skip


def grant(using: str, **_signal: Any) -> None:
    """Give the application role its rights on all tables. Runs after each migration, as the owner."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE])
        if cursor.fetchone() is None:
            return
        cursor.execute(f"""
            GRANT USAGE ON SCHEMA public TO {APP_ROLE};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP_ROLE};
            GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE};
            REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {APP_ROLE};
            REVOKE UPDATE, DELETE ON {", ".join(APPEND_ONLY)} FROM {APP_ROLE};
            REVOKE DELETE ON {", ".join(NEVER_DELETED)} FROM {APP_ROLE};
        """)
