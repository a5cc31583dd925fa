"""Addresses of the pages."""

from django.urls import path, register_converter

from triage.web import (
    accounts,
    acts,
    assets,
    audit,
    bundles,
    checks,
    connections,
    exceptions,
    finder,
    findings,
    health,
    home,
    hooks,
    imports,
    ledger,
    notifications,
    owners,
    preferences,
    proofs,
    queue,
    scans,
    sign_in,
    sla,
    sources,
    verifications,
)  # fmt: skip


class FindingNumber:
    """`F-000123`, and plain 123 as people type it."""

    regex = r"(?:[Ff]-)?[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value.upper().removeprefix("F-"))

    def to_url(self, value: object) -> str:
        return f"F-{value:06d}" if isinstance(value, int) else str(value)


register_converter(FindingNumber, "finding")

urlpatterns = [
    path("acts", acts.act_list, name="acts"),
    path("acts/new", acts.act_new, name="act-new"),
    path("acts/<int:number>", acts.act_page, name="act"),
    path("acts/<int:number>/undo", acts.act_undo, name="act-undo"),
    path("acts/<int:number>/csv", acts.act_csv, name="act-csv"),
    path("", home.home, name="home"),
    path("first/demo", home.home_demo, name="home-demo"),
    path("first/token", home.home_token, name="home-token"),
    path("first/hide", home.home_steps, name="home-steps"),
    path("triage", queue.queue, name="queue"),
    path("search", finder.search_everything, name="search"),
    path("triage/rows", queue.queue_rows, name="queue-rows"),
    path("unowned", queue.unowned, name="unowned"),
    path("findings/<finding:number>", findings.finding, name="finding"),
    path("findings/<finding:number>/status", findings.finding_status, name="finding-status"),
    path("findings/<finding:number>/owner", findings.finding_owner, name="finding-owner"),
    path("findings/<finding:number>/verify", findings.finding_verify, name="finding-verify"),
    path("findings/<finding:number>/ticket", findings.finding_ticket, name="finding-ticket"),
    path("findings/<finding:number>/clock", findings.finding_clock, name="finding-clock"),
    path("findings/<finding:number>/evidence", proofs.before_after, name="before-after"),
    path("evidence/<int:number>", proofs.proof_file, name="proof"),
    path("assets", assets.asset_list, name="assets"),
    path("assets/<int:number>", assets.asset_page, name="asset"),
    path("accounts", accounts.accounts, name="accounts"),
    path("accounts/<int:number>", accounts.account_page, name="account"),
    path("accounts/<int:number>/scope", accounts.account_scope, name="account-scope"),
    path("audit", audit.audit, name="audit"),
    path("bundles", bundles.bundle_list, name="bundles"),
    path("bundles/<int:number>", bundles.bundle_file, name="bundle"),
    path("ledger", ledger.ledger_page, name="ledger"),
    path("ledger/verify", ledger.ledger_verify, name="ledger-verify"),
    path("ledger/head", ledger.ledger_head, name="ledger-head"),
    path("checks", checks.checks, name="checks"),
    path("checks/<int:number>", checks.check, name="check"),
    path("connections", connections.connection_list, name="connections"),
    path("connections/new/<slug:kind>/<slug:plugin>", connections.connection_new, name="connection-new"),
    path("connections/<slug:name>", connections.connection_page, name="connection"),
    path("connections/<slug:name>/do", connections.connection_do, name="connection-do"),
    path("deliveries", connections.delivery_list, name="deliveries"),
    path("deliveries/<int:number>/retry", connections.delivery_retry, name="delivery-retry"),
    path("notifications", notifications.notification_list, name="notifications"),
    path("notifications/<slug:slug>", notifications.notification_form, name="notification"),
    path("quieter/<str:token>", notifications.quieter, name="quieter"),
    path("metrics", health.metrics, name="metrics"),
    path("hooks/<slug:name>", hooks.hook, name="hook"),
    path("exceptions", exceptions.exceptions, name="exceptions"),
    path("exceptions/request", exceptions.exception_request, name="exception-request"),
    path("exceptions/<int:number>", exceptions.exception, name="exception"),
    path("exceptions/<int:number>/decide", exceptions.exception_decide, name="exception-decide"),
    path("sla", sla.sla, name="sla"),
    path("sla/edit", sla.sla_edit, name="sla-edit"),
    path("owners", owners.owner_list, name="owners"),
    path("owners/rules", owners.owner_rules, name="owner-rules"),
    path("owners/fix", owners.owner_fix, name="owner-fix"),
    path("owners/<slug:slug>", owners.owner_team, name="owner-team"),
    path("scans", scans.scans, name="scans"),
    path("sources", sources.source_list, name="sources"),
    path("sources/<slug:name>/run", sources.source_run, name="source-run"),
    path("scans/<int:number>", scans.scan, name="scan"),
    path("scans/<int:number>/progress", scans.scan_progress, name="scan-progress"),
    path("scans/<int:number>/original", scans.scan_original, name="scan-original"),
    path("verifications", verifications.verification_list, name="verifications"),
    path("verifications/ask", verifications.verification_ask, name="verification-ask"),
    path("verifications/runs/<int:number>", verifications.verification_run, name="verification-run"),
    path("verifications/runs/<int:number>/progress", verifications.verification_run_progress, name="verification-run-progress"),
    path("verifications/runs/<int:number>/cancel", verifications.verification_run_cancel, name="verification-run-cancel"),
    path("import", imports.import_report, name="import"),
    path("sign-in", sign_in.sign_in, name="sign-in"),
    path("sign-in/<str:token>", sign_in.sign_in_link, name="sign-in-link"),
    path("sign-out", sign_in.sign_out, name="sign-out"),
    path("preferences", preferences.preferences, name="preferences"),
    path("health", health.health, name="health"),
]
