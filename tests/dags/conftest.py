"""Airflow for parsing alone: no scheduler, no server."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from include.lifecycle.promotion import ledger, registry
from include.lifecycle.storage.lake import Lake
from include.stack.airflow_api import AirflowApi
from tests.dags.dag_ids import EXPECTED, ROOT

os.environ.update(
    AIRFLOW_HOME=tempfile.mkdtemp(prefix="airflow-parse-"),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="false",
)
PASSWORD = "a password of the tests"
Trigger = Callable[..., Any]
"""Triggers a DAG, as its form opens but for what is given; returns the run."""


@pytest.fixture(scope="session")
def dags() -> dict[str, Any]:
    """All DAGs by id, as Airflow's DAG processor reads them."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(params=sorted(EXPECTED))
def dag(request: pytest.FixtureRequest, dags: dict[str, Any]) -> Any:
    return dags[request.param]


@pytest.fixture
def api(dags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AirflowApi]:
    """Airflow's API as its admin has it, with no variables."""
    from airflow.api_fastapi.app import create_app
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({"admin": PASSWORD}))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of the tests that is long enough for HMAC" * 2)
    with create_session() as session:
        session.execute(delete(Variable))
    with TestClient(create_app(apps="core")) as client:
        within = SimpleNamespace(
            Client=lambda **_: client, HTTPTransport=httpx.HTTPTransport, TransportError=OSError
        )
        monkeypatch.setattr("include.stack.airflow_api.httpx", within)
        services: Any = SimpleNamespace(
            airflow_url="http://airflow", secrets=SimpleNamespace(airflow_password=PASSWORD)
        )
        yield AirflowApi(services)


@pytest.fixture
def notified() -> list[Any]:
    """What people are told."""
    return []


@pytest.fixture
def trigger_of(
    dags: dict[str, Any], postgres: Any, lake: Lake, notified: list[Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Sequence[ledger.Entry]], Trigger]:
    """What triggers a DAG whose tasks have a real lake and a ledger with some entries; MLflow finds no fault."""
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext(postgres))
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    monkeypatch.setattr("ml_lifecycle.hooks.notification_services", lambda: None)
    monkeypatch.setattr("ml_lifecycle.hooks.notify", notified.append)
    monkeypatch.setattr(registry, "fault", lambda *_: None)

    def trigger_of(dag_id: str, history: Sequence[ledger.Entry]) -> Trigger:
        for entry in history:
            ledger.record(postgres, entry)
        dag = dags[dag_id]
        opens = {name: dag.params.get_param(name).value for name in dag.params}
        for name, value in opens.items():
            # In one process, what a form is given stays in the DAG; the test's end takes it back.
            monkeypatch.setattr(dag.params.get_param(name), "value", value)
        return lambda **form: dag.test(run_conf=opens | form)

    return trigger_of
