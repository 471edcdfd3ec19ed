"""What must hold of a churn model holds of its candidates, also where the data say otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.tuning import fit
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.models.churn import CHURN
from include.models.churn.estimators import LATE_PAYMENTS, build_boosting, build_logistic
from tests.specs import changed
from tests.unit.models.churn.customers import customers

LATE = ("more invoices paid late", "more invoices overdue")
MODEL = changed(CHURN, behaviour=tuple(test for test in CHURN.behaviour if test.name in LATE))


@pytest.fixture(scope="module")
def where_late_payers_stay() -> tuple[pl.DataFrame, np.ndarray]:
    """Customers of whom those who pay late leave less often, and who leaves."""
    rng = np.random.default_rng(3)
    share = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], 2000)
    overdue = rng.integers(0, 4, 2000)
    frame = customers(2000).with_columns(
        late_share_90d=share, overdue_invoices=overdue, overdue_amount=70.0 * overdue
    )
    return frame, (rng.random(2000) < 0.5 - 0.2 * share - 0.08 * overdue).astype(np.int8)


def passed(estimator: Any, rows: pl.DataFrame) -> list[bool]:
    return [result.passed for result in run_behaviour_tests(MODEL, estimator, rows, seed=7)]


def test_trees_never_learn_that_late_payers_stay(where_late_payers_stay: tuple[pl.DataFrame, np.ndarray]) -> None:
    rows, leaves = where_late_payers_stay
    matrix = to_matrix(rows, CHURN)
    free = build_boosting({}, seed=7)
    free[-1].set_params(monotonic_cst=None)

    assert passed(fit(build_boosting({}, seed=7), matrix, leaves), rows) == [True, True]
    assert passed(fit(free, matrix, leaves), rows) == [False, False]
    assert set(LATE_PAYMENTS) <= {column for test in MODEL.behaviour for column in test.columns}


def test_a_logistic_regression_that_learnt_that_late_payers_stay_is_found(
    where_late_payers_stay: tuple[pl.DataFrame, np.ndarray],
) -> None:
    rows, leaves = where_late_payers_stay

    assert passed(fit(build_logistic({}, seed=7), to_matrix(rows, CHURN), leaves), rows) == [False, False]
