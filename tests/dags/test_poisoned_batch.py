"""A batch that is not fit for use stops at the gate: nothing behind it runs."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.datasets.customers import CUSTOMERS
from include.lifecycle.specs import Extracted
from include.lifecycle.storage.lake import Lake
from tests.dags.dag_ids import ROOT

DAY = date(2026, 3, 1)


class EmptyFiles:
    """A source whose export has failed: of each table there is a file, and nothing is in it."""

    max_lag_days = None

    def days(self) -> list[date]:
        return [DAY]

    def faults(self) -> list[str]:
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted:
        file.write_bytes(b"")
        return Extracted()


@pytest.mark.usefixtures("dags")
def test_a_poisoned_batch_leaves_features_unbuilt_and_wakes_neither_scoring_nor_training(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    monkeypatch.setattr("ml_lifecycle.hooks.source", lambda _: nullcontext(EmptyFiles()))
    dag = DagBag(str(ROOT / "dags" / "etl.py")).dags["customers_etl"]

    run = dag.test()

    states = {task.task_id: task.state for task in run.get_task_instances()}
    assert (states["validate"], states["report_rejections"]) == ("success", "failed")
    assert states["build_features"] == "skipped"
    assert run.state == "failed"
    assert lake.days(CUSTOMERS.features_prefix) == []
    with create_session() as session:
        assert session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all() == []
