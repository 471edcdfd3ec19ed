"""Refitting: the candidate of a training is fitted once more, on the holdout as well, and staged.

Nothing is tuned or measured again: no rows are left to measure on. What is kept of the new version for monitoring
is what its parent did on the holdout before anybody had learnt that.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.reasons import usual_values
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, Pinned, RunInfo
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.lifecycle.training.fitting import fit_again
from include.lifecycle.training.record import (
    BASELINE,
    HOLDOUT,
    MODEL_FILE,
    RECORD,
    Parent,
    PartDays,
    TrainingRecord,
)
from include.lifecycle.training.split_rows import all_rows
from include.lifecycle.training.training_set import TrainingSet


def refit(model: ModelSpec, lake: Lake, judged: Pinned, version: int, run: RunInfo) -> Manifest:
    """Stage the candidate of a staged training, fitted on all days of its training set.

    The same training gives the same bytes. Where it has been refitted, that is kept.

    Parameters
    ----------
    judged : the staged training, pinned to its one day. version : the version that it was pushed as.

    Raises
    ------
    PartitionNotFoundError
        If the training set is gone; clear `build_labels` of the run.
    ValueError
        If another training set has replaced the one that was learnt from.
    """
    [as_of] = judged.days
    present = lake.intact(model.staged_refit_prefix, as_of)
    if present is not None and judged.inputs.items() <= present.inputs.items():
        return present
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        record = TrainingRecord.model_validate(judged.read_json(as_of, RECORD))
        training_set = TrainingSet.read(model, lake, as_of, scratch)
        _refuse_other_data(record, training_set)
        rows = all_rows(model, training_set, record.seed)
        estimator = fit_again(model, record, rows)
        kept = {
            name: judged.download(as_of, scratch, name)[0].rename(scratch / name) for name in (HOLDOUT, BASELINE)
        }
        holdout = pl.read_parquet(kept[HOLDOUT])
        model_files.dump(estimator, scratch / MODEL_FILE, model.trusted_types)
        describe_refit(model, record, training_set, rows, version).model_copy(
            update={
                "behaviour_tests": run_behaviour_tests(model, estimator, _unscored(holdout), record.seed),
                "code_version": run.code_version,
            }
        ).write(scratch / RECORD)
        files = [LocalFile(scratch / name) for name in (MODEL_FILE, BASELINE, RECORD)]
        files.append(LocalFile(scratch / HOLDOUT, holdout.height))
        inputs = {**judged.inputs, **training_set.inputs}
        return lake.publish(model.staged_refit_prefix, as_of, files, run=run, inputs=inputs)


def describe_refit(
    model: ModelSpec, record: TrainingRecord, training_set: TrainingSet, rows: pl.DataFrame, version: int
) -> TrainingRecord:
    """The record of a refit: its parent's, but for what was learnt from."""
    days = tuple(training_set.rows)
    changes: dict[str, Any] = {
        "days": PartDays(refit=days, holdout=record.days.holdout),
        "data": training_set.sources_of(days),
        "rows": {**record.rows, "refit": rows.height},
        "mean_label": {**record.mean_label, "refit": float(rows["label"].mean())},  # type: ignore[arg-type]
        "usual_values": usual_values(model, rows),
        "trials": (),
        "parent": Parent(version=version, learnt_until=record.learnt_until),
        "warnings": (
            *record.warnings,
            f"It learnt the holdout as well, so what was measured there is of its parent, version {version}.",
        ),
    }
    return record.model_copy(update=changes)


def _unscored(holdout: pl.DataFrame) -> pl.DataFrame:
    return holdout.select(name for name in holdout.columns if not name.endswith("_score"))


def _refuse_other_data(record: TrainingRecord, training_set: TrainingSet) -> None:
    newest, judged = max(training_set.rows), max(record.days.holdout)
    if newest > judged:
        raise ValueError(
            f"The training set as of {record.as_of} has days until {newest}, but the version to refit was judged "
            f"on days until {judged}: a later training replaced it. Train again."
        )
    changed = sorted(path for path, digest in record.data.items() if training_set.sources.get(path) != digest)
    if changed:
        raise ValueError(
            f"The training set as of {record.as_of} has other data in {len(changed)} partitions than the version "
            f"to refit has learnt from, e.g. in {changed[0]}: a later training replaced it. Train again."
        )
