"""Which database: the server that DATABASE_URL names, or the embedded one; and as which of its two roles.

The owner's role owns the schema, migrates, and makes the tests' databases. The application's role reads and writes rows; it can't
change the schema, nor the past. CSPM_DB_ROLE=owner is set by what needs it (`cspm migrate`), everything else runs as `app`.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import environ as django_environ

from cspm.embedded.cluster import APP_ROLE, DATABASE, OWNER_ROLE, DatabaseUnavailable
from cspm.language import gettext_noop

__all__ = ["APP_ROLE", "OWNER_ROLE", "DatabaseUnavailable", "Role", "connection_settings"]

Role = Literal["app", "owner"]
_KEPT_SECONDS = 60


def connection_settings(environ: Mapping[str, str], role: str = "app") -> dict[str, Any]:
    """Django's DATABASES["default"]. Starts nothing: the embedded server is joined by the first connection.

    With DATABASE_OWNER_URL, DATABASE_URL signs in as the application's role and DATABASE_OWNER_URL as the owner. Without, both
    sign in by DATABASE_URL, and the application then lays its owner's rights down for the role `cspm_app`, which the first
    migration creates. Raises DatabaseUnavailable when a URL can't be understood, ValueError for an unknown role.
    """
    if role not in ("app", "owner"):
        raise ValueError(f"CSPM_DB_ROLE is {role!r}; it should be app or owner")
    url, owner_url = environ.get("DATABASE_URL", ""), environ.get("DATABASE_OWNER_URL", "")
    if not url and owner_url:
        raise DatabaseUnavailable(gettext_noop("DATABASE_OWNER_URL is set, but DATABASE_URL, for the application itself, isn't."))
    if not url:
        settings: dict[str, Any] = {
            "ENGINE": "cspm.embedded",
            "NAME": DATABASE,
            "USER": OWNER_ROLE if role == "owner" else APP_ROLE,
        }
    elif role == "owner":
        settings = _from_url("DATABASE_OWNER_URL" if owner_url else "DATABASE_URL", owner_url or url)
    else:
        settings = _from_url("DATABASE_URL", url)
        if not owner_url:
            options = settings.setdefault("OPTIONS", {})
            options["options"] = f"{options.get('options', '')} -c role={APP_ROLE}".strip()
    # A connection is kept between requests, and tried before use: PostgreSQL may have been restarted meanwhile.
    return {"CONN_MAX_AGE": _KEPT_SECONDS, "CONN_HEALTH_CHECKS": True, **settings}


def _from_url(name: str, url: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if url.startswith(("postgres://", "postgresql://")):  # else it warns, with the password in the warning
        settings = cast("dict[str, Any]", django_environ.Env.db_url_config(url))
    if not settings.get("NAME"):
        raise DatabaseUnavailable(
            gettext_noop("%(name)s should be like postgres://user:password@host:5432/database; only PostgreSQL is supported."),
            name=name,
        )
    return settings
