"""PagerDuty, Events API v2: one incident for one thing, known by its dedup key; resolved when the thing is over.

Source: https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import json
from collections.abc import Iterator

from django.utils.translation import gettext_noop as _

from integrations.notifiers import _http
from triage.ports import DeliveryError, Notice, Options, Probe, Setting, Severity, Text

LABEL = "PagerDuty"
PER_SECOND = 2.0
REPEATABLE = True
SETTINGS = (
    Setting("routing_key", _("Integration key"), _("Of the service, Events API v2."), required=True, secret=True),
    Setting("base_url", _("Address"), default="https://events.pagerduty.com", seldom=True),
    Setting("allow_private", _("Internal addresses"), default="no", choices=("no", "yes"), seldom=True),
)
LEVELS = {Severity.CRITICAL: "critical", Severity.HIGH: "error", Severity.MEDIUM: "warning"}
SUMMARY = 1024


def send(notice: Notice, options: Options, /) -> str:
    key = (notice.about or notice.key)[:255]
    event: dict[str, object] = {
        "routing_key": str(options["routing_key"]), "event_action": "resolve" if notice.resolves else "trigger", "dedup_key": key,
    }  # fmt: skip
    if not notice.resolves:
        details = {**notice.facts, "text": notice.text, "rows": [f"{row.name} {row.text}" for row in notice.rows]}
        about = {
            "summary": notice.title[:SUMMARY], "source": "cspm-triage", "severity": LEVELS.get(notice.severity, "info"),
            "custom_details": details,
        }  # fmt: skip
        if notice.at is not None:
            about["timestamp"] = notice.at.isoformat()
        event["payload"] = about
        if notice.url:
            event |= {"client": "CSPM Triage", "client_url": notice.url, "links": [{"href": notice.url, "text": "CSPM Triage"}]}
    url = f"{str(options.get('base_url') or 'https://events.pagerduty.com').rstrip('/')}/v2/enqueue"
    data = json.dumps(event, ensure_ascii=False).encode()
    _http.post(url, data, {"Content-Type": "application/json"}, private=options.get("allow_private") == "yes")
    return key


def find(_notice: Notice, _options: Options, /) -> str | None:
    return None


def probe(options: Options, /) -> Iterator[Probe]:
    """The address alone: PagerDuty has no question that pages nobody."""
    try:
        _http.checked(str(options.get("base_url") or ""), private=options.get("allow_private") == "yes")
        said = Text(
            _("Whether the key is right shows with the first incident: PagerDuty cannot be asked without waking somebody.")
        )
        yield Probe(Text(_("The address is allowed")), True, said)
    except DeliveryError as error:
        yield Probe(Text(_("The address is allowed")), False, Text("%(said)s", {"said": str(error)}))
