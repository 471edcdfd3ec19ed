"""What must hold of a volatility model holds of its candidates, also where the data say otherwise."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.modelling.tuning import fit
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.models.stock_prices import flat, made_of, moving
from include.models.volatility import VOLATILITY
from include.models.volatility.estimators import build_boosting, build_har
from include.models.volatility.inputs import HAR

SYMBOLS = pl.DataFrame({"symbol": ["AAA", "BBB"]})


@pytest.fixture(scope="module")
def where_calm_follows_storms() -> tuple[pl.DataFrame, np.ndarray]:
    """Rows of two symbols after which prices move the less, the more they did before, and how much they move."""
    rng = np.random.default_rng(3)
    level = rng.uniform(0.05, 0.8, 600)
    rows = pl.DataFrame(
        {
            "symbol": ["AAA", "BBB"] * 300,
            "dt": date(2026, 1, 2),
            **{name: rng.normal(0, 0.1, 600) for name in VOLATILITY.numeric},
            **{name: level * rng.uniform(0.9, 1.1, 600) for name in HAR},
        }
    )
    return rows, 0.5 - 0.4 * level


def failed(estimator: Any, rows: pl.DataFrame) -> list[str]:
    return [
        result.name for result in run_behaviour_tests(VOLATILITY, estimator, rows, seed=7) if not result.passed
    ]


@pytest.mark.parametrize(
    "free_params", [{"ridge__positive": False}, {"monotonic_cst": None}], ids=["har", "trees"]
)
def test_no_candidate_learns_that_a_rougher_past_means_calm(
    free_params: dict[str, Any], where_calm_follows_storms: tuple[pl.DataFrame, np.ndarray]
) -> None:
    rows, ahead = where_calm_follows_storms
    matrix = to_matrix(rows, VOLATILITY)
    is_har = "ridge__positive" in free_params
    build = build_har if is_har else build_boosting
    free = build({}, 7)
    free[-1].set_params(**{name.removeprefix("ridge__"): value for name, value in free_params.items()})

    assert "a rougher past" not in failed(fit(build({}, 7), matrix, ahead), rows)
    assert "a rougher past" in failed(fit(free, matrix, ahead), rows)


def test_the_made_up_prices_come_through_the_dataset_s_own_features() -> None:
    calm, rough = made_of(flat)(SYMBOLS), made_of(moving)(SYMBOLS)

    assert calm["symbol"].to_list() == ["AAA", "BBB"]
    assert calm.select(HAR).sum_horizontal().to_list() == [0.0, 0.0]
    assert (rough.select(HAR).min_horizontal() > 0.1).all()


def test_a_model_that_reads_the_price_itself_is_found() -> None:
    class ReadsThePrice:
        def predict(self, matrix: Any) -> Any:
            return matrix["close"].to_numpy() / 1000

    model = VOLATILITY.model_copy(update={"numeric": (*VOLATILITY.numeric, "close")})
    rows = made_of(moving)(SYMBOLS)

    results = {result.name: result for result in run_behaviour_tests(model, ReadsThePrice(), rows, seed=7)}

    assert not results["prices in another unit"].passed
    assert results["the name of a new symbol"].passed


def test_a_model_that_reads_a_new_symbol_s_name_is_found() -> None:
    class ReadsTheName:
        def predict(self, matrix: Any) -> Any:
            return matrix["symbol"].str.len().to_numpy() / 100

    results = run_behaviour_tests(VOLATILITY, ReadsTheName(), made_of(moving)(SYMBOLS), seed=7)

    assert "the name of a new symbol" in [result.name for result in results if not result.passed]
