"""Sources: where reports come from by themselves, and what they brought."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from triage import plugins
from triage.domain import connections, deliveries, sources
from triage.domain.access import Right
from triage.domain.errors import TriageError
from triage.web.requests import PageRequest, needs, nudge


@require_safe
@needs(Right.VIEW)
def source_list(request: PageRequest) -> HttpResponse:
    at = now()
    rows = [
        {
            "standing": standing, "connection": standing.connection, "label": connections.plugin_of(standing.connection).LABEL,
            "host": deliveries.host_of(standing.connection), "makes": sources.makes(standing.connection),
            "alarms": connections.alarms().filter(connection=standing.connection),
            "every": standing.connection.options.get("every") or connections.FIVE_MINUTES,
        }
        for standing in sources.standings(at=at)
    ]  # fmt: skip
    kinds = [(name, plugins.get("sources", name).LABEL) for name in plugins.names("sources")]
    shown = {"rows": rows, "kinds": kinds, "at": at}
    return render(request, "triage/sources/list.html", shown)


@require_POST
@needs(Right.IMPORT)
def source_run(request: PageRequest, name: str) -> HttpResponse:
    """Look at it now; one that makes reports makes one."""
    try:
        found = sources.ask(name=name, actor=request.actor, at=now())
    except TriageError as error:
        messages.error(request, gettext(error.text.message) % error.text.params)
    else:
        nudge("look_at_sources")
        for report in sources.waiting(at=now())[:found]:
            nudge("fetch_report", report)
        if found:
            messages.success(request, gettext("%(name)s is running. Its reports will appear here.") % {"name": name})
        else:
            messages.info(request, gettext("%(name)s has no new reports.") % {"name": name})
    return redirect("sources")
