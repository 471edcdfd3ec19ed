"""The whole stack, as `make run` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from include.lifecycle.storage.lake import Lake
from include.samples.database import ensure_history
from include.samples.settings import CompanySettings
from include.stack.airflow_api import AirflowApi
from include.stack.control import running
from include.stack.s3 import s3_client
from include.stack.settings import PROJECT_DIR, Ports, StackSettings
from tests.conftest import free_port

RUN_SECONDS = 600
ENDED = ("success", "failed")
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
START = YESTERDAY - timedelta(days=4)
COMPANY = CompanySettings(customers=3000, history_days=110, seed=11)


class ByStack(LoadFileScheduling):  # type: ignore[misc]  # xdist carries no types
    """Keeps the modules that share a stack in one process, where several processes share the tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        if file.stem.startswith("test_sample_company"):
            return "company"
        return "world" if file.stem in ("test_market", "test_telco") else file.stem


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    return ByStack(config, log)


def wait_until(is_so: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + RUN_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"{complaint} within {RUN_SECONDS} s."
        time.sleep(0.5)


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its state, and its task instances' states by task id (the worst of mapped ones)."""

    run_id: str
    state: str
    tasks: dict[str, str]


@dataclass(frozen=True)
class World:
    """A running stack, driven as a person would: through Airflow's API."""

    settings: StackSettings
    api: AirflowApi

    @property
    def lake(self) -> Lake:
        return Lake(s3_client(self.settings), "ml-lake")

    def run(self, dag_id: str, **form: Any) -> Finished:
        """Trigger a DAG with a filled-in form and wait for its end."""
        self.api.unpause(dag_id)
        return self.wait(dag_id, self.api.trigger(dag_id, form))

    def wait(self, dag_id: str, run_id: str) -> Finished:
        wait_until(lambda: self.api.run_state(dag_id, run_id) in ENDED, f"{dag_id} {run_id} has not ended")
        state = self.api.run_state(dag_id, run_id)
        tasks: dict[str, str] = {}
        for instance in self.api.task_instances(dag_id, run_id):
            if tasks.get(instance["task_id"]) != "failed":
                tasks[instance["task_id"]] = instance["state"]
        return Finished(run_id, state, tasks)

    def switch_on(self, dag_id: str) -> None:
        """Unpause a DAG, and wait for the run that is due then, which might come before or after one of ours."""
        self.api.unpause(dag_id)
        wait_until(lambda: not self.api.due_run(dag_id), f"{dag_id} has not begun the run that is due")
        self.wait_until_quiet(dag_id)

    def runs_of_type(self, dag_id: str, run_type: str) -> list[str]:
        """The ids of a DAG's runs that began in one way (`scheduled`, `asset_triggered`, ...), newest first."""
        return [run["dag_run_id"] for run in self.api.runs(dag_id) if run["run_type"] == run_type]

    def wait_for_scheduled_run(self, dag_id: str) -> str:
        """Wait until the scheduler has made a run by itself; returns the newest one's id."""
        wait_until(
            lambda: bool(self.runs_of_type(dag_id, "scheduled")), f"The scheduler has made no run of {dag_id}"
        )
        return self.runs_of_type(dag_id, "scheduled")[0]

    def wait_until_quiet(self, dag_id: str) -> None:
        """Wait until a DAG has no run that is queued or running."""
        for run in self.api.runs(dag_id):
            self.wait(dag_id, run["dag_run_id"])

    def wait_for_predictions(self, model: str, day: date, made_of: str | None = None) -> None:
        """Wait until the scoring that new features or a new champion wake has published a day, and is done.

        `made_of` is the digest of the partition that the predictions must be made of; by default, of any.
        """

        def is_published() -> bool:
            manifest = self.lake.find_manifest(f"predictions/{model}", day)
            return manifest is not None and (made_of is None or made_of in manifest.inputs.values())

        wait_until(is_published, f"Nothing has woken {model}_scoring for {day}")
        self.wait_until_quiet(f"{model}_scoring")

    def query(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, or [] for a statement that returns none; committed."""
        with closing(psycopg2.connect(self.settings.postgres_dsn(database))) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def set_variable(self, name: str, value: Any) -> None:
        self.api.patch(f"/variables/{name}", {"key": name, "value": json.dumps(value)})

    def published(self, *prefixes: str) -> dict[str, str]:
        """ETag by key of all objects under the prefixes: what a reader could see."""
        pages = self.lake.client.get_paginator("list_objects_v2")
        return {
            item["Key"]: item["ETag"]
            for prefix in prefixes
            for page in pages.paginate(Bucket=self.lake.bucket, Prefix=prefix)
            for item in page.get("Contents", ())
        }


@contextmanager
def new_world(folder: Path, project: Path = PROJECT_DIR) -> Iterator[World]:
    """A stack of its own on free ports, with its state in `folder`, that runs the code of `project`."""
    settings = StackSettings(
        state_dir=folder,
        ports=Ports(*(free_port() for _ in range(4))),
        project_dir=project,
        dags_dir=project / "dags",
        plugins_dir=project / "plugins",
        airflow_settings_file=project / "airflow_settings.yaml",
    )
    with running(settings), AirflowApi(settings) as api:
        yield World(settings, api)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that the modules share, each with a dataset of its own."""
    with new_world(tmp_path_factory.mktemp("world")) as made:
        yield made


def copied_project(folder: Path) -> Path:
    """A copy of what a stack runs, whose code a test may change."""
    for name in ("include", "dags", "plugins"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    for name in ("airflow.env", "airflow_settings.yaml"):
        shutil.copy2(PROJECT_DIR / name, folder / name)
    return folder


def pass_days(world: World, until: date, company: CompanySettings = COMPANY) -> None:
    """Let days pass at a company, without the DAG that would go on until yesterday."""
    with closing(psycopg2.connect(world.settings.postgres_dsn("company"))) as connection:
        ensure_history(connection, company, until)


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small company, trained and scored as of START, whose last four days are still to come."""
    with new_world(tmp_path_factory.mktemp("company"), copied_project(tmp_path_factory.mktemp("project"))) as made:
        made.set_variable("sample_world", COMPANY.model_dump(mode="json", exclude_defaults=True))
        source = {"kind": "postgres", "connection": "company_db", "max_lag_days": 10}
        made.set_variable("customers_source", source)
        pass_days(made, START)
        assert made.run("customers_etl").state == "success"
        made.api.unpause("churn_scoring")
        trained = made.run("churn_training", trials=2, day=START.isoformat(), reason="first life")
        assert trained.state == "success", trained.tasks
        made.wait_for_predictions("churn", START)
        yield made
