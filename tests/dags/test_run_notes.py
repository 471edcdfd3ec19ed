"""A failed run says why, and so does its notification, which leads to the log and the page."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from ml_lifecycle import hooks, run_notes
from ml_lifecycle.defaults import notify_of_failure
from ml_lifecycle.links import SHOWN_REPORT
from ml_lifecycle.run_notes import CAUSE_KEY, on_dag_run_failed
from tests.dags.dag_ids import ROOT


def test_the_note_of_a_failed_run_is_its_cause_in_one_line(dags: dict[str, Any]) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    finished = dags["churn_monitoring"].test(run_conf={"day": "9999-12-31"})
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == finished.run_id)).one()
        on_dag_run_failed(run, "task_failure")
        note = run.note

    assert finished.state == "failed"
    assert note.startswith(
        ("Failed: report: The form's `day` is 9999-12-31", "Failed: performance: The form's `day` is")
    )
    assert "choose a day from 2000-01-01 to" in note
    assert note.endswith(
        ("Also failed: decide_retraining, report.", "Also failed: decide_retraining, performance.")
    )
    assert "\n" not in note


def test_the_note_of_a_task_whose_process_was_killed_says_so_and_what_to_do(dags: dict[str, Any]) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    finished = dags["churn_monitoring"].test(run_conf={"day": "9999-12-31"})
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == finished.run_id)).one()
        session.execute(delete(XComModel).where(XComModel.run_id == finished.run_id, XComModel.key == CAUSE_KEY))
        on_dag_run_failed(run, "task_failure")
        note = run.note

    assert note.startswith(
        "Failed: decide_retraining, performance, report: the process ended without giving a reason"
    )
    assert "Clear the task to try it again" in note


@pytest.mark.parametrize(
    ("note", "reason", "kept"),
    [
        ("Failed: report: no rows", None, None),
        ("We look into it.", None, "We look into it."),
        (None, None, None),
        (None, "drift", "Reason: drift"),
        ("Failed: train: no rows Reason: drift", "drift", "Reason: drift"),
        ("Reason: drift", "drift", "Reason: drift"),
        ("We look into it.", "drift", "We look into it."),
    ],
)
def test_a_run_that_succeeds_says_why_it_took_place_unless_a_person_has_written_a_note(
    note: str | None, reason: str | None, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = SimpleNamespace(note=note)
    monkeypatch.setattr(run_notes, "_session", lambda _: object())
    monkeypatch.setattr(run_notes, "_stated", lambda *_: reason and f"Reason: {reason}")

    run_notes.on_dag_run_success(run, "success")

    assert run.note == kept


def test_the_note_of_a_training_has_its_reason_also_beside_what_failed(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    monkeypatch.setattr(hooks, "notification_services", lambda: None)
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext())
    monkeypatch.setattr("include.lifecycle.monitoring.retraining_requests.take", lambda *_: None)
    dag = DagBag(str(ROOT / "dags" / "training.py")).dags["churn_training"]

    def fail(as_of: str) -> None:
        raise ValueError("There are no labels.")

    monkeypatch.setattr(dag.get_task("build_labels"), "python_callable", fail)

    finished = dag.test(run_conf={"reason": "New prices."})
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == finished.run_id)).one()
        on_dag_run_failed(run, "task_failure")
        failed = run.note
        run_notes.on_dag_run_success(run, "success")
        succeeded = run.note

    assert failed == "Failed: build_labels: There are no labels. Reason: New prices."
    assert succeeded == "Reason: New prices."


def failure(monkeypatch: pytest.MonkeyPatch, message: str | None, **context: Any) -> dict[str, Any]:
    """What a task that fails with `message`, or without one as its process is gone, leaves behind."""
    left: dict[str, Any] = {}
    monkeypatch.setattr(hooks, "notification_services", lambda: None)
    instance = SimpleNamespace(
        dag_id="customers_etl",
        task_id="validate",
        run_id="manual",
        log_url="http://airflow:8080/dags/customers_etl/runs/manual/tasks/validate",
        xcom_push=left.__setitem__,
    )
    known = {"exception": ValueError(message)} if message else {}
    notify_of_failure({"task_instance": instance, **known, **context})
    return left


def test_a_task_whose_process_is_gone_is_notified_by_the_dag_processor_which_has_no_xcoms(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "include.lifecycle.reporting.notifications"):
        left = failure(monkeypatch, None)

    assert left == {}
    assert "validate failed: the process ended without giving a reason" in caplog.text


def test_a_cause_is_one_line_that_a_note_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(monkeypatch, "3 positives;\n  20 are needed.") == {CAUSE_KEY: "3 positives; 20 are needed."}
    assert len(failure(monkeypatch, "x" * 5_000)[CAUSE_KEY]) < 1_000


def test_the_notification_of_a_failure_links_the_log_and_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "include.lifecycle.reporting.notifications"):
        failure(monkeypatch, "rejected.", **{SHOWN_REPORT: "/ml/reports/customers/validation/2026-03-01/"})

    [message] = [record.getMessage() for record in caplog.records]
    assert message == (
        "customers_etl.validate failed: rejected. "
        "Log: http://airflow:8080/dags/customers_etl/runs/manual/tasks/validate "
        "Page: http://airflow:8080/ml/reports/customers/validation/2026-03-01/ "
        "Run: http://localhost:8080/dags/customers_etl/runs/manual"
    )


def test_a_run_that_has_not_ended_by_its_deadline_is_notified(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow's own parts: a queued run has the deadline, and its miss calls what notifies."""
    import structlog
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.deadline import Deadline
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.sdk.execution_time.callback_supervisor import execute_callback
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import delete, select

    monkeypatch.setattr(hooks, "notification_services", lambda: None)
    file = Path(__file__).parents[2] / "dags" / "scoring.py"
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(DagBag(str(file)), "dags-folder", None)
    with create_session() as session:
        stored = SerializedDagModel.get("churn_scoring", session=session)
        assert stored is not None
        run = stored.dag.create_dagrun(
            run_id="late",
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )
        session.commit()
        [deadline] = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id))
        due = deadline.deadline_time
        deadline.handle_miss(session)
        called = json.loads(json.dumps(deadline.callback.data, default=str))
        session.rollback()
        session.execute(delete(Deadline))
        session.delete(run)

    with caplog.at_level(logging.WARNING, "include.lifecycle.reporting.notifications"):
        done = execute_callback(called["path"], called["kwargs"], file, file.parent, structlog.get_logger())

    assert done == (True, None)
    assert run.queued_at is not None
    assert due - run.queued_at == timedelta(hours=4)
    [said] = [record.getMessage() for record in caplog.records if "deadline" in record.getMessage()]
    assert said == (
        f"churn_scoring missed its deadline: The run should have ended by {due} and is queued. "
        "See which task it waits for. Run: http://localhost:8080/dags/churn_scoring/runs/late"
    )


def test_every_scoring_has_the_deadline_of_its_model(dags: dict[str, Any]) -> None:
    from include.catalog import MODELS

    for model in MODELS.values():
        [deadline] = dags[f"{model.name}_scoring"].deadline
        assert deadline.interval.total_seconds() == model.schedule.deadline_hours * 3600
        assert deadline.callback.path == "ml_lifecycle.defaults.notify_of_deadline"
