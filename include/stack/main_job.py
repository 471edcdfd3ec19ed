"""The main job, run through Airflow's REST API: data, features, model, predictions, drift report."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console

from include.catalog import DATASETS, MODELS
from include.datasets.market import MARKET
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.stack import results
from include.stack.airflow_api import PAGE_SIZE, AirflowApi
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.services import Services

SAMPLE, PORTFOLIO, MAINTENANCE = "sample_world", "portfolio", "maintenance"
SNAPSHOT_KINDS = ("csv", "files")
DAGS_SECONDS = 300
WAKE_SECONDS = 30
POLL_SECONDS = 1.0
LONGEST_BREAK_DAYS = 14
UNFINISHED = ("queued", "running")
ENDED_TASKS = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True)
class ModelSituation:
    """What there is of a model.

    Attributes:
        name: the model's name.
        has_champion: whether the registry names a champion.
        predictions_day: the day of the newest predictions.
        has_report: whether there is a drift report.
    """

    name: str
    has_champion: bool
    predictions_day: date | None
    has_report: bool


@dataclass(frozen=True)
class Situation:
    """What there is of a dataset and of the models that learn from it; from it follows what is left to do.

    Attributes:
        dataset: the dataset's name.
        source_day: the last day that the source has.
        source_is_sample: whether that source is the generated sample company.
        source_is_snapshot: whether it is a file, on which a person decides what to train and score.
        features_day: the last day with features.
        models: what there is of each model.
    """

    dataset: str
    source_day: date
    source_is_sample: bool
    source_is_snapshot: bool
    features_day: date | None
    models: tuple[ModelSituation, ...]

    @property
    def data_is_old(self) -> bool:
        """Whether the source has a day without features."""
        return self.features_day is None or self.features_day < self.source_day


def steps(situations: Sequence[Situation], *, portfolio_is_old: bool) -> list[str]:
    """Return the ids of the DAGs that have something to do, in order."""
    sample_is_old = any(now.source_is_sample and now.data_is_old for now in situations)
    due = [dag_id for now in situations for dag_id in _steps(now)]
    return [*([SAMPLE] if sample_is_old else []), *due, *([PORTFOLIO] if portfolio_is_old else [])]


def _steps(now: Situation) -> list[str]:
    if now.source_is_snapshot:
        return [] if now.features_day else [f"{now.dataset}_etl"]
    due = [f"{now.dataset}_etl"] if now.data_is_old else []
    for model in now.models:
        trains = [] if model.has_champion else [f"{model.name}_training"]
        scores = now.data_is_old or trains or model.predictions_day != now.features_day
        reports = scores or not model.has_report
        due += [
            *trains,
            *([f"{model.name}_scoring"] if scores else []),
            *([f"{model.name}_monitoring"] if reports else []),
        ]
    return due


def run(services: Services, console: Console, check: Callable[[], None] = lambda: None) -> None:
    """Run the DAGs that have something to do, one after the other, and show how far they are.

    Args:
        services: the stack.
        console: where to show it.
        check: raises StackError when the stack is broken; asked again and again while a run goes on.

    Raises:
        StackError: a DAG cannot be read or a run fails; with the failed task's last log lines.
    """
    with AirflowApi(services) as api:
        situations = [_situation(services, api, dataset) for dataset in DATASETS.values()]
        due = steps(situations, portfolio_is_old=_portfolio_is_old(services, situations))
        if not due:
            return
        with Display(console) as display:
            job = MainJob(services, api, display, check)
            job.wait_for_dags({*due, MAINTENANCE})
            scorings = {f"{model.name}_scoring": model for model in MODELS.values()}
            for dag_id in (scorings.keys() | {PORTFOLIO}) & set(due):
                api.unpause(dag_id)  # before its features come: a paused DAG misses what would wake it
            etls = {f"{now.dataset}_etl": now for now in situations if not now.source_is_snapshot}
            for dag_id in due:
                if dag_id in scorings:
                    job.wait_for_predictions(scorings[dag_id])
                elif dag_id in etls:
                    job.run_etl(etls[dag_id])
                else:
                    job.run(dag_id)
            api.unpause(MAINTENANCE)  # from now on it looks after what was made


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
                    f"Airflow found no DAG {', '.join(sorted(missing))} within "
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

    def wait_for_predictions(self, model: ModelSpec) -> None:
        """Follow the runs that new features or a new champion wake until the newest features have predictions.

        Raises:
            StackError: a run fails, or none brings the predictions.
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

        Raises:
            StackError: a run fails.
        """
        dag_id = f"{now.dataset}_etl"
        self.run(dag_id)
        newest = results.newest_features_day(self._services, now.dataset)
        if newest is not None and newest < now.source_day:
            self.follow(dag_id, self._api.trigger(dag_id))

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
            self._check()
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

    def _has_predictions(self, model: str, day: date | None) -> bool:
        latest = results.latest_predictions(self._services, model)
        return latest is not None and day is not None and latest["day"] == day.isoformat()

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
            "Put right what it says and run `make run` again; it goes on from there."
        )


def _situation(services: Services, api: AirflowApi, dataset: DatasetSpec) -> Situation:
    kind = json.loads(api.get(f"/variables/{dataset.name}_source")["value"])["kind"]
    variables = {variable["key"] for variable in api.get("/variables", limit=PAGE_SIZE)["variables"]}
    return Situation(
        dataset=dataset.name,
        source_day=_newest_day(dataset),
        source_is_sample=kind == "postgres" and SAMPLE in variables,
        source_is_snapshot=kind in SNAPSHOT_KINDS,
        features_day=results.newest_features_day(services, dataset.name),
        models=tuple(
            _model_situation(services, model.name)
            for model in MODELS.values()
            if model.dataset.name == dataset.name
        ),
    )


def _portfolio_is_old(services: Services, situations: Sequence[Situation]) -> bool:
    """Whether the market has, or will have, predictions of a newer day than the portfolio's."""
    market = next(now for now in situations if now.dataset == MARKET.name)
    if market.source_is_snapshot:
        return False
    made = results.portfolio_day(services)
    return made is None or made < market.source_day


def _newest_day(dataset: DatasetSpec) -> date:
    """The last day of the dataset's calendar that is over."""
    yesterday = datetime.now(ZoneInfo(dataset.timezone)).date() - timedelta(days=1)
    return dataset.calendar.days(yesterday - timedelta(days=LONGEST_BREAK_DAYS), yesterday)[-1]


def _model_situation(services: Services, model: str) -> ModelSituation:
    latest = results.latest_predictions(services, model)
    return ModelSituation(
        name=model,
        has_champion=results.champion(services, model) is not None,
        predictions_day=date.fromisoformat(latest["day"]) if latest else None,
        has_report=results.newest_report(services, model) is not None,
    )


def _running_tasks(instances: list[dict[str, Any]]) -> str:
    counts = Counter(instance["task_id"] for instance in instances if instance["state"] == "running")
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in sorted(counts.items()))
