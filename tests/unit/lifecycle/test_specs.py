"""A spec with a schedule that is none, or a callable that cannot be called, is refused with what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.catalog import DATASETS, MODELS
from include.datasets.customers import CUSTOMERS
from include.lifecycle.specs import Candidate, DatasetSpec, GateSpec, LabelSpec, ModelSpec, ScheduleSpec, TableSpec
from include.models.churn import CHURN


def none() -> None: ...


def four(first: int, second: int, third: int, fourth: int) -> None: ...


def by_name(*, seed: int) -> None: ...


LABEL = {"table": "churns", "horizon_days": 30, "delay_days": 5}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: LabelSpec(make=none, **LABEL),
            r"`make` is called with \(day, features, outcomes\), which none\(\)",
        ),
        (lambda: LabelSpec(make=four, **LABEL), r"missing a required argument: 'fourth'"),
        (lambda: ModelSpec(**dict(CHURN) | {"decide": none}), r"`decide` is called with \(scores\)"),
        (lambda: ModelSpec(**dict(CHURN) | {"baseline": by_name}), r"`baseline` is called with \(seed\)"),
        (lambda: ModelSpec(**dict(CHURN) | {"candidates": four}), r"`candidates` is called with \(\)"),
        (lambda: GateSpec(metric="roc_auc", references={"mean": none}), r"`references` is called with \(seed\)"),
        (lambda: Candidate(name="x", suggest=none, build=four), r"`suggest` is called with \(trial\)"),
        (lambda: Candidate(name="x", suggest=four, build=none), r"`build` is called with \(params, seed\)"),
        (lambda: ScheduleSpec(training="every Monday"), "'every Monday' is no cron expression"),
        (lambda: DatasetSpec(**dict(CUSTOMERS) | {"schedule": "0 3 * *"}), r"'0 3 \* \*' is no cron expression"),
        (lambda: TableSpec(name="x", columns={}, key=(), rules=four), r"`rules` is called with \(\)"),
        (
            lambda: DatasetSpec(**dict(CUSTOMERS) | {"features": none}),
            r"`features` is called with \(days, tables\)",
        ),
        (lambda: DatasetSpec(**dict(CUSTOMERS) | {"make_source": none}), r"called with \(settings, connect\)"),
    ],
)
def test_what_cannot_be_called_or_scheduled_is_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_what_takes_any_arguments_or_does_not_say_what_it_takes_is_accepted() -> None:
    assert TableSpec(name="x", columns={}, key=(), rules=list).rules is list
    assert LabelSpec(make=lambda *arguments: None, **LABEL).table == "churns"


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_rules_of_each_table_can_be_made(dataset: DatasetSpec) -> None:
    assert all(table.rules() for table in dataset.tables)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_estimators_of_each_model_can_be_made(model: ModelSpec) -> None:
    built = [build(0) for build in (model.baseline, *model.gate.references.values())]

    assert all(hasattr(estimator, "fit") for estimator in built)
    # Making a candidate checks what its own callables take.
    assert all(isinstance(candidate, Candidate) for candidate in model.candidates())
