"""Airflow for parsing alone: no scheduler, no server."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest

from tests.dags.dag_ids import EXPECTED, ROOT

os.environ.update(
    AIRFLOW_HOME=tempfile.mkdtemp(prefix="airflow-parse-"),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="false",
)


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
