"""Weights that can be checked by hand, and limits that hold whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import EQUAL_WEIGHT, MAXIMUM_SHARPE, MINIMUM_VARIANCE, RISK_PARITY, STRATEGIES
from include.portfolio.weights import (
    Moments,
    PortfolioError,
    allocate,
    allocate_all,
    forecast_moments,
    frontier,
    historical_moments,
    round_weights,
    traded_value,
    turnover,
)

FREE = PortfolioSettings(max_weight=1, max_turnover=1)
# Volatilities of 20 and 10 %, uncorrelated.
TWO = Moments(np.array([0.10, 0.05]), np.diag([0.04, 0.01]))


def weights(strategy: str, moments: Moments = TWO, limits: PortfolioSettings = FREE) -> list[float]:
    found: list[float] = allocate(strategy, moments, limits).weights.tolist()
    return found


def random_moments(seed: int, symbols: int, level: float = 0.0) -> Moments:
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(symbols, symbols + 3)) * 0.1
    return Moments(rng.normal(level, 0.1, symbols), factors @ factors.T + 0.01 * np.eye(symbols))


def test_uncorrelated_minimum_variance_is_inverse_to_the_variances() -> None:
    assert weights(MINIMUM_VARIANCE) == pytest.approx([1 / 5, 4 / 5], abs=1e-5)


def test_uncorrelated_risk_parity_is_inverse_to_the_volatilities() -> None:
    assert weights(RISK_PARITY) == pytest.approx([1 / 3, 2 / 3], abs=1e-5)


def test_uncorrelated_maximum_sharpe_is_return_over_variance() -> None:
    # 0.10 / 0.04 = 2.5 and 0.05 / 0.01 = 5.
    assert weights(MAXIMUM_SHARPE) == pytest.approx([1 / 3, 2 / 3], abs=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_identical_symbols_get_equal_weights(strategy: str) -> None:
    alike = Moments(np.full(4, 0.08), np.full((4, 4), 0.02) + 0.02 * np.eye(4))
    assert weights(strategy, alike) == pytest.approx([0.25] * 4, abs=1e-5)


@given(
    seed=st.integers(0, 10_000),
    symbols=st.integers(3, 8),
    level=st.sampled_from([-0.3, 0.0, 0.1]),
    max_turnover=st.sampled_from([0.05, 0.3, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_weights_are_long_only_and_within_the_caps(
    seed: int, symbols: int, level: float, max_turnover: float
) -> None:
    limits = PortfolioSettings(max_weight=0.4, max_turnover=max_turnover)
    held = np.random.default_rng(seed).dirichlet(np.ones(symbols))
    forced = np.clip(held - limits.max_weight, 0, None).sum()

    chosen = allocate_all(random_moments(seed, symbols, level), limits, dict.fromkeys(STRATEGIES, held))

    for allocation in chosen.values():
        rounded = round_weights(allocation.weights, limits.max_weight)
        assert sum(round(weight * 1e6) for weight in rounded) == 1_000_000
        assert rounded.min() >= 0
        assert rounded.max() <= limits.max_weight
        assert turnover(rounded, held) <= max(max_turnover, forced) + 1e-5


def test_nothing_expected_falls_back_to_minimum_variance_and_says_so() -> None:
    chosen = allocate(MAXIMUM_SHARPE, Moments(np.zeros(2), TWO.covariance), FREE)

    assert chosen.weights.tolist() == weights(MINIMUM_VARIANCE)
    assert chosen.note == "No portfolio is expected to beat the risk-free rate: minimum variance instead."


def test_one_good_symbol_that_the_cap_cannot_lift_above_zero_falls_back_too() -> None:
    moments = Moments(np.array([0.05, -0.5, -0.5]), 0.04 * np.eye(3))
    limits = PortfolioSettings(max_weight=0.4)
    assert "minimum variance instead" in allocate(MAXIMUM_SHARPE, moments, limits).note


def test_what_cannot_be_held_is_sold_whatever_the_turnover_cap() -> None:
    chosen = allocate(RISK_PARITY, TWO, PortfolioSettings(max_weight=1, max_turnover=0.1), np.array([0.4, 0.2]))

    assert turnover(chosen.weights, np.array([0.4, 0.2])) == pytest.approx(0.4, abs=1e-5)
    assert chosen.note == "Turnover above 0.1: 0.4 of the portfolio has to be sold."


def test_equal_weight_goes_as_far_as_the_turnover_cap_lets_it() -> None:
    limits = PortfolioSettings(max_weight=1, max_turnover=0.1)
    chosen = allocate(EQUAL_WEIGHT, TWO, limits, np.array([0.9, 0.1]))
    assert chosen.weights == pytest.approx([0.8, 0.2], abs=1e-5)
    assert chosen.note == "Held back by the turnover cap of 0.1."


def test_too_few_symbols_for_the_cap_are_refused() -> None:
    with pytest.raises(PortfolioError, match=r"2 symbols of at most 0.35 each make up no more than 0.7"):
        allocate(EQUAL_WEIGHT, TWO, PortfolioSettings())


def test_turnover_is_one_way_and_traded_value_both() -> None:
    held, target = np.array([0.5, 0.5]), np.array([0.8, 0.2])
    assert turnover(target, held) == pytest.approx(0.3)
    assert traded_value(target, held) == pytest.approx(0.6)
    assert (turnover(target, None), traded_value(target, None)) == (0.0, 1.0)


def test_rounding_keeps_the_sum_and_the_cap() -> None:
    assert round_weights(np.full(3, 1 / 3)).tolist() == [0.333334, 0.333333, 0.333333]
    # The largest has no room, so the next one takes what is left over.
    rounded = round_weights(np.array([0.35, 0.3499996, 0.3000004]), 0.35)
    assert rounded.tolist() == [0.35, 0.35, 0.3]
    assert round_weights(np.array([0.35, 0.3250004, 0.3249996 - 2e-7]), 0.35).max() <= 0.35


def test_forecast_moments_keep_the_correlations_and_take_the_volatilities() -> None:
    returns = np.random.default_rng(1).multivariate_normal([0, 0], [[1e-4, 5e-5], [5e-5, 2e-4]], 300)
    past = historical_moments(returns).covariance
    moments = forecast_moments(returns, np.array([0.1, 0.2]), np.array([0.3, 0.5]))

    assert np.sqrt(np.diag(moments.covariance)) == pytest.approx([0.3, 0.5])
    correlation = past[0, 1] / np.sqrt(past[0, 0] * past[1, 1])
    assert moments.covariance[0, 1] / (0.3 * 0.5) == pytest.approx(correlation)


def test_a_volatility_that_is_no_positive_number_is_refused() -> None:
    with pytest.raises(PortfolioError, match="are not all positive numbers"):
        forecast_moments(np.zeros((100, 2)), np.zeros(2), np.array([0.2, 0.0]))


def test_the_frontier_rises_and_starts_at_minimum_variance() -> None:
    risks, expected = frontier(TWO, FREE)

    assert len(risks) == 15
    assert (np.diff(expected) > 0).all()
    assert (np.diff(risks) > -1e-9).all()
    assert risks[0] == pytest.approx(TWO.volatility(np.array([0.2, 0.8])), abs=1e-6)
    assert (risks[-1], expected[-1]) == pytest.approx((0.2, 0.10), abs=1e-4)


def test_the_frontier_of_equal_expectations_is_a_point() -> None:
    risks, expected = frontier(Moments(np.zeros(2), TWO.covariance), FREE)
    assert (len(risks), expected.tolist()) == (1, [0.0])


def test_the_same_inputs_give_the_same_bits() -> None:
    moments = random_moments(3, 5)
    first, second = (allocate_all(moments, PortfolioSettings()) for _ in range(2))
    assert all(first[name].weights.tobytes() == second[name].weights.tobytes() for name in STRATEGIES)
