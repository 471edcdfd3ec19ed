"""The closed loop in Airflow: the monitoring asks for a training, a training answers, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import set_current_context
from airflow.utils.types import DagRunType

from include.catalog import MODELS
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.monitoring import retraining_requests
from include.lifecycle.monitoring.retraining_policy import (
    DriftReport,
    PerformanceReport,
    RetrainingEvidence,
    decide,
)
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from ml_lifecycle import retraining
from ml_lifecycle.forms import training_form
from ml_lifecycle.operators import PushModelOperator
from tests.dags.dag_ids import ROOT

CHURN = MODELS["churn"]
DAY = date(2026, 3, 29)
KEPT = {"day": str(DAY), "version": 3, "verdict": "keep", "reasons": ["It is no better."]}


def evidence(*, drifted: bool = True) -> RetrainingEvidence:
    """Of a champion whose scores drifted in two reports, or in one."""
    reports = [
        DriftReport(
            day=DAY - timedelta(before),
            digest=f"drift {before}",
            verdict="drift" if drifted or before == 0 else "no drift",
            score_drifted=drifted or before == 0,
            gaps_changed=False,
        )
        for before in (7, 0)
    ]
    return RetrainingEvidence(
        model="churn",
        day=DAY,
        champion=3,
        trained_on=DAY - timedelta(40),
        last_training=None,
        drift=tuple(reports),
        performance=PerformanceReport(day=DAY, digest="", verdict="as expected", new_label_days=30),
        validated_days=(DAY,),
        rejected_days=(),
    )


@pytest.fixture
def warehouse(postgres_dsn: str, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection to the warehouse that the tasks use, too."""
    from contextlib import closing

    monkeypatch.setattr(
        "ml_lifecycle.hooks.WarehouseHook.connection", lambda _: closing(psycopg2.connect(postgres_dsn))
    )
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
    monkeypatch.setattr("ml_lifecycle.hooks.notify", lambda _: None)
    monkeypatch.setattr("ml_lifecycle.rollbacks.roll_back_if_worse", lambda *_: None)
    return postgres


def requested(connection: Any) -> str:
    """Make the request of two reports of drift; returns its id."""
    decision = decide(evidence(), CHURN.retraining)
    retraining_requests.make(connection, decision)
    return str(decision.request)


def rows(connection: Any) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select state, attempts, outcome from ml.retraining")
        return list(cursor.fetchall())


