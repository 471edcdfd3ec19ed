"""Estimators of a table's rows, from features as `include.lifecycle.modelling.estimator_input` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from include.lifecycle.segments import Persistence
from include.lifecycle.specs import Candidate

if TYPE_CHECKING:
    import optuna
    import pandas as pd

Names = Sequence[str]


def classifiers(numeric: Names, categorical: Names) -> tuple[Candidate, ...]:
    """Logistic regression and gradient-boosted trees."""
    return (
        Candidate(name="linear", suggest=suggest_logistic, build=partial(build_logistic, numeric, categorical)),
        Candidate(
            name="gradient_boosting",
            suggest=suggest_boosting,
            build=partial(build_boosting, HistGradientBoostingClassifier, numeric, categorical),
        ),
    )


def regressors(numeric: Names, categorical: Names) -> tuple[Candidate, ...]:
    """Ridge regression and gradient-boosted trees."""
    return (
        Candidate(name="linear", suggest=suggest_ridge, build=partial(build_ridge, numeric, categorical)),
        Candidate(
            name="gradient_boosting",
            suggest=suggest_boosting,
            build=partial(build_boosting, HistGradientBoostingRegressor, numeric, categorical),
        ),
    )


def suggest_logistic(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_logistic`: the inverse strength of the L2 penalty."""
    return {"C": trial.suggest_float("C", 1e-3, 10, log=True)}


def build_logistic(numeric: Names, categorical: Names, params: dict[str, Any], seed: int) -> Pipeline:
    """Logistic regression on scaled numbers and one-hot categories."""
    logistic = LogisticRegression(max_iter=1000, random_state=seed, **params)
    return make_pipeline(_scaled_and_one_hot(numeric, categorical), logistic)


def suggest_ridge(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_ridge`: the strength of the L2 penalty."""
    return {"alpha": trial.suggest_float("alpha", 0.1, 1000, log=True)}


def build_ridge(numeric: Names, categorical: Names, params: dict[str, Any], seed: int) -> Pipeline:
    """Ridge regression on scaled numbers and one-hot categories."""
    return make_pipeline(_scaled_and_one_hot(numeric, categorical), Ridge(**params))


def suggest_boosting(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_boosting`: few small trees."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.2, log=True),
        "max_iter": trial.suggest_int("max_iter", 40, 100, step=20),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 16),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 20, 100, log=True),
    }


def build_boosting(
    boosting: type[Any], numeric: Names, categorical: Names, params: dict[str, Any], seed: int
) -> Pipeline:
    """Gradient-boosted trees on imputed numbers and numbered categories; unseen ones count as missing.

    Parameters
    ----------
    boosting : `HistGradientBoostingClassifier` or `HistGradientBoostingRegressor`.
    """
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("categorical", ordinal, list(categorical)), ("numeric", _imputer(), list(numeric))]
    )
    return make_pipeline(columns, boosting(early_stopping=False, random_state=seed, **params))


def build_usual_rate(seed: int) -> DummyClassifier:
    """The rate in what was learnt from, for all alike."""
    return DummyClassifier(strategy="prior")


def build_usual_mean(seed: int) -> DummyRegressor:
    """The mean of what was learnt from, for all alike."""
    return DummyRegressor(strategy="mean")


def build_persistence(column: str, seed: int) -> Persistence:
    """The column of today stays as it is."""
    return Persistence(column)


class NaiveForecast(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Says a column's present value, or that of the target's weekday: which was closer in what was learnt from.

    The naive forecast and the seasonal one with the season of a week (Hyndman and Athanasopoulos, "Forecasting:
    principles and practice", 3rd ed., ch. 5.2). Present values stand in for those of the weekday that are missing.

    Parameters
    ----------
    column : the feature with the present value.
    same_weekday : the feature with the newest value of the target's weekday.
    """

    def __init__(self, column: str, same_weekday: str) -> None:
        self.column = column
        self.same_weekday = same_weekday

    def fit(self, X: pd.DataFrame, y: NDArray[np.float64]) -> Self:
        """Find out which of the two has the smaller squared error on the rows that have both."""
        errors = (X[[self.column, self.same_weekday]].sub(y, axis=0) ** 2).dropna().mean()
        self.is_weekly_ = bool(errors[self.same_weekday] < errors[self.column])
        return self

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """The column that was closer."""
        today, weekly = X[self.column], X[self.same_weekday]
        said = weekly.fillna(today) if self.is_weekly_ else today
        values: NDArray[np.float64] = said.to_numpy(dtype=np.float64)
        return values


def build_naive_forecast(column: str, same_weekday: str, seed: int) -> NaiveForecast:
    """The column stays, or is as on the target's weekday."""
    return NaiveForecast(column, same_weekday)


def _scaled_and_one_hot(numeric: Names, categorical: Names) -> ColumnTransformer:
    scaled = make_pipeline(_imputer(), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numeric", scaled, list(numeric)), ("categorical", one_hot, list(categorical))])


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
