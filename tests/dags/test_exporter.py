"""What the exporter says of Airflow's database, and what it shows when services are out of reach."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlparse

import psycopg2
import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from include.lifecycle.operations import metrics
from include.lifecycle.operations.metrics import Sample
from include.lifecycle.promotion.ledger import Entry, record
from include.lifecycle.storage.lake import Lake, LakeError
from ml_lifecycle import airflow_metrics, exporter, hooks
from tests.conftest import free_port, lake_connection_extra

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)


def values(samples: Iterable[Sample]) -> dict[str, float]:
    return {
        f"{sample.metric.name}{''.join(f' {value}' for value in sample.labels.values())}": float(sample.value)
        for sample in samples
    }


@pytest.fixture
def session(dags: dict[str, Any]) -> Iterator[Any]:
    """A session of Airflow's database, in which the DAGs are known; what it adds is removed again."""
    from airflow.models.asset import AssetEvent
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as opened:
        yield opened
        opened.rollback()
        opened.execute(delete(AssetEvent))
        opened.execute(delete(DagRun).where(DagRun.run_id.like("exporter%")))


def test_the_age_of_a_heartbeat_is_that_of_the_liveliest_process(session: Any) -> None:
    from airflow.jobs.job import Job

    for kind, minutes in (("SchedulerJob", 9), ("SchedulerJob", 2), ("TriggererJob", 1), ("OtherJob", 0)):
        job = Job()
        job.job_type, job.state = kind, "running"
        job.latest_heartbeat = NOW - timedelta(minutes=minutes)
        session.add(job)
    session.flush()

    assert values(airflow_metrics._heartbeats(session, NOW)) == {
        "ml_airflow_heartbeat_age_seconds scheduler": pytest.approx(120),
        "ml_airflow_heartbeat_age_seconds triggerer": pytest.approx(60),
    }


def test_runs_and_stages_are_those_of_the_newest_finished_run(dags: dict[str, Any], session: Any) -> None:
    """Two runs of a monitoring DAG without predictions: its tasks are skipped, and the run succeeds."""
    run = dags["churn_monitoring"].test(run_conf={"day": "9999-12-31"})  # no such day: it fails

    found = values(airflow_metrics.of_airflow(["churn"], datetime.now(UTC)))

    assert run.state == "failed"
    assert found["ml_dag_run_failed churn_monitoring"] == 1
    assert found["ml_dag_run_end_timestamp_seconds churn_monitoring"] == pytest.approx(run.end_date.timestamp())
    assert found["ml_stage_seconds churn_monitoring report"] > 0
    assert found["ml_airflow_tasks queued"] == 0
    assert found["ml_airflow_oldest_queued_seconds"] == 0
    assert "ml_scoring_rows_per_second churn" not in found


def test_a_task_that_awaits_an_answer_for_days_is_counted_and_is_not_taken_for_stuck(
    dags: dict[str, Any], session: Any
) -> None:
    from airflow.models.taskinstance import TaskInstance

    run = dags["churn_monitoring"].test(run_conf={"day": "9999-12-31"})
    task = session.query(TaskInstance).filter_by(run_id=run.run_id).first()
    task.state, task.queued_dttm = "awaiting_input", NOW - timedelta(days=2)
    session.flush()

    assert values(airflow_metrics._tasks(session, NOW)) == {
        "ml_airflow_tasks queued": 0,
        "ml_airflow_tasks running": 0,
        "ml_airflow_tasks awaiting_input": 1,
        "ml_airflow_oldest_queued_seconds": 0,
    }


def test_what_is_out_of_reach_is_down_and_costs_no_other_figures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable() -> Iterator[Sample]:
        raise psycopg2.OperationalError("connection refused")

    def untrusted() -> Iterator[Sample]:
        raise ssl.SSLCertVerificationError("self-signed certificate")

    def damaged() -> Iterator[Sample]:
        raise LakeError("The bytes are others.")

    whole = Sample(metrics.DAMAGED, 0)

    assert values(exporter._of_service("lake", [damaged, lambda: [whole]])) == {
        "ml_damaged_partitions": 0,
        "ml_service_up lake": 1,
    }
    assert values(exporter._of_service("warehouse", [lambda: [whole], unreachable])) == {
        "ml_damaged_partitions": 0,
        "ml_service_up warehouse": 0,
    }
    assert "warehouse is out of reach: connection refused" in caplog.text
    assert values(exporter._of_service("backup bucket", [untrusted])) == {"ml_service_up backup bucket": 0}


