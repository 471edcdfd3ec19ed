from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import mlflow
import polars as pl
import pytest
import requests
import skops.io
from mlflow import MlflowClient
from numpy.testing import assert_array_equal

from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.model_files import UntrustedModelError, UnusableModelError
from include.lifecycle.promotion import registry
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.promotion.push import push_model
from include.lifecycle.promotion.staged_training import StagedTraining
from include.lifecycle.specs import ModelSpec, Monotonic
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.damage import DAMAGES, damage
from tests.integration.staged_training import AS_OF, orders, small_model, stage

_WRITES = ("create_", "log_", "set_", "finalize_", "delete_")


@pytest.fixture(autouse=True)
def _no_global_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow's global server is out of reach, so only the given address can work; and it is left alone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
    assert mlflow.active_run() is None


@pytest.fixture
def model() -> ModelSpec:
    return small_model(f"returns_{uuid.uuid4().hex[:8]}")


class KilledError(Exception):
    """Stands for the end of the process."""


class MortalClient:
    """A client whose process dies before its n-th write."""

    def __init__(self, client: MlflowClient, writes: int) -> None:
        self._client, self._writes = client, writes

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_WRITES):
            if self._writes == 0:
                raise KilledError
            self._writes -= 1
        return getattr(self._client, name)


