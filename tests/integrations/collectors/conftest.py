from tests.cloud import cloud, cloud_server  # noqa: F401 - fixtures
