"""Ready-made features: of a key's own past, of the days that they say, and of nothing else."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from include.lifecycle.ingestion.source_digest import source_digest
from include.toolkit import features as toolkit_features
from include.toolkit.features import (
    Days,
    Features,
    Tables,
    features_by_key,
    lag,
    same_weekday,
    trailing_mean,
    weekday,
)

DAY = date(2026, 3, 2)  # a Monday
MADE = {"sold_lag_2": lag("sold", days=2), "sold_mean_3": trailing_mean("sold", days=3), "weekday": weekday()}


def make_features(days: Days, tables: Tables) -> Features:
    return features_by_key(days, tables["shop"], ("store",), 3, ("sold", *MADE), MADE)


def rows(**sold: dict[int, float]) -> pl.LazyFrame:
    """What each store sold, by how many days before `DAY`."""
    return pl.LazyFrame(
        [
            {"store": store, "sold": value, "dt": DAY - timedelta(days=ago)}
            for store, days in sold.items()
            for ago, value in days.items()
        ],
        schema={"store": pl.String, "sold": pl.Float64, "dt": pl.Date},
    )


def test_lag_mean_and_weekday_are_of_the_keys_own_days() -> None:
    tables = {"shop": rows(b={0: 1.0, 1: 2.0, 2: 6.0, 3: 100.0}, a={0: 4.0, 3: 9.0}, gone={1: 1.0})}

    [(day, made)] = make_features([DAY], tables)

    assert day == DAY
    assert made.to_dict(as_series=False) == {
        "store": ["a", "b"],
        "sold": [4.0, 1.0],
        "sold_lag_2": [None, 6.0],
        "sold_mean_3": [4.0, 3.0],
        "weekday": [1, 1],
    }


@pytest.mark.parametrize(("days_ahead", "ago"), [(1, 6), (3, 4), (6, 1), (7, 0), (8, 6), (14, 0)])
def test_the_same_weekday_is_the_newest_one_of_the_target(days_ahead: int, ago: int) -> None:
    table = rows(a={day: float(day) for day in range(15)})

    made = {"found": same_weekday("sold", days_ahead)}
    [(_, features)] = features_by_key([DAY], table, ("store",), 14, ("found",), made)

    assert features["found"].to_list() == [ago]
    assert (DAY + timedelta(days=days_ahead)).weekday() == (DAY - timedelta(days=ago)).weekday()


def test_an_expression_of_ones_own_sees_the_history_and_no_more() -> None:
    table = rows(a={0: 1.0, 3: 2.0, 4: 50.0, -1: 99.0})

    [(_, made)] = features_by_key([DAY], table, ("store",), 3, ("most",), {"most": pl.col("sold").max()})

    assert made["most"].to_list() == [2.0]


def test_a_table_with_a_row_a_day_has_one_past() -> None:
    table = rows(a={0: 1.0, 2: 6.0}).with_columns(date="dt").drop("store")

    [(_, made)] = features_by_key([DAY], table, ("date",), 3, ("sold", *MADE), MADE)

    assert made.rows() == [(DAY, 1.0, 6.0, 3.5, 1)]


def test_without_a_past_the_features_are_the_days_own_rows() -> None:
    [(_, made)] = features_by_key([DAY], rows(a={0: 1.0, 1: 2.0}), ("store",), 0, ("sold",), {})

    assert made.rows() == [("a", 1.0)]


def test_features_made_with_the_toolkit_have_the_version_of_their_own_code() -> None:
    assert make_features.__module__ == __name__
    assert source_digest(make_features) != source_digest(toolkit_features.features_by_key)
