"""The back-test: nothing of the future, costs as by hand, and a verdict that does not flatter."""

from __future__ import annotations

import math
import statistics
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from include.portfolio.backtest import compare, figures, growth, walk_forward
from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import EQUAL_WEIGHT

START = date(2015, 1, 1)
SHORT = PortfolioSettings(window_sessions=60, min_history=60, bootstrap_samples=200)


def daily(sessions: int = 130, symbols: int = 4, seed: int = 0) -> pl.DataFrame:
    drawn = np.random.default_rng(seed).normal(0.0005, 0.01, (sessions, symbols))
    names = [chr(ord("A") + number) for number in range(symbols)]
    return pl.DataFrame(drawn, schema=names).insert_column(0, dates(sessions))


def dates(sessions: int) -> pl.Series:
    return pl.Series("date", [START + timedelta(number) for number in range(sessions)])


def strategy_returns(**strategies: list[float]) -> pl.DataFrame:
    """Rows of a back-test, the names' underscores read as blanks."""
    frames = [
        pl.DataFrame({"date": dates(len(net)), "net_return": net}).select(
            "date",
            "net_return",
            strategy=pl.lit(name.replace("_", " ")),
            traded_value=pl.lit(0.0),
            cost=pl.lit(0.0),
        )
        for name, net in strategies.items()
    ]
    return pl.concat(frames)


def test_nothing_up_to_a_day_depends_on_what_comes_after() -> None:
    returns = daily()
    last = returns["date"][100]
    later = pl.col("date") > last
    changed = returns.with_columns(
        pl.when(later).then(-3 * pl.col(name)).otherwise(pl.col(name)).alias(name) for name in "ABCD"
    )
    before, after = walk_forward(returns, SHORT), walk_forward(changed, SHORT)

    assert before.returns.filter(~later).equals(after.returns.filter(~later))
    assert before.weights.filter(~later).equals(after.weights.filter(~later))
    assert not before.returns.equals(after.returns)


def test_the_first_purchase_is_on_a_first_of_january_and_looks_at_the_window_alone() -> None:
    returns = daily((date(2017, 1, 1) - START).days + 1)
    too_old = pl.col("date") < date(2016, 1, 1) - timedelta(SHORT.window_sessions)
    changed = returns.with_columns(
        pl.when(too_old).then(-3 * pl.col(name)).otherwise(pl.col(name)).alias(name) for name in "ABCD"
    )
    settings = SHORT.model_copy(update={"backtest_years": 1})
    made, other = walk_forward(returns, settings), walk_forward(changed, settings)

    assert made.returns["date"].min() == date(2016, 1, 1)
    assert made.returns.equals(other.returns)
    assert made.weights.equals(other.weights)


def test_a_symbol_that_is_listed_later_changes_no_weight_until_it_can_be_bought() -> None:
    returns = daily(110)
    listed = returns.with_columns(A=pl.when(pl.col("date") >= START + timedelta(70)).then("A"))
    alone = walk_forward(returns.drop("A"), SHORT)

    made = walk_forward(listed, SHORT)

    assert made.returns.equals(alone.returns)
    assert made.weights.filter(pl.col("weight") > 0).equals(alone.weights.filter(pl.col("weight") > 0))


def test_weights_are_of_the_session_before_the_first_that_they_earn() -> None:
    made = walk_forward(daily(), SHORT)

    assert made.weights["date"].min() == START + timedelta(59)
    assert made.returns["date"].min() == START + timedelta(60)
    assert made.returns["date"].max() == START + timedelta(129)


def test_equal_weight_with_costs_is_as_computed_by_hand() -> None:
    """Two symbols, held for two sessions at a time: +10 % and then +20 % make the halves 0.55 and 0.6."""
    quiet = np.random.default_rng(0).normal(0, 0.01, (60, 2)).tolist()
    rows = [*quiet, [0.10, 0.0], [0.0, 0.20], [0.02, 0.02]]
    returns = pl.DataFrame(rows, schema=["A", "B"], orient="row").insert_column(0, dates(63))
    settings = SHORT.model_copy(update={"max_weight": 1.0, "rebalance_sessions": 2, "cost_basis_points": 10.0})

    net = walk_forward(returns, settings).returns.filter(strategy=EQUAL_WEIGHT)

    traded = 2 * (0.6 / 1.15 - 0.5)
    assert net["traded_value"].to_list() == pytest.approx([1.0, 0.0, traded])
    assert net["cost"].to_list() == pytest.approx([0.001, 0.0, 0.001 * traded])
    assert net["net_return"].to_list() == pytest.approx(
        [1.05 * 0.999 - 1, 1.15 / 1.05 - 1, 1.02 * (1 - 0.001 * traded) - 1]
    )


