import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from cspm import paths


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_home_is_made_private(tmp_path, monkeypatch):
    monkeypatch.setenv("CSPM_HOME", str(tmp_path / "deep" / "home"))

    home = paths.home()

    assert home == tmp_path / "deep" / "home"
    assert mode(home) & 0o067 == 0  # under root the database's own group may pass through
    assert mode(paths.folder(home, "evidence")) == 0o700


def test_home_that_exists_keeps_its_mode(tmp_path, monkeypatch):
    (tmp_path / "volume").mkdir(mode=0o755)
    monkeypatch.setenv("CSPM_HOME", str(tmp_path / "volume"))

    assert mode(paths.home()) == 0o755


def test_secret_is_drawn_once_even_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: paths.secret_key(tmp_path), range(8)))

    assert len(secrets) == 1
    assert len(secrets.pop()) > 60
    assert mode(tmp_path / "secret_key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server is another user")
def test_roots_home_lets_the_servers_group_pass(tmp_path, monkeypatch):
    monkeypatch.setenv("CSPM_HOME", str(tmp_path / "home"))

    assert mode(paths.home()) == 0o710
