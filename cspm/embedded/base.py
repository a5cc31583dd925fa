"""Django's PostgreSQL backend on the embedded server, which is joined when a connection is opened: no connection, no server."""

import os
from typing import Any

from django.db.backends.postgresql import base

from cspm import paths
from cspm.embedded import cluster, membership


class DatabaseWrapper(base.DatabaseWrapper):
    """Raises DatabaseUnavailable on connecting when the server can't be started."""

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        return {**params, "host": membership.join(paths.home(), os.environ), "port": cluster.PORT}
