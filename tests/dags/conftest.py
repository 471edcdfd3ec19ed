"""Airflow for parsing alone: no scheduler, no server."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from include.stack.airflow_api import AirflowApi
from tests.dags.dag_ids import EXPECTED, ROOT

os.environ.update(
    AIRFLOW_HOME=tempfile.mkdtemp(prefix="airflow-parse-"),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="false",
)
PASSWORD = "a password of the tests"


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
