"""A time-lapse through the DAGs themselves: the runs of each week, one after the other, in one process.

`python -m ml_lifecycle.time_lapse <job.json>` lives the weeks that the job names, in the Airflow of its
environment, and appends a line of JSON to the job's log for what is going on, and one for each week that is over.
The runs are those that the scheduler would make; only their day comes from here.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from include.datasets.customers import CUSTOMERS
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.promotion import REASON_SEPARATOR
from include.models.churn import CHURN
from include.time_lapse.job import Job
from include.time_lapse.weeks import Decision, Training, live

MORNING = time(7, tzinfo=UTC)
"""When runs are due, on the day after the data: all schedules of the day are over."""


class Dags:
    """The stages as runs of the DAGs."""

    def __init__(self) -> None:
        from airflow.configuration import conf
        from airflow.dag_processing.dagbag import DagBag
        from airflow.utils.db import initdb

        initdb()
        bag = DagBag(conf.get("core", "dags_folder"))
        if bag.import_errors:
            raise ValueError(f"Airflow cannot read the DAG files: {bag.import_errors}")
        self._dags: dict[str, Any] = dict(bag.dags)
        self._forms = {
            dag_id: {name: dag.params.get_param(name).value for name in dag.params}
            for dag_id, dag in self._dags.items()
        }
        for dag in self._dags.values():
            # Nobody waits for these runs, and `dag.test` of Airflow 3.3 cannot make one that has a deadline.
            dag.deadline = None

    def extract(self, first: date, last: date) -> None:
        """`customers_etl`."""
        self._run(f"{CUSTOMERS.name}_etl", last, {"day": first.isoformat(), "last_day": last.isoformat()})

    def train(self, day: date) -> Training:
        """`churn_training`, which takes the request that is open."""
        from ml_lifecycle.hooks import WarehouseHook

        run = self._run(f"{CHURN.name}_training", day, {"day": day.isoformat()})
        with WarehouseHook().connection() as connection:
            history = ledger.entries(connection, CHURN.name)
        entry = next(entry for entry in reversed(history) if entry.run_id == run.run_id)
        reasons = tuple(entry.reason.split(REASON_SEPARATOR))
        return Training(verdict=entry.action, reasons=reasons, champion=entry.to_version or 0)

    def score(self, day: date) -> None:
        """`churn_scoring`, which finds the days itself."""
        self._run(f"{CHURN.name}_scoring", day, {})

    def monitor(self, day: date) -> Decision:
        """`churn_monitoring`."""
        run = self._run(f"{CHURN.name}_monitoring", day, {"day": day.isoformat()})
        found = _returned(run, "decide_retraining")
        return Decision(
            action=found["action"], reasons=tuple(found["reasons"]), is_open=found["open_request"] is not None
        )

    def _run(self, dag_id: str, day: date, form: dict[str, str]) -> Any:
        """A run that is due on the morning after a day; its form is as it opens but for what is given.

        Raises
        ------
        ValueError
            If the run fails.
        """
        due, dag = datetime.combine(day + timedelta(1), MORNING), self._dags[dag_id]
        # In one process, what a form is given stays in the DAG.
        for name, value in self._forms[dag_id].items():
            dag.params.get_param(name).value = value
        run = dag.test(run_after=due, logical_date=due, run_conf=self._forms[dag_id] | form)
        if run.state != "success":
            failed = [task.task_id for task in run.get_task_instances() if task.state == "failed"]
            raise ValueError(f"The run of {dag_id} on {day} failed in {', '.join(failed)}; the log says why.")
        return run


def _returned(run: Any, task_id: str) -> Any:
    """What a task of a run returned."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, task_ids=task_id, key="return_value")
        return XComModel.deserialize_value(session.scalars(found).one())


def main(path: Path) -> None:
    """Live the weeks of a job."""
    logging.captureWarnings(True)
    job = Job.model_validate_json(path.read_text())
    with Path(job.log).open("a", buffering=1) as log:

        def say(**content: Any) -> None:
            log.write(json.dumps(content) + "\n")

        weeks = live(Dags(), job.span, with_loop=job.with_loop, show=lambda week, text: say(at=week, text=text))
        for week in weeks:
            say(week=week.model_dump(mode="json"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
