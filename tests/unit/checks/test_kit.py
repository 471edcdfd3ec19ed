"""The test kit finds what it is for: features that know too much, labels and candidates that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from include.checks import (
    assert_can_be_stored,
    assert_decisions_fit,
    assert_labels_fit,
    assert_point_in_time,
    assert_regrouping_changes_nothing,
    assert_rules_can_be_run,
    example_features,
    example_rows,
    promises_of,
)
from include.checks.walkthrough import found_in
from include.datasets.customers import CUSTOMERS
from include.lifecycle.modelling.model_files import UntrustedModelError
from include.lifecycle.specs import DatasetSpec, ModelSpec, TableSpec
from include.models.churn import CHURN
from include.sources import source_of

DAYS = [date(2026, 3, 1) + timedelta(days=number) for number in range(20)]
DAY = DAYS[12]
SHOP = TableSpec(
    name="shop", columns={"store": pl.String, "date": pl.Date, "sold": pl.Float64}, key=("store",), rules=list
)
TABLES = {"shop": example_rows(SHOP, DAYS)}
Features = Callable[[Sequence[date], pl.LazyFrame], Callable[[date], pl.LazyFrame]]


def dataset(features: Features, history_days: int = 3) -> DatasetSpec:
    """A dataset whose features of a day are what `features` picks, of some days and all rows."""

    def made(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
        for day in days:
            yield day, features(days, tables["shop"])(day).collect()

    return DatasetSpec(
        name="shop",
        title="Shop",
        description="What a shop sells.",
        key=("store",),
        timezone="UTC",
        schedule="30 3 * * *",
        tables=(SHOP,),
        make_source=source_of(SHOP),
        features=made,
        history_days={"shop": history_days},
    )


def mean_since(days_before: int) -> Features:
    """The mean of each store over the days before and the day itself."""

    def of(_: Sequence[date], rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
        return lambda day: (
            rows.filter(pl.col("dt") <= day, pl.col("dt") >= day - timedelta(days=days_before))
            .sort("store", "dt")
            .group_by("store", maintain_order=True)
            .agg(pl.col("sold").mean())
        )

    return of


def on_day(rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
    return lambda day: rows.filter(pl.col("dt") == day).sort("store").select("store", "sold")


def of_all_days(_: Sequence[date], rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
    return lambda day: on_day(rows)(day).join(rows.select(mean=pl.col("sold").sort().mean()), how="cross")


def of_the_day_after(_: Sequence[date], rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
    after = rows.select("store", after="sold", dt=pl.col("dt").dt.offset_by("-1d"))
    return lambda day: on_day(rows)(day).join(
        after.filter(pl.col("dt") == day).drop("dt"), on="store", how="left", maintain_order="left"
    )


def in_no_order(_: Sequence[date], rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
    return lambda day: rows.filter(pl.col("dt") == day).select("store", "sold")


def test_features_of_the_past_pass() -> None:
    assert_point_in_time(dataset(mean_since(3)), DAY, TABLES)
    assert_regrouping_changes_nothing(dataset(mean_since(3)), DAYS[5:9], TABLES)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (of_all_days, "depend on the rows of later days, in \\['mean'\\]"),
        (of_the_day_after, "depend on the rows of later days, in \\['after'\\]"),
        (mean_since(9), "depend on rows from before `history_days`, in \\['sold'\\]"),
        (in_no_order, "depend on the order of the rows"),
    ],
)
def test_features_that_know_too_much_are_named(features: Features, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        assert_point_in_time(dataset(features), DAY, TABLES)


def test_features_that_depend_on_the_days_asked_for_are_named() -> None:
    def since_the_first(days: Sequence[date], rows: pl.LazyFrame) -> Callable[[date], pl.LazyFrame]:
        return mean_since((days[-1] - days[0]).days)(days, rows)

    with pytest.raises(AssertionError, match="depend on the days that they are made with, in"):
        assert_regrouping_changes_nothing(dataset(since_the_first), DAYS[5:9], TABLES)


def test_rules_are_run_on_made_up_rows() -> None:
    table = CUSTOMERS.table("churns")

    broken = assert_rules_can_be_run(table, example_rows(table, DAYS[:2]))

    assert set(broken) <= {rule.meta["rule_id"] for rule in table.rules()}


def test_features_that_never_have_a_value_are_named() -> None:
    features = pl.DataFrame(
        {"store": ["a", "b"], "sold": [None, 1.0], "sold_lag_60": [None, None], "dt": [DAY, DAY]}
    )

    assert "Never a value: sold_lag_60. Does it look back further" in found_in(features).text
    assert "Never" not in found_in(features.drop("sold_lag_60")).text


def test_a_share_of_nearly_all_is_not_rounded_to_all() -> None:
    features = pl.DataFrame({"store": ["a"] * 8000, "sold": [None, *[1.0] * 7999], "dt": [DAY] * 8000})

    assert "; 99.9 % of the values are there." in found_in(features).text
    assert "; 100 % of the values are there." in found_in(features.drop("sold")).text


def with_label(make: Callable[..., pl.DataFrame]) -> ModelSpec:
    return CHURN.model_copy(update={"label": CHURN.label.model_copy(update={"make": make})})


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"customer_id": ["a"], "churned": [1]}, "should be \\['customer_id', 'label'\\]"),
        ({"customer_id": ["a", "a"], "label": [0, 1]}, "labels a key twice"),
        ({"customer_id": ["b"], "label": [1]}, "have no features"),
        ({"customer_id": ["a"], "label": [None]}, "are null; leave such rows out"),
    ],
)
def test_labels_that_do_not_fit_the_features_are_named(labels: dict[str, Any], sentence: str) -> None:
    features = pl.DataFrame({"customer_id": ["a"]})

    with pytest.raises(AssertionError, match=sentence):
        assert_labels_fit(with_label(lambda *_: pl.DataFrame(labels)), DAY, features, pl.LazyFrame())


def test_candidates_are_stored_with_trusted_types_alone() -> None:
    rows = example_features(CHURN)

    assert_can_be_stored(CHURN, rows)
    with pytest.raises(UntrustedModelError, match="contains"):
        assert_can_be_stored(CHURN.model_copy(update={"trusted_types": ()}), rows)


def test_a_spec_that_does_not_fit_its_task_is_named_before_anything_is_fitted() -> None:
    with pytest.raises(ValueError, match="the task 'clustering', which has no module"):
        assert_can_be_stored(CHURN.model_copy(update={"task": "clustering"}), example_features(CHURN))


@pytest.mark.parametrize(
    ("decide", "sentence"),
    [
        (lambda scores: scores.head(1).with_columns(act=True), "made 1 rows of 2; keep each row"),
        (lambda scores: scores, "adds no column"),
    ],
)
def test_decisions_that_do_not_fit_the_scores_are_named(
    decide: Callable[..., pl.DataFrame], sentence: str
) -> None:
    rows = pl.DataFrame({"customer_id": ["a", "b"], "dt": [DAY, DAY], "label": [0, 1]})

    with pytest.raises(AssertionError, match=sentence):
        assert_decisions_fit(CHURN.model_copy(update={"decide": decide}), rows)


def test_reasons_are_of_a_column_that_decide_adds() -> None:
    rows = pl.DataFrame({"customer_id": ["a", "b"], "dt": [DAY, DAY], "label": [0, 1]})

    def decide(scores: pl.DataFrame) -> pl.DataFrame:
        return scores.with_columns(offer=pl.col("score") > 0.5)

    with pytest.raises(
        AssertionError, match=r"is 'will_churn', which `decide` does not add; choose one of \['offer"
    ):
        assert_decisions_fit(CHURN.model_copy(update={"decide": decide}), rows)


def broken_promises(*specs: DatasetSpec | ModelSpec) -> set[str]:
    """The names of the cases that fail of the test that `promises_of` makes."""
    [parametrised] = promises_of(*specs).pytestmark  # type: ignore[attr-defined]
    broken = set()
    for case in parametrised.args[1]:
        try:
            promises_of(*specs)(*case.values)
        except AssertionError:
            broken.add(case.id)
    return broken


def test_a_test_of_promises_fails_in_the_one_that_is_broken() -> None:
    assert broken_promises(dataset(mean_since(3))) == set()
    assert broken_promises(dataset(of_the_day_after)) == {"shop: features know nothing of later days"}


def test_a_model_that_labels_nobody_breaks_a_promise() -> None:
    def everybody(day: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
        return features.select("customer_id", label=pl.lit(1))

    def nobody(day: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
        return everybody(day, features, outcomes).clear()

    assert broken_promises(with_label(everybody)) == set()
    assert broken_promises(with_label(nobody)) == {"churn: labels fit the features"}
