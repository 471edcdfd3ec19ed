"""Training: from a training set to a calibrated candidate that waits on the lake.

`train` reads the set that `training_set.assemble` has put aside, splits it by time, tunes, fits, calibrates and
measures, and stages the result beside the naive baseline. The same data, seed and code give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.reporting import charts
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest
from include.lifecycle.training import segment_training
from include.lifecycle.training.describe import describe
from include.lifecycle.training.fitting import Fitted, fit_candidates
from include.lifecycle.training.record import (
    BASELINE,
    HOLDOUT,
    MODEL_FILE,
    RECORD,
    TrainingRecord,
    TrainingRequest,
)
from include.lifecycle.training.rehearsal import rehearse
from include.lifecycle.training.split_rows import split_rows
from include.lifecycle.training.training_set import TrainingSet


def train(model: ModelSpec, lake: Lake, request: TrainingRequest) -> Manifest:
    """Tune, fit, calibrate and measure the candidates, and stage the best for the registry.

    Hyperparameters are chosen by fitting on older days and measuring on a later one. The best are fitted once
    more on all days whose labels end before the holdout, and calibrated by Platt scaling on predictions for
    rows that the predicting fit has not seen. The holdout is looked at once, at the end.

    Returns
    -------
    The manifest of `staging/<model>/dt=<as_of>`: `model.skops`, `baseline.skops`, `training.json`,
    `holdout.parquet` and the plots. The model card follows once the gate has decided.

    Raises
    ------
    NothingToLearnError
        If a part of the split has hardly any outcomes of one kind.
    PartitionNotFoundError
        If there is no training set; run `assemble` first. If segments are to be compared and their batches are
        missing; run `segment_training.stage_batches` first.
    UntrustedModelError
        If the fitted model contains types that its spec does not trust.
    """
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        training_set = TrainingSet.read(model, lake, request.as_of, scratch)
        rows = split_rows(model, training_set, request.seed)
        rehearse(model, rows.refit, request.seed)
        segment_fits = segment_training.collect(model, lake, request, training_set, scratch)
        fitted = fit_candidates(model, rows, segment_fits, request)
        record = describe(model, request, training_set, rows, fitted)
        files = [
            *_write_models(model, fitted, scratch),
            *_write_evidence(fitted, record, scratch),
            *_write_plots(task_of(model).draw(fitted.holdout), scratch),
        ]
        schema = dict(fitted.holdout.schema)
        return lake.publish(
            model.staging_prefix, request.as_of, files, run=request.run, schema=schema, inputs=rows.inputs
        )


def _write_models(model: ModelSpec, fitted: Fitted, scratch: Path) -> list[LocalFile]:
    model_files.dump(fitted.candidate, scratch / MODEL_FILE, model.trusted_types)
    model_files.dump(fitted.baseline, scratch / BASELINE, model.trusted_types)
    return [LocalFile(scratch / MODEL_FILE), LocalFile(scratch / BASELINE)]


def _write_evidence(fitted: Fitted, record: TrainingRecord, scratch: Path) -> list[LocalFile]:
    record.write(scratch / RECORD)
    fitted.holdout.write_parquet(scratch / HOLDOUT, statistics=False)
    return [LocalFile(scratch / RECORD), LocalFile(scratch / HOLDOUT, fitted.holdout.height)]


def _write_plots(figures: Mapping[str, Figure], scratch: Path) -> list[LocalFile]:
    for name, figure in figures.items():
        charts.save_png(figure, scratch / f"{name}.png")
    return [LocalFile(scratch / f"{name}.png") for name in figures]
