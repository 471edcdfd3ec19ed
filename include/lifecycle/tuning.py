"""The search for the candidate and the hyperparameters that predict best."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from threadpoolctl import threadpool_limits

from include.lifecycle.estimator_input import positive_probability, to_matrix
from include.lifecycle.evaluation import metrics

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from include.lifecycle.specs import Candidate, ModelSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """Hyperparameters that were tried, and the model's metric on the validation rows."""

    number: int
    candidate: str
    params: dict[str, Any]
    value: float
    state: str


def tune(
    model: ModelSpec, search: pl.DataFrame, validation: pl.DataFrame, *, budget: int, seed: int
) -> list[Trial]:
    """Try `budget` sets of hyperparameters, shared out evenly over the candidates.

    Parameters
    ----------
    search, validation : features and `label` of the rows to fit on and of those to measure on.

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
    fitting = to_matrix(search, model), search["label"].to_numpy()
    measuring = to_matrix(validation, model), validation["label"].to_numpy()
    trials: list[Trial] = []
    for position, candidate in enumerate(candidates):
        share = budget // len(candidates) + (position < budget % len(candidates))
        trials += _search(candidate, model.metric, fitting, measuring, share, seed, len(trials))
    return trials


def best(trials: list[Trial]) -> Trial:
    """The trial of the highest value, the earliest among equals."""
    return max(trials, key=lambda trial: (trial.value, -trial.number))


def fit(estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any]) -> Any:
    """Fit an estimator so that the result does not depend on the number of threads.

    Matrix products run on one thread, as in `positive_probability`. OpenMP keeps its threads: histogram gradient
    boosting gives the same bits with any number of them.
    """
    with threadpool_limits(1, user_api="blas"):
        return estimator.fit(matrix, labels)


def _search(
    candidate: Candidate,
    metric: str,
    fitting: tuple[pd.DataFrame, NDArray[Any]],
    measuring: tuple[pd.DataFrame, NDArray[Any]],
    budget: int,
    seed: int,
    first_number: int,
) -> list[Trial]:
    import optuna

    def objective(trial: optuna.Trial) -> float:
        estimator = fit(candidate.build(candidate.suggest(trial), seed), *fitting)
        value = metrics(measuring[1], positive_probability(estimator, measuring[0]))[metric]
        log.info("Trial %d, %s: %s %.4f.", first_number + trial.number, candidate.name, metric, value)
        return value

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