def states(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


Replace = Callable[..., Any]


@pytest.fixture
def dag_with(dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Replace:
    """A DAG of a file of its own, some of whose tasks do what they are given."""

    def build(stage: str, **tasks: Callable[..., Any]) -> Any:
        dag = DagBag(str(ROOT / "dags" / f"{stage}.py")).dags[f"churn_{stage}"]
        for task_id, function in tasks.items():
            monkeypatch.setattr(dag.get_task(task_id), "python_callable", function)
        return dag

    return build


def monitor(dag_with: Replace, monkeypatch: pytest.MonkeyPatch, *, drifted: bool = True) -> dict[str, str]:
    """Run the monitoring over what `evidence` has; returns the states of its tasks."""
    monkeypatch.setattr(retraining, "gather", lambda *_: evidence(drifted=drifted))
    said = {"page": "/", "day": str(DAY), "verdict": "drift", "reason": "It moved."}
    dag = dag_with("monitoring", report=lambda: said, performance=lambda: said)
    return states(dag.test(run_conf={"day": str(DAY)}))


def test_drift_asks_for_one_training_and_wakes_it_until_a_run_has_answered_the_request(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert monitor(dag_with, monkeypatch)["wake_training"] == "success"
    # An event may be lost, so an open request wakes again, and is still one.
    assert monitor(dag_with, monkeypatch)["wake_training"] == "success"
    assert rows(warehouse) == [("open", 0, None)]

    # The run that took it may have died.
    taken = retraining_requests.take(warehouse, "churn", "weekly", DAY)
    assert taken is not None
    assert monitor(dag_with, monkeypatch)["wake_training"] == "success"
    assert rows(warehouse) == [("taken", 1, None)]

    retraining_requests.finish(warehouse, taken.id, "keep: It is no better.")

    assert monitor(dag_with, monkeypatch)["wake_training"] == "skipped"


def test_a_champion_whose_file_is_gone_asks_for_a_training_though_no_report_can_be_made(
    dag_with: Replace, warehouse: Any, lake: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("Version 3 is not in MLflow any more.")

    promoted = ledger.Entry("churn", "promote", 3, None, 3, DAY, "gate", "", {}, "first", {"3": "ab"})
    ledger.record(warehouse, promoted)
    verdict = tmp_path / "verdict.json"
    verdict.write_text(DayVerdict(day=DAY, accepted=True, tables={}).model_dump_json())
    lake.publish(CHURN.dataset.validation_prefix, DAY, [LocalFile(verdict)], run=run)
    asked: list[Any] = []
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    monkeypatch.setattr("ml_lifecycle.hooks.MlflowHook.tracking_uri", "http://mlflow")
    monkeypatch.setattr(registry, "fault", lambda *given: asked.append(given) or "It is not in MLflow any more.")

    ended = dag_with("monitoring", report=fail, performance=fail).test(run_conf={"day": str(DAY)})

    assert ended.state == "failed"
    assert (states(ended)["decide_retraining"], states(ended)["wake_training"]) == ("success", "success")
    assert asked == [("http://mlflow", CHURN, 3, "ab")]
    request = retraining_requests.pending(warehouse, "churn")
    assert request is not None
    assert request.reasons == "The champion, version 3, cannot be used: It is not in MLflow any more."


def test_a_report_that_asks_for_nothing_wakes_nobody(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = monitor(dag_with, monkeypatch, drifted=False)

    assert (found["decide_retraining"], found["wake_training"]) == ("success", "skipped")
    assert rows(warehouse) == []


@pytest.mark.parametrize("failing", [1, 2])
def test_a_decision_is_made_where_reports_failed(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    def fail() -> None:
        raise ValueError("There is no holdout.")

    monkeypatch.setattr(retraining, "gather", lambda *_: evidence())
    said = {"page": "/", "day": str(DAY), "verdict": "drift", "reason": "It moved."}
    dag = dag_with("monitoring", report=fail, performance=fail if failing == 2 else lambda: said)

    run = dag.test(run_conf={"day": str(DAY)})

    assert (states(run)["decide_retraining"], run.state) == ("success", "failed")


def train(
    dag_with: Replace, monkeypatch: pytest.MonkeyPatch, **tasks: Callable[..., Any]
) -> tuple[Any, list[str]]:
    """Run the training, of which nothing is done but the tasks that are given; with the reasons it was told."""
    reasons: list[str] = []
    monkeypatch.setattr(PushModelOperator, "execute", lambda self, context: {"version": 4, "staged_digest": ""})
    nothing: dict[str, Callable[..., Any]] = {
        "build_labels": lambda as_of: as_of,
        "train": lambda as_of, reason: reasons.append(reason) or "digest",
        "evaluate_gate": lambda as_of, pushed: KEPT,
        "publish_card": lambda as_of, pushed, verdict: "",
    }
    return dag_with("training", **nothing | tasks).test(run_conf={"day": str(DAY)}), reasons


def test_a_run_takes_a_request_along_whose_event_was_lost_and_says_what_came_of_it(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested(warehouse)

    run, reasons = train(dag_with, monkeypatch)

    assert run.state == "success"
    assert rows(warehouse) == [("done", 1, "keep: It is no better.")]
    assert reasons[0].startswith("Requested on 2026-03-29: Of the last 2 drift reports, 2 found that the scores")


def test_a_run_without_a_request_trains_and_answers_none(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reasons = train(dag_with, monkeypatch)

    assert (run.state, states(run)["close_request"], reasons) == ("success", "skipped", ["manual run"])
    assert rows(warehouse) == []


def test_a_failed_training_is_a_failed_run_and_leaves_its_request_to_the_next(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(as_of: str, reason: str) -> None:
        raise ValueError("Too few labels.")

    requested(warehouse)

    run, _ = train(dag_with, monkeypatch, train=fail)

    assert (run.state, states(run)["close_request"]) == ("failed", "success")
    [(state, attempts, outcome)] = rows(warehouse)
    assert (state, attempts) == ("open", 1)
    assert outcome == f"The run {run.run_id} failed; its note says why."


def test_a_training_that_is_skipped_trains_nothing_and_is_no_failure(
    dag_with: Replace, warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skip() -> None:
        raise AirflowSkipException("No training is requested.")

    run, reasons = train(dag_with, monkeypatch, take_request=skip)

    assert (run.state, reasons) == ("success", [])
    assert set(states(run).values()) == {"skipped"}


class WokenContext(dict[str, Any]):
    """The context of a task in a run that an event woke a day after DAY."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        run = SimpleNamespace(
            run_id="woken",
            run_type=DagRunType.ASSET_TRIGGERED,
            run_after=datetime.combine(DAY + timedelta(3), datetime.min.time(), UTC),
            conf=None,
        )
        instance = SimpleNamespace(xcom_push=self.pushed.__setitem__)
        form = {"day": None, "reason": None}
        dag = SimpleNamespace(dag_id="churn_training", params=form)
        super().__init__(params=form, dag_run=run, ti=instance, dag=dag)


def test_a_woken_run_trains_as_of_the_day_of_the_report_that_asked(warehouse: Any) -> None:
    identity, context = requested(warehouse), WokenContext()

    with set_current_context(context):  # type: ignore[arg-type]
        asked = retraining.take(CHURN)

    assert (asked["as_of"], asked["request"]) == (str(DAY), identity)
    assert context.pushed == {"reason_of_run": asked["reason"]}


def test_a_woken_run_without_an_open_request_is_skipped(warehouse: Any) -> None:
    identity = requested(warehouse)
    retraining_requests.take(warehouse, "churn", "weekly", DAY)
    retraining_requests.finish(warehouse, identity, "keep")

    with (
        set_current_context(WokenContext()),  # type: ignore[arg-type]
        pytest.raises(AirflowSkipException, match="No training of customer churn is requested"),
    ):
        retraining.take(CHURN)


def test_a_manual_reason_stands_beside_that_of_the_request(warehouse: Any) -> None:
    requested(warehouse)
    context = WokenContext()
    context["params"]["reason"] = "We look into it."
    context["dag_run"].run_type = DagRunType.MANUAL

    with set_current_context(context):  # type: ignore[arg-type]
        asked = retraining.take(CHURN)

    assert asked["reason"].startswith("We look into it.; Requested on 2026-03-29: ")
    assert asked["as_of"] == str(DAY + timedelta(2))


def test_a_reason_is_no_longer_than_the_form_takes_it_again(warehouse: Any) -> None:
    requested(warehouse)
    context = WokenContext()
    context["params"]["reason"] = f"  {'x' * 490}  "
    context["dag_run"].run_type = DagRunType.MANUAL

    with set_current_context(context):  # type: ignore[arg-type]
        asked = retraining.take(CHURN)

    assert asked["reason"] == f"{'x' * 490}; Requeste"
    assert training_form(CHURN.dataset)["reason"].resolve(asked["reason"]) == asked["reason"]
