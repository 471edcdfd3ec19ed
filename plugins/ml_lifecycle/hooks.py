"""The project's connections: lake, warehouse, source databases, MLflow, notifications.

What opens a connection is a context manager that closes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import psycopg2
from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import BaseHook, Connection, Variable
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from psycopg2 import extensions

from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_records import BackupSettings
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import PostgresServer
from include.lifecycle.reporting import notifications
from include.lifecycle.reporting.notifications import Notification, Services
from include.lifecycle.specs import DatasetSpec, Source
from include.lifecycle.storage.lake import Lake
from include.lifecycle.storage.objects import read_times_fast

log = logging.getLogger(__name__)

_DATABASE_FIELDS = {"host", "port", "user", "password", "dbname"}


class LakeHook(S3Hook):
    """The lake, on the S3 server of an Amazon connection.

    :param aws_conn_id: connection to the S3 server; its extra has the bucket, as `bucket_name` of the service
        `s3` in `service_config`, and for any server but Amazon's `endpoint_url`.
    """

    default_conn_name = "lake"

    def __init__(self, aws_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(aws_conn_id=aws_conn_id, **kwargs)

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """The boto3 session, whose clients read long listings fast."""
        session = super().get_session(region_name, deferrable)
        read_times_fast(session)
        return session

    def lake(self) -> Lake:
        """The lake in its bucket.

        Raises
        ------
        ValueError
            If the connection names no bucket.
        """
        bucket = self.service_config.get("bucket_name")
        if not bucket:
            raise ValueError(
                f"The connection `{self.aws_conn_id}` names no bucket: write "
                '{"service_config": {"s3": {"bucket_name": "<name>"}}} into its extra, beside what is there.'
            )
        return Lake(self.get_conn(), bucket)


class WarehouseHook(BaseHook):
    """The warehouse, in PostgreSQL.

    :param warehouse_conn_id: connection to the database.
    """

    conn_name_attr = "warehouse_conn_id"
    default_conn_name = "warehouse"

    def __init__(self, warehouse_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.warehouse_conn_id = warehouse_conn_id

    def connection(self) -> AbstractContextManager[extensions.connection]:
        """An open psycopg2 connection, closed at the end."""
        return connect(self.warehouse_conn_id)


class MlflowHook(BaseHook):
    """The MLflow server of an HTTP connection.

    :param mlflow_conn_id: connection to the server; `ui_url` in its extra where browsers reach it elsewhere.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    @cached_property
    def connection(self) -> Connection:
        """The Airflow connection."""
        return self.get_connection(self.mlflow_conn_id)

    @cached_property
    def tracking_uri(self) -> str:
        """Where clients reach the server.

        MLflow's clients take the login from the environment of the process, where this puts the connection's.
        """
        if self.connection.login:
            os.environ["MLFLOW_TRACKING_USERNAME"] = self.connection.login
            os.environ["MLFLOW_TRACKING_PASSWORD"] = self.connection.password or ""
        return _address(self.connection)

    def version_url(self, name: str, version: int) -> str:
        """The page of a registered version, as a browser reaches it."""
        server = self.connection.extra_dejson.get("ui_url", self.tracking_uri).rstrip("/")
        return f"{server}/#/models/{name}/versions/{version}"


@dataclass(frozen=True)
class HttpServer:
    """The server of an HTTP connection, and the key that it wants, if any."""

    base_url: str
    key: str | None = field(repr=False)


def lake() -> Lake:
    """The lake of the connection `lake`."""
    return LakeHook().lake()


@contextmanager
def connect(connection_id: str) -> Iterator[extensions.connection]:
    """An open connection to the database of an Airflow connection, closed at the end.

    Always of psycopg2: the provider's own hook gives one of psycopg 3 where that is installed.

    Raises
    ------
    ValueError
        If the extra of the connection has other fields than options of PostgreSQL's clients.
    """
    settings = BaseHook.get_connection(connection_id)
    connection = psycopg2.connect(**_server_keywords(settings), dbname=settings.schema, password=settings.password)
    with closing(connection):
        yield connection


