"""Configured outside systems, and the one that is there from the start: tickets as files."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings

from triage.models import Connection


def default_tickets(at: datetime) -> Connection:
    """Where tickets go when nothing else is configured: files in CSPM_HOME. Made the first time that it is needed."""
    connection, _made = Connection.objects.get_or_create(
        name="files", defaults={"kind": "tickets", "plugin": "files", "created_at": at}
    )
    return connection


def options(connection: Connection) -> Mapping[str, str]:
    """What the plugin is called with. The folder of files is not stored: CSPM_HOME may move."""
    return {"folder": str(settings.TICKETS_DIR), **connection.options}
