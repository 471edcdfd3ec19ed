"""The main job, run through Airflow's REST API: data, features, model, predictions, drift report."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from rich.console import Console

from include.catalog import DATASETS, MODELS
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.stack import results
from include.stack.airflow_api import AirflowApi
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.services import Services
from include.stack.situations import (
    PORTFOLIO,
    SAMPLE,
    NoSourceError,
    Situation,
    find_situation,
    has_old_portfolio,
    steps,
)

MAINTENANCE = "maintenance"
DAGS_SECONDS = 300
WAKE_SECONDS = 30
POLL_SECONDS = 1.0
UNFINISHED = ("queued", "running")
ENDED_TASKS = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True)
class Request:
    """What a person asks of the main job: everything, or one dataset, trained as of a day.

    Attributes
    ----------
    dataset : the dataset's name; None for all that have something to do.
    as_of : the day to train as of, score and report on; None for the newest day with features.
    """

    dataset: str | None = None
    as_of: date | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read ``DATASET`` and ``AS_OF``, which make hands on.

        Raises
        ------
        StackError
            If there is no such dataset, or AS_OF is no day or stands alone.
        """
        dataset, text = environment.get("DATASET") or None, environment.get("AS_OF") or None
        if dataset is not None and dataset not in DATASETS:
            raise StackError(f"DATASET={dataset} is no dataset; they are {', '.join(DATASETS)}.")
        if text is None:
            return cls(dataset)
        if dataset is None:
            raise StackError(f"AS_OF={text} needs a dataset: make run DATASET={next(iter(DATASETS))} AS_OF={text}")
        try:
            return cls(dataset, date.fromisoformat(text))
        except ValueError as error:
            raise StackError(f"AS_OF={text} is no day; write it like 2026-10-31.") from error


def run(
    services: Services, console: Console, check: Callable[[], None] = lambda: None, request: Request | None = None
) -> None:
    """Run the DAGs that have something to do, one after the other, and show how far they are.

    Parameters
    ----------
    services : the stack.
    console : where to show it.
    check : raises StackError when the stack is broken; asked again and again while a run goes on.
    request : what was asked for; by default, everything.

    Raises
    ------
    StackError
        If a DAG cannot be read or a run fails; with the failed task's last log lines.
    """
    with AirflowApi(services) as api:
        if request is not None and request.dataset is not None:
            run_dataset(services, api, console, check, request)
        else:
            _run_all(services, api, console, check)


def _run_all(services: Services, api: AirflowApi, console: Console, check: Callable[[], None]) -> None:
    situations = known_situations(services, api, console)
    due = steps(situations, portfolio_is_old=has_old_portfolio(services, situations))
    if not due:
        return
    with Display(console) as display:
        job = MainJob(services, api, display, check)
        job.wait_for_dags({*due, MAINTENANCE})
        scorings = {f"{model.name}_scoring": model for model in MODELS.values()}
        for dag_id in (scorings.keys() | {PORTFOLIO}) & set(due):
            api.unpause(dag_id)  # before its features come: a paused DAG misses what would wake it
        etls = {f"{now.dataset}_etl": now for now in situations if now.gets_new_days}
        for dag_id in due:
            if dag_id in scorings:
                job.wait_for_predictions(scorings[dag_id])
            elif dag_id in etls:
                job.run_etl(etls[dag_id])
            else:
                job.run(dag_id)
        api.unpause(MAINTENANCE)  # from now on it looks after what was made


