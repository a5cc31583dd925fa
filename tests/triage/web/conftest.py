"""Who looks at the pages."""

import pytest

from tests.factories import person, team


@pytest.fixture
def triager(client, db):
    """A triager, signed in."""
    user = person("tess@example.com", "triager", name="Tess Martin")
    client.force_login(user)
    return user


@pytest.fixture
def viewer(client, db):
    user = person("vic@example.com", "viewer", name="Vic Durand")
    client.force_login(user)
    return user


@pytest.fixture
def stranger(client, db):
    """Signed in, without any role."""
    user = person("sam@example.com")
    client.force_login(user)
    return user


@pytest.fixture
def contributor(client, db):
    """Of the team `web` alone."""
    user = person("cleo@example.com", "contributor", of=team("web"))
    client.force_login(user)
    return user
