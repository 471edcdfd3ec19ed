"""Estimators of volatility, from features as `include.lifecycle.modelling.estimator_input` makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from include.lifecycle.segments import Persistence
from include.lifecycle.specs import Candidate
from include.models.volatility.inputs import HAR, NUMERIC

if TYPE_CHECKING:
    import optuna


def suggest_har(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of the linear models: the strength of the L2 penalty."""
    return {"alpha": trial.suggest_float("alpha", 0.1, 1000, log=True)}


def build_har(params: dict[str, Any], seed: int) -> Pipeline:
    """The heterogeneous autoregression of volatility over a week, a month and a quarter.

    Corsi (2009), "A simple approximate long-memory model of realized volatility", with a quarter for the day. No
    coefficient is negative: a rougher past never lowers what is expected, also where a symbol has few rows.
    """
    columns = ColumnTransformer([("har", StandardScaler(), list(HAR))])
    return make_pipeline(columns, Ridge(positive=True, **params))


def suggest_boosting(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_boosting`: few small trees, as neighbouring rows say almost the same."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "max_iter": trial.suggest_int("max_iter", 40, 120, step=20),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 3, 8),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 20, 100, log=True),
    }


def build_boosting(params: dict[str, Any], seed: int) -> Pipeline:
    """Gradient-boosted trees on all numeric features, pooled over the symbols.

    As in `build_har`, a rougher past never lowers what is expected.
    """
    columns = ColumnTransformer([("numeric", "passthrough", list(NUMERIC))])
    never_lower = [int(name in HAR) for name in NUMERIC]
    boosting = HistGradientBoostingRegressor(
        early_stopping=False, random_state=seed, monotonic_cst=never_lower, **params
    )
    return make_pipeline(columns, boosting)


def build_persistence(seed: int) -> Persistence:
    """The volatility of the last 21 sessions goes on."""
    return Persistence("volatility_21d")


def build_mean(seed: int) -> DummyRegressor:
    """The mean of what was learnt from."""
    return DummyRegressor(strategy="mean")


def candidates() -> tuple[Candidate, ...]:
    """The estimators worth trying."""
    return (
        Candidate(name="har_pooled", suggest=suggest_har, build=build_har),
        Candidate(name="har_per_symbol", suggest=suggest_har, build=build_har, per_segment=True),
        Candidate(name="boosting_pooled", suggest=suggest_boosting, build=build_boosting),
    )
