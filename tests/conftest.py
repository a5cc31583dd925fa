"""Tests talk to a real PostgreSQL, as the application's role: what the product may not do, its tests can't either."""

import os
from collections.abc import Iterator
from hashlib import sha256

import pytest
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase

from triage.models.privileges import APP_ROLE


def pytest_configure(config: pytest.Config) -> None:
    """A database that is kept (--reuse-db) is made anew when the migrations are others: they are edited until the first release."""
    migrations = sorted((config.rootpath / "triage" / "migrations").glob("*.py"))
    digest = sha256(b"".join(path.read_bytes() for path in migrations)).hexdigest()
    kept = config.rootpath / ".pytest_cache" / f"schema-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    if not kept.exists() or kept.read_text() != digest:
        config.option.create_db = True
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(digest)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """The test database is made by the owner; from here on every connection has the application's role."""
    connection = connections["default"]
    options = connection.settings_dict.setdefault("OPTIONS", {})
    options["options"] = f"-c role={APP_ROLE}"
    with django_db_blocker.unblock():
        connection.close()
    yield
    options.pop("options")
    with django_db_blocker.unblock():
        connection.close()


@pytest.fixture(scope="session", autouse=True)
def _uploads_of_its_own(tmp_path_factory) -> None:
    """Tests that look for left-over uploads must not see those of another test process."""
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path_factory.mktemp("uploads"))


# What a test left behind, deleted: for the few rows that most leave, 3 ms where truncating every table takes 100. Content types and
# permissions are the migrations' and stay.
EMPTY = """
DO $$
DECLARE
    each regclass;
    used boolean;
BEGIN
    FOR each IN
        SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        IF pg_relation_size(each) > 256 * 1024 THEN
            EXECUTE format('TRUNCATE %s CASCADE', each);
        ELSE
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', each) INTO used;
            IF used THEN
                EXECUTE format('DELETE FROM %s', each);
            END IF;
        END IF;
    END LOOP;
END
$$
"""


@pytest.fixture(scope="session", autouse=True)
def _owner_empties() -> None:
    """Between tests that commit, tables are emptied: the owner's right, and past the triggers that refuse it."""

    def as_owner(_case: TransactionTestCase) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SET ROLE NONE; SET session_replication_role = replica")
            try:
                cursor.execute(EMPTY)
            finally:
                cursor.execute(f"SET session_replication_role = DEFAULT; SET ROLE {APP_ROLE}")

    TransactionTestCase._fixture_teardown = as_owner


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Progress is written by a second connection; in tests it mirrors the first."""
    for item in items:
        marks = list(item.iter_markers("django_db"))
        for mark in marks:
            mark.kwargs.setdefault("databases", ["default", "progress"])
        fixtures = getattr(item, "fixturenames", ())
        if not marks and "db" in fixtures:
            transactional = "transactional_db" in fixtures or "live_server" in fixtures
            item.add_marker(pytest.mark.django_db(databases=["default", "progress"], transaction=transactional))
