"""docker-compose.yaml as `make up` starts it: what it promises, and the main job through two workers."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import httpx
import polars as pl
import pytest
from rich.console import Console

from include.catalog import MODELS
from include.stack import main_job, smoke
from include.stack.airflow_api import AirflowApi
from include.stack.services import ADMIN_NAME
from tests.e2e.conftest import new_world
from tests.e2e.server import Running, make_it_small, output, running_stack

SAME_BYTES = ("clean", "quarantine", "features", "labels")
MOMENTS = ("scored_at",)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_stack(tmp_path_factory.mktemp("server")) as started:
        yield started


def test_every_service_is_healthy_and_only_pages_are_published_on_loopback(running: Running) -> None:
    assert set(running.deployment.states().values()) == {"ready"}
    bindings = [
        binding
        for container in running.inspect()
        for bound in (container["NetworkSettings"]["Ports"] or {}).values()
        for binding in bound or ()
    ]
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
    expected = {running.deployment.environment[f"ML_{name}_PORT"] for name in ("AIRFLOW", "MLFLOW")}
    assert {binding["HostPort"] for binding in bindings} == expected


def test_no_secret_is_seen_from_outside(running: Running) -> None:
    # given
    containers = running.containers()
    image = running.deployment.environment["ML_IMAGE"]

    # when
    seen = {
        "inspect": output("docker", "inspect", image, *containers),
        "history": output("docker", "history", "--no-trunc", image),
        "processes": "".join(output("docker", "top", each, "-eo", "pid,args") for each in containers),
        "logs": running.deployment.ask("logs"),
    }

    # then
    secrets = vars(running.secrets)
    assert {(name, place) for name, value in secrets.items() for place in seen if value in seen[place]} == set()


def test_our_processes_do_not_run_as_root(running: Running) -> None:
    ours = ["s3", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer", "worker"]

    users = {
        line.split()[0]
        for each in running.containers(*ours)
        for line in output("docker", "top", each, "-eo", "uid,pid").splitlines()[1:]
    }

    assert users == {"50000"}


def test_workers_have_the_heavy_libraries_in_memory_before_they_fork(running: Running) -> None:
    for worker in running.containers("worker"):
        with_library = "grep -l _polars_runtime /proc/[0-9]*/maps 2> /dev/null; true"
        warm = output("docker", "exec", worker, "sh", "-c", with_library).split()
        assert len(warm) == 3  # the parent, and two processes that have not run a task yet


@pytest.mark.parametrize("password", ["admin", "airflow", "password", "password1234", ""])
def test_no_usual_password_opens_anything(password: str, running: Running) -> None:
    airflow = httpx.post(
        f"{running.server.airflow_url}/auth/token", json={"username": "admin", "password": password}
    )
    runs = f"{running.deployment.address('MLFLOW')}/api/2.0/mlflow/experiments/search?max_results=1"

    assert airflow.status_code in (400, 401, 422)
    assert httpx.get(runs, auth=("admin", password)).status_code == 401
    assert httpx.get(runs).status_code == 401


def test_the_main_job_through_two_workers_publishes_what_the_local_stack_does(
    running: Running, tmp_path: Path
) -> None:
    # given
    with AirflowApi(running.server) as api:
        make_it_small(api)

    # when
    running.deployment.run("run", "--rm", "-T", "main-job")
    with new_world(tmp_path / "local") as local:
        make_it_small(local.api)
        main_job.run(local.settings, Console(quiet=True))
    [s3] = running.containers("s3")
    output("docker", "cp", f"{s3}:/data/ml-lake", str(tmp_path / "server"))

    # then
    here, there = local.settings.lake_dir, tmp_path / "server"
    assert _contents(there, SAME_BYTES) == _contents(here, SAME_BYTES)
    for model in MODELS:
        assert _predictions(there, model).equals(_predictions(here, model)), model
    assert len(_workers(running)) == 2


def test_the_check_after_a_rollout_passes(running: Running) -> None:
    said = io.StringIO()

    with httpx.Client(base_url=running.server.airflow_url, timeout=60, trust_env=False) as client:
        passed = smoke.check(client, ADMIN_NAME, running.secrets.airflow_password, Console(file=said), 60)

    assert passed, said.getvalue()


def _contents(lake: Path, prefixes: Sequence[str]) -> dict[str, str]:
    """SHA-256 by key of all data files."""
    return {
        str(file.relative_to(lake)): hashlib.sha256(file.read_bytes()).hexdigest()
        for prefix in prefixes
        for file in (lake / prefix).rglob("*")
        if file.is_file() and file.name != "manifest.json"
    }


def _predictions(lake: Path, model: str) -> pl.DataFrame:
    """The newest predictions, without the moment at which they were made."""
    latest = json.loads((lake / "predictions" / model / "latest.json").read_text())
    folder = lake / "predictions" / model / f"dt={date.fromisoformat(latest['day'])}"
    [file] = folder.glob("*.parquet")
    return pl.read_parquet(file).drop(MOMENTS)


def _workers(running: Running) -> set[str]:
    """The hosts on which tasks ran."""
    with AirflowApi(running.server) as api:
        runs = api.get("/dags/customers_etl/dagRuns")["dag_runs"]
        return {
            instance["hostname"]
            for run in runs
            for instance in api.task_instances("customers_etl", run["dag_run_id"])
            if instance["hostname"]
        }