def test_dearer_trades_leave_less_and_the_same_weights() -> None:
    free, dear = (
        walk_forward(daily(), SHORT.model_copy(update={"cost_basis_points": cost})) for cost in (0.0, 50.0)
    )

    assert free.weights.equals(dear.weights)
    ends = [growth(made.returns).filter(pl.col("date") == pl.col("date").max())["value"] for made in (free, dear)]
    assert (ends[0] > ends[1]).all()


def test_a_symbol_enters_once_its_window_is_full() -> None:
    returns = daily(180, 5).with_columns(pl.when(pl.int_range(pl.len()) >= 50).then(pl.col("E")).alias("E"))
    weights = walk_forward(returns, SHORT).weights.filter(symbol="E", strategy=EQUAL_WEIGHT)

    entered = START + timedelta(50 + 60 - 1)
    assert (weights.filter(pl.col("date") < entered)["weight"] == 0).all()
    assert (weights.filter(pl.col("date") >= entered)["weight"] > 0).all()


def test_a_symbol_that_was_not_traded_on_a_few_days_of_its_window_is_bought() -> None:
    is_halted = pl.int_range(pl.len()).is_between(10, 12)
    returns = daily(80).with_columns(D=pl.when(~is_halted).then("D"))

    weights = walk_forward(returns, SHORT.model_copy(update={"min_history": 50})).weights

    assert (weights.filter(symbol="D", strategy=EQUAL_WEIGHT)["weight"] > 0).all()
    assert set(weights["symbol"]) == {"A", "B", "C", "D"}


def test_the_first_purchase_is_when_enough_symbols_for_the_weight_cap_have_their_history() -> None:
    """The cap of 0.35 asks for three symbols: D is never traded, and C has its 60 returns at the 91st close."""
    number = pl.int_range(pl.len())
    returns = daily(150).with_columns(
        pl.when(number >= 31).then("C").alias("C"), pl.lit(None, pl.Float64).alias("D")
    )

    made = walk_forward(returns, SHORT)

    assert made.returns["date"].min() == START + timedelta(91)
    assert made.weights["date"].min() == START + timedelta(90)


def without(returns: pl.DataFrame, symbol: str, sessions: range) -> pl.DataFrame:
    """The returns without trades of a symbol in some sessions, and with zeroes in those of all others there."""
    is_out = pl.int_range(pl.len()).is_between(sessions.start, sessions.stop - 1)
    return returns.with_columns(
        pl.when(is_out).then(None if name == symbol else 0.0).otherwise(pl.col(name)).alias(name)
        for name in returns.columns[1:]
    )


def test_a_delisted_symbol_keeps_its_last_value_until_the_next_rebalancing_and_is_sold_then() -> None:
    """E of five is gone from the 70th session on: bought at the 60th close, sold at the 81st."""
    made = walk_forward(without(daily(120, 5), "E", range(70, 120)), SHORT)

    held = made.weights.filter(symbol="E", strategy=EQUAL_WEIGHT)["weight"].to_list()
    net = made.returns.filter(strategy=EQUAL_WEIGHT)
    assert held == [0.2, 0.0, 0.0]
    assert net["net_return"].to_list()[10:21] == pytest.approx([0.0] * 11)
    sold = net.filter(date=START + timedelta(81))["traded_value"].item()
    assert 2 * 0.19 < sold < 2 * 0.21


def test_a_halt_between_rebalancings_is_held_through_and_ends_with_the_return_over_it() -> None:
    halted = without(daily(90, 5), "E", range(65, 70))
    back = pl.int_range(pl.len()) == 70
    halted = halted.with_columns(
        pl.when(back).then(-0.5 if name == "E" else 0.0).otherwise(name).alias(name) for name in "ABCDE"
    )
    made = walk_forward(halted, SHORT.model_copy(update={"window_sessions": 64}))

    net = made.returns.filter(strategy=EQUAL_WEIGHT).filter(pl.col("date") >= START + timedelta(65))["net_return"]
    assert net.to_list()[:5] == pytest.approx([0.0] * 5)
    assert net[5] == pytest.approx(-0.1, abs=0.005)


def test_a_short_halt_costs_no_symbol_its_place() -> None:
    """Halted in the 71st session, E has 62 returns in the window of 63 at the next rebalancing; 60 are needed."""
    halted = without(daily(100, 5), "E", range(70, 71))
    weights = walk_forward(halted, SHORT.model_copy(update={"window_sessions": 63})).weights

    assert (weights.filter(symbol="E", strategy=EQUAL_WEIGHT)["weight"] > 0).all()


