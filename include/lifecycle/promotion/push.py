"""Push: a staged training becomes an MLflow run, and its model a registered version.

A push may be interrupted anywhere: the next one finds what is there by its tags and finishes the job.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.promotion import mlflow_model, mlflow_run, registry
from include.lifecycle.promotion.staged_training import ROLE_FILES, Role, StagedTraining, keep_reference
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, RunInfo, file_sha256
from include.lifecycle.training.record import MODEL_FILE, RECORD, TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushedVersion:
    """A registered version, and the MLflow run of its training."""

    name: str
    version: int
    run_id: str
    uri: str


def push_model(
    tracking_uri: str, lake: Lake, staged: StagedTraining, run: RunInfo, role: Role = "candidate"
) -> PushedVersion:
    """Register the staged model, or its baseline, with all that its training read, tried and measured.

    Pushing the same staged training again returns the same version, and restores its model file where that is
    missing or damaged; otherwise it changes nothing.

    Raises
    ------
    ValueError
        If another training has replaced the staged one.
    UntrustedModelError
        If the staged model contains types that the spec does not trust.
    """
    client, model = registry.mlflow_client(tracking_uri), staged.model
    training = staged.pin(lake)
    with TemporaryDirectory() as folder:
        files = training.download(Path(folder))
        record = TrainingRecord.read(files[RECORD])
        training_run = mlflow_run.find_or_create(client, staged, record, run, role)
        version = _registered_version(client, model.name, training_run)
        if version is None or training_run.info.status != "FINISHED":
            mlflow_run.log_training(client, training_run, record, files, role)
            logged = mlflow_model.log_model(client, model, training_run, files[ROLE_FILES[role]])
            tags = _version_tags(training_run, record, role)
            version = version or _register(client, model, training_run, logged, tags)
            client.set_terminated(training_run.info.run_id, "FINISHED")
        _restore_file(tracking_uri, version, files[ROLE_FILES[role]])
    keep_reference(lake, training, int(version.version), run)
    return PushedVersion(model.name, int(version.version), training_run.info.run_id, str(version.source))


def _registered_version(client: MlflowClient, name: str, training_run: Run) -> ModelVersion | None:
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{training_run.info.run_id}'")
    return versions[0] if versions else None


def _register(
    client: MlflowClient, model: ModelSpec, training_run: Run, logged: LoggedModel, tags: Mapping[str, str]
) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        model.name,
        source=f"models:/{logged.model_id}",
        run_id=training_run.info.run_id,
        tags=dict(tags),
        await_creation_for=0,
        model_id=logged.model_id,
    )


def _version_tags(training_run: Run, record: TrainingRecord, role: Role) -> dict[str, str]:
    data = json.dumps(dict(record.data), sort_keys=True)
    interval = asdict(record.intervals[role]) if role in record.intervals else {}
    return {
        "kind": role,
        "as_of": str(record.as_of),
        "learnt_from": str(record.learnt_from),
        "learnt_until": str(record.learnt_until),
        # A refitted version has kept no keys out.
        "split": "none" if record.parent else record.split,
        **({"parent_version": str(record.parent.version)} if record.parent else {}),
        "data_digest": hashlib.sha256(data.encode()).hexdigest(),
        **{name: training_run.data.tags[name] for name in ("staged_digest", "code_version", "airflow_run_url")},
        **{f"interval_{name}": str(value) for name, value in interval.items()},
    }


def _restore_file(tracking_uri: str, version: ModelVersion, trained: Path) -> None:
    """Upload the model file of a version again where it is not the one that was trained."""
    with TemporaryDirectory() as folder:
        try:
            found = registry.download_model(tracking_uri, version.name, int(version.version), Path(folder))
            if file_sha256(found) == file_sha256(trained):
                return
            damage = "is not the one that was trained"
        except UnusableModelError as error:
            damage = f"could not be downloaded: {error}"
        log.error("The model file of version %s of %r %s; it is restored.", version.version, version.name, damage)
        whole = shutil.copyfile(trained, Path(folder) / MODEL_FILE)
        client = registry.mlflow_client(tracking_uri)
        client.log_model_artifact(str(version.source).removeprefix("models:/"), str(whole))
