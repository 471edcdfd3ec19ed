"""Who counts as having left."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from include.models.churn.label import leaves_within_horizon

DAY = date(2026, 3, 1)


def _labels(**left_after_days: int | list[int]) -> dict[str, int]:
    customers = pl.DataFrame({"customer_id": ["loyal", *left_after_days]})
    rows = [
        (customer, DAY + timedelta(days))
        for customer, given in left_after_days.items()
        for days in (given if isinstance(given, list) else [given])
    ]
    churns = pl.LazyFrame(rows, schema={"customer_id": pl.String, "churned_on": pl.Date}, orient="row")
    return dict(leaves_within_horizon(DAY, customers, churns).iter_rows())


def test_the_label_is_1_from_the_next_day_to_the_thirtieth() -> None:
    assert _labels(next_day=1, last_day=30, too_late=31) == {
        "loyal": 0,
        "next_day": 1,
        "last_day": 1,
        "too_late": 0,
    }


def test_customers_who_had_left_by_the_end_of_the_day_are_left_out() -> None:
    assert _labels(same_day=0, before=-3) == {"loyal": 0}


def test_a_departure_recorded_twice_gives_one_row_and_the_first_counts() -> None:
    assert _labels(doubled=[40, 5, 5]) == {"loyal": 0, "doubled": 1}


def test_without_departures_all_labels_are_0() -> None:
    assert _labels() == {"loyal": 0}
