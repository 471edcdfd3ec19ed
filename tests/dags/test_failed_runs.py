"""Which DAGs the overview calls red, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType

from include.lifecycle.overview.concerns import FailedRun
from ml_lifecycle.overview import failed_runs

# They bring Airflow's database with them.
pytestmark = pytest.mark.usefixtures("dags")

FIRST = datetime(2026, 3, 1, 4, tzinfo=UTC)
STATES = {"f": DagRunState.FAILED, "s": DagRunState.SUCCESS, "r": DagRunState.RUNNING}


def add_runs(dag_id: str, states: str, is_stale: bool = False) -> None:
    """A DAG with a run a day; f, s and r are runs that failed, succeeded and are running."""
    with create_session() as session:
        session.merge(DagBundleModel(name="dags"))
        session.flush()
        session.add(
            DagModel(
                dag_id=dag_id,
                bundle_name="dags",
                fileloc=f"{dag_id}.py",
                is_stale=is_stale,
                max_active_tasks=1,
                max_active_runs=1,
                has_task_concurrency_limits=False,
            )
        )
        session.flush()
        for number, state in enumerate(states):
            run = DagRun(
                dag_id=dag_id,
                run_id=f"weekly:{number}",
                run_type=DagRunType.MANUAL,
                run_after=FIRST + timedelta(number),
                state=STATES[state],
            )
            run.end_date = None if state == "r" else FIRST + timedelta(number)
            session.add(run)


@pytest.mark.parametrize(
    ("dag_id", "states", "first_of_those_in_a_row"),
    [
        ("healed", "ffs", None),
        ("never_ran", "", None),
        ("failed_once", "ssf", 2),
        ("failed_again", "fsffr", 2),
        ("failed_always", "fff", 0),
    ],
)
def test_a_dag_is_red_since_the_first_of_the_failed_runs_that_its_newest_ends(
    dag_id: str, states: str, first_of_those_in_a_row: int | None
) -> None:
    add_runs(dag_id, states)

    found: Sequence[FailedRun] = [run for run in failed_runs() if run.dag_id == dag_id]

    if first_of_those_in_a_row is None:
        assert found == []
    else:
        newest = states.rindex("f")
        address = f"../../dags/{dag_id}/runs/weekly%3A{newest}"
        assert found == [FailedRun(dag_id, FIRST + timedelta(first_of_those_in_a_row), address)]


def test_a_dag_that_no_longer_exists_is_not_named() -> None:
    add_runs("gone", "f", is_stale=True)

    assert "gone" not in {run.dag_id for run in failed_runs()}
