from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlparse

import polars as pl
import psycopg2
import pytest

from include import catalog
from include.lifecycle.operations.backup_records import BackupSettings
from include.lifecycle.reporting.notifications import Services
from include.lifecycle.storage.lake import Lake, RunInfo
from ml_lifecycle import hooks, links, runs
from ml_lifecycle.hooks import LakeHook, MlflowHook, WarehouseHook, connect, notification_services
from ml_lifecycle.operators import PushModelOperator
from tests.conftest import lake_connection_extra
from tests.integration.staged_training import AS_OF, small_model, stage


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Defines an Airflow connection."""

    def define_connection(name: str, **settings: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(settings))

    return define_connection


@pytest.fixture
def lake_connection(define: Any, lake: Lake) -> Lake:
    """The empty lake, as the connection `lake` reaches it."""
    extra = lake_connection_extra(lake)
    define("lake", conn_type="aws", login="accesskey", password="secretkey123", extra=extra)
    return lake


@pytest.fixture
def mlflow_connection(define: Any, mlflow_url: str) -> None:
    server = urlparse(mlflow_url)
    define("mlflow", conn_type="http", schema="http", host=server.hostname, port=server.port)


def test_the_lake_hook_reaches_the_lake(lake_connection: Lake) -> None:
    lake_connection.write_object("greeting", b"hello")

    assert LakeHook().lake().read_object("greeting") == b"hello"


def test_the_lake_hook_reads_listings_without_guessing_how_their_times_are_written(
    lake_connection: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"x": [1]})
    lake_connection.publish_frame("clean/things", date(2026, 3, 1), frame, run=run, scratch=tmp_path)
    written = lake_connection.written("clean/things")
    monkeypatch.setattr("dateutil.parser.parse", pytest.fail)

    assert LakeHook().lake().written("clean/things") == written


def test_a_connection_without_a_bucket_is_refused_with_what_to_write(define: Any) -> None:
    define("lake", conn_type="aws", login="accesskey", password="secretkey123", extra={"region_name": "us-east-1"})

    with pytest.raises(ValueError, match=r'`lake` names no bucket: write .*"bucket_name"'):
        LakeHook().lake()


def test_what_is_backed_up_and_where_to_stands_in_the_connections(
    define: Any, lake_connection: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    bucket = Lake(lake_connection.client, "backups-of-hooks")
    keys = {"login": "accesskey", "password": "secretkey123"}
    define("backup", conn_type="aws", **keys, extra=lake_connection_extra(bucket))
    extra = {"sslmode": "require"}
    define("warehouse", conn_type="postgres", host="db", port=5433, login="ml", password="of-ml", extra=extra)
    monkeypatch.setenv("AIRFLOW_VAR_BACKUP", '{"databases": "airflow mlflow", "artifacts": "models"}')
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "newest,older")

    # when
    settings = hooks.backup_settings()
    assert settings is not None
    origin = hooks.backup_origin(settings, "1.0")

    # then
    assert settings.databases == ("airflow", "mlflow")
    assert hooks.backup_store().bucket.bucket == bucket.bucket
    assert (origin.lake.bucket, origin.artifacts.bucket) == (lake_connection.bucket, "models")
    assert origin.server.address("mlflow") == "dbname=mlflow host=db port=5433 user=ml sslmode=require"
    assert origin.server.password == "of-ml"
    assert origin.fernet_key == "newest"


def test_the_warehouse_is_opened_with_psycopg2_and_closed_afterwards(define: Any, postgres_dsn: str) -> None:
    address = urlparse(postgres_dsn)
    [socket] = parse_qs(address.query)["host"]
    extra = {"application_name": "hook"}
    define("warehouse", conn_type="postgres", host=socket, login="postgres", schema=address.path[1:], extra=extra)

    with WarehouseHook().connection() as connection:
        assert isinstance(connection, psycopg2.extensions.connection)
        with connection, connection.cursor() as cursor:
            cursor.execute("show application_name")
            assert cursor.fetchone() == ("hook",)
    assert connection.closed

    with connect("warehouse") as other, pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    assert other.closed


@pytest.mark.parametrize(
    "name", ["iam", "cursor", "password", "dbname", "database", "dsn", "dbname=other sslmode"]
)
def test_a_database_connection_takes_options_of_postgresqls_clients_alone(
    define: Any, lake_connection: Lake, name: str
) -> None:
    define(
        "warehouse", conn_type="postgres", host="127.0.0.1", port=9, extra={name: "value", "sslmode": "disable"}
    )
    settings = BackupSettings(databases=("airflow",), artifacts="models")

    for use in (lambda: WarehouseHook().connection().__enter__(), lambda: hooks.backup_origin(settings, "1.0")):
        with pytest.raises(ValueError, match=rf"`warehouse` has \['{name}'\] in its extra, which takes options"):
            use()


@pytest.mark.parametrize(
    ("settings", "tracking_uri", "page"),
    [
        (
            {"schema": "http", "host": "127.0.0.1", "port": 5000},
            "http://127.0.0.1:5000",
            "http://127.0.0.1:5000/#/models/churn/versions/3",
        ),
        ({"host": "https://ml.example"}, "https://ml.example", "https://ml.example/#/models/churn/versions/3"),
        (
            {"host": "mlflow", "port": 5000, "extra": {"ui_url": "https://ml.example/"}},
            "http://mlflow:5000",
            "https://ml.example/#/models/churn/versions/3",
        ),
    ],
)
def test_mlflow_has_an_address_for_tasks_and_one_for_people(
    define: Any, settings: dict[str, Any], tracking_uri: str, page: str
) -> None:
    define("mlflow", conn_type="http", **settings)

    assert MlflowHook().tracking_uri == tracking_uri
    assert MlflowHook().version_url("churn", 3) == page


def test_the_password_of_the_connection_has_the_addresses_of_any_number_of_services(define: Any) -> None:
    define(
        "notifications",
        conn_type="generic",
        password="ntfy://ntfy.example/topic  mmosts://chat.example/token",
        extra={"quiet_hours": 1.5, "per_hour": 3},
    )

    services = notification_services()

    assert services == Services(
        ("ntfy://ntfy.example/topic", "mmosts://chat.example/token"), timedelta(hours=1.5), 3
    )
    assert "topic" not in repr(services)


def test_a_connection_that_is_a_webhook_still_is_one(define: Any) -> None:
    define("notifications", conn_type="http", host="https://hooks.example/services/abc")

    assert notification_services() == Services(("https://hooks.example/services/abc",))


def test_without_a_connection_there_are_no_services(define: Any) -> None:
    assert notification_services() is None


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"quiet": 6}, r"has \['quiet'\] in its extra; it takes `quiet_hours`"),
        ({"quiet_hours": 0}, "at least 1 hour apart and at least 1 an hour, not 0:00:00 and 20; correct"),
        ({"per_hour": 0}, "not 6:00:00 and 0; correct"),
    ],
)
def test_a_frequency_that_cannot_be_is_refused_with_a_sentence(
    define: Any, extra: dict[str, Any], sentence: str
) -> None:
    define("notifications", conn_type="generic", password="ntfy://ntfy.example/topic", extra=extra)

    with pytest.raises(ValueError, match=sentence):
        notification_services()


def test_the_push_operator_pushes_and_gives_the_task_its_button(
    lake_connection: Lake,
    mlflow_connection: None,
    run: RunInfo,
    tmp_path: Path,
    mlflow_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model("pushed_by_operator")
    monkeypatch.setitem(catalog.MODELS, model.name, model)
    monkeypatch.setattr(runs, "run_info", lambda: run)
    stored: dict[str, str] = {}
    task_instance = SimpleNamespace(xcom_push=stored.__setitem__)
    digest = stage(model, lake_connection, run, tmp_path).digest
    operator = PushModelOperator(task_id="push", model=model.name, as_of=str(AS_OF), staged_digest=digest)

    result = operator.execute({"ti": task_instance})  # type: ignore[typeddict-item]

    assert (result["name"], result["version"], result["staged_digest"]) == (model.name, 1, digest)
    assert stored == {links.MlflowVersionLink.xcom_key: f"{mlflow_url}/#/models/{model.name}/versions/1"}


def test_mlflow_gets_the_login_of_its_connection(define: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    pages = {"ui_url": "https://mlflow.example.com"}
    define("mlflow", conn_type="http", host="http://mlflow:5000", login="ml", password="pass", extra=pages)

    # when
    hook = MlflowHook()

    # then
    assert hook.tracking_uri == "http://mlflow:5000"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("ml", "pass")
    assert hook.version_url("churn", 3) == "https://mlflow.example.com/#/models/churn/versions/3"
