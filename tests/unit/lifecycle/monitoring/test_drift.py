"""The measurements that the drift verdict rests on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.monitoring.drift import _outside
from include.lifecycle.monitoring.drift_samples import Samples, clip, draw, tidy
from include.lifecycle.monitoring.drift_verdict import ColumnEvidence, DriftEvidence, decide
from include.lifecycle.monitoring.drift_window import SCORE
from include.lifecycle.monitoring.evidently_comparison import compare
from include.lifecycle.specs import DriftPolicy

POLICY = DriftPolicy()
MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)


def customers(rows: int, seed: int, *, charges: float = 0.0, fiber: float = 0.4) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "customer_id": [f"C{number:07d}" for number in range(rows)],
            "dt": [MONDAY] * rows,
            "monthly_charges": rng.gamma(4, 16, rows) + charges,
            "overdue": np.where(rng.random(rows) < 0.9, 0.0, rng.gamma(1, 40, rows)),
            SCORE: rng.beta(1, 8, rows),
            "internet": rng.choice(["Fiber optic", "DSL"], rows, p=[fiber, 1 - fiber]),
        }
    )


NUMERIC, CATEGORICAL = ("monthly_charges", "overdue", SCORE), ("internet",)


def measure(reference: pl.DataFrame, current: pl.DataFrame) -> dict[str, ColumnEvidence]:
    sides = [
        draw(tidy(frame.lazy(), NUMERIC, CATEGORICAL), ["customer_id"], POLICY.sample_rows)
        for frame in (reference, current)
    ]
    return compare(clip(Samples(*sides), NUMERIC), NUMERIC, CATEGORICAL, POLICY).columns


def verdict_on(rows: int, shift: float) -> str:
    """The verdict on a window whose scores lie higher than those of the reference by `shift`."""
    moved = customers(rows, seed=2).with_columns(pl.col(SCORE) + shift)
    columns = measure(customers(rows, seed=1), moved)
    sampled = min(rows, POLICY.sample_rows)
    evidence = DriftEvidence(
        reference_rows=sampled,
        current_rows=sampled,
        days=(MONDAY,),
        missing_days=(),
        scored_days=(MONDAY,),
        predicted_days=(MONDAY,),
        score=columns.pop(SCORE),
        columns=columns,
    )
    return decide(evidence, POLICY).verdict


def exceeded(columns: Mapping[str, ColumnEvidence]) -> set[str]:
    return {name for name, found in columns.items() if found.exceeded}


@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_the_number_of_rows_does_not_change_the_verdict_per_column(rows: int) -> None:
    reference = customers(rows, seed=1)

    assert exceeded(measure(reference, customers(rows, seed=2))) == set()
    moved = customers(rows, seed=2, charges=10, fiber=0.7)
    assert exceeded(measure(reference, moved)) == {"monthly_charges", "internet"}


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1_000, 30_000), seed=st.integers(2, 10_000))
def test_rows_of_the_same_world_never_drift(rows: int, seed: int) -> None:
    assert exceeded(measure(customers(10_000, seed=1), customers(rows, seed))) == set()


def test_one_outlier_in_the_reference_hides_no_shift() -> None:
    reference = customers(5_000, seed=1)
    reference[0, "monthly_charges"] = 1e12

    assert "monthly_charges" in exceeded(measure(reference, customers(5_000, seed=2, charges=32)))


def test_a_column_without_spread_in_the_reference_is_not_clipped_away() -> None:
    reference = customers(2_000, seed=1).with_columns(overdue=pl.lit(0.0))

    assert "overdue" in exceeded(measure(reference, customers(2_000, seed=2)))


def test_clipping_cuts_both_sides_at_the_outer_quantiles_of_the_reference() -> None:
    reference = pl.DataFrame({"x": [float(value) for value in range(10_001)]})
    current = pl.DataFrame({"x": [-5.0, 5_000.0, 1e9, None]})

    clipped = clip(Samples(reference, current), ["x"])

    assert clipped.current["x"].to_list() == [10.0, 5_000.0, 9_990.0, None]
    assert (clipped.reference["x"].min(), clipped.reference["x"].max()) == (10.0, 9_990.0)


@pytest.mark.parametrize(
    "change",
    [
        {"monthly_charges": pl.lit(None, pl.Float64)},
        {"monthly_charges": pl.lit(None)},
        {"monthly_charges": pl.lit(float("nan"))},
        {"monthly_charges": pl.lit(float("inf"))},
        {"monthly_charges": pl.lit("n/a")},
    ],
)
def test_a_column_that_lost_all_its_numbers_is_all_missing(change: dict[str, pl.Expr]) -> None:
    found = measure(customers(1_000, seed=1), customers(1_000, seed=2).with_columns(**change))

    assert found["monthly_charges"].distance is None
    assert found["monthly_charges"].null_rate_current == 1.0


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_column_on_one_side_only_is_all_missing_on_the_other(side: str) -> None:
    frames = {"reference": customers(1_000, seed=1), "current": customers(1_000, seed=2)}
    frames[side] = frames[side].drop("internet")

    found = measure(**frames)["internet"]

    assert found.distance is None
    assert abs(found.null_rate_current - found.null_rate_reference) == 1.0


@pytest.mark.parametrize("values", [pl.lit("DSL"), pl.lit(True), pl.lit("DSL").cast(pl.Categorical), pl.lit(1)])
def test_a_constant_category_of_any_type_lies_at_distance_zero(values: pl.Expr) -> None:
    sides = [customers(1_000, seed).with_columns(internet=values) for seed in (1, 2)]

    assert measure(*sides)["internet"].distance == 0.0


def test_a_new_category_is_seen() -> None:
    current = customers(1_000, seed=2).with_columns(internet=pl.lit("Satellite"))

    assert "internet" in exceeded(measure(customers(1_000, seed=1), current))


def test_a_column_with_few_values_gets_no_distance() -> None:
    few = pl.when(pl.int_range(pl.len()) < 499).then("monthly_charges")
    current = customers(2_000, seed=2).with_columns(monthly_charges=few)

    found = measure(customers(2_000, seed=1), current)["monthly_charges"]

    assert (found.distance, found.current_rows) == (None, 499)


def test_boolean_and_whole_numbers_compare_as_numbers() -> None:
    reference, current = (
        customers(2_000, seed).with_columns(overdue=pl.col("overdue") > 0, monthly_charges=pl.lit(7))
        for seed in (1, 2)
    )

    assert exceeded(measure(reference, current)) == set()


def week(rows: int) -> pl.LazyFrame:
    days = [date(2026, 11, day) for day in range(14, 21)]
    return pl.concat([customers(rows, seed).with_columns(dt=pl.lit(day)) for seed, day in enumerate(days)]).lazy()


def test_a_sample_has_each_customer_once_and_all_days_alike() -> None:
    drawn = draw(week(7_000), ["customer_id"], 20_000)

    assert drawn["customer_id"].is_unique().all()
    assert drawn.height == 7_000
    assert drawn["dt"].value_counts()["count"].is_between(850, 1_150).all()


def test_a_sample_is_the_same_whatever_the_order_of_the_rows() -> None:
    shuffled = week(3_000).collect().sample(fraction=1.0, shuffle=True, seed=3).lazy()

    first, second = (draw(frame, ["customer_id"], 1_000) for frame in (week(3_000), shuffled))

    assert first.equals(second)
    assert first.height == 1_000


def test_a_sample_of_nothing_is_empty() -> None:
    assert draw(week(0), ["customer_id"], 10).is_empty()


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "no drift"), (0.004, "no drift"), (0.05, "drift")])
def test_the_same_distributions_give_the_same_verdict_of_1000_rows_and_of_100000(
    shift: float, verdict: str
) -> None:
    assert [verdict_on(rows, shift) for rows in (1_000, 100_000)] == [verdict, verdict]


@given(st.lists(st.none() | st.integers(-3, 3), max_size=6), st.lists(st.none() | st.integers(-9, 9), max_size=12))
def test_what_the_reference_lacks_is_counted_among_the_values_that_are_there(
    before: list[int | None], now: list[int | None]
) -> None:
    known, values = [value for value in before if value is not None], [value for value in now if value is not None]
    beyond = sum(not min(known) <= value <= max(known) for value in values) if known else 0
    unknown = sum(value not in known for value in values) if known else 0

    for dtype, lacking in ((pl.Float64, beyond), (pl.String, unknown)):
        share = _outside(pl.Series(before, dtype=pl.Int64).cast(dtype), pl.Series(now, dtype=pl.Int64).cast(dtype))
        assert share == pytest.approx(lacking / max(len(values), 1), abs=1e-6)
