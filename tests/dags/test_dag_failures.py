"""What fails, what is tried again, and what goes on without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.bases.decorator import DecoratedMappedOperator, DecoratedOperator
from airflow.sdk.definitions.mappedoperator import MappedOperator

from include.lifecycle.ingestion.verdicts import DayVerdict
from ml_lifecycle.defaults import HEAVY_POOL
from tests.dags.dag_ids import ROOT


def test_outages_are_retried_and_bad_data_is_not(dag: Any) -> None:
    for task in dag.tasks:
        if (dag.dag_id, task.task_id) == ("maintenance", "heal"):
            assert task.retries == 0  # What did not help is reported, not repeated.
            continue
        assert task.retries == 3, task.task_id
        assert task.retry_policy is not None, task.task_id


def test_a_task_that_hangs_is_ended_and_heavy_work_may_take_longer(dag: Any) -> None:
    for task in dag.tasks:
        if task.task_id == "approve":
            # It waits for a person, in no process that could hang, and not for ever.
            assert timedelta(0) < task.response_timeout <= timedelta(days=7)
            continue
        heavy, trains = task.pool == HEAVY_POOL, task.task_id in ("train", "fit_segments")
        assert task.execution_timeout is not None, task.task_id
        assert task.execution_timeout >= timedelta(hours=24 if trains else 6 if heavy else 2), task.task_id
        waits = isinstance(task, MappedOperator) and task.operator_class is TriggerDagRunOperator
        if waits or isinstance(task, TriggerDagRunOperator):
            # Airflow waits for the other run after its time limit for the task has ended.
            assert dag.dagrun_timeout < timedelta(days=1), task.task_id


def test_the_time_limit_of_a_task_ends_its_try_and_the_notification_says_so(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    notified: list[str] = []
    monkeypatch.setattr("ml_lifecycle.hooks.notify", lambda notification: notified.append(notification.reason))
    task = dags["sample_world"].get_task("add_days")
    alone = dags["sample_world"].partial_subset("add_days")
    for hanging in (alone.get_task("add_days"), task):
        monkeypatch.setattr(hanging, "python_callable", lambda: time.sleep(60))
        monkeypatch.setattr(hanging, "execution_timeout", timedelta(seconds=1))
        monkeypatch.setattr(hanging, "retries", 0)
    began = time.monotonic()

    run = alone.test()

    assert run.state == "failed"
    assert time.monotonic() - began < 50
    assert notified == [
        "It took longer than its limit of 0:00:01 (hours:minutes:seconds) and was ended. See its log."
    ]


@pytest.mark.parametrize(
    ("broken", "batches", "expected"),
    [("", 0, "success"), ("fit_segments", 2, "success"), ("batch_segments", 2, "upstream_failed")],
)
def test_a_training_survives_segments_that_cannot_be_fitted_but_not_missing_batches(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch, broken: str, batches: int, expected: str
) -> None:
    bag = DagBag(str(ROOT / "dags" / "training.py"))
    training = bag.dags["volatility_training"].partial_subset("train", include_upstream=True)
    answers: dict[str, Any] = {
        "take_request": {"as_of": "2026-03-01", "reason": "weekly", "request": None},
        "batch_segments": [{"number": number, "segments": ["A"]} for number in range(batches)],
    }

    def replace_work(task_id: str) -> Any:
        def work(*_: Any, **__: Any) -> Any:
            if task_id == broken:
                raise ValueError("It could not be made.")
            return answers.get(task_id, "2026-03-01")

        return work

    for task in training.tasks:
        if isinstance(task, (DecoratedOperator, DecoratedMappedOperator)):
            monkeypatch.setattr(task, "python_callable", replace_work(task.task_id))
        if task.is_mapped:
            monkeypatch.setitem(task.partial_kwargs, "retries", 0)

    run = training.test()

    states = {instance.task_id: instance.state for instance in run.get_task_instances()}
    assert states["train"] == expected


@pytest.mark.usefixtures("dags")
@pytest.mark.parametrize(
    ("broken", "built", "task_states"),
    [
        ("", ["2026-03-01", "2026-03-02"], ("success", "success", "success")),
        ("extract", ["2026-03-02"], ("success", "failed", "success")),
        ("validate", ["2026-03-01"], ("failed", "failed", "success")),
    ],
)
def test_days_that_were_not_extracted_or_judged_leave_the_others_their_features_and_the_run_red(
    monkeypatch: pytest.MonkeyPatch, broken: str, built: list[str], task_states: tuple[str, ...]
) -> None:
    from include.lifecycle.ingestion import features as engine
    from include.lifecycle.ingestion import records

    dag = DagBag(str(ROOT / "dags" / "etl.py")).dags["customers_etl"]
    features: list[str] = []

    def extract(days: list[str]) -> dict[str, Any]:
        assert (broken, days) != ("extract", ["2026-03-01"]), "It died."
        return {"days": days}

    def validate(extracted: Sequence[dict[str, Any]]) -> dict[str, Any]:
        assert broken != "validate", "It died."
        return {"accepted": [day for chunk in extracted for day in chunk["days"]]}

    answers = {
        "find_days": lambda: [["2026-03-01"], ["2026-03-02"]],
        "extract": extract,
        "validate": validate,
    }
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: None)
    first = DayVerdict(day=date(2026, 3, 1), accepted=True, tables={})
    monkeypatch.setattr(records, "present_verdicts", lambda dataset, lake, days, faults: [first])
    monkeypatch.setattr(
        engine,
        "features_to_build",
        lambda dataset, lake, days, until: engine.FeaturesToBuild(validated=days, version="1"),
    )
    monkeypatch.setattr(engine, "build_features", lambda dataset, lake, days, run: features.extend(map(str, days)))
    for task in dag.tasks:
        if task.task_id in answers:
            monkeypatch.setattr(task, "python_callable", answers[task.task_id])
        if isinstance(task, MappedOperator):
            monkeypatch.setitem(task.partial_kwargs, "retries", 0)
        else:
            monkeypatch.setattr(task, "retries", 0)

    run = dag.test()

    states = {instance.task_id: instance.state for instance in run.get_task_instances()}
    assert features == built
    assert tuple(states[task] for task in ("validate", "report_rejections", "build_features")) == task_states
    assert run.state == ("failed" if broken else "success")


def test_days_that_were_scored_are_published_and_announced_though_another_day_or_chunk_fails(
    dags: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The chunks differ in what goes wrong.

    The first has a day that cannot be scored and one that cannot be published, the second has no model, and the
    task of the fourth dies after its first day.
    """
    from contextlib import nullcontext

    from psycopg2.errors import UntranslatableCharacter

    from include.lifecycle.scoring import publishing
    from ml_lifecycle.runs import label_days

    dag = DagBag(str(ROOT / "dags" / "scoring.py")).dags["churn_scoring"]
    chunks = [
        {"version": 3, "days": ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]},
        {"version": 2, "days": ["2026-01-05"]},
        {"version": 1, "days": ["2026-01-07", "2026-01-08"]},
        {"version": 4, "days": ["2026-01-09", "2026-01-10"]},
    ]
    published: list[str] = []

    def score(job: dict[str, Any]) -> dict[str, Any]:
        from airflow.sdk import get_current_context

        label_days(job["days"], f"version {job['version']}")
        if job["version"] == 4:
            get_current_context()["ti"].xcom_push("scored", job["days"][:1])
            raise MemoryError
        scored = [day for day in job["days"] if day != "2026-01-02" and job["version"] != 2]
        return {"scored": scored, "unscored": {day: "No." for day in job["days"] if day not in scored}}

    def publish(model: Any, lake: Any, connection: Any, day: Any, run: Any) -> dict[str, Any]:
        if day.isoformat() == "2026-01-03":
            raise UntranslatableCharacter("A NUL.")
        published.append(day.isoformat())
        return {"day": day.isoformat(), "rows": 2}

    monkeypatch.setattr(publishing, "publish", publish)
    monkeypatch.setattr("ml_lifecycle.hooks.WarehouseHook.connection", lambda _: nullcontext())
    monkeypatch.setattr("ml_lifecycle.hooks.LakeHook.lake", lambda _: None)
    monkeypatch.setattr("ml_lifecycle.summaries._refresh", lambda *_: None)
    monkeypatch.setattr(dag.get_task("find_days"), "python_callable", lambda: chunks)
    monkeypatch.setattr(dag.get_task("chunk.score"), "python_callable", score)
    for task in dag.tasks:
        task.retries, task.retry_policy = 0, None
        if task.task_id != "report_unscored":
            task.on_failure_callback = []

    run = dag.test()

    tasks = run.get_task_instances()
    states = {(task.task_id, task.map_index): task.state for task in tasks}
    labels = {task.map_index: task.rendered_map_index for task in tasks if task.task_id == "chunk.publish"}
    assert [states["chunk.score", number] for number in range(4)] == ["success"] * 3 + ["failed"]
    assert [states["chunk.publish", number] for number in range(4)] == ["success", "skipped"] + ["success"] * 2
    assert sorted(published) == ["2026-01-01", "2026-01-04", "2026-01-07", "2026-01-08", "2026-01-09"]
    assert labels[2] == "2026-01-07 to 2026-01-08, version 1"
    assert (run.state, states["report_unscored", -1]) == ("failed", "failed")
    assert _cause(run) == (
        "Customer churn: 4 of 9 days are not published, the others are. 2026-01-02: No. 2026-01-03: A NUL. "
        "2026-01-05: No. 2026-01-10: its task failed; the log of that task says why."
    )
    assert _announced(run) == [
        {"version": 1, "days": ["2026-01-07", "2026-01-08"], "rows": 4},
        {"version": 3, "days": ["2026-01-01", "2026-01-04"], "rows": 4},
        {"version": 4, "days": ["2026-01-09"], "rows": 2},
    ]


def _cause(run: Any) -> str:
    """What the notification of the run's failed task said."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        [cause] = session.scalars(
            XComModel.get_many(run_id=run.run_id, key="cause_of_failure", dag_ids=run.dag_id)
        )
        return str(XComModel.deserialize_value(cause))


def _announced(run: Any) -> list[dict[str, Any]]:
    """The content of the asset events of a run, by version."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        return sorted((dict(event.extra) for event in events), key=lambda extra: extra["version"])


def test_a_scoring_that_cannot_find_its_days_is_red(dags: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    report = dags["churn_scoring"].get_task("report_unscored")

    assert report.trigger_rule == "all_done"
    with pytest.raises(AirflowFailException, match="the log of `find_days` says why"):
        report.python_callable(None)