def test_with_too_few_symbols_nothing_is_traded() -> None:
    """Of four symbols two are not traded at the second rebalancing, and the weight cap asks for three."""
    is_out = pl.int_range(pl.len()) == 84
    returns = daily(120).with_columns(pl.when(~is_out).then(pl.col(name)).alias(name) for name in "CD")
    settings = SHORT.model_copy(update={"window_sessions": 64})
    made = walk_forward(returns, settings)

    traded = made.returns.filter(pl.col("traded_value") > 1e-9)["date"].unique().sort().to_list()
    assert traded == [START + timedelta(64), START + timedelta(106)]
    assert made.weights["date"].unique().sort().to_list() == [START + timedelta(n) for n in (63, 84, 105)]


def test_a_history_shorter_than_the_window_gives_nothing() -> None:
    made = walk_forward(daily(60), SHORT)

    assert (made.returns.height, made.weights.height) == (0, 0)
    assert figures(made.returns) == {}
    assert compare(made.returns, SHORT) == {}


def test_figures_are_as_computed_by_hand() -> None:
    rows = strategy_returns(equal_weight=[0.1, -0.5, 0.2, 0.1])
    figure = figures(rows)[EQUAL_WEIGHT]

    net = np.array([0.1, -0.5, 0.2, 0.1])
    assert figure.annual_return == pytest.approx((1.1 * 0.5 * 1.2 * 1.1) ** (252 / 4) - 1)
    assert figure.volatility == pytest.approx(net.std() * 252**0.5)
    assert figure.sharpe == pytest.approx(net.mean() / net.std() * 252**0.5)
    assert figure.max_drawdown == pytest.approx(-0.5)


def test_the_risk_free_rate_is_taken_from_each_days_return_by_hand() -> None:
    # A rate of 2.52 a year is 0.01 a day: 0.03, -0.01 and 0.04 are 0.02, -0.02 and 0.03 above it.
    figure = figures(strategy_returns(equal_weight=[0.03, -0.01, 0.04]), risk_free_rate=2.52)[EQUAL_WEIGHT]

    mean = (0.02 - 0.02 + 0.03) / 3
    deviation = math.sqrt(((0.02 - mean) ** 2 + (-0.02 - mean) ** 2 + (0.03 - mean) ** 2) / 3)
    assert figure.sharpe == pytest.approx(mean / deviation * math.sqrt(252))
    assert figure.volatility == pytest.approx(deviation * math.sqrt(252))


@pytest.mark.parametrize(
    ("net", "fall"), [([-0.2, 0.5], -0.2), ([0.5, -0.2, 0.1, -0.2], 0.8 * 1.1 * 0.8 - 1), ([0.1], 0)]
)
def test_the_maximum_drawdown_is_from_the_highest_value_before_be_it_the_first(
    net: list[float], fall: float
) -> None:
    assert figures(strategy_returns(equal_weight=net))[EQUAL_WEIGHT].max_drawdown == pytest.approx(fall)


def test_a_year_of_doubling_twice_is_an_annual_return_of_three_hundred_percent() -> None:
    net = [1.0, 1.0, *[0.0] * 250]

    assert figures(strategy_returns(equal_weight=net))[EQUAL_WEIGHT].annual_return == pytest.approx(3)


def test_the_figures_of_a_strategy_are_of_its_own_rows_in_the_order_of_the_dates() -> None:
    rows = strategy_returns(equal_weight=[0.5, -0.2, 0.1], risk_parity=[0.1, 0.2, 0.3])

    assert figures(rows.reverse())[EQUAL_WEIGHT] == figures(rows)[EQUAL_WEIGHT]
    assert list(figures(rows)) == [EQUAL_WEIGHT, "risk parity"]
    assert figures(rows)["risk parity"].max_drawdown == 0


def test_strategies_are_listed_in_the_order_of_their_rows() -> None:
    names = [f"strategy {number}" for number in (3, 1, 4, 2, 9, 7)]

    assert list(figures(strategy_returns(**{name: [0.1, 0.2] for name in names}))) == names


def test_growth_is_the_product_of_what_each_day_left() -> None:
    rows = strategy_returns(equal_weight=[0.5, -0.2], risk_parity=[0.1, 0.1])

    grown = growth(rows.reverse()).sort("strategy", "date")

    assert grown["value"].to_list() == pytest.approx([1.5, 1.5 * 0.8, 1.1, 1.1 * 1.1])
    assert grown.columns == ["date", "strategy", "value"]


def test_the_difference_of_sharpe_ratios_is_that_of_the_figures_after_the_risk_free_rate() -> None:
    random = np.random.default_rng(4)
    rows = strategy_returns(
        equal_weight=random.normal(0.001, 0.01, 300).tolist(),
        minimum_variance=random.normal(0.001, 0.02, 300).tolist(),
        risk_parity=random.normal(0.002, 0.01, 300).tolist(),
    )
    limits = SHORT.model_copy(update={"risk_free_rate": 0.1})

    compared, sharpe = compare(rows, limits), figures(rows, 0.1)

    assert list(compared) == ["minimum variance", "risk parity"]
    for name, comparison in compared.items():
        assert comparison.difference == pytest.approx(sharpe[name].sharpe - sharpe[EQUAL_WEIGHT].sharpe)