@contextmanager
def source(dataset: DatasetSpec) -> Iterator[Source]:
    """The source that the Airflow variable `<dataset>_source` sets; its connections are closed at the end."""
    settings = Variable.get(f"{dataset.name}_source", deserialize_json=True)
    with ExitStack() as connections:

        def opened(name: str) -> Any:
            connection = BaseHook.get_connection(name)
            if connection.conn_type == "http":
                return HttpServer(_address(connection), connection.password)
            return connections.enter_context(connect(name))

        yield dataset.make_source(settings, opened)


def backup_settings() -> BackupSettings | None:
    """What the Airflow variable `backup` says, or None where there is no such variable."""
    content = Variable.get("backup", default=None, deserialize_json=True)
    return None if content is None else BackupSettings.model_validate(content)


def backup_store() -> Store:
    """The bucket of the connection `backup`."""
    return Store(LakeHook("backup").lake())


def backup_origin(settings: BackupSettings, code_version: str) -> Origin:
    """What is backed up, by the connections `lake` and `warehouse`."""
    connection = BaseHook.get_connection("warehouse")
    found = lake()
    return Origin(
        lake=found,
        artifacts=Lake(found.client, settings.artifacts),
        server=PostgresServer(_server_keywords(connection), connection.password),
        fernet_key=conf.get("core", "fernet_key", fallback="").split(",")[0],
        code_version=code_version,
    )


def notification_services() -> Services | None:
    """The services of the connection `notifications`, or None where there is no such connection.

    The password has their addresses, with blanks between them; a connection of type HTTP is a webhook itself.
    `quiet_hours` and `per_hour` in the extra say how often notifications are sent.

    Raises
    ------
    ValueError
        If the extra has other fields, or these are no numbers.
    """
    try:
        connection = BaseHook.get_connection("notifications")
    except AirflowNotFoundException:
        return None
    addresses = tuple((connection.password or "").split())
    if connection.conn_type == "http" and connection.host:
        addresses += (_address(connection),)
    for address in addresses:
        mask_secret(address)
    return Services(addresses, **_frequency(connection.extra_dejson))


def _frequency(extra: dict[str, Any]) -> dict[str, Any]:
    """How often notifications are sent, from the extra of their connection."""
    unknown = set(extra) - {"quiet_hours", "per_hour"}
    if unknown:
        raise ValueError(
            f"The connection `notifications` has {sorted(unknown)} in its extra; it takes `quiet_hours` and "
            "`per_hour` alone."
        )
    chosen: dict[str, Any] = {}
    if "quiet_hours" in extra:
        chosen["quiet"] = timedelta(hours=float(extra["quiet_hours"]))
    if "per_hour" in extra:
        chosen["per_hour"] = int(extra["per_hour"])
    return chosen


def notify(notification: Notification) -> None:
    """Notify people, in the log and at the services of the connection `notifications`.

    What is wrong with the services or the warehouse is logged and not raised: it must not hide what went wrong.
    """
    try:
        services = notification_services()
    except ValueError as error:
        log.error("Notifications go to the log alone: %s", error)
        services = None
    notifications.notify(notification, services, WarehouseHook().connection, datetime.now(UTC))


def _server_keywords(connection: Connection) -> dict[str, Any]:
    """What libpq is told of the server of a connection: its fields and its extra, but for the password.

    Raises
    ------
    ValueError
        If the extra has what libpq does not know, or what the connection has a field for.
    """
    extra = connection.extra_dejson
    refused = sorted(name for name in extra if name in _DATABASE_FIELDS or not _is_known_to_libpq(name))
    if refused:
        raise ValueError(
            f"The connection `{connection.conn_id}` has {refused} in its extra, which takes options of "
            "PostgreSQL's clients alone, such as `sslmode`; host, port, login, password and database have fields "
            "of their own."
        )
    return {"host": connection.host, "port": connection.port, "user": connection.login, **extra}


def _is_known_to_libpq(name: str) -> bool:
    try:
        # psycopg2 has other names for some options, and a name may hide a second option.
        return extensions.parse_dsn(extensions.make_dsn(**{name: "1"})).keys() == {name}
    except psycopg2.ProgrammingError:
        return False


def _address(connection: Connection) -> str:
    host = connection.host or ""
    if "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'http'}://{host}{port}"
