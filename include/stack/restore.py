"""A backup comes back into a stack whose servers stand still, but for PostgreSQL and S3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from include.lifecycle.operations import restore
from include.lifecycle.operations.backup_records import Backup, BackupSettings, moment_of, name_of
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import PostgresServer
from include.lifecycle.storage.lake import Lake, LakeError
from include.stack import airflow_settings
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.s3 import connect
from include.stack.services import DATABASE_ROLE, Services
from include.stack.settings import PROJECT_DIR

PARTS = ("databases", "files")
# Among thousands of requests an S3 server may well refuse one for a moment.
ATTEMPTS = 8


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    name : the backup's name; empty for the newest one, "list" to see those there are.
    only : the part to bring back, one of ``PARTS``; empty for both.
    replace : whether databases that have tables may be replaced.
    """

    name: str = ""
    only: str = ""
    replace: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read ``FROM``, ``ONLY`` and ``REPLACE``.

        Raises
        ------
        StackError
            If ``ONLY`` or ``REPLACE`` has another value than it may have.
        """
        only, replace = environment.get("ONLY", ""), environment.get("REPLACE", "")
        if only not in ("", *PARTS):
            raise StackError(f"ONLY is {only!r}: write ONLY=databases or ONLY=files, or leave it out for both.")
        if replace not in ("", "1"):
            raise StackError(f"REPLACE is {replace!r}: write REPLACE=1 to replace databases, or leave it out.")
        return cls(environment.get("FROM", ""), only, replace == "1")

    @property
    def with_databases(self) -> bool:
        """Whether databases are brought back."""
        return self.only != "files"

    @property
    def with_files(self) -> bool:
        """Whether the lake and the model files are."""
        return self.only != "databases"


def run(services: Services, request: Request, console: Console) -> None:
    """Bring a backup back and say what came.

    Raises
    ------
    StackError
        If there is no such backup, it is incomplete or does not fit, or the stack has data.
    """
    try:
        _run(services, request, console)
    except LakeError as error:
        raise StackError(str(error)) from error
    except (OSError, psycopg2.Error, BotoCoreError, ClientError) as error:
        raise StackError(
            f"A service did not answer, or refused: {error} The databases are as they were; run the same command "
            "again when that is put right."
        ) from error


def _run(services: Services, request: Request, console: Console) -> None:
    store, settings = _store(services)
    if request.name == "list":
        console.print("\n".join(map(name_of, store.moments())) or "There are none.", highlight=False)
        return
    backup = store.read(moment_of(request.name)) if request.name else store.newest()
    if backup is None:
        raise StackError(f"There is no backup in {store.bucket.uri('')} at {services.backup_endpoint}.")
    host, port = services.postgres_address
    keywords = {"host": host, "port": port, "user": DATABASE_ROLE}
    server = PostgresServer(keywords, services.secrets.postgres_password)
    if request.with_databases:
        restore.check_key(backup, services.secrets.airflow_fernet_key)
        if not request.replace:
            restore.check_empty(server, backup.databases.keys())
    restore.check(store, backup, _wanted(backup, request))
    console.print(f"Restoring the backup of {backup.name}", highlight=False)
    with Display(console) as display:

        def show(what: str, done: int, total: int) -> None:
            display.show(what, "restored" if done == total else "restoring", done, total)

        if request.with_files:
            # First: what the databases name is there when they are.
            keys = services.s3_access_key, services.s3_secret_key
            client = connect(services.s3_endpoint, services.s3_region, keys, ATTEMPTS)
            restore.restore_lake(store, backup, Lake(client, services.buckets.lake), show)
            restore.restore_artifacts(store, backup, Lake(client, settings.artifacts), show)
        if request.with_databases:
            restore.restore_databases(store, backup, server, show)
    for sentence in backup.left_out:
        console.print(f"Not in the backup: {sentence}", markup=False, highlight=False, soft_wrap=True)
    for sentence in backup.taken_over:
        console.print(f"As it was in an earlier backup: {sentence}", markup=False, highlight=False, soft_wrap=True)


def _wanted(backup: Backup, request: Request) -> list[Any]:
    dumps = set(backup.databases.values())
    if not request.with_files:
        return list(dumps)
    return [content for content in backup.contents() if request.with_databases or content not in dumps]


def _store(services: Services) -> tuple[Store, BackupSettings]:
    """The backup bucket, and what is backed up, as ``airflow_settings.yaml`` says."""
    found = airflow_settings.read(PROJECT_DIR / "airflow_settings.yaml", services.placeholders())
    [variable] = [one["value"] for one in found["variables"] if one["key"] == "backup"]
    [connection] = [one for one in found["connections"] if one["connection_id"] == "backup"]
    keys = connection["login"], connection["password"]
    client = connect(services.backup_endpoint, services.backup_region, keys, ATTEMPTS)
    return Store(Lake(client, services.backup_bucket)), BackupSettings.model_validate(variable)
