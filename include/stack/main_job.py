"""The main job, run through Airflow's REST API: data, features, model, predictions, drift report."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rich.console import Console

from include.stack import health, results
from include.stack.airflow_api import PAGE_SIZE, AirflowApi
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.settings import StackSettings

SAMPLE, ETL, TRAINING, SCORING, MONITORING = (
    "sample_world",
    "customers_etl",
    "churn_training",
    "churn_scoring",
    "churn_monitoring",
)
DAGS_SECONDS = 300
WAKE_SECONDS = 30
POLL_SECONDS = 1.0
UNFINISHED = ("queued", "running")
ENDED_TASKS = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True)
class Situation:
    """What there is, from which follows what is left to do.

    Attributes:
        source_day: the last day that the source has.
        source_is_sample: whether that source is the generated sample company.
        source_is_snapshot: whether it is one answered day, on which a person decides what to train and score.
        features_day: the last day with features.
        has_champion: whether the registry names a champion.
        predictions_day: the day of the newest predictions.
        has_report: whether there is a drift report.
    """

    source_day: date
    source_is_sample: bool
    source_is_snapshot: bool
    features_day: date | None
    has_champion: bool
    predictions_day: date | None
    has_report: bool


def steps(now: Situation) -> list[str]:
    """Return the ids of the DAGs that have something to do, in order."""
    data_is_old = now.features_day is None or now.features_day < now.source_day
    if now.source_is_snapshot:
        return [ETL] if data_is_old else []
    due = []
    if data_is_old and now.source_is_sample:
        due.append(SAMPLE)
    if data_is_old:
        due.append(ETL)
    if not now.has_champion:
        due.append(TRAINING)
    if due or now.predictions_day != now.features_day:
        due.append(SCORING)
    if due or not now.has_report:
        due.append(MONITORING)
    return due


def run(settings: StackSettings, console: Console) -> None:
    """Run the DAGs that have something to do, one after the other, and show how far they are.

    Raises:
        StackError: a DAG cannot be read or a run fails; with the failed task's last log lines.
    """
    with AirflowApi(settings) as api:
        due = steps(_situation(settings, api))
        if not due:
            return
        with Display(console) as display:
            job = MainJob(settings, api, display)
            job.wait_for_dags(set(due))
            if SCORING in due:
                api.unpause(SCORING)  # before its features come: a paused DAG misses what would wake it
            for dag_id in due:
                if dag_id == SCORING:
                    job.wait_for_predictions()
                else:
                    job.run(dag_id)


class MainJob:
    """The runs of one main job, followed on a display."""

    def __init__(self, settings: StackSettings, api: AirflowApi, display: Display) -> None:
        self._settings = settings
        self._api = api
        self._display = display

    def wait_for_dags(self, wanted: set[str]) -> None:
        """Wait until Airflow has read the DAGs.

        Raises:
            StackError: a DAG file has an error, or DAGs do not appear in time.
        """
        began, deadline = datetime.now(UTC), time.monotonic() + DAGS_SECONDS
        while missing := wanted - self._api.dag_ids():
            self._display.show("DAG files", f"waiting for {', '.join(sorted(missing))}")
            fresh = [e for e in self._api.import_errors() if datetime.fromisoformat(e["timestamp"]) > began]
            if fresh:
                raise StackError(f"Airflow cannot read {fresh[0]['filename']}:\n\n{fresh[0]['stack_trace']}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"Airflow found no DAG {', '.join(sorted(missing))} in {self._settings.dags_dir} within "
                    f"{DAGS_SECONDS} seconds: `make logs` shows what its dag-processor says."
                )
            time.sleep(POLL_SECONDS)
        self._display.show("DAG files", "ready", 1, 1)

    def run(self, dag_id: str) -> None:
        """Let a DAG run once and follow it; a run that is going on, or due by its schedule, is taken as that one.

        Raises:
            StackError: the run fails.
        """
        due = self._api.due_run(dag_id)
        self._api.unpause(dag_id)
        going_on = self._unfinished_run(dag_id) or (due and self._scheduled_run(dag_id, due))
        self.follow(dag_id, going_on or self._api.trigger(dag_id))

    def wait_for_predictions(self) -> None:
        """Follow the runs that new features or a new champion wake until the newest features have predictions.

        Raises:
            StackError: a run fails, or none brings the predictions.
        """
        wanted, triggered = results.newest_features_day(self._settings), False
        woken_by = time.monotonic() + WAKE_SECONDS
        while not self._has_predictions(wanted):
            if active := self._unfinished_run(SCORING):
                self.follow(SCORING, active)
            elif time.monotonic() < woken_by:
                self._display.show(SCORING, "waiting to be woken by new features")
                time.sleep(POLL_SECONDS)
            elif triggered:
                raise StackError(
                    f"{SCORING} ended well, but predictions/{results.MODEL}/latest.json does not name {wanted}, "
                    f"the newest day with features. Its runs: {self._settings.airflow_url}/dags/{SCORING}/runs"
                )
            else:
                self.follow(SCORING, self._api.trigger(SCORING))
                triggered = True
        self._display.show(SCORING, f"predictions of {wanted} are published", 1, 1)

    def follow(self, dag_id: str, run_id: str) -> None:
        """Show a run's progress until it ends.

        Raises:
            StackError: it fails, or a program of the stack that it needs is gone for good.
        """
        while True:
            state = self._api.run_state(dag_id, run_id)
            instances = self._api.task_instances(dag_id, run_id)
            done = sum(instance["state"] in ENDED_TASKS for instance in instances)
            if state == "success":
                self._display.show(dag_id, "done", done, done)
                return
            if state == "failed":
                raise StackError(self._failure(dag_id, run_id, instances))
            self._display.show(dag_id, _running_tasks(instances) or state, done, len(instances) or None)
            health.refuse_given_up(self._settings)
            time.sleep(POLL_SECONDS)

    def _unfinished_run(self, dag_id: str) -> str | None:
        unfinished = [run["dag_run_id"] for run in self._api.runs(dag_id) if run["state"] in UNFINISHED]
        return unfinished[-1] if unfinished else None

    def _scheduled_run(self, dag_id: str, due: str) -> str | None:
        deadline = time.monotonic() + WAKE_SECONDS
        while time.monotonic() < deadline:
            for run in self._api.runs(dag_id):
                if run["run_after"] == due:
                    return str(run["dag_run_id"])
            time.sleep(POLL_SECONDS)
        return None

    def _has_predictions(self, day: date | None) -> bool:
        latest = results.latest_predictions(self._settings)
        return latest is not None and day is not None and latest["day"] == day.isoformat()

    def _failure(self, dag_id: str, run_id: str, instances: list[dict[str, Any]]) -> str:
        url = f"{self._settings.airflow_url}/dags/{dag_id}/runs/{run_id}"
        failed = [instance for instance in instances if instance["state"] == "failed"]
        if not failed:
            return f"{dag_id} failed, though no task did. The run: {url}"
        first = min(failed, key=lambda instance: str(instance["end_date"]))
        mapped = f"/mapped/{first['map_index']}" if first["map_index"] >= 0 else ""
        lines = "\n".join(self._api.log_lines(first))
        return (
            f"{dag_id} failed in its task {first['task_id']}. The log ends with:\n\n{lines}\n\n"
            f"The task: {url}/tasks/{first['task_id']}{mapped}\n"
            "Put right what it says and run `make run` again; it goes on from there."
        )


def _situation(settings: StackSettings, api: AirflowApi) -> Situation:
    source = json.loads(api.get("/variables/customers_source")["value"])
    variables = {variable["key"] for variable in api.get("/variables", limit=PAGE_SIZE)["variables"]}
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    latest = results.latest_predictions(settings)
    return Situation(
        source_day=date.fromisoformat(source["day"]) if source["kind"] == "csv" else yesterday,
        source_is_sample=source["kind"] == "postgres" and "sample_world" in variables,
        source_is_snapshot=source["kind"] == "csv",
        features_day=results.newest_features_day(settings),
        has_champion=results.champion(settings) is not None,
        predictions_day=date.fromisoformat(latest["day"]) if latest else None,
        has_report=results.newest_report(settings) is not None,
    )


def _running_tasks(instances: list[dict[str, Any]]) -> str:
    counts = Counter(instance["task_id"] for instance in instances if instance["state"] == "running")
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in sorted(counts.items()))
