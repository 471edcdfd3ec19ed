"""How many outcomes an interval held, and whether that is what it promised."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from scipy.stats import binomtest

from include.lifecycle.modelling.intervals import Interval, coverage, coverage_range, fit_interval, width_fault
from include.lifecycle.specs import IntervalPolicy
from include.lifecycle.training.describe import interval_warnings
from include.lifecycle.training.fitting import Fitted
from include.lifecycle.training.segment_training import SegmentFits

EIGHTY = Interval("scale", multiple=1.0, nominal=0.8)
FIRST = date(2026, 3, 1)


def outcomes(days: int, rows: int, held: int) -> pl.DataFrame:
    """Days of so many rows each, of which the interval holds `held`: they miss by less than the scale."""
    errors = [0.5] * held + [1.5] * (rows - held)
    return pl.DataFrame(
        {
            "dt": [FIRST + timedelta(days=day) for day in range(days) for _ in errors],
            "label": errors * days,
            "score": 0.0,
            "scale": 1.0,
        }
    )


@pytest.mark.parametrize(("held", "rows"), [(72, 100), (93, 100), (800, 1000), (0, 50), (50, 50)])
def test_the_range_of_a_coverage_on_one_day_is_wilsons(held: int, rows: int) -> None:
    frame = outcomes(1, rows, held)

    assert coverage(EIGHTY, frame, "score") == held / rows
    wilson = binomtest(held, rows).proportion_ci(0.95, method="wilson")
    assert coverage_range(EIGHTY, frame, "score") == pytest.approx((wilson.low, wilson.high), abs=1e-6)


def test_the_range_is_wider_where_days_differ_as_wholes() -> None:
    good, bad = outcomes(10, 100, 100), outcomes(10, 100, 60).with_columns(pl.col("dt") + timedelta(days=10))
    wilson = binomtest(1600, 2000).proportion_ci(0.95, method="wilson")

    low, high = coverage_range(EIGHTY, pl.concat([good, bad]), "score")

    assert low < wilson.low - 0.03
    assert high > wilson.high + 0.03


@pytest.mark.parametrize(
    ("held", "fault"),
    [(72, "too narrow"), (77, "too narrow"), (79, None), (80, None), (81, None), (93, "too wide")],
)
def test_an_interval_that_holds_far_more_or_fewer_outcomes_than_promised_has_the_wrong_width(
    held: int, fault: str | None
) -> None:
    rows = outcomes(50, 100, held)

    assert width_fault(0.8, coverage(EIGHTY, rows, "score"), coverage_range(EIGHTY, rows, "score")) == fault


@pytest.mark.parametrize(("held", "warned"), [(72, True), (80, False), (93, True)])
def test_a_training_warns_of_an_interval_that_breaks_its_promise(held: int, warned: bool) -> None:
    holdout = outcomes(50, 100, held).rename({"score": "candidate_score"})
    fitted = Fitted(None, None, [], holdout, holdout, {"candidate": EIGHTY}, SegmentFits())

    warnings = interval_warnings(fitted)

    expected = f"promises to hold 80 % of the outcomes, but held {held}.0 % of the holdout's"
    assert [expected in warning for warning in warnings] == [True] * warned
    width = "too narrow" if held < 80 else "too wide"
    assert all(width in warning for warning in warnings)


@pytest.mark.parametrize(
    ("measured", "ends", "fault"),
    [
        (0.7, (0.6, 0.8), None),
        (0.7, (0.6, 0.7999), "too narrow"),
        (0.9, (0.8, 0.95), None),
        (0.9, (0.8001, 0.95), "too wide"),
        (0.716, (0.635, 0.789), "too narrow"),
        (0.78, (0.779, 0.781), None),
        (0.82, (0.819, 0.821), None),
        (0.779, (0.778, 0.780), "too narrow"),
        (0.821, (0.820, 0.822), "too wide"),
    ],
)
def test_a_width_is_wrong_where_the_miss_is_neither_chance_nor_small(
    measured: float, ends: tuple[float, float], fault: str | None
) -> None:
    assert width_fault(0.8, measured, ends) == fault


def test_rows_without_a_scale_say_nothing_of_the_multiple_and_small_scales_count() -> None:
    rows = pl.DataFrame({"label": [1.0, 0.2, 9.0], "score": 0.0, "scale": [1.0, 0.1, 0.0]})

    assert fit_interval(IntervalPolicy(scale="scale", coverage=0.9), rows, "score").multiple == 2
