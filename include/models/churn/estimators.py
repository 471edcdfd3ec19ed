"""The estimators of the churn model, from features as `include.lifecycle.modelling.estimator_input` makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from include.datasets.customers.features import CATEGORICAL, NUMERIC
from include.lifecycle.specs import Candidate

if TYPE_CHECKING:
    import optuna

LATE_PAYMENTS = ("late_share_90d", "overdue_invoices", "overdue_amount")


def suggest_logistic(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_logistic`: the inverse strength of the L2 penalty."""
    return {"C": trial.suggest_float("C", 1e-3, 10, log=True)}


def build_logistic(params: dict[str, Any], seed: int) -> Pipeline:
    """Logistic regression on scaled numbers, with an indicator where they are missing, and one-hot categories."""
    scaled = make_pipeline(_imputer(), StandardScaler())
    columns = ColumnTransformer(
        [("numeric", scaled, list(NUMERIC)), ("categorical", _one_hot(), list(CATEGORICAL))]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000, random_state=seed, **params))


def suggest_boosting(trial: optuna.Trial) -> dict[str, Any]:
    """Search space of `build_boosting`: small trees, few enough to fit 100,000 rows in about a second."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.2, log=True),
        "max_iter": trial.suggest_int("max_iter", 40, 100, step=20),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 16),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 20, 200, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-3, 10, log=True),
    }


def build_boosting(params: dict[str, Any], seed: int) -> Pipeline:
    """Gradient-boosted trees on imputed numbers and numbered categories; unseen categories count as missing.

    The numbers are imputed because the binning fails on a column that is missing throughout. Native categories
    would be encoded twice, and trees part the few categories of a column by their numbers as well. Late payments
    never lower the risk: trees that may choose find such dips by chance. The columns keep their names for that.
    """
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("categorical", ordinal, list(CATEGORICAL)), ("numeric", _imputer(), list(NUMERIC))],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    boosting = HistGradientBoostingClassifier(
        early_stopping=False, random_state=seed, monotonic_cst=dict.fromkeys(LATE_PAYMENTS, 1), **params
    )
    return make_pipeline(columns, boosting)


def build_baseline(seed: int) -> Pipeline:
    """The churn rate of the customer's contract type: what a pivot table knows."""
    contract = ColumnTransformer([("contract", _one_hot(), ["contract"])])
    return make_pipeline(contract, LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000, random_state=seed))


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def candidates() -> tuple[Candidate, ...]:
    """The estimators worth trying."""
    return (
        Candidate(name="logistic_regression", suggest=suggest_logistic, build=build_logistic),
        Candidate(name="gradient_boosting", suggest=suggest_boosting, build=build_boosting),
    )
