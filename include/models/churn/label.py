"""What the churn model predicts: that a customer leaves within 30 days."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

HORIZON = timedelta(days=30)


def leaves_within_horizon(day: date, features: pl.DataFrame, churns: pl.LazyFrame) -> pl.DataFrame:
    """Label of each customer of `day`: 1 if it left in the 30 days after, that is in (day, day + 30].

    Customers who had left by the end of `day` are left out, also if that became known only later. Of several
    departures of a customer the first counts.

    Parameters
    ----------
    features : a row per customer with `customer_id`.
    churns : `customer_id` and `churned_on`.

    Returns
    -------
    `customer_id` and `label` (Int8).
    """
    departures = churns.group_by("customer_id").agg(pl.col("churned_on").min()).collect()
    left_on = pl.col("churned_on")
    return (
        features.select("customer_id")
        .join(departures, on="customer_id", how="left")
        .filter(left_on.is_null() | (left_on > day))
        .select("customer_id", label=(left_on <= day + HORIZON).fill_null(False).cast(pl.Int8))
    )
