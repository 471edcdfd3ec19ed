"""A training as an MLflow run: what it read, tried and measured, with a run for each trial."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.promotion.registry import NOTE_TAG
from include.lifecycle.promotion.staged_training import Role, StagedTraining
from include.lifecycle.storage.lake import RunInfo
from include.lifecycle.training.record import RECORD, TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, Run

_PARAM_LENGTH = 6000
_DIGEST_LENGTH = 36


def find_or_create(
    client: MlflowClient, staged: StagedTraining, record: TrainingRecord, run: RunInfo, role: Role
) -> Run:
    """The MLflow run of a staged training's candidate or baseline; it is created where there is none."""
    name = staged.model.name
    experiment_id = _experiment(client, name)
    tags = {"staged_digest": staged.digest, "kind": role}
    found = _search_runs(client, experiment_id, tags)
    if found:
        return found[0]
    of_the_day = {"as_of": str(staged.as_of), "kind": role}
    number = len(_search_runs(client, experiment_id, of_the_day)) + 1
    what = f"candidate {record.candidate}" if role == "candidate" else "baseline"
    if record.parent is not None:
        what = f"refit of version {record.parent.version}"
    return client.create_run(
        experiment_id,
        start_time=int(run.started_at.timestamp() * 1000),
        run_name=f"{name} {staged.as_of}, {what}, run {number}",
        tags={
            **tags,
            **of_the_day,
            "airflow_run": run.run_id,
            "airflow_run_url": run.url,
            "code_version": run.code_version,
        },
    )


def log_training(
    client: MlflowClient, training_run: Run, record: TrainingRecord, files: Mapping[str, Path], role: Role
) -> None:
    """Log what a training read, tried and measured to its run.

    Parameters
    ----------
    files : the files of the staged training, by name.
    """
    _log_summary(client, training_run, record, role)
    run_id = training_run.info.run_id
    if role == "candidate":
        _log_trials(client, training_run, record)
        _log_behaviour(client, training_run, record)
        for path in files.values():
            if path.suffix == ".png":
                client.log_artifact(run_id, str(path), "plots")
    client.log_artifact(run_id, str(files[RECORD]))


def _log_behaviour(client: MlflowClient, training_run: Run, record: TrainingRecord) -> None:
    """Log `behaviour.json`, and how many of the behaviour tests failed; nothing where none was run."""
    if not record.behaviour_tests:
        return
    run_id = training_run.info.run_id
    failed = sum(not result.passed for result in record.behaviour_tests)
    client.log_metric(run_id, "behaviour_tests_failed", failed, training_run.info.start_time)
    client.log_dict(run_id, {"tests": record.content()["behaviour_tests"]}, "behaviour.json")


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return _experiment(client, name)
        raise


def _search_runs(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> list[Run]:
    conditions = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([experiment_id], conditions, max_results=1000, order_by=["start_time ASC"]))


def _log_summary(client: MlflowClient, training_run: Run, record: TrainingRecord, role: Role) -> None:
    of_version = record.metrics if role == "candidate" else record.baseline_metrics
    metrics = {**of_version, **{f"baseline_{name}": value for name, value in record.baseline_metrics.items()}}
    params: dict[str, Any] = {"seed": record.seed, "split": record.split, "trials_budget": record.trials_budget}
    params |= {f"rows_{part}": rows for part, rows in record.rows.items()}
    if role == "candidate":
        params |= {"candidate": record.candidate, **record.params}
        features = record.importance.features if record.importance else {}
        metrics |= {f"importance_{name}": of_feature.mean for name, of_feature in features.items()}
    run_id, moment = training_run.info.run_id, training_run.info.start_time
    client.log_batch(run_id, _metrics(metrics, moment), _params(params))
    client.set_tag(run_id, NOTE_TAG, "\n\n".join([record.reason, *record.warnings]))
    client.set_tag(run_id, "reason", record.reason)
    client.log_inputs(run_id, _datasets(record.data))


def _log_trials(client: MlflowClient, training_run: Run, record: TrainingRecord) -> None:
    parent, moment = training_run.info, training_run.info.start_time
    metric = f"validation_{record.tuning_metric}"
    parent_tag = {"mlflow.parentRunId": parent.run_id}
    children = _search_runs(client, parent.experiment_id, parent_tag)
    present = {child.data.tags["trial"]: child for child in children}
    for trial in record.trials:
        number = str(trial.number)
        child = present.get(number) or client.create_run(
            parent.experiment_id,
            start_time=moment,
            run_name=f"{parent.run_name}, trial {number}: {trial.candidate}",
            tags={**parent_tag, "trial": number, "state": trial.state},
        )
        if child.info.status == "RUNNING":
            params = {"candidate": trial.candidate, **trial.params}
            values = _metrics({metric: trial.value}, moment)
            client.log_batch(child.info.run_id, values, _params(params))
            client.set_terminated(child.info.run_id, "FINISHED")


def _datasets(data: Mapping[str, str]) -> list[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=path,
                digest=digest[:_DIGEST_LENGTH],
                source_type="lake",
                source=json.dumps({"path": path, "digest": digest}),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for path, digest in sorted(data.items())
    ]


def _metrics(values: Mapping[str, float | None], moment: int) -> Sequence[Metric]:
    from mlflow.entities import Metric

    return [
        Metric(name, value, moment, 0)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def _params(values: Mapping[str, Any]) -> Sequence[Param]:
    from mlflow.entities import Param

    return [Param(name, str(value)[:_PARAM_LENGTH]) for name, value in values.items()]
