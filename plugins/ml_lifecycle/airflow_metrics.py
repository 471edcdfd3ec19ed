"""The metrics that follow from Airflow's database: heartbeats, queues, runs and how long their stages took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from airflow.jobs.job import Job
from airflow.models.asset import AssetEvent
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import func, select

from include.lifecycle.operations import metrics
from include.lifecycle.operations.metrics import Sample

COMPONENTS = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag_processor", "TriggererJob": "triggerer"}
_SCORE = "chunk.score"


def of_airflow(models: Iterable[str], now: datetime) -> Iterator[Sample]:
    """All of them; `models` are the names of those that are scored."""
    with create_session() as session:
        yield from _heartbeats(session, now)
        yield from _tasks(session, now)
        yield from _runs(session)
        for model in models:
            yield from _scoring_speed(session, model)


def _heartbeats(session: Any, now: datetime) -> Iterator[Sample]:
    query = select(Job.job_type, func.max(Job.latest_heartbeat)).group_by(Job.job_type)
    for kind, last in session.execute(query):
        if kind in COMPONENTS and last is not None:
            age = (now - last).total_seconds()
            yield Sample(metrics.HEARTBEAT_AGE, age, {"component": COMPONENTS[kind]})


def _tasks(session: Any, now: datetime) -> Iterator[Sample]:
    for state in (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.AWAITING_INPUT):
        query = select(func.count()).select_from(TaskInstance).where(TaskInstance.state == state)
        yield Sample(metrics.TASKS, session.scalar(query), {"state": state.value})
    oldest = session.scalar(
        select(func.min(TaskInstance.queued_dttm)).where(TaskInstance.state == TaskInstanceState.QUEUED)
    )
    yield Sample(metrics.OLDEST_QUEUED, (now - oldest).total_seconds() if oldest else 0)


def _runs(session: Any) -> Iterator[Sample]:
    """The newest finished run of each DAG that still exists, and the time of its tasks."""
    finished = (DagRunState.SUCCESS, DagRunState.FAILED)
    newest = (
        select(DagRun.dag_id, func.max(DagRun.end_date).label("end_date"))
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .where(DagRun.state.in_(finished), DagModel.is_stale.is_(False))
        .group_by(DagRun.dag_id)
        .subquery()
    )
    query = select(DagRun).join(
        newest, (DagRun.dag_id == newest.c.dag_id) & (DagRun.end_date == newest.c.end_date)
    )
    for run in {run.dag_id: run for run in session.scalars(query)}.values():
        labels = {"dag_id": run.dag_id}
        yield Sample(metrics.RUN_FAILED, run.state == DagRunState.FAILED, labels)
        yield Sample(metrics.RUN_END, run.end_date.timestamp(), labels)
        for task_id, seconds in _seconds(session, run.dag_id, run.run_id).items():
            yield Sample(metrics.STAGE_SECONDS, seconds, {**labels, "task_id": task_id})


def _seconds(session: Any, dag_id: str, run_id: str) -> dict[str, float]:
    """Seconds that the tasks of a run took, by task."""
    query = (
        select(TaskInstance.task_id, func.sum(TaskInstance.duration))
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .group_by(TaskInstance.task_id)
    )
    return {task_id: seconds for task_id, seconds in session.execute(query) if seconds is not None}


def _scoring_speed(session: Any, model: str) -> Iterator[Sample]:
    """Rows that the newest run that published says it has published, by the time of its scoring tasks."""
    dag_id = f"{model}_scoring"
    newest = session.scalar(
        select(AssetEvent.source_run_id)
        .where(AssetEvent.source_dag_id == dag_id)
        .order_by(AssetEvent.timestamp.desc())
        .limit(1)
    )
    events = select(AssetEvent).where(AssetEvent.source_dag_id == dag_id, AssetEvent.source_run_id == newest)
    rows = sum((event.extra or {}).get("rows", 0) for event in session.scalars(events))
    seconds = _seconds(session, dag_id, newest).get(_SCORE) if newest else None
    if rows and seconds:
        yield Sample(metrics.SCORING_SPEED, rows / seconds, {"model": model})
