import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from cspm import database
from cspm.embedded import cluster

ROOT = Path(__file__).resolve().parents[2]
JOIN = """
import os, sys
from cspm import paths
from cspm.embedded import membership
print(membership.join(paths.home(), os.environ), flush=True)
sys.stdin.read()
"""
INHERIT = """
import os, subprocess, sys
from cspm import paths
from cspm.embedded import membership
print(membership.join(paths.home(), os.environ), flush=True)
child = subprocess.Popen([sys.executable, "-c", os.environ["CHILD"]], stdin=subprocess.PIPE)
sys.stdin.read()
membership.leave()
print("left", flush=True)
child.communicate()
"""


class User:
    """A process that uses the embedded server of a CSPM_HOME until it is told to leave."""

    def __init__(self, home, script=JOIN, **environ):
        inherited = {name: value for name, value in os.environ.items() if name != "CSPM_DATABASE_SOCKET"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env={**inherited, "CSPM_HOME": str(home), **environ},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def address(self):
        return self.process.stdout.readline().strip()

    def leaves(self):
        return self.process.communicate()

    def is_killed(self):
        self.process.kill()
        self.process.communicate()


def connect(address, role="cspm_app"):
    return psycopg.connect(host=address, port=5432, user=role, dbname="cspm", autocommit=True)


def eventually(what, *, seconds=10):
    until = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return result


def is_up(address):
    try:
        connect(address).close()
    except psycopg.OperationalError:
        return False
    return True


def server_pid(home):
    return int((home / "database" / "data" / "postmaster.pid").read_text().split()[0])


def guard_pid(home):
    """The parent of the server."""
    status = Path(f"/proc/{server_pid(home)}/stat").read_text()
    return int(status.rsplit(")", 1)[1].split()[1])


@pytest.fixture(scope="module")
def place():
    """A folder every user can reach: PostgreSQL isn't root even where the tests are, and pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="cspm-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def home(place):
    """One installation for the tests that leave it stopped and whole."""
    return place / "home"


def test_app_role_reads_and_writes_but_cannot_change_the_schema(home):
    user = User(home)
    address = user.address()

    with connect(address, "cspm_owner") as owner:
        owner.execute("CREATE TABLE kept (word text)")
        owner.execute("GRANT SELECT, INSERT ON kept TO cspm_app")
    with connect(address) as app:
        app.execute("INSERT INTO kept VALUES ('Écrit')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE mine (word text)")
        powers = app.execute("SELECT rolsuper, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
        settings = app.execute("SELECT current_setting('listen_addresses'), current_setting('jit'), lower('É')").fetchone()

    assert powers == (False, False, False)
    assert settings == ("", "off", "é")
    user.leaves()


def test_files_are_private(home):
    User(home).leaves()

    everybody = [path for path in (home, home / "run", home / "database") if path.stat().st_mode & 0o007]
    assert everybody == []
    assert [path.stat().st_mode & 0o777 for path in sorted((home / "database").iterdir()) if path.is_dir()] == [0o700, 0o700]


def test_server_stops_with_the_last_user(home):
    first = User(home)
    address = first.address()
    second = User(home)

    assert second.address() == address
    first.leaves()
    assert is_up(address)
    second.leaves()
    assert not is_up(address)
    assert not (home / "run" / "address").exists()


def test_killed_user_no_longer_counts(home):
    user = User(home)
    address = user.address()

    user.is_killed()

    eventually(lambda: not (home / "run" / "address").exists())
    assert not is_up(address)


def test_child_uses_the_server_of_its_parent_without_keeping_it(home):
    parent = User(home, INHERIT, CHILD=JOIN)
    address = parent.address()
    assert parent.address() == address  # the child's

    parent.process.stdin.close()

    assert parent.process.stdout.readline() == "left\n"
    assert not is_up(address)
    parent.process.wait()
    parent.process.stdout.close()
    parent.process.stderr.close()


def test_address_of_another_installation_is_not_used(home, place):
    user = User(home)
    address = user.address()

    other = User(place / "other", CSPM_DATABASE_SOCKET=address)

    assert other.address() == str(place / "other" / "database" / "socket")
    other.leaves()
    user.leaves()


def test_two_users_start_a_new_installation_at_once(place):
    new = place / "new"
    users = [User(new) for _ in range(3)]

    addresses = {user.address() for user in users}

    assert addresses == {str(new / "database" / "socket")}
    for user in users:
        user.leaves()
    log = (new / "database" / "postgresql.log").read_text()
    assert log.count("ready to accept connections") == 1


def test_killed_server_comes_back_with_everything_that_was_saved(home):
    user = User(home)
    address = user.address()
    with connect(address, "cspm_owner") as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS crash (n int)")
        owner.execute("TRUNCATE crash")
        owner.execute("INSERT INTO crash SELECT generate_series(1, 1000)")
    killed = server_pid(home)

    os.kill(killed, signal.SIGKILL)
    eventually(lambda: is_up(address) and server_pid(home) != killed)

    with connect(address, "cspm_owner") as owner:
        assert owner.execute("SELECT count(*) FROM crash").fetchone() == (1000,)
    user.leaves()
    assert not is_up(address)


def test_server_that_cannot_come_back_says_why_until_it_can(home):
    user = User(home)
    address = user.address()
    control = home / "database" / "data" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))

    os.kill(server_pid(home), signal.SIGKILL)
    eventually((home / "run" / "trouble").exists)
    _, said = User(home).leaves()

    assert "PostgreSQL doesn't start on the database in" in said.splitlines()[-1]
    control.with_suffix(".away").rename(control)
    eventually(lambda: is_up(address))
    late = User(home)
    assert late.address() == address
    late.leaves()
    user.leaves()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server outlives its guard until the next one comes")
def test_killed_guard_takes_the_server_along_and_the_next_user_starts_both(home):
    first = User(home)
    address = first.address()

    os.kill(guard_pid(home), signal.SIGKILL)
    eventually(lambda: not is_up(address))

    second = User(home)
    assert second.address() == address
    assert is_up(address)
    first.leaves()
    assert is_up(address)
    second.leaves()
    assert not is_up(address)


def test_stale_files_of_a_crash_stop_nothing_even_when_the_process_number_is_taken(home):
    User(home).leaves()
    socket = home / "database" / "socket" / ".s.PGSQL.5432"
    (home / "database" / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{home}/database/data\n1\n5432\n{socket.parent}\n\n1 1\nready\n"
    )
    socket.touch()
    socket.with_name(".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    (home / "run" / "address").write_text(str(socket.parent))

    user = User(home)

    assert is_up(user.address())
    user.leaves()


def test_long_path_gets_a_short_private_socket_that_goes_with_the_server(place, home):
    User(home).leaves()
    deep = place / ("a folder, with a 'name' " * 4) / ("x" * 60)
    deep.parent.mkdir(mode=0o711)
    shutil.copytree(home, deep, symlinks=True)  # as an administrator would who moves it
    if os.geteuid() == 0:
        shutil.chown(deep, group=cluster.SERVER_ID)
        deep.chmod(0o710)
    user = User(deep)

    address = Path(user.address())

    assert len(str(address)) < 60
    assert address.stat().st_mode & 0o777 == 0o700
    assert is_up(str(address))
    user.leaves()
    assert not address.exists()


def test_data_of_another_major_version_is_refused_in_plain_words(home):
    User(home).leaves()
    version = home / "database" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("15\n")

    _, said = User(home).leaves()

    version.write_text(right)
    assert "written by PostgreSQL 15" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("cspm.embedded.cluster.DatabaseUnavailable")


def test_broken_data_is_refused_with_what_postgresql_says(home):
    User(home).leaves()
    control = home / "database" / "data" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))

    _, said = User(home).leaves()

    control.with_suffix(".away").rename(control)
    assert "PostgreSQL doesn't start on the database in" in said.splitlines()[-1]
    assert "could not find the database system" in said.splitlines()[-1] or "pg_control" in said.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_of_another_user_is_refused_in_plain_words(place):
    closed = place / "closed"
    closed.mkdir(mode=0o500)

    _, said = User(closed).leaves()

    assert "Start CSPM Triage as the user who owns them" in said.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server is another user")
def test_home_that_the_servers_user_cannot_reach_keeps_its_data_in_a_system_folder(tmp_path):
    tmp_path.chmod(0o700)
    user = User(tmp_path / "home")
    address = user.address()
    elsewhere = (tmp_path / "home" / "database").resolve()

    assert is_up(address)
    assert elsewhere.parent == cluster.SYSTEM_FOLDER
    _, said = user.leaves()
    assert f"The database is in {elsewhere}" in said
    again = User(tmp_path / "home")
    assert again.address() == address
    _, said = again.leaves()
    assert said == ""
    shutil.rmtree(elsewhere)


def test_package_without_programs_for_this_machine_says_so(tmp_path):
    with pytest.raises(database.DatabaseUnavailable, match=r"no programs that run on this machine .* Set DATABASE_URL"):
        cluster.installation(tmp_path, tmp_path / "data", None)


def test_full_disk_and_missing_memory_are_named():
    full = cluster.unavailable('FATAL:  could not write to file "pg_wal/x": No space left on device', Path("/srv/data"))
    small = cluster.unavailable("FATAL:  could not map anonymous shared memory: Cannot allocate memory", Path("/srv/data"))

    assert str(full) == "The disk that holds /srv/data is full. Free some space and start again; nothing that was saved is lost."
    assert str(small).startswith("There isn't enough free memory to start PostgreSQL: FATAL:  could not map")


def test_without_url_the_embedded_server_is_used():
    app = database.connection_settings({})
    owner = database.connection_settings({}, role="owner")

    assert (app["ENGINE"], app["NAME"], app["USER"]) == ("cspm.embedded", "cspm", "cspm_app")
    assert (owner["ENGINE"], owner["USER"]) == ("cspm.embedded", "cspm_owner")


def test_one_url_serves_both_roles():
    environ = {"DATABASE_URL": "postgres://triage:s%23cret@db.example:5433/triage?sslmode=require"}

    app = database.connection_settings(environ)
    owner = database.connection_settings(environ, role="owner")

    assert (app["ENGINE"], app["HOST"], app["PORT"]) == ("django.db.backends.postgresql", "db.example", 5433)
    assert (app["USER"], app["PASSWORD"], app["NAME"]) == ("triage", "s#cret", "triage")
    assert app["OPTIONS"] == {"sslmode": "require", "options": "-c role=cspm_app"}
    assert owner["OPTIONS"] == {"sslmode": "require"}


def test_two_urls_serve_a_role_each():
    environ = {"DATABASE_URL": "postgres://cspm_app@db/triage", "DATABASE_OWNER_URL": "postgresql://boss@db/triage"}

    app = database.connection_settings(environ)
    owner = database.connection_settings(environ, role="owner")

    assert (app["USER"], app.get("OPTIONS")) == ("cspm_app", None)
    assert owner["USER"] == "boss"


@pytest.mark.parametrize("url", ["mysql://db/triage", "postgres://db", "sqlite:///x.db", "nonsense"])
def test_url_of_something_else_is_refused(url):
    with pytest.raises(database.DatabaseUnavailable, match="DATABASE_URL should be like postgres://"):
        database.connection_settings({"DATABASE_URL": url})


def test_owner_url_alone_is_refused():
    with pytest.raises(database.DatabaseUnavailable, match="but DATABASE_URL, for the application itself"):
        database.connection_settings({"DATABASE_OWNER_URL": "postgres://boss@db/triage"})


def test_unknown_role_is_refused():
    with pytest.raises(ValueError, match="it should be app or owner"):
        database.connection_settings({}, role="root")


def test_address_is_shared_by_the_threads_of_a_process(home):
    script = (
        "import os, sys, threading\nfrom cspm import paths\nfrom cspm.embedded import membership\nfound = []\n"
        "threads = [threading.Thread(target=lambda: found.append(membership.join(paths.home(), os.environ))) for _ in range(5)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\nprint(len(set(found)), len(found))\n"
    )

    said, _ = User(home, script).leaves()

    assert said == "1 5\n"
