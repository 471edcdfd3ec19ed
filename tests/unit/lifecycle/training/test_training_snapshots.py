"""Which days and rows training uses, and that no part of the split knows another's outcomes."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest

from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.snapshots import (
    NothingToLearnError,
    Part,
    matured_days,
    missing_outcomes,
    places,
    select,
    spaced_days,
    split,
)
from include.models.churn import CHURN
from tests.specs import changed

FIRST = date(2026, 1, 1)
MONTH = timedelta(30)
MATURITY = timedelta(35)


def matures_on(day: date) -> date:
    return day + MATURITY


EVERYONE = Part((FIRST,))


def _days(*numbers: int) -> list[date]:
    return [FIRST + timedelta(number) for number in numbers]


def _customers(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"customer_id": [f"C{number:04}" for number in range(rows)]}).with_columns(dt=FIRST)


def test_a_day_has_matured_when_its_outcomes_are_known() -> None:
    days = _days(*range(60))

    assert matured_days(days, days, days[40], matures_on) == days[:6]
    assert matured_days(days, [], days[40], matures_on) == []


def test_outcomes_that_have_not_arrived_are_not_known_however_late_it_is() -> None:
    days = _days(*range(60))

    assert matured_days(days, days[:41], days[59], matures_on) == days[:6]


def test_a_file_of_one_day_has_said_all_it_will() -> None:
    [day] = _days(0)

    assert matured_days([day], [day], day + MATURITY, matures_on) == [day]
    assert matured_days([day], [day], day + MATURITY - timedelta(1), matures_on) == []


def test_snapshots_are_counted_back_from_the_newest_day_over_gaps() -> None:
    days = _days(0, 1, 5, 6, 7, 8, 14, 15, 22)

    assert spaced_days(days, 7) == _days(1, 8, 15, 22)


def test_snapshots_of_daily_data_see_every_weekday() -> None:
    chosen = spaced_days(_days(*range(60)), CHURN.split.snapshot_every_days)

    assert {day.weekday() for day in chosen} == set(range(7))


@pytest.mark.parametrize("every", [7, 14])
def test_a_spec_that_would_see_one_weekday_alone_is_refused(every: int) -> None:
    with pytest.raises(ValueError, match=f"every {every} days of a calendar of all days"):
        ModelSpec(**dict(changed(CHURN, split={"snapshot_every_days": every})))


def test_no_label_window_reaches_into_a_later_part() -> None:
    parts = split(_days(*range(0, 100, 7)), CHURN)

    assert (parts.by, parts.validation_by) == ("time", "time")
    [fold] = parts.folds
    assert max(fold.train.days) + MONTH <= min(fold.validation.days)
    assert max(parts.refit.days) + MONTH <= min(parts.holdout.days)
    assert parts.holdout.days == (_days(98)[0],)
    assert (fold.train.days, fold.validation.days) == (tuple(_days(0, 7, 14, 21, 28)), tuple(_days(63)))
    assert {*fold.train.days, *fold.validation.days} <= set(parts.refit.days)


def test_without_room_for_three_parts_validation_separates_customers() -> None:
    parts = split(_days(0, 7, 14, 37), CHURN)

    assert (parts.by, parts.validation_by) == ("time", "key")
    [fold] = parts.folds
    assert fold.train.days == fold.validation.days == parts.refit.days == tuple(_days(0, 7))
    _assert_share_no_customer(fold.train, fold.validation)


def test_with_one_usable_day_all_parts_separate_customers() -> None:
    parts = split(_days(0, 7), CHURN)

    assert (parts.by, parts.validation_by) == ("key", "key")
    assert parts.holdout.days == tuple(_days(7))
    [fold] = parts.folds
    _assert_share_no_customer(fold.train, fold.validation)
    _assert_share_no_customer(parts.refit, parts.holdout)


WALKING = changed(CHURN, split={"holdout_share": 0.25, "folds": 4})


def test_walk_forward_folds_validate_one_after_the_other_on_what_they_have_not_seen() -> None:
    parts = split(_days(*range(0, 700, 7)), WALKING)

    assert len(parts.holdout.days) == 25
    assert max(parts.refit.days) + MONTH <= min(parts.holdout.days)
    for fold in parts.folds:
        assert max(fold.train.days) + MONTH <= min(fold.validation.days)
    validated = [day for fold in parts.folds for day in fold.validation.days]
    assert validated == sorted(set(validated))
    assert validated[-1] == parts.refit.days[-1]


def test_a_history_too_short_for_the_folds_is_refused() -> None:
    with pytest.raises(NothingToLearnError, match="too few for the 4 walk-forward folds"):
        split(_days(*range(0, 70, 7)), WALKING)


def test_a_history_that_leaves_one_fold_nothing_to_search_on_is_refused() -> None:
    # Of 16 snapshots four are held out and four lie too near; none lies 30 days before the first fold, day 28.
    with pytest.raises(NothingToLearnError, match="8 snapshots to learn from are too few"):
        split(_days(*range(0, 112, 7)), WALKING)


def test_two_folds_walk_forward_too_and_a_started_quarter_is_held_out() -> None:
    parts = split(_days(*range(0, 99 * 7, 7)), changed(WALKING, split={"folds": 2}))

    assert len(parts.folds) == 2
    assert len(parts.holdout.days) == 25


def test_days_whose_outcomes_never_arrived_are_named_by_the_days_that_need_them() -> None:
    known = [day for day in _days(*range(100)) if day not in _days(10, 36)]

    missing = missing_outcomes(_days(0, 1, 35, 36), known, CHURN)

    first, second, last = _days(0, 1, 35)
    assert missing == {first: _days(10), second: _days(10, 36), last: _days(36)}
    assert missing_outcomes(_days(0), _days(0), CHURN) == {}
    assert missing_outcomes([], known, CHURN) == {}


def test_without_a_day_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(NothingToLearnError, match="nothing to learn from"):
        split([], CHURN)


def test_which_customers_are_held_out_does_not_depend_on_the_seed() -> None:
    customers = _customers(1000)
    holdout = split([FIRST], CHURN).holdout

    held_out = [set(select(customers, ["customer_id"], holdout, 1000, seed)["customer_id"]) for seed in (1, 2)]

    assert held_out[0] == held_out[1]
    assert 200 < len(held_out[0]) < 300


def test_of_too_many_rows_the_seed_draws_the_same_ones_in_any_order() -> None:
    customers = _customers(1000)

    drawn = select(customers, ["customer_id"], EVERYONE, 100, seed=1)
    again = select(customers.reverse(), ["customer_id"], EVERYONE, 100, seed=1)
    other = select(customers, ["customer_id"], EVERYONE, 100, seed=2)

    assert drawn.height == 100
    assert drawn.equals(again)
    assert drawn["customer_id"].is_sorted()
    assert not drawn.equals(other)


def _assert_share_no_customer(one: Part, other: Part) -> None:
    customers = _customers(1000)
    first, second = (
        set(select(customers, ["customer_id"], part, 1000, seed=0)["customer_id"]) for part in (one, other)
    )
    assert first
    assert second
    assert not first & second


def test_keys_are_shared_out_a_quarter_to_the_holdout_and_a_fifth_to_validation() -> None:
    [day] = days = tuple(_days(0))

    parts = split([day], CHURN)

    assert parts.holdout == Part(days, 0, 0.25)
    assert parts.refit == Part(days, 0.25)
    assert [(fold.train, fold.validation) for fold in parts.folds] == [(Part(days, 0.45), Part(days, 0.25, 0.45))]


def test_where_only_validation_separates_keys_it_gets_a_fifth_of_them() -> None:
    days = tuple(_days(0, 7))

    [fold] = split(_days(0, 7, 14, 37), CHURN).folds

    assert (fold.train, fold.validation) == (Part(days, 0.2), Part(days, 0, 0.2))


def test_a_key_on_the_bound_of_two_parts_is_in_the_later_one() -> None:
    customers = _customers(10)
    bound = float(places(customers, ["customer_id"])[3])

    earlier, later = (
        select(customers, ["customer_id"], part, 10, seed=0)["customer_id"].to_list()
        for part in (Part((FIRST,), 0, bound), Part((FIRST,), bound))
    )

    assert "C0003" in later
    assert "C0003" not in earlier


def test_a_part_that_says_nothing_of_keys_has_them_all() -> None:
    assert Part((FIRST,)) == Part((FIRST,), 0.0, 1.0)


def test_places_depend_on_the_last_sixteen_digits_of_the_seed() -> None:
    customers = _customers(10)

    found = {seed: places(customers, ["customer_id"], seed).tolist() for seed in (0, 1, 161, 10**16 + 1)}

    assert found[10**16 + 1] == found[1]
    assert len({tuple(found[seed]) for seed in (0, 1, 161)}) == 3
    assert places(customers, ["customer_id"]).tolist() == found[0]


def test_each_row_is_in_exactly_one_of_adjoining_parts() -> None:
    customers = _customers(1000)
    bounds = [0, 0.25, 0.45, 1]

    parts = [Part((FIRST,), first, last) for first, last in pairwise(bounds)]
    found = [select(customers, ["customer_id"], part, 1000, seed=0)["customer_id"].to_list() for part in parts]

    assert sorted(customer for chosen in found for customer in chosen) == customers["customer_id"].to_list()
    assert [len(chosen) / 1000 for chosen in found] == pytest.approx([0.25, 0.2, 0.55], abs=0.04)


def test_the_folds_of_a_long_history_are_equal_eighths_of_what_is_learnt_from() -> None:
    parts = split(_days(*range(0, 700, 7)), WALKING)

    # Of 100 snapshots 25 are held out, and the 30 days before these cost four more.
    assert len(parts.refit.days) == 71
    assert [len(fold.validation.days) for fold in parts.folds] == [8] * 4
    assert parts.folds[0].validation.days[0] == parts.refit.days[71 - 32]