def known_situations(services: Services, api: AirflowApi, console: Console) -> list[Situation]:
    """Those of the datasets that have a source; of the others it is said what they lack."""
    situations = []
    for dataset in DATASETS.values():
        try:
            situations.append(find_situation(services, api, dataset))
        except NoSourceError as error:
            console.print(f"Left out: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    return situations


def run_dataset(
    services: Services, api: AirflowApi, console: Console, check: Callable[[], None], request: Request
) -> None:
    """Take one dataset from its source to the reports of its models, as of a day."""
    dataset = DATASETS[str(request.dataset)]
    now = find_situation(services, api, dataset)
    models = [model.name for model in MODELS.values() if model.dataset.name == dataset.name]
    etl = [*([SAMPLE] if now.source_is_sample and now.data_is_old else []), f"{dataset.name}_etl"]
    stages = [f"{name}_{stage}" for name in models for stage in ("training", "scoring", "monitoring")]
    with Display(console) as display:
        job = MainJob(services, api, display, check)
        job.wait_for_dags({*etl, *stages, MAINTENANCE})
        for dag_id in etl:
            job.run(dag_id)
        form = {"day": _day_to_learn(services, dataset, request.as_of).isoformat()}
        for dag_id in stages:
            api.unpause(dag_id)
            # Whoever has changed a model wants to see what it says of the same day.
            again = {"rescore": True} if dag_id.endswith("_scoring") else {}
            job.follow(dag_id, api.trigger(dag_id, form | again))
        api.unpause(MAINTENANCE)


def _day_to_learn(services: Services, dataset: DatasetSpec, as_of: date | None) -> date:
    """The newest day with features until `as_of`."""
    day = results.newest_features_day(services, dataset.name, as_of)
    if day is None:
        until = f" until {as_of}" if as_of else ""
        raise StackError(
            f"{dataset.title} has no day with features{until}. `make check-data DATASET={dataset.name}` says what "
            "its data lack."
        )
    return day


class MainJob:
    """The runs of one main job, followed on a display."""

    def __init__(
        self, services: Services, api: AirflowApi, display: Display, check: Callable[[], None] = lambda: None
    ) -> None:
        self._services = services
        self._check = check
        self._api = api
        self._display = display

    def wait_for_dags(self, wanted: set[str]) -> None:
        """Wait until Airflow has read the DAGs.

        Raises
        ------
        StackError
            If a DAG file has an error, or DAGs do not appear in time.
        """
        began, deadline = datetime.now(UTC), time.monotonic() + DAGS_SECONDS
        while missing := wanted - self._api.dag_ids():
            self._display.show("DAG files", f"waiting for {', '.join(sorted(missing))}")
            fresh = [e for e in self._api.import_errors() if datetime.fromisoformat(e["timestamp"]) > began]
            if fresh:
                raise StackError(f"Airflow cannot read {fresh[0]['filename']}:\n\n{fresh[0]['stack_trace']}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"Airflow found no DAG {', '.join(sorted(missing))} within "
                    f"{DAGS_SECONDS} seconds: `make logs` shows what its dag-processor says."
                )
            time.sleep(POLL_SECONDS)
        self._display.show("DAG files", "ready", 1, 1)

    def run(self, dag_id: str) -> None:
        """Let a DAG run once and follow it; a run that is going on, or due by its schedule, is taken as that one.

        Raises
        ------
        StackError
            If the run fails.
        """
        due = self._api.due_run(dag_id)
        self._api.unpause(dag_id)
        going_on = self._unfinished_run(dag_id) or (due and self._scheduled_run(dag_id, due))
        self.follow(dag_id, going_on or self._api.trigger(dag_id))

    def wait_for_predictions(self, model: ModelSpec) -> None:
        """Follow the runs that new features or a new champion wake until the newest features have predictions.

        Raises
        ------
        StackError
            If a run fails, or none brings the predictions.
        """
        dag_id, triggered = f"{model.name}_scoring", False
        wanted = results.newest_features_day(self._services, model.dataset.name)
        woken_by = time.monotonic() + WAKE_SECONDS
        while not self._has_predictions(model.name, wanted):
            if active := self._unfinished_run(dag_id):
                self.follow(dag_id, active)
            elif time.monotonic() < woken_by:
                self._display.show(dag_id, "waiting to be woken by new features")
                time.sleep(POLL_SECONDS)
            elif triggered:
                raise StackError(
                    f"{dag_id} ended well, but predictions/{model.name}/latest.json does not name {wanted}, "
                    f"the newest day with features. Its runs: {self._services.airflow_pages}/dags/{dag_id}/runs"
                )
            else:
                self.follow(dag_id, self._api.trigger(dag_id))
                triggered = True
        self._display.show(dag_id, f"predictions of {wanted} are published", 1, 1)

    def run_etl(self, now: Situation) -> None:
        """Let a dataset's ETL run until the source's newest day has features, with a second run at most.

        Between midnight and the hour of its schedule, the run that is due is that of the day before.

        Raises
        ------
        StackError
            If a run fails.
        """
        dag_id = f"{now.dataset}_etl"
        self.run(dag_id)
        newest = results.newest_features_day(self._services, now.dataset)
        if newest is not None and newest < now.source_day:
            self.follow(dag_id, self._api.trigger(dag_id))

    def follow(self, dag_id: str, run_id: str) -> None:
        """Show a run's progress until it ends.

        Raises
        ------
        StackError
            If it fails, or a program of the stack that it needs is gone for good.
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
            now = self._question(dag_id, run_id, instances) or _running_tasks(instances) or state
            self._display.show(dag_id, now, done, len(instances) or None)
            self._check()
            time.sleep(POLL_SECONDS)

    def _question(self, dag_id: str, run_id: str, instances: list[dict[str, Any]]) -> str | None:
        """Where a run waits for somebody's answer, if it does."""
        asking = [instance["task_id"] for instance in instances if instance["state"] == "awaiting_input"]
        if not asking:
            return None
        url = f"{self._services.airflow_pages}/dags/{dag_id}/runs/{run_id}/tasks/{asking[0]}/required_actions"
        return f"waiting for your answer at {url}"

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

    def _has_predictions(self, model: str, day: date | None) -> bool:
        latest = results.latest_predictions(self._services, model)
        return latest is not None and latest.day == day

    def _failure(self, dag_id: str, run_id: str, instances: list[dict[str, Any]]) -> str:
        url = f"{self._services.airflow_pages}/dags/{dag_id}/runs/{run_id}"
        failed = [instance for instance in instances if instance["state"] == "failed"]
        if not failed:
            return f"{dag_id} failed, though no task did. The run: {url}"
        first = min(failed, key=lambda instance: str(instance["end_date"]))
        mapped = f"/mapped/{first['map_index']}" if first["map_index"] >= 0 else ""
        lines = "\n".join(self._api.log_lines(first))
        return (
            f"{dag_id} failed in its task {first['task_id']}. The log ends with:\n\n{lines}\n\n"
            f"The task: {url}/tasks/{first['task_id']}{mapped}\n"
            "Fix what it names and run `make run` again; it continues from there."
        )


def _running_tasks(instances: list[dict[str, Any]]) -> str:
    counts = Counter(instance["task_id"] for instance in instances if instance["state"] == "running")
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in sorted(counts.items()))
