from tests.cloud import cloud, cloud_server  # noqa: F401 - fixtures
from tests.processes import committed  # noqa: F401 - a fixture