def test_a_figure_that_cannot_be_computed_is_no_outage_and_costs_no_other_figures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def faulty() -> Iterator[Sample]:
        raise ValueError("math domain error")

    shown = values(exporter._of_service("lake", [faulty, lambda: [Sample(metrics.DAMAGED, 0)]]))

    assert shown == {"ml_damaged_partitions": 0, "ml_service_up lake": 1}
    assert "math domain error" in caplog.text
    assert "out of reach" not in caplog.text


def test_without_a_lake_and_a_warehouse_the_other_figures_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, dags: dict[str, Any]
) -> None:
    def no_lake() -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr(hooks, "lake", no_lake)

    found = values(exporter.collect(NOW, {"data": str(tmp_path)}))

    assert found["ml_service_up lake"] == 0
    assert found["ml_service_up airflow"] == 1
    assert found["ml_collected_timestamp_seconds"] == NOW.timestamp()
    assert 0 < found["ml_disk_free_bytes data"] < found["ml_disk_size_bytes data"]


def test_a_lake_connection_without_bucket_is_a_lake_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({"conn_type": "aws", "login": "key", "extra": extra}))

    assert values(exporter._of_lake(NOW)) == {"ml_service_up lake": 0}
    assert "The connection `lake` names no bucket: write" in caplog.text


