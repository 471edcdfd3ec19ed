"""What the registry shows of versions: aliases, and figures that are measured later; on a real MLflow server."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import registry
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.staged_training import AS_OF, small_model, stage


@pytest.fixture
def model() -> ModelSpec:
    return small_model(f"returns_{uuid.uuid4().hex[:8]}")


def test_aliases_follow_and_leave_versions(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run, "baseline")
    client = MlflowClient(mlflow_url, mlflow_url)

    assert registry.champion(mlflow_url, model.name) is None
    for aliases in (Aliases(2, 1), Aliases(1, None), Aliases(1, 2), Aliases(1, 2)):
        registry.set_aliases(mlflow_url, model.name, aliases)
        found = client.get_registered_model(model.name).aliases
        assert found == {name: str(version) for name, version in vars(aliases).items() if version is not None}
    champion = registry.champion(mlflow_url, model.name)
    assert champion is not None
    assert (champion.version, champion.as_of, champion.score_column) == (1, AS_OF, "candidate_score")


def test_a_model_that_was_never_registered_has_no_champion(mlflow_url: str) -> None:
    assert registry.champion(mlflow_url, "never_registered") is None


def test_what_is_measured_of_a_version_is_in_its_run_once_however_often_it_is_logged(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    name, version, week = model.name, pushed.version, timedelta(weeks=1)

    for _ in range(2):
        registry.log_metrics(mlflow_url, name, version, {"drift/score": 0.5, "drift/pages": 2.0}, AS_OF + week, 7)
    registry.log_metrics(mlflow_url, name, version, {"drift/score": 1.5}, AS_OF + 2 * week, 14)

    history = MlflowClient(mlflow_url, mlflow_url).get_metric_history(pushed.run_id, "drift/score")
    assert [(point.step, point.value) for point in history] == [(7, 0.5), (14, 1.5)]
    moment = datetime.fromtimestamp(history[0].timestamp / 1000, UTC)
    assert moment.date() == AS_OF + week
    with pytest.raises(UnusableModelError, match="Version 99"):
        registry.log_metrics(mlflow_url, name, 99, {"drift/score": 0.5}, AS_OF, 0)
