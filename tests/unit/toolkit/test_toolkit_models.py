"""Ready-made estimators: named without scikit-learn, and storable with the types that the toolkit trusts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from include.checks import assert_can_be_stored, example_features
from include.models.churn import CHURN
from include.toolkit.models import (
    CLASSIFICATION_GATE,
    REGRESSION_GATE,
    TRUSTED_TYPES,
    classifiers,
    naive_forecast,
    persistence,
    regressors,
    usual_mean,
    usual_rate,
)

NUMERIC, CATEGORICAL = ("tenure", "monthly_charges"), ("contract",)


def like_churn(**fields: Any) -> Any:
    shared: dict[str, Any] = {"numeric": NUMERIC, "categorical": CATEGORICAL, "trusted_types": TRUSTED_TYPES}
    shared |= {"behaviour": (), "reasons": None}
    return type(CHURN).model_validate({**dict(CHURN), **shared, **fields})


def test_classifiers_and_the_usual_rate_can_be_stored() -> None:
    model = like_churn(
        candidates=classifiers(NUMERIC, CATEGORICAL), baseline=usual_rate(), gate=CLASSIFICATION_GATE
    )

    assert_can_be_stored(model, example_features(model))


@pytest.mark.parametrize("baseline", [usual_mean(), persistence("tenure"), naive_forecast(*NUMERIC)])
def test_regressors_and_their_baselines_can_be_stored(baseline: Callable[[int], Any]) -> None:
    model = like_churn(
        task="regression",
        candidates=regressors(NUMERIC, CATEGORICAL),
        baseline=baseline,
        gate=REGRESSION_GATE,
        split=CHURN.split.model_copy(update={"holdout_share": 0.3, "folds": 2}),
    )
    rows = example_features(model)

    assert_can_be_stored(model, rows.with_columns(label=pl.col("tenure").cast(pl.Float64)))


WEEKDAYS = pd.DataFrame({"sold": [1.0, 2.0, 3.0], "sold_same_weekday": [8.0, 9.0, np.nan]})


@pytest.mark.parametrize(("labels", "said"), [([1, 3, 9], [1, 2, 3]), ([8, 8, 3], [8, 9, 3])])
def test_a_naive_forecast_says_what_was_closer_where_both_are_known(labels: list[int], said: list[int]) -> None:
    forecast = naive_forecast("sold", "sold_same_weekday")(7)

    assert forecast.fit(WEEKDAYS, np.array(labels)).predict(WEEKDAYS).tolist() == said


def test_without_a_week_of_history_a_naive_forecast_says_the_present_value() -> None:
    young = WEEKDAYS.assign(sold_same_weekday=np.nan)

    said = naive_forecast("sold", "sold_same_weekday")(7).fit(young, np.zeros(3)).predict(young)

    assert said.tolist() == [1, 2, 3]


def test_models_are_put_together_without_scikit_learn() -> None:
    code = (
        "import sys; from include.toolkit.models import *; import include.toolkit.labels, include.toolkit.rules; "
        "classifiers(('a',), ()); regressors(('a',), ()); usual_rate(); persistence('a'); "
        "naive_forecast('a', 'b'); "
        "assert not {'sklearn', 'pandas', 'great_expectations'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
