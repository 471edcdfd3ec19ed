"""The card of a version: published after the gate, and never again in other words."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from include.lifecycle.promotion import ledger, model_card
from include.lifecycle.promotion.promotion import run_gate
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.staged_training import AS_OF, small_model, stage
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells


class Trainings:
    """Trainings of one model as of one day, with their verdicts and cards."""

    def __init__(self, lake: Lake, run: RunInfo, scratch: Path, mlflow_url: str, postgres: Any) -> None:
        self.model: ModelSpec = small_model(f"returns_{uuid.uuid4().hex[:8]}")
        self.lake, self.run, self.scratch = lake, run, scratch
        self.mlflow_url, self.postgres = mlflow_url, postgres

    def train(self, **training: Any) -> int:
        """The version of a training in a run of its own."""
        run = replace(self.run, run_id=f"run {uuid.uuid4().hex}")
        digest = stage(self.model, self.lake, run, self.scratch, **training).digest
        staged = StagedTraining(self.model, AS_OF, digest)
        version = push_model(self.mlflow_url, self.lake, staged, run).version
        run_gate(self.mlflow_url, self.lake, self.postgres, staged, version, run)
        self.publish(version, run)
        return version

    def publish(self, version: int, run: RunInfo) -> None:
        entry = ledger.first_verdict(ledger.entries(self.postgres, self.model.name), version)
        model_card.publish(
            self.model, self.lake, AS_OF, model_card.Decided(entry), {"In MLflow": "http://mlflow/1"}, run
        )
        model_card.show_in_mlflow(self.mlflow_url, self.model, self.lake, AS_OF, entry)

    def page(self, version: int) -> str:
        [file] = self.lake.download(self.model.card_prefix(version), AS_OF, self.scratch, "index.html")
        html = file.read_text()
        assert code_in(html) == []
        assert [*broken_promises(html), *split_cells(html), *loose_percentages(html)] == []
        return html


@pytest.fixture
def trainings(lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, postgres: Any) -> Trainings:
    return Trainings(lake, run, tmp_path, mlflow_url, postgres)


def test_the_cards_of_two_trainings_of_a_day_lie_side_by_side(trainings: Trainings) -> None:
    promoted = trainings.train(noise=0.0)
    before = trainings.page(promoted)

    refused = trainings.train(noise=2.0)

    assert trainings.page(promoted) == before
    assert f"Version {promoted}, promoted" in before
    page = trainings.page(refused)
    assert f"Version {refused}, refused" in page
    for column in (f"candidate (version {refused})", f"champion (version {promoted})", "baseline"):
        assert column in page
    assert 'href="http://mlflow/1"' in page
    assert 'href="partitions.json"' in page
    evidence = trainings.lake.read_json(trainings.model.card_prefix(refused), AS_OF, "card.json")["gate"]
    assert set(evidence["champion_metrics"]) == {"average_precision", "roc_auc", "brier", "ece", "lift_10"}
    assert evidence["champion_metrics"]["roc_auc"] == evidence["champion_score"]


def test_a_version_that_is_evaluated_again_keeps_the_card_of_its_first_verdict(trainings: Trainings) -> None:
    version = trainings.train(noise=0.0)
    before = {key: trainings.lake.read_object(key) for key in trainings.lake.keys("reports/")}

    assert trainings.train(noise=0.0) == version

    assert {key: trainings.lake.read_object(key) for key in trainings.lake.keys("reports/")} == before
    assert len(ledger.entries(trainings.postgres, trainings.model.name)) == 1


def test_a_card_is_restored_after_another_training_of_the_day(trainings: Trainings) -> None:
    version = trainings.train(noise=0.0)
    before = trainings.page(version)
    trainings.train(noise=2.0)
    for key in trainings.lake.keys(trainings.model.card_prefix(version)):
        trainings.lake.client.delete_object(Bucket=trainings.lake.bucket, Key=key)

    trainings.publish(version, trainings.run)

    assert trainings.page(version) == before


def test_mlflow_says_what_the_card_says(trainings: Trainings) -> None:
    refused = trainings.train(noise=2.0)

    client = MlflowClient(trainings.mlflow_url, trainings.mlflow_url)
    version = client.get_model_version(trainings.model.name, str(refused))
    assert version.description is not None
    assert version.run_id is not None
    assert version.description.startswith(f"Version {refused}, refused: ")
    assert client.get_run(version.run_id).data.tags["mlflow.note.content"] == version.description
    assert "model_card.html" in {item.path for item in client.list_artifacts(version.run_id)}
    baseline = client.get_model_version(trainings.model.name, str(refused + 1))
    assert baseline.tags["gate_verdict"] == "baseline"
    assert baseline.description is not None
    assert "The naive baseline is champion because" in baseline.description
