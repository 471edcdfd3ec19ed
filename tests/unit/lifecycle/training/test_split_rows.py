"""Which rows learn and which judge, where there are too many of them."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from include.lifecycle.training.split_rows import SplitRows, split_rows
from include.lifecycle.training.training_set import TrainingSet
from include.models.churn import CHURN
from tests.specs import changed

DAYS = [date(2026, 1, 1) + timedelta(40 * number) for number in range(4)]
MODEL = changed(CHURN, split={"max_rows": 200})


def rows_of(seed: int) -> SplitRows:
    """The rows of four snapshots of 1,000 customers each, of whom a part may hold 200."""
    frame = pl.DataFrame({"customer_id": [f"C{number:04d}" for number in range(1000)], "label": [0, 1] * 500})
    rows = {day: frame.with_columns(dt=pl.lit(day)) for day in DAYS}
    return split_rows(MODEL, TrainingSet(rows, missing={}, sources={}, inputs={}), seed)


def test_another_seed_learns_from_other_rows_and_is_judged_on_the_same() -> None:
    one, other = rows_of(seed=1), rows_of(seed=2)

    assert one.holdout.height == 200
    assert one.holdout.equals(other.holdout)
    assert not one.refit.equals(other.refit)