@pytest.mark.parametrize("look", [exporter._of_champions, lambda: exporter._of_warehouse(NOW)])
def test_a_warehouse_connection_that_says_too_much_is_a_service_out_of_reach(
    look: Callable[[], Iterable[Sample]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, kind in (("LAKE", "aws"), ("MLFLOW", "http"), ("WAREHOUSE", "postgres")):
        extra = {"service_config": {"s3": {"bucket_name": "ml-lake"}}} if kind == "aws" else {"bucket": "ml-lake"}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": kind, "extra": extra}))

    assert [*values(look()).values()] == [0]
    assert "The connection `warehouse` has ['bucket'] in its extra" in caplog.text


def test_a_lake_that_does_not_answer_is_asked_once_in_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    for name in ("AWS_MAX_ATTEMPTS", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "_AIRFLOW_PROCESS_CONTEXT"):
        monkeypatch.setenv(name, "restored after the test")
        monkeypatch.delenv(name)
    hung = socket.create_server(("127.0.0.1", 0))
    hung.settimeout(0)
    extra = {
        "endpoint_url": f"http://127.0.0.1:{hung.getsockname()[1]}",
        "region_name": "us-east-1",
        "config_kwargs": {"read_timeout": 1},
        "service_config": {"s3": {"bucket_name": "ml-lake"}},
    }
    connection = {"conn_type": "aws", "login": "key", "password": "secretkey", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    found: dict[str, float] = {}
    monkeypatch.setattr(exporter, "serve", lambda *_: found.update(values(exporter._of_lake(NOW))))
    monkeypatch.setattr(sys, "argv", ["exporter"])

    # when
    exporter.main()

    # then
    assert found == {"ml_service_up lake": 0}
    hung.accept()[0].close()
    with pytest.raises(BlockingIOError):
        hung.accept()
    hung.close()


def test_without_the_variable_the_backup_is_infinitely_old_and_no_service_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "backup_settings", lambda: None)

    assert values(exporter._of_backups(NOW)) == {"ml_backup_age_seconds": math.inf}


def test_a_disk_that_is_gone_costs_its_own_figures_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("_of_lake", "_of_backups", "_of_warehouse", "_of_airflow"):
        monkeypatch.setattr(exporter, part, lambda now: [])

    found = values(exporter.collect(NOW, {"gone": "/no/such/folder", "data": str(tmp_path)}))

    assert (found["ml_service_up disk gone"], found["ml_service_up disk data"]) == (0, 1)
    assert "ml_disk_free_bytes gone" not in found
    assert found["ml_disk_free_bytes data"] > 0
    assert found["ml_collected_timestamp_seconds"] == NOW.timestamp()
    assert "/no/such/folder" in caplog.text


def test_an_exporter_that_cannot_collect_says_so_and_lives_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The time of its collection is one long ago, so that ExporterBlind fires."""
    shown: list[Any] = []
    looks: list[Exception | list[Sample]] = [TypeError("a fault of our own"), [Sample(metrics.DAMAGED, 2)]]
    remaining = iter(looks)
    registries: list[CollectorRegistry] = []

    def collect(*_: Any) -> list[Sample]:
        found = next(remaining)
        if isinstance(found, Exception):
            raise found
        return found

    def sleep(_: float) -> None:
        [exposed] = registries
        shown.append({sample.name: sample.value for family in exposed.collect() for sample in family.samples})
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "start_http_server", lambda port, host, registry: registries.append(registry))
    monkeypatch.setattr(exporter, "_keep_trying_champions", lambda page: None)
    monkeypatch.setattr(exporter, "collect", collect)
    monkeypatch.setattr(exporter, "time", SimpleNamespace(sleep=sleep))

    with pytest.raises(KeyboardInterrupt):
        exporter.serve(0, "127.0.0.1", {})

    assert shown == [{"ml_collected_timestamp_seconds": 0}, {"ml_damaged_partitions": 2}]
    assert "a fault of our own" in caplog.text


def test_prometheus_is_shown_each_metric_with_its_meaning_and_labels() -> None:
    page, exposed = exporter.Page(), CollectorRegistry()
    exposed.register(page)
    server, thread = start_http_server(0, "127.0.0.1", exposed)
    page.samples = [
        Sample(metrics.CHAMPION, 3, {"model": "churn"}),
        Sample(metrics.DAMAGED, 0),
        Sample(metrics.CHAMPION, 1, {"model": "returns"}),
    ]

    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    server.shutdown()
    thread.join()

    assert text == generate_latest(exposed).decode()
    assert text == (
        "# HELP ml_champion_version The version in force; 0 where there is none.\n"
        "# TYPE ml_champion_version gauge\n"
        'ml_champion_version{model="churn"} 3.0\n'
        'ml_champion_version{model="returns"} 1.0\n'
        "# HELP ml_damaged_partitions Partitions that the newest maintenance found and did not heal.\n"
        "# TYPE ml_damaged_partitions gauge\n"
        "ml_damaged_partitions 0.0\n"
    )


def test_the_process_reads_connections_from_airflows_database_and_shows_what_they_lead_to(
    session: Any, main_lake: Lake, postgres_dsn: str, tmp_path: Path
) -> None:
    """MLflow is out of reach and the market's source is not set, so these two are down and all others up."""
    from airflow.models import Connection, Variable

    database = urlparse(postgres_dsn)
    socket = parse_qs(database.query)["host"][0]
    extra = json.dumps(lake_connection_extra(main_lake))
    connections = [
        Connection("lake", "aws", login="accesskey", password="secretkey123", extra=extra),
        Connection("warehouse", "postgres", host=socket, login="postgres", schema=database.path[1:]),
        Connection("mlflow", "http", host="127.0.0.1", port=9),
    ]
    session.add_all(connections)
    session.commit()
    Variable.set("customers_source", json.dumps({"kind": "csv_folder", "path": str(tmp_path)}), session=session)
    session.commit()
    entry = Entry("churn", "baseline", 1, None, 1, NOW.date(), "gate", "The first.", {}, "run")
    with closing(psycopg2.connect(postgres_dsn)) as warehouse:
        record(warehouse, entry)
    port = free_port()
    command = [sys.executable, "-m", "ml_lifecycle.exporter", "--port", str(port), "--disk", f"data={tmp_path}"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, stderr=file, stdout=file
        )
    try:
        shown = _shown(port, "source of market")
    finally:
        process.terminate()
        process.wait()
        for connection in connections:
            session.delete(connection)
        Variable.delete("customers_source", session=session)
        session.commit()

    states = dict(re.findall(r'ml_service_up\{service="([^"]*)"\} (\d)', shown))
    assert states == {
        "lake": "1",
        "warehouse": "1",
        "airflow": "1",
        "disk data": "1",
        "mlflow": "0",
        "source of customers": "1",
        "source of market": "0",
    }, log.read_text()
    assert 'ml_champion_version{model="churn"} 1.0' in shown
    assert 'ml_source_lag_limit_days{dataset="customers"} 3.0' in shown
    assert 'ml_source_ended{dataset="customers"} 0.0' in shown
    assert "secretkey123" not in log.read_text() + shown


def _shown(port: int, text: str, seconds: float = 180) -> str:
    """The exporter's page, once it has `text`."""
    end, page = time.monotonic() + seconds, ""
    while text not in page:
        assert time.monotonic() < end, f"{text!r} is not on the page: {page}"
        time.sleep(0.5)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            page = answer.read().decode()
    return page
