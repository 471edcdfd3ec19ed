"""What people do with an expected return: a price range and a signal."""

from __future__ import annotations

import polars as pl

from include.datasets.market.calendar import SESSIONS_PER_YEAR
from include.models.returns.label import HORIZON

LEAST_RATIO = 0.15
"""Expected return in units of its risk from which on it is acted upon: over 5 sessions, a Sharpe ratio of about 1
a year, more than most markets ever paid."""
LEAST_RETURN = 0.002
"""Expected log return that pays for buying and selling at 0.1 % each."""


def decide(scores: pl.DataFrame) -> pl.DataFrame:
    """Add what is expected of the price, and a signal with its reason.

    - `expected_return`: simple return over the next 5 sessions; `expected_volatility`: annualised, that of the
      last 21 sessions; `price_low`, `price_high`: the interval around the close, in its currency.
    - `signal`: BUY or SELL where the expected return is at least 0.2 %, which pays for the trade, and at least
      0.15 times its risk, the volatility scaled to 5 sessions; else HOLD. A model that has shown no skill is not
      champion, and the baseline in its place expects nothing: weak evidence means HOLD.
    """
    risk = pl.col("volatility_21d") * (HORIZON / SESSIONS_PER_YEAR) ** 0.5
    ratio = pl.col("score") / risk
    # A price that has not moved has no risk to measure a return by.
    strong = (risk > 0) & (ratio.abs() >= LEAST_RATIO) & (pl.col("score").abs() >= LEAST_RETURN)
    signal = (
        pl.when(strong & (pl.col("score") > 0))
        .then(pl.lit("BUY"))
        .when(strong)
        .then(pl.lit("SELL"))
        .otherwise(pl.lit("HOLD"))
    )
    return scores.with_columns(
        expected_return=pl.col("score").exp() - 1,
        expected_volatility=pl.col("volatility_21d"),
        price_low=pl.col("close") * pl.col("score_low").exp(),
        price_high=pl.col("close") * pl.col("score_high").exp(),
        signal=signal,
        reason=_reason(ratio, strong),
    )


def _reason(ratio: pl.Expr, strong: pl.Expr) -> pl.Expr:
    expected = (100 * (pl.col("score").exp() - 1)).round(2)
    numbers = pl.format("{} % expected in 5 sessions, {} times its risk", expected, ratio.round(2))
    return (
        pl.when(pl.col("score") == 0)
        .then(pl.lit("No return is expected: no model has shown skill."))
        .when(strong)
        .then(pl.format("{}: enough to act.", numbers))
        .otherwise(pl.format("{}: too little to act.", numbers))
    )
