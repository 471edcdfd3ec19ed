"""The search for the candidate and the hyperparameters that predict best."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from include.lifecycle.specs import Candidate, ModelSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried, and the mean tuning score on the validation rows."""

    number: int
    candidate: str
    params: dict[str, Any]
    value: float
    state: str


@dataclass(frozen=True)
class FoldRows:
    """Features and `label` of the rows to fit on, and of those to measure on: these may have `baseline_score`."""

    train: pl.DataFrame
    validation: pl.DataFrame


def tune(model: ModelSpec, folds: Sequence[FoldRows], *, budget: int, seed: int) -> list[Trial]:
    """Try hyperparameters of all candidates but those for one segment each; see `shares` and `search`.

    Raises
    ------
    ValueError
        If the budget is smaller than the number of candidates.
    """
    trials: list[Trial] = []
    share = shares(model, budget)
    for candidate in model.candidates():
        if not candidate.per_segment:
            tried = search(model, candidate, folds, share[candidate.name], seed, len(trials))
            log.info("%s: the best of %d trials reaches %.4f.", candidate.name, len(tried), best(tried).value)
            trials += tried
    return trials


def shares(model: ModelSpec, budget: int) -> dict[str, int]:
    """How many sets of hyperparameters of each candidate are tried, by its name: even shares of the budget.

    Raises
    ------
    ValueError
        If the budget is smaller than the number of candidates.
    """
    candidates = model.candidates()
    if budget < len(candidates):
        raise ValueError(
            f"A tuning budget of {budget} is too small for the {len(candidates)} candidates of model "
            f"{model.name!r}; give at least one trial to each."
        )
    share, rest = divmod(budget, len(candidates))
    return {candidate.name: share + (position < rest) for position, candidate in enumerate(candidates)}


def predict_out_of_fold(
    model: ModelSpec, folds: Sequence[FoldRows], builders: Mapping[str, Callable[[], Any]]
) -> pl.DataFrame:
    """The validation rows of all folds with the `<name>_score` of estimators that had seen nothing later."""
    scored = []
    for fold in folds:
        matrix, labels = to_matrix(fold.train, model), fold.train["label"].to_numpy()
        scores = {
            f"{name}_score": predict(fit(build(), matrix, labels), fold.validation, model)
            for name, build in builders.items()
        }
        scored.append(fold.validation.with_columns(**scores))
    return pl.concat(scored, how="vertical_relaxed")


def with_baseline(model: ModelSpec, fold: FoldRows, seed: int) -> FoldRows:
    """The fold with the `baseline_score` of its validation rows, of a baseline fitted on its training rows."""
    matrix, labels = to_matrix(fold.train, model), fold.train["label"].to_numpy()
    baseline = fit(model.baseline(seed), matrix, labels)
    scored = fold.validation.with_columns(baseline_score=predict(baseline, fold.validation, model))
    return FoldRows(fold.train, scored)


def first_params(candidate: Candidate, seed: int) -> dict[str, Any]:
    """Hyperparameters from a candidate's search space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return candidate.suggest(study.ask())


def best(trials: list[Trial]) -> Trial:
    """The trial of the highest value, the earliest among equals."""
    return max(trials, key=lambda trial: (trial.value, -trial.number))


def fit(estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any]) -> Any:
    """Fit an estimator so that the result does not depend on the number of threads.

    OpenMP keeps its threads: histogram gradient boosting gives the same bits with any number of them.
    """
    with one_blas_thread():
        return estimator.fit(matrix, labels)


def search(
    model: ModelSpec,
    candidate: Candidate,
    folds: Sequence[FoldRows],
    budget: int,
    seed: int,
    first_number: int = 0,
) -> list[Trial]:
    """Try `budget` sets of a candidate's hyperparameters; the mean of the tuning score over the folds counts.

    Where the task compares with a baseline, the validation rows need `baseline_score`; see `with_baseline`.
    """
    import optuna

    matrices = [_Fold(to_matrix(fold.train, model), to_matrix(fold.validation, model), fold) for fold in folds]

    def objective(trial: optuna.Trial) -> float:
        params = candidate.suggest(trial)
        values = [_value(model, candidate.build(params, seed), fold) for fold in matrices]
        return math.fsum(values) / len(values)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=budget, n_jobs=1)
    return [
        Trial(
            first_number + trial.number,
            candidate.name,
            trial.params,
            float(trial.values[0]),
            trial.state.name,
        )
        for trial in study.trials
    ]


@dataclass(frozen=True)
class _Fold:
    train: pd.DataFrame
    validation: pd.DataFrame
    rows: FoldRows


def _value(model: ModelSpec, estimator: Any, fold: _Fold) -> float:
    task = task_of(model)
    fit(estimator, fold.train, fold.rows.train["label"].to_numpy())
    scored = fold.rows.validation.with_columns(score=task.predict(estimator, fold.validation))
    return task.tuning_score(scored, "score")
