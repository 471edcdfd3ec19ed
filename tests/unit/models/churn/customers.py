"""Customers as the churn model sees them, with outcomes that follow from contract and use."""

from __future__ import annotations

import numpy as np
import polars as pl

from include.models.churn import CHURN

CONTRACTS = ("Month-to-month", "One year", "Two year")


def customers(count: int, seed: int = 0) -> pl.DataFrame:
    """Features of `count` customers by id; some ages are unknown."""
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "customer_id": [f"C{number:07}" for number in range(count)],
            **{name: rng.normal(50, 10, count).round(2) for name in CHURN.numeric},
            **{name: rng.choice(["Yes", "No"], count) for name in CHURN.categorical},
        }
    )
    return frame.with_columns(
        contract=pl.Series(rng.choice(CONTRACTS, count)),
        data_trend=pl.Series(rng.uniform(0.2, 1.8, count)),
        age=pl.when(pl.col("customer_id").str.ends_with("7")).then(None).otherwise("age"),
    )


def risk(frame: pl.DataFrame) -> np.ndarray:
    """The true probability of each customer to leave within 30 days."""
    monthly = (frame["contract"] == "Month-to-month").to_numpy()
    return 1 / (1 + np.exp(2.5 - 1.5 * monthly + 1.5 * (frame["data_trend"].to_numpy() - 1)))


def outcomes(frame: pl.DataFrame, seed: int = 0) -> np.ndarray:
    """Labels drawn with the customers' risk."""
    return (np.random.default_rng(seed).random(frame.height) < risk(frame)).astype(np.int8)
