"""What every dataset and every model promises, on made-up rows, as a test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from include.checks.datasets import (
    Tables,
    assert_point_in_time,
    assert_regrouping_changes_nothing,
    assert_rules_can_be_run,
)
from include.checks.examples import example_features, example_rows
from include.checks.models import (
    assert_behaviour_can_be_tested,
    assert_can_be_stored,
    assert_decisions_fit,
    assert_labels_fit,
)
from include.lifecycle.specs import DatasetSpec, ModelSpec

_TESTED_DAYS = 14


def promises_of(*specs: DatasetSpec | ModelSpec) -> Callable[..., None]:
    """A test with a case for each promise of each spec: `test_promises = promises_of(ORDERS, DEMAND)`.

    Of a dataset: its rules can be run, and its features know nothing of later days. Of a model: its labels fit the
    features, its decisions fit the scores, its candidates can be fitted, stored and loaded, and its behaviour
    tests be run; what they find of a model that has learnt from made-up labels means nothing.
    """
    import pytest  # only there where tests are run

    cases = [
        pytest.param(promise, spec, id=f"{spec.name}: {promise.__name__.strip('_').replace('_', ' ')}")
        for spec in specs
        for promise in (_OF_A_DATASET if isinstance(spec, DatasetSpec) else _OF_A_MODEL)
    ]

    def test(promise: Callable[[Any], None], spec: Any) -> None:
        promise(spec)

    with_cases: Callable[..., None] = pytest.mark.parametrize(("promise", "spec"), cases)(test)
    return with_cases


def _rules_can_be_run(dataset: DatasetSpec) -> None:
    tables = _tables(dataset, _days(dataset))
    for table in dataset.tables:
        assert_rules_can_be_run(table, tables[table.name])


def _features_know_nothing_of_later_days(dataset: DatasetSpec) -> None:
    days = _days(dataset)
    assert_point_in_time(dataset, days[-_TESTED_DAYS // 2], _tables(dataset, days))


def _features_do_not_depend_on_the_days_they_are_made_with(dataset: DatasetSpec) -> None:
    days = _days(dataset)
    assert_regrouping_changes_nothing(dataset, days[-_TESTED_DAYS:], _tables(dataset, days))


def _labels_fit_the_features(model: ModelSpec) -> None:
    days_until_known = model.label.horizon_days + model.label.delay_days
    days = _days(model.dataset, days_until_known)
    day, tables = days[-1 - days_until_known], _tables(model.dataset, days)
    [(_, features)] = model.dataset.features([day], tables)
    labels = assert_labels_fit(model, day, features, tables[model.label.table])
    assert labels.height, (
        f"{model.name!r} labels none of the {features.height} made-up rows of {day}, though all days until "
        f"{days[-1]} have rows; look at what `label.make` leaves out."
    )


def _decisions_fit_the_scores(model: ModelSpec) -> None:
    assert_decisions_fit(model, example_features(model))


def _candidates_can_be_stored_and_loaded(model: ModelSpec) -> None:
    assert_can_be_stored(model, example_features(model))


def _behaviour_tests_can_be_run(model: ModelSpec) -> None:
    assert_behaviour_can_be_tested(model, example_features(model))


_OF_A_DATASET: tuple[Callable[[DatasetSpec], None], ...] = (
    _rules_can_be_run,
    _features_know_nothing_of_later_days,
    _features_do_not_depend_on_the_days_they_are_made_with,
)
_OF_A_MODEL: tuple[Callable[[ModelSpec], None], ...] = (
    _labels_fit_the_features,
    _decisions_fit_the_scores,
    _candidates_can_be_stored_and_loaded,
    _behaviour_tests_can_be_run,
)


def _days(dataset: DatasetSpec, more: int = 0) -> list[date]:
    """Days from the dataset's first on: a whole history, those that are tested, and some more."""
    number = max(dataset.history_days.values()) + _TESTED_DAYS + more
    return [dataset.first_day + timedelta(days=day) for day in range(number)]


def _tables(dataset: DatasetSpec, days: list[date]) -> Tables:
    return {table.name: example_rows(table, days) for table in dataset.tables}
