"""A rehearsal on a few rows, before the long search: can each candidate be fitted, stored and loaded again?"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.modelling import model_files, tuning
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.model_files import load_trusted
from include.lifecycle.modelling.tasks import FITTING_FOLDS, task_of
from include.lifecycle.segments import SegmentModels
from include.lifecycle.training.snapshots import places

if TYPE_CHECKING:
    from include.lifecycle.specs import Candidate, ModelSpec

log = logging.getLogger(__name__)

ROWS = 500


def rehearse(model: ModelSpec, rows: pl.DataFrame, seed: int) -> None:
    """Fit, store and load each candidate and the baseline on a few of the rows that are to be learnt from.

    Raises
    ------
    UntrustedModelError
        If a fitted estimator contains types that its spec does not trust.
    """
    few = _few(model, rows, seed)
    for candidate in model.candidates():
        try:
            fitted = fit_candidate(model, candidate, few, seed)
        except ValueError as error:
            # A few bad rows, of one segment perhaps, say nothing of types; whoever fits for good deals with them.
            log.warning("Candidate %r of %r could not be rehearsed: %s", candidate.name, model.name, error)
            continue
        _store_and_load(model, candidate.name, fitted)
    _store_and_load(model, "baseline", _fitted_baseline(model, few, seed))


def fitted_and_loaded(model: ModelSpec, rows: pl.DataFrame, seed: int) -> dict[str, tuple[Any, Any]]:
    """Each candidate and the baseline, fitted on a few of the rows, and the same after storing and loading.

    Raises
    ------
    ValueError
        If one of them cannot be fitted.
    UntrustedModelError
        If a fitted estimator contains types that its spec does not trust.
    """
    few = _few(model, rows, seed)
    fitted = {candidate.name: fit_candidate(model, candidate, few, seed) for candidate in model.candidates()}
    fitted["baseline"] = _fitted_baseline(model, few, seed)
    return {name: (estimator, _store_and_load(model, name, estimator)) for name, estimator in fitted.items()}


def _few(model: ModelSpec, rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A sample of the rows; all of them where it has hardly any labels of one kind."""
    if rows.height <= ROWS:
        return rows
    sample = rows.sample(ROWS, seed=seed)
    return rows if task_of(model).label_shortfall(sample["label"]) else sample


def fit_candidate(model: ModelSpec, candidate: Candidate, rows: pl.DataFrame, seed: int) -> Any:
    """A candidate with hyperparameters from its search space, fitted on the rows as a training fits it."""
    estimator = candidate.build(tuning.first_params(candidate, seed), seed)
    matrix, labels = to_matrix(rows, model), rows["label"].to_numpy()
    if candidate.per_segment:
        own = tuning.fit(estimator, matrix, labels)
        return SegmentModels(str(model.segments.by), {"one": own}, own)
    folds = (places(rows, model.dataset.key, seed) * FITTING_FOLDS).astype(int)
    return task_of(model).fit(estimator, matrix, labels, folds)


def _fitted_baseline(model: ModelSpec, rows: pl.DataFrame, seed: int) -> Any:
    return tuning.fit(model.baseline(seed), to_matrix(rows, model), rows["label"].to_numpy())


def _store_and_load(model: ModelSpec, name: str, estimator: Any) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        model_files.dump(estimator, path, model.trusted_types)
        return load_trusted(path, model.trusted_types, f"the rehearsal of {name!r} of model {model.name!r}")
