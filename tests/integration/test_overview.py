"""The overview through its web application: with records, with none, and with the warehouse away."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi.testclient import TestClient

from include.datasets.customers import CUSTOMERS
from include.lifecycle.overview.concerns import FailedRun
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from ml_lifecycle import hooks, overview, summaries, web

DAY = date(2026, 3, 1)
RED_RUN = FailedRun(
    "churn_training", datetime(2026, 2, 20, tzinfo=UTC), "../../dags/churn_training/runs/weekly%3A1"
)


@pytest.fixture
def browser(lake: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody who may see runs, before a lake, a warehouse and one DAG whose newest run failed."""
    monkeypatch.setattr(hooks.WarehouseHook, "connection", lambda _: nullcontext(postgres))
    monkeypatch.setattr(hooks, "lake", lambda: lake)
    monkeypatch.setattr(overview, "failed_runs", lambda: [RED_RUN])
    monkeypatch.setitem(overview.app.dependency_overrides, web.may_read, lambda: None)
    return TestClient(overview.app)


@pytest.fixture
def rejected_day(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    """A day of customers that validation has rejected."""
    counts = {"lines": 10, "rows": 10, "good": 0, "good_lines": 0, "quarantined": 10, "quarantined_lines": 10}
    table = {**counts, "rules": {}, "problems": ["customers is <empty>."], "warnings": []}
    verdict = tmp_path / "verdict.json"
    verdict.write_text(json.dumps({"day": str(DAY), "accepted": False, "tables": {"customers": table}}))
    lake.publish(CUSTOMERS.validation_prefix, DAY, [LocalFile(verdict)], run=run)


def test_before_anything_has_run_the_page_says_so_and_names_the_run_that_failed(browser: TestClient) -> None:
    answer = browser.get("/")

    assert answer.status_code == 200
    assert "1 thing is wrong, since 2026-02-20" in answer.text
    assert '<a href="../../dags/churn_training/runs/weekly%3A1">Its newest run failed.</a>' in answer.text
    assert "Some of it has not been looked at yet" in answer.text


def test_a_rejected_day_is_seen_once_its_task_has_looked(browser: TestClient, rejected_day: None) -> None:
    assert "was rejected" not in browser.get("/").text

    summaries.refresh_dataset(CUSTOMERS, [DAY])

    page = browser.get("/").text
    assert "2 things are wrong, the first since 2026-02-20" in page
    assert f'<a href="../reports/customers/validation/{DAY}/">' in page
    assert "was rejected: customers is &lt;empty&gt;." in page
    assert 'aria-label="100\u00a0% on the newest day, at most 100\u00a0% in 1 day"' in page


def test_once_all_is_looked_at_the_page_says_of_when_it_is(browser: TestClient, rejected_day: None) -> None:
    summaries.refresh_all()

    assert f"As of {datetime.now(UTC):%Y-%m-%d}" in browser.get("/").text


@pytest.mark.parametrize("kind", [psycopg2.OperationalError, AirflowNotFoundException, ValueError])
def test_without_the_warehouse_the_page_says_so_and_still_names_the_run_that_failed(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def away(_: object) -> None:
        raise kind("connection refused <b>")

    monkeypatch.setattr(hooks.WarehouseHook, "connection", away)

    answer = browser.get("/")

    assert answer.status_code == 200
    assert "The warehouse cannot be asked" in answer.text
    assert "connection refused &lt;b&gt;" in answer.text
    assert "Its newest run failed." in answer.text


def test_a_task_has_done_its_work_also_where_the_summaries_cannot_be_kept(
    browser: TestClient, rejected_day: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: object) -> None:
        raise psycopg2.OperationalError("connection refused")

    monkeypatch.setattr(hooks.WarehouseHook, "connection", away)

    summaries.refresh_dataset(CUSTOMERS, [DAY])

    assert "still shows what was before this task: connection refused" in caplog.text