def resampled_one_by_one(own: list[float], other: list[float], samples: int, tail: float) -> list[float]:
    """The interval as Politis and Romano have it: blocks of 21 sessions on a circle, both from the same draws."""
    sessions = len(own)
    starts = np.random.default_rng(SHORT.seed).integers(sessions, size=(samples, math.ceil(sessions / 21)))
    differences = []
    for row in starts.tolist():
        drawn = [(start + step) % sessions for start in row for step in range(21)][:sessions]
        mine, theirs = ([returns[place] for place in drawn] for returns in (own, other))
        ratios = [statistics.fmean(net) / statistics.pstdev(net) * math.sqrt(252) for net in (mine, theirs)]
        differences.append(ratios[0] - ratios[1])
    return list(stats.mstats.mquantiles(differences, [tail, 1 - tail], alphap=1, betap=1))


def test_the_intervals_are_drawn_in_blocks_and_hold_together_with_95_percent() -> None:
    random = np.random.default_rng(8)
    market, first, second = (random.normal(0.001, 0.01, 100).tolist() for _ in range(3))
    settings = SHORT.model_copy(update={"bootstrap_samples": 60})

    compared = compare(strategy_returns(equal_weight=market, minimum_variance=first, risk_parity=second), settings)

    for own, comparison in zip((first, second), compared.values(), strict=True):
        # Two optima share the 5 % that may be outside, each at both ends.
        expected = resampled_one_by_one(own, market, 60, 0.05 / 2 / 2)
        assert (comparison.low, comparison.high) == pytest.approx(expected)


@pytest.mark.parametrize(("sessions", "answer"), [(251, "no evidence"), (252, "better")])
def test_a_year_of_sessions_is_the_least_that_is_evidence(sessions: int, answer: str) -> None:
    market = np.random.default_rng(5).normal(0, 0.01, sessions)
    rows = strategy_returns(equal_weight=market.tolist(), risk_parity=(market + 0.01).tolist())

    assert compare(rows, SHORT)["risk parity"].answer == answer


def test_returns_that_never_change_have_a_sharpe_ratio_of_0() -> None:
    assert figures(strategy_returns(equal_weight=[0.0] * 5))[EQUAL_WEIGHT].sharpe == 0


def test_turnover_and_costs_leave_out_the_first_purchase() -> None:
    # After the first purchase 0.6 and 0.2 are traded in two years: 0.4 a year, half of it bought and half sold.
    traded = pl.Series("traded_value", [1.0, 0.6, *[0.0] * 501, 0.2])
    rows = strategy_returns(equal_weight=[0.0] * 504).with_columns(traded, (traded * 0.001).alias("cost"))

    figure = figures(rows)[EQUAL_WEIGHT]

    assert figure.turnover_per_year == pytest.approx(0.2)
    assert figure.costs_per_year == pytest.approx(0.0004)


@pytest.mark.parametrize(
    ("advantage", "answer"),
    [(0.002, "better"), (-0.002, "worse"), (0.0004, "better"), (0.0, "no evidence"), (0.00005, "no evidence")],
)
def test_a_difference_counts_only_beyond_chance(advantage: float, answer: str) -> None:
    rng = np.random.default_rng(5)
    market = rng.normal(0.0005, 0.01, 1000)
    other = market + rng.normal(0, 0.004, 1000)
    other += advantage + (market.mean() - other.mean())
    rows = strategy_returns(equal_weight=market.tolist(), risk_parity=other.tolist())

    assert compare(rows, PortfolioSettings())["risk parity"].answer == answer


def test_a_few_months_are_no_evidence_however_good() -> None:
    market = np.random.default_rng(5).normal(0, 0.01, 200)
    rows = strategy_returns(equal_weight=market.tolist(), risk_parity=(market + 0.01).tolist())

    compared = compare(rows, PortfolioSettings())["risk parity"]
    assert compared.low > 0
    assert compared.answer == "no evidence"


def test_the_same_seed_gives_the_same_interval_and_swapping_turns_it_round() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(0.001, 0.01, 500).tolist(), rng.normal(0.0, 0.01, 500).tolist()
    straight = compare(strategy_returns(equal_weight=one, risk_parity=other), SHORT)["risk parity"]
    again = compare(strategy_returns(equal_weight=one, risk_parity=other), SHORT)["risk parity"]
    swapped = compare(strategy_returns(equal_weight=other, risk_parity=one), SHORT)["risk parity"]

    assert straight == again
    assert (swapped.difference, swapped.low, swapped.high) == pytest.approx(
        (-straight.difference, -straight.high, -straight.low)
    )
