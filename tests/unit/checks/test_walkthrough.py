"""`make check-data` says what a model's spec asks of features that do not have it, and what it found."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from include.checks.models import assert_naive_forecast_fits
from include.checks.walkthrough import _behaviour, _decisions, _model, _split
from include.datasets.market import MARKET
from include.lifecycle.specs import AnyOrder, LabelSpec, Profile
from include.models.volatility import VOLATILITY
from include.toolkit.features import features_by_key, same_weekday
from include.toolkit.labels import happens_within, value_after
from include.toolkit.models import naive_forecast
from tests.specs import changed

ROWS = pl.DataFrame(
    {"symbol": "AAA", "dt": MARKET.calendar.days(date(2024, 1, 2), date(2026, 3, 2))}
).with_columns(**{name: pl.lit(0.1) for name in VOLATILITY.numeric}, label=pl.int_range(pl.len()).cast(pl.Float64))


def test_a_split_of_the_sample_says_why_a_training_may_take_fewer_snapshots() -> None:
    said = _split(VOLATILITY, ROWS)

    assert f"a training takes those of its last {VOLATILITY.split.look_back_days} days (`look_back_days`)." in said


@pytest.mark.parametrize(
    ("days_ahead", "label", "sentence"),
    [
        (3, value_after("shop", ("symbol",), "sold", days=3), None),
        (7, value_after("shop", ("symbol",), "sold", days=7), None),
        (
            1,
            value_after("shop", ("symbol",), "sold", days=3),
            "is of 3 days after, and 'weekly' is not the 'sold' of that weekday, 4 days before",
        ),
        (
            1,
            happens_within("shop", ("symbol",), pl.col("sold") > 0, days=2),
            "is of the days 1 to 2 after; take another baseline",
        ),
    ],
)
def test_a_baseline_of_another_weekday_than_the_labels_is_named(
    days_ahead: int, label: LabelSpec, sentence: str | None
) -> None:
    # given: what two symbols sold, and a baseline that reads what they sold on the weekday so many days ahead
    model = VOLATILITY.model_copy(update={"label": label, "baseline": naive_forecast("sold", "weekly")})
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(30)]
    sold = [(name, day, 1.7 * day.toordinal() + len(name)) for name in ("A", "BB") for day in days]
    table = pl.LazyFrame(sold, schema=["symbol", "dt", "sold"], orient="row")
    made = {"weekly": same_weekday("sold", days_ahead)}
    features = features_by_key(days, table, ("symbol",), 6, ("sold", "weekly"), made)
    rows = pl.concat([frame.with_columns(dt=pl.lit(day)) for day, frame in features])

    # when
    with pytest.raises(AssertionError) if sentence else nullcontext() as error:
        assert_naive_forecast_fits(model, rows)

    # then
    assert sentence is None or (error is not None and sentence in str(error.value))


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


def test_a_candidate_that_fails_a_behaviour_test_is_named_with_what_was_measured() -> None:
    impossible = Profile(name="what is there", rows=lambda sample: sample.head(1), low=1e9)
    model = VOLATILITY.model_copy(update={"behaviour": (AnyOrder(),)})

    assert _behaviour(model, ROWS).endswith("pass every test after a fit without a search: order of the rows.")
    with pytest.raises(
        AssertionError, match=r"har_pooled fails 'what is there': .*at least 1e\+09\. The score is"
    ):
        _behaviour(VOLATILITY.model_copy(update={"behaviour": (impossible,)}), ROWS)


def test_where_too_little_is_there_to_split_nothing_is_fitted_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ROWS.head(3).with_columns(pl.lit("AAA").alias(name) for name in VOLATILITY.categorical)
    monkeypatch.setattr("include.checks.walkthrough._labelled", lambda model, sample: few)

    found = {one.step: one for one in _model(VOLATILITY, SimpleNamespace())}  # type: ignore[arg-type]

    assert not found["volatility: split"].is_good
    assert "volatility: candidates" not in found
    assert "volatility: decisions" in found
