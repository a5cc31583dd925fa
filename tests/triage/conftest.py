"""What tests of the product share: a cloud to look at, and a verifier for many findings."""

import pytest

from tests.cloud import cloud, cloud_server  # noqa: F401 - fixtures
from tests.plugins.verifiers import named
from triage import plugins
from triage.domain.verification import requesting


@pytest.fixture
def named_verifier(settings, tmp_path):
    """Checks `named` are answered by what the bucket is called (tests/plugins/verifiers/named.py), with a roll of the batches."""
    settings.EVIDENCE_DIR = tmp_path
    settings.PLUGIN_PACKAGES = settings.PLUGIN_PACKAGES | {"verifiers": ["integrations.verifiers", "tests.plugins.verifiers"]}
    plugins._modules.cache_clear()
    requesting.answers.cache_clear()
    named.ROLL.append(tmp_path)
    yield named
    named.ROLL.clear()
    plugins._modules.cache_clear()
    requesting.answers.cache_clear()
