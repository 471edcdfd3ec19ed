"""A model as MLflow stores it: the skops file that was trained, and what MLflow needs to load and call it."""

from __future__ import annotations

import shutil
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature

_REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "skops")


def log_model(client: MlflowClient, model: ModelSpec, training_run: Run, file: Path) -> LoggedModel:
    """Log a model file as the output of its training's run, unless that was done.

    Raises
    ------
    UntrustedModelError
        If the file contains types that the spec does not trust.
    """
    from mlflow.entities import LoggedModelOutput

    run_id, experiment_id = training_run.info.run_id, training_run.info.experiment_id
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    logged = found[0] if found else client.create_logged_model(experiment_id, "model", run_id)
    if logged.status == "READY":
        return logged
    outputs = client.get_run(run_id).outputs
    if outputs is None or not outputs.model_outputs:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(model, logged, file, folder)
        client.log_model_artifacts(logged.model_id, str(folder))
    return client.finalize_logged_model(logged.model_id, "READY")


def _save(model: ModelSpec, logged: LoggedModel, file: Path, folder: Path) -> None:
    import mlflow.sklearn
    from mlflow.models import Model

    estimator = model_files.load_trusted(file, model.trusted_types, f"the staged training of {model.name!r}")
    mlflow.sklearn.save_model(
        estimator,
        str(folder),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=logged.source_run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
        serialization_format="skops",
        signature=_signature(model),
        pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
        pyfunc_predict_fn=task_of(model).estimator_method,
        skops_trusted_types=list(model.trusted_types),
    )
    # What is registered is, byte for byte, what was trained and measured.
    shutil.copyfile(file, folder / MODEL_FILE)


def _signature(model: ModelSpec) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    numeric = (ColSpec("double", name) for name in model.numeric)
    categorical = (ColSpec("string", name) for name in model.categorical)
    output = TensorSpec(np.dtype("float64"), task_of(model).output_shape)
    return ModelSignature(inputs=Schema([*numeric, *categorical]), outputs=Schema([output]))
