"""The whole stack, as `make run` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg2
import pytest

from include.lifecycle.lake import Lake
from include.stack.airflow_api import AirflowApi
from include.stack.control import running
from include.stack.s3 import s3_client
from include.stack.settings import Ports, StackSettings
from tests.conftest import free_port

RUN_SECONDS = 600


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
        end = time.monotonic() + RUN_SECONDS
        while (state := self.api.run_state(dag_id, run_id)) in ("queued", "running"):
            assert time.monotonic() < end, f"{dag_id} {run_id} is still {state} after {RUN_SECONDS} s."
            time.sleep(0.5)
        tasks: dict[str, str] = {}
        for instance in self.api.task_instances(dag_id, run_id):
            if tasks.get(instance["task_id"]) != "failed":
                tasks[instance["task_id"]] = instance["state"]
        return Finished(run_id, state, tasks)

    def wait_until_quiet(self, dag_id: str) -> None:
        """Wait until a DAG has no run that is queued or running."""
        for run in self.api.runs(dag_id):
            self.wait(dag_id, run["dag_run_id"])

    def wait_for_predictions(self, model: str, day: date) -> None:
        """Wait until the scoring that new features or a new champion wake has published a day, and is done."""
        end = time.monotonic() + RUN_SECONDS
        while day not in self.lake.days(f"predictions/{model}"):
            assert time.monotonic() < end, f"Nothing has woken {model}_scoring for {day} within {RUN_SECONDS} s."
            time.sleep(0.5)
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own for each test module."""
    ports = Ports(*(free_port() for _ in range(4)))
    settings = StackSettings(state_dir=tmp_path_factory.mktemp("world"), ports=ports)
    with running(settings), AirflowApi(settings) as api:
        yield World(settings, api)
