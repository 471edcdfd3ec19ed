"""`make check-data` says what a model's spec asks of features that do not have it."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import polars as pl

from include.checks.walkthrough import _model
from include.datasets.market import MARKET
from include.models.volatility import VOLATILITY
from tests.specs import changed


def test_a_column_of_segments_that_the_features_lack_is_named() -> None:
    model = changed(VOLATILITY, segments={"by": "region", "per_task": None})
    days = MARKET.calendar.days(date(2026, 1, 2), date(2026, 3, 2))
    features = pl.DataFrame({"symbol": ["AAA"], **{name: [0.1] for name in model.numeric}})
    sample: Any = SimpleNamespace(
        days=days,
        lake=SimpleNamespace(days=lambda prefix: days),
        rows=lambda table, days: pl.LazyFrame(),
        features=lambda days: features,
    )

    [found] = _model(model, sample)

    assert not found.is_good
    assert "The features lack ['region'], which model 'volatility' reads" in found.text
