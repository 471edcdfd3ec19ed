"""`make check-data` says what a model's spec asks of features that do not have it."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import polars as pl

from include.checks.walkthrough import _decisions, _model, _split
from include.datasets.market import MARKET
from include.models.volatility import VOLATILITY
from tests.specs import changed

ROWS = pl.DataFrame(
    {"symbol": "AAA", "dt": MARKET.calendar.days(date(2024, 1, 2), date(2026, 3, 2))}
).with_columns(**{name: pl.lit(0.1) for name in VOLATILITY.numeric}, label=pl.int_range(pl.len()).cast(pl.Float64))


def test_a_split_of_the_sample_says_why_a_training_may_take_fewer_snapshots() -> None:
    said = _split(VOLATILITY, ROWS)

    assert f"a training takes those of its last {VOLATILITY.split.look_back_days} days (`look_back_days`)." in said


def test_an_example_of_a_decision_has_no_digits_that_mean_nothing() -> None:
    model = VOLATILITY.model_copy(
        update={"interval": None, "decide": lambda scores: scores.with_columns(change=-1778.199999999997, up=True)}
    )

    assert _decisions(model, ROWS) == "`decide` adds change, up; e.g. change -1778.2, up True."


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
