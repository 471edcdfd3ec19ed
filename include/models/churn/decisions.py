"""What people do with a churn score."""

from __future__ import annotations

import polars as pl

from include.models.churn.label import HORIZON

USUAL_RISK = 0.05
"""About the share of the sample company's customers who leave within 30 days."""
HIGH_RISK = 0.15
"""From here on a customer is worth a retention offer: an offer of one month's charges that keeps one in three
leavers for 20 months more pays back when at least 3 in 20 of those who get it were about to leave."""
KEPT_SHARE = 1 / 3
KEPT_MONTHS = 20
OFFER_DAYS = HORIZON.days
"""Who has been offered something is not asked again until it has turned out whether that was right."""


def decide(scores: pl.DataFrame) -> pl.DataFrame:
    """Add what to do about each customer.

    `risk_category` is `low` below 0.05, the usual risk, `medium` below 0.15, else `high`. `will_churn` is true
    for `high`: the model's call to act, not the likelier outcome.

    Parameters
    ----------
    scores : with `score`, the probability to leave within 30 days.
    """
    score = pl.col("score")
    return scores.with_columns(
        risk_category=pl.when(score >= HIGH_RISK)
        .then(pl.lit("high"))
        .when(score >= USUAL_RISK)
        .then(pl.lit("medium"))
        .otherwise(pl.lit("low")),
        will_churn=score >= HIGH_RISK,
    )


def offer_worth() -> pl.Expr:
    """What an offer brings in on average, in USD: what leavers who are kept go on paying, less what it costs.

    Of rows with `monthly_charges` (USD) and `label`, 1 for those who would leave.
    """
    return pl.col("monthly_charges") * (KEPT_SHARE * KEPT_MONTHS * pl.col("label") - 1)