def test_a_push_logs_what_the_training_read_tried_and_measured(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path, trials=3).digest

    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)

    client = MlflowClient(mlflow_url, mlflow_url)
    parent = client.get_run(pushed.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["holdout_roc_auc"] > 0.9
    assert parent.data.metrics["baseline_holdout_roc_auc"] < 0.7
    assert parent.data.metrics["importance_price"] == 0.25
    assert parent.data.tags["mlflow.note.content"] == "test\n\nThe holdout is small."
    assert parent.info.run_name == f"{model.name} 2026-03-01, candidate logistic, run 1"
    assert parent.data.tags["airflow_run_url"] == run.url
    assert parent.data.params["candidate"] == "logistic"
    assert parent.data.params["C"] == "1.0"
    assert parent.inputs is not None
    assert {item.dataset.name for item in parent.inputs.dataset_inputs} == {
        "features/shop/dt=2026-02-14",
        "features/shop/dt=2026-02-21",
    }
    artifacts = {item.path for folder in ("", "plots") for item in client.list_artifacts(pushed.run_id, folder)}
    assert artifacts == {"training.json", "plots", "plots/calibration.png"}
    trials = children(client, pushed.run_id)
    assert [(trial.data.params["C"], trial.data.metrics["validation_average_precision"]) for trial in trials] == [
        ("1.0", 0.5),
        ("2.0", 0.51),
        ("3.0", 0.52),
    ]
    tags = registry.version_tags(mlflow_url, model.name, pushed.version)
    assert tags["as_of"] == "2026-03-01"
    assert (tags["learnt_from"], tags["learnt_until"]) == ("2026-02-14", "2026-02-14")
    assert (tags["kind"], tags["staged_digest"], tags["code_version"]) == ("candidate", digest, "test")


def test_a_push_logs_the_behaviour_tests_and_how_many_failed(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    tests = (
        Monotonic(name="higher price", steps={"price": (-1.0, 0.0, 1.0)}),
        Monotonic(name="lower price", steps={"price": (-1.0, 0.0, 1.0)}, direction="down"),
    )
    model = small_model(f"returns_{uuid.uuid4().hex[:8]}", behaviour=tests)
    digest = stage(model, lake, run, tmp_path).digest

    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)

    client = MlflowClient(mlflow_url, mlflow_url)
    assert client.get_run(pushed.run_id).data.metrics["behaviour_tests_failed"] == 1
    logged = json.loads(
        Path(client.download_artifacts(pushed.run_id, "behaviour.json", str(tmp_path))).read_text()
    )
    assert [(test["name"], test["passed"]) for test in logged["tests"]] == [
        ("higher price", True),
        ("lower price", False),
    ]


def test_no_two_trainings_of_a_day_have_the_same_name(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    client = MlflowClient(mlflow_url, mlflow_url)
    names = []
    for noise in (0.0, 0.5):
        digest = stage(model, lake, run, tmp_path, noise=noise).digest
        for which in ("candidate", "baseline"):
            pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run, which)
            names += [
                one.info.run_name for one in (client.get_run(pushed.run_id), *children(client, pushed.run_id))
            ]

    assert len(names) == len(set(names)) == 8
    assert f"{model.name} 2026-03-01, baseline, run 2" in names


def test_the_registered_file_is_the_staged_one_and_predicts_the_same(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    holdout = pl.read_parquet(tmp_path / "holdout.parquet")

    estimator = registry.load(mlflow_url, model.name, pushed.version, model.trusted_types, None)

    assert_array_equal(predict(estimator, holdout, model), holdout["candidate_score"].to_numpy())


def test_anybody_can_load_the_version_with_mlflow_alone(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    rows = orders(AS_OF, seed=3).with_columns(price=pl.lit(None, pl.Float64)).head(5)

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
        loaded = mlflow.pyfunc.load_model(f"models:/{model.name}/{pushed.version}")

    assert [column.name for column in loaded.metadata.signature.inputs] == ["price", "age", "colour"]
    with pytest.raises(mlflow.MlflowException, match="colour"):
        loaded.predict(to_matrix(rows, model).drop(columns="colour"))


def test_pushing_again_changes_nothing(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    first = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    later = replace(run, run_id="later", started_at=datetime(2026, 5, 5, tzinfo=UTC))

    assert push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), later) == first
    assert state(MlflowClient(mlflow_url, mlflow_url), model.name) == (1, 2, ["READY"], 1)


def test_a_push_killed_before_any_of_its_writes_is_finished_by_the_next_one(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(mlflow_url, mlflow_url)
    for writes in count():
        model = small_model(f"killed_{uuid.uuid4().hex[:8]}")
        digest = stage(model, lake, run, tmp_path, trials=1).digest
        with monkeypatch.context() as patch:
            patch.setattr(registry, "mlflow_client", lambda uri, writes=writes: MortalClient(client, writes))
            try:
                whole = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
            except KilledError:
                whole = None

        pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)

        assert pushed.version == 1
        assert client.get_run(pushed.run_id).info.status == "FINISHED"
        assert state(client, model.name) == (1, 1, ["READY"], 1), f"killed before write {writes + 1}"
        if whole:
            break
    assert writes > 10


def test_the_baseline_is_a_version_of_its_own_beside_the_candidate(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    candidate = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)

    baseline = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run, "baseline")

    assert (candidate.version, baseline.version) == (1, 2)
    assert registry.version_tags(mlflow_url, model.name, 2)["kind"] == "baseline"
    metrics = MlflowClient(mlflow_url, mlflow_url).get_run(baseline.run_id).data.metrics
    assert metrics["holdout_roc_auc"] == metrics["baseline_holdout_roc_auc"] < 0.7


def test_a_training_that_was_replaced_on_the_lake_is_not_pushed(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    stage(model, lake, run, tmp_path, noise=0.5)

    with pytest.raises(ValueError, match="a later training replaced it"):
        push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)


def test_a_version_with_a_type_that_we_do_not_trust_is_not_loaded(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    hostile = tmp_path / "model.skops"
    skops.io.dump({"hook": Path}, hostile)
    client = MlflowClient(mlflow_url, mlflow_url)
    client.log_model_artifact(pushed.uri.removeprefix("models:/"), str(hostile))

    with pytest.raises(UntrustedModelError, match=re.escape("which the model's spec does not trust")) as raised:
        registry.load(mlflow_url, model.name, pushed.version, model.trusted_types, None)

    assert "'pathlib.Path'" in str(raised.value)
    assert f"version {pushed.version} of '{model.name}'" in str(raised.value)


def damaged_files(whole: bytes, other: Path) -> dict[str, bytes]:
    """What an artifact store may hold in a model's place, by what the error says of it."""
    archive, wrong_schema = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.png", b"a picture")
    with zipfile.ZipFile(wrong_schema, "w") as file:
        file.writestr("schema.json", b"[1, 2]")
    directory = whole.rindex(b"PK\x01\x02")
    return {
        "is empty": b"",
        "is a pickle": pickle.dumps({"a": "model"}),
        "is damaged": whole[:directory] + b"\x11" + whole[directory + 1 :],
        "is damaged or truncated": whole[: len(whole) // 2],
        "is damaged or truncated, or no": b"<html>502 Bad Gateway</html>",
        "without schema.json": archive.getvalue(),
        "is not the one that was trained": other.read_bytes(),
        "its SHA-256 is": wrong_schema.getvalue(),
    }


@pytest.mark.parametrize("has_digest", [True, False])
def test_a_damaged_or_replaced_file_is_one_error_that_says_what_is_wrong_with_which_version(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, has_digest: bool
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    pushed = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    client, file = MlflowClient(mlflow_url, mlflow_url), tmp_path / "model.skops"
    whole = file.read_bytes()
    trained = hashlib.sha256(whole).hexdigest() if has_digest else None
    without_digest = {"is not the one that was trained": "", "its SHA-256 is": "cannot be read"}

    for said, body in damaged_files(whole, tmp_path / "baseline.skops").items():
        file.write_bytes(body)
        client.log_model_artifact(pushed.uri.removeprefix("models:/"), str(file))
        expected = said if has_digest else without_digest.get(said, said)

        # Nobody can tell another valid file from the one that was trained without its digest.
        if expected:
            with pytest.raises(UnusableModelError, match=f"version 1 of '{model.name}' .*{expected}"):
                registry.load(mlflow_url, model.name, 1, model.trusted_types, trained)

    assert push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run) == pushed
    restored = registry.load(mlflow_url, model.name, 1, model.trusted_types, hashlib.sha256(whole).hexdigest())
    assert type(restored).__name__ == "Pipeline"


@pytest.mark.parametrize("kind", DAMAGES)
def test_pushing_again_heals_what_is_kept_of_the_version(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str, kind: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    version = push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run).version
    whole = {key: lake.read_object(key) for key in lake.keys("references/")}
    damage(lake, (model.reference_prefix(version), AS_OF), kind)

    push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)

    assert whole
    assert {key: lake.read_object(key) for key in lake.keys("references/")} == whole


def test_a_version_or_file_that_is_gone_is_no_outage(
    model: ModelSpec, lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    digest = stage(model, lake, run, tmp_path).digest
    push_model(mlflow_url, lake, StagedTraining(model, AS_OF, digest), run)
    client = MlflowClient(mlflow_url, mlflow_url)
    registry.set_aliases(mlflow_url, model.name, Aliases(champion=1))
    folder = client.get_model_version_download_uri(model.name, "1").removeprefix("mlflow-artifacts:/")
    requests.delete(f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{folder}/model.skops").raise_for_status()

    with pytest.raises(UnusableModelError, match=f"version 1 of '{model.name}' is missing in MLflow"):
        registry.load(mlflow_url, model.name, 1, model.trusted_types, None)

    client.delete_model_version(model.name, "1")
    for ask in (
        lambda: registry.load(mlflow_url, model.name, 1, model.trusted_types, None),
        lambda: registry.version_tags(mlflow_url, model.name, 1),
        lambda: registry.tag_version(mlflow_url, model.name, 1, {"gate_verdict": "refused"}),
    ):
        with pytest.raises(UnusableModelError, match=f"Version 1 of '{model.name}' is not in MLflow any more"):
            ask()
    registry.set_aliases(mlflow_url, model.name, Aliases(champion=1, challenger=7))
    assert client.get_registered_model(model.name).aliases == {}


def test_an_outage_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for url in (f"http://127.0.0.1:{server.server_port}", "http://127.0.0.1:9"):
            with pytest.raises(mlflow.MlflowException) as raised:
                registry.load(url, "churn", 1, (), None)
            assert not isinstance(raised.value, ValueError)
        server.shutdown()


def test_a_version_that_lost_its_tags_says_so() -> None:
    with pytest.raises(UnusableModelError, match="Version 3 of 'churn' has lost its tag 'as_of'"):
        _ = registry.RegisteredVersion("churn", 3, {}).as_of


def test_a_staged_model_with_an_untrusted_type_is_not_registered(
    lake: Lake, run: RunInfo, tmp_path: Path, mlflow_url: str
) -> None:
    generous = small_model(f"returns_{uuid.uuid4().hex[:8]}")
    digest = stage(generous, lake, run, tmp_path).digest
    strict = small_model(generous.name, trusted_types=())

    with pytest.raises(UntrustedModelError, match=re.escape("contains ['numpy.dtype']")):
        push_model(mlflow_url, lake, StagedTraining(strict, AS_OF, digest), run)
    assert registry.champion(mlflow_url, strict.name) is None


def children(client: MlflowClient, run_id: str) -> list[Any]:
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted(found, key=lambda trial: int(trial.data.tags["trial"]))


def state(client: MlflowClient, name: str) -> tuple[int, int, list[str], int]:
    """Parent runs, finished trials, states of the logged models, versions."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "trial" not in run.data.tags]
    trials = [run for run in runs if "trial" in run.data.tags]
    assert all(run.info.status == "FINISHED" and run.data.metrics for run in trials)
    logged = client.search_logged_models([experiment.experiment_id])
    versions = client.search_model_versions(f"name = '{name}'")
    return len(parents), len(trials), [str(model.status) for model in logged], len(versions)
