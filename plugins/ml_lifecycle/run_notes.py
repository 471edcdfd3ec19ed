"""The note of a run: why a training took place, what a rollback changes, and the cause of the first failure.

The tasks leave these where the scheduler, which alone can write a run's note, finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

CAUSE_KEY = "cause_of_failure"
REASON_KEY, PLAN_KEY = "reason_of_run", "plan_of_run"
_LONGEST = 900
_FAILED = "Failed: "
_STATED = {REASON_KEY: "Reason: ", PLAN_KEY: "Plan: "}
"""What a task may have to say about its run, by XCom key: how that begins in the note."""
# A task that fails leaves its cause; one whose process is gone leaves none.
NO_CAUSE = (
    "the process ended without giving a reason (worker killed, out of memory, or cut off). "
    "Clear the task to try it again; its log shows how far it got."
)
NO_TASK = "no task failed, but some could not start. The log of the scheduler says more."


def shortened(text: str) -> str:
    """A text, cut where it is too long for a note."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Write the cause into the run's note, and what tasks have to say, unless a person has written one."""
    session = _session(dag_run)
    if session is not None and _is_ours(dag_run):
        dag_run.note = shortened(" ".join(filter(None, [_cause(dag_run, session), _stated(dag_run, session)])))


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Write what tasks have to say into the run's note; the cause of an earlier failure is gone."""
    session = _session(dag_run)
    if session is not None and _is_ours(dag_run):
        dag_run.note = _stated(dag_run, session)


def _session(dag_run: DagRun) -> Any:
    from sqlalchemy.orm import object_session

    return object_session(dag_run)


def _is_ours(dag_run: DagRun) -> bool:
    return not dag_run.note or dag_run.note.startswith((_FAILED, *_STATED.values()))


def _stated(dag_run: DagRun, session: Any) -> str | None:
    from airflow.models.xcom import XComModel

    for key, beginning in _STATED.items():
        query = XComModel.get_many(run_id=dag_run.run_id, key=key, dag_ids=dag_run.dag_id)
        left = session.scalars(query).first()
        if left is not None:
            return shortened(f"{beginning}{XComModel.deserialize_value(left)}")
    return None


def _cause(dag_run: DagRun, session: Any) -> str:
    from airflow.models.xcom import XComModel
    from airflow.utils.state import TaskInstanceState

    query = XComModel.get_many(run_id=dag_run.run_id, key=CAUSE_KEY, dag_ids=dag_run.dag_id)
    causes = sorted(session.scalars(query), key=lambda cause: cause.timestamp)
    failed = {
        task.task_id for task in dag_run.get_task_instances(state=[TaskInstanceState.FAILED], session=session)
    }
    known = [cause for cause in causes if cause.task_id in failed]
    if not failed:
        return f"{_FAILED}{NO_TASK}"
    if not known:
        return f"{_FAILED}{', '.join(sorted(failed))}: {NO_CAUSE}"
    others = sorted(failed - {known[0].task_id})
    more = f" Also failed: {', '.join(others)}." if others else ""
    return shortened(f"{_FAILED}{known[0].task_id}: {XComModel.deserialize_value(known[0])}{more}")
