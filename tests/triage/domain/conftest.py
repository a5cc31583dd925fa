from tests.processes import committed  # noqa: F401 - a fixture
