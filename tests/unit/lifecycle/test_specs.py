"""A spec with a schedule that is none, or a callable that cannot be called, is refused with what to change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from include.catalog import DATASETS, MODELS
from include.datasets.customers import CUSTOMERS
from include.lifecycle.specs import (
    Candidate,
    DatasetSpec,
    GateSpec,
    LabelSpec,
    ModelSpec,
    ReasonsSpec,
    RetrainingSpec,
    ScheduleSpec,
    TableSpec,
)
from include.models.churn import CHURN
from tests.specs import changed, people_model


def none() -> None: ...


def four(first: int, second: int, third: int, fourth: int) -> None: ...


def by_name(*, seed: int) -> None: ...


def any_of(*arguments: Any) -> None: ...


def reasons(**words: str) -> ReasonsSpec:
    return ReasonsSpec(column="will_churn", directions={True: 1}, words=words, otherwise="Several things")


LABEL = {"table": "churns", "horizon_days": 30, "delay_days": 5}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: LabelSpec(make=none, **LABEL),
            r"`make` is called with \(day, features, outcomes\), which none\(\)",
        ),
        (
            lambda: LabelSpec(make=any_of, **LABEL, target_days=(1, 31)),
            r"is \(1, 31\) and `horizon_days` 30",
        ),
        (lambda: LabelSpec(make=any_of, **LABEL, target_days=(-1, 1)), r"`target_days` is \(-1, 1\)"),
        (lambda: LabelSpec(make=any_of, **LABEL, target_days=(3, 2)), r"`target_days` is \(3, 2\)"),
        (lambda: LabelSpec(make=four, **LABEL), r"missing a required argument: 'fourth'"),
        (lambda: ModelSpec(**dict(CHURN) | {"decide": none}), r"`decide` is called with \(scores\)"),
        (lambda: ModelSpec(**dict(CHURN) | {"baseline": by_name}), r"`baseline` is called with \(seed\)"),
        (
            lambda: ModelSpec(**dict(CHURN) | {"reasons": reasons(shoe_size="Wears {value}")}),
            r"Model 'churn': `reasons.words` names \['shoe_size'\], which are no features",
        ),
        (
            lambda: ModelSpec(**dict(CHURN) | {"reasons": reasons(contract="Contract {value:.0f}")}),
            "has 'Contract {value:.0f}' for 'contract', which cannot be filled in",
        ),
        (
            lambda: ModelSpec(**dict(CHURN) | {"reasons": reasons(tenure="{months} months")}),
            "has '{months} months' for 'tenure', which cannot be filled in",
        ),
        (
            lambda: ReasonsSpec(column="act", directions={True: 2}, words={"tenure": "x"}, otherwise="x"),
            "Input should be 1 or -1",
        ),
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


def test_a_champion_that_asks_for_a_training_by_its_age_may_be_refreshed_by_it() -> None:
    def aged(refreshed: int | None, asked: int | None) -> ModelSpec:
        gate = GateSpec(metric="roc_auc", max_champion_age_days=refreshed)
        retraining = RetrainingSpec(max_age_days=asked)
        return people_model(numeric=("age",), categorical=(), gate=gate, retraining=retraining)

    assert all(aged(*days) for days in ((90, 90), (60, 90), (91, None), (None, 90)))
    with pytest.raises(
        ValueError, match=r"only after `gate.max_champion_age_days` \(91\); set the latter to 90 at"
    ):
        aged(91, 90)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_rules_of_each_table_can_be_made(dataset: DatasetSpec) -> None:
    assert all(table.rules() for table in dataset.tables)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_estimators_of_each_model_can_be_made(model: ModelSpec) -> None:
    built = [build(0) for build in (model.baseline, *model.gate.references.values())]

    assert all(hasattr(estimator, "fit") for estimator in built)
    # Making a candidate checks what its own callables take.
    assert all(isinstance(candidate, Candidate) for candidate in model.candidates())


@pytest.mark.parametrize(
    ("model", "target_days", "days"),
    [
        (CHURN, None, ("2026-03-07", "2026-04-05")),
        (CHURN, (0, 0), ("2026-03-06", "2026-03-06")),
        (CHURN, (1, 1), ("2026-03-07", "2026-03-07")),
        (MODELS["returns"], None, ("2026-03-09", "2026-03-13")),
        (MODELS["volatility"], None, ("2026-03-09", "2026-04-07")),
    ],
    ids=[
        "30 days after",
        "the day itself",
        "the next day",
        "the next 5 sessions",
        "the next 21 sessions, Good Friday left out",
    ],
)
def test_what_a_day_predicts_is_about_days_of_the_calendar_after_it(
    model: ModelSpec, target_days: tuple[int, int] | None, days: tuple[str, str]
) -> None:
    friday = date(2026, 3, 6)

    first, last = changed(model, label={"target_days": target_days}).target_range(friday)

    assert (str(first), str(last)) == days
