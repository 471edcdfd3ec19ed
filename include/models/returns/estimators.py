"""Estimators of returns, from features as `include.lifecycle.modelling.estimator_input` makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from include.datasets.market.features import NUMERIC
from include.lifecycle.segments import Persistence
from include.lifecycle.specs import Candidate

if TYPE_CHECKING:
    import optuna


def suggest_ridge(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of the linear models: a penalty from some to so much that nearly the mean is left."""
    return {"alpha": trial.suggest_float("alpha", 10, 100_000, log=True)}


def build_ridge(params: dict[str, Any], seed: int) -> Pipeline:
    """A penalised linear model on scaled features."""
    columns = ColumnTransformer([("numeric", StandardScaler(), list(NUMERIC))])
    return make_pipeline(columns, Ridge(**params))


def suggest_boosting(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_boosting`: very few, very small trees, as there is next to nothing to learn."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.05, log=True),
        "max_iter": trial.suggest_int("max_iter", 20, 80, step=20),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 2, 6),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 50, 300, log=True),
    }


def build_boosting(params: dict[str, Any], seed: int) -> Pipeline:
    """Gradient-boosted trees, pooled over the symbols."""
    columns = ColumnTransformer([("numeric", "passthrough", list(NUMERIC))])
    return make_pipeline(columns, HistGradientBoostingRegressor(early_stopping=False, random_state=seed, **params))


def build_zero(seed: int) -> DummyRegressor:
    """No return is expected."""
    return DummyRegressor(strategy="constant", constant=0.0)


def build_mean(seed: int) -> DummyRegressor:
    """The mean of what was learnt from."""
    return DummyRegressor(strategy="mean")


def build_persistence(seed: int) -> Persistence:
    """The return of the last 5 sessions comes again."""
    return Persistence("return_5d")


def candidates() -> tuple[Candidate, ...]:
    """The estimators worth trying."""
    return (
        Candidate(name="ridge_pooled", suggest=suggest_ridge, build=build_ridge),
        Candidate(name="ridge_per_symbol", suggest=suggest_ridge, build=build_ridge, per_segment=True),
        Candidate(name="boosting_pooled", suggest=suggest_boosting, build=build_boosting),
    )
