"""What follows from the outcomes of published predictions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.catalog import MODELS
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.estimate_verdict import Comparison, EstimatedWeek
from include.lifecycle.monitoring.performance_page import render_performance
from include.lifecycle.monitoring.performance_verdict import PerformanceEvidence, decide
from include.lifecycle.specs import DriftPolicy

CHURN, VOLATILITY = (
    MODELS[name].model_copy(update={"drift": DriftPolicy(min_rows=500)}) for name in ("churn", "volatility")
)
DAYS = tuple(date(2026, 1, 5) + timedelta(number) for number in range(5))


def outcomes(kind: str, rows: int = 600) -> pl.DataFrame:
    """Predictions that are good, and their outcomes."""
    rng = np.random.default_rng(3)
    truth = rng.random(rows)
    label = (
        (rng.random(rows) < truth).astype(int) if kind == "classification" else truth + rng.normal(0, 0.1, rows)
    )
    return pl.DataFrame(
        {
            "dt": [DAYS[number % len(DAYS)] for number in range(rows)],
            "score": truth,
            "baseline_score": np.full(rows, 0.5),
            "label": label,
            "model_version": [3] * rows,
        }
    )


def evidence(model: Any, **changes: Any) -> PerformanceEvidence:
    rows = outcomes(model.task)
    known = {
        "days": DAYS,
        "rows": rows.height,
        "shortage": None,
        "measures": task_of(model).measure(rows, "score"),
        "baseline_measures": task_of(model).measure(rows, "baseline_score"),
        "coverage": None,
        "promised": None,
    }
    return PerformanceEvidence(**{**known, **changes})


def swapped(model: Any) -> dict[str, Any]:
    """The scores' and the baseline's measures exchanged; of a regression, a skill below zero."""
    own = evidence(model)
    if model.task == "regression":
        return {"measures": {**own.measures, "skill": -0.2, "skill_lower_bound": -0.3, "skill_upper_bound": -0.1}}
    return {"measures": own.baseline_measures, "baseline_measures": own.measures}


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "as expected", "600 outcomes of 5"),
        ("swapped", "worse", "worse than the naive baseline"),
        ({"rows": 500}, "as expected", "500 outcomes"),
        ({"rows": 499}, "not enough evidence", "The outcomes of 499 predictions are known; a verdict needs 500."),
        ({"shortage": "no positives"}, "not enough evidence", "The outcomes have no positives."),
        (
            {"coverage": 0.80, "promised": 0.8},
            "as expected",
            "held 80.0 % of the outcomes; the training promised 80 %",
        ),
        ({"coverage": 0.75, "promised": 0.8}, "as expected", "held 75.0 %"),
        ({"coverage": 0.85, "promised": 0.8}, "as expected", "held 85.0 %"),
        ({"coverage": 0.7499999997, "promised": 0.8}, "as expected", "held 75.0 %"),
        ({"coverage": 0.2}, "as expected", "600 outcomes of 5"),
        ({"coverage": 0.72, "promised": 0.8}, "intervals off", "They are too narrow; the tolerance is 5 points."),
        ({"coverage": 0.93, "promised": 0.8}, "intervals off", "They are too wide; the tolerance is 5 points."),
        ({"coverage": 0.93, "promised": 0.8, "rows": 10}, "not enough evidence", "10 predictions"),
    ],
)
def test_each_kind_of_evidence_has_its_verdict(model: Any, changes: Any, verdict: str, reason: str) -> None:
    found = evidence(model, **(swapped(model) if changes == "swapped" else changes))

    decided = decide(found, model)

    assert decided.verdict == verdict
    assert reason in decided.reason


def test_scores_as_good_as_the_baseline_are_not_worse() -> None:
    own = evidence(CHURN).measures

    assert decide(evidence(CHURN, baseline_measures=own), CHURN).verdict == "as expected"


def test_the_reason_of_a_regression_gives_the_skill_and_its_interval() -> None:
    measured = {"skill": 0.1, "skill_lower_bound": -0.05, "skill_upper_bound": 0.25}

    decided = decide(evidence(VOLATILITY, measures=measured, rows=1234, coverage=0.9, promised=0.8), VOLATILITY)

    assert decided.reason == (
        "The intervals held 90.0 % of the outcomes; the training promised 80 %. They are too wide; the tolerance "
        "is 5 points. Skill over the baseline 0.100 (-0.050 to 0.250) on 1,234 outcomes of 5 sessions."
    )


def test_the_reason_of_a_classification_gives_both_figures() -> None:
    measured = {"measures": {CHURN.gate.metric: 0.41}, "baseline_measures": {CHURN.gate.metric: 0.2}}

    reasons = [decide(evidence(CHURN, **measured, days=DAYS[:count]), CHURN).reason for count in (1, 2)]

    title = task_of(CHURN).metrics[CHURN.gate.metric].title
    assert reasons == [
        f"{title} 0.410 (baseline 0.200) on 600 outcomes of 1 day.",
        f"{title} 0.410 (baseline 0.200) on 600 outcomes of 2 days.",
    ]


@pytest.mark.parametrize(
    ("day", "waiting"),
    [(None, ""), (date(2026, 12, 21), " The next outcomes are known once data until 2026-12-21 have arrived.")],
)
def test_too_few_outcomes_say_when_there_will_be_more_where_that_is_known(day: date | None, waiting: str) -> None:
    verdict = decide(evidence(CHURN, rows=499, next_outcomes_on=day), CHURN)

    assert verdict.reason == f"The outcomes of 499 predictions are known; a verdict needs 500.{waiting}"


def week(day: date, realised: float | None) -> EstimatedWeek:
    """A week that was estimated between 0.6 and 0.8, and what became of it."""
    found = Comparison(value=0.7, lower_bound=0.6, upper_bound=0.8, baseline=None, realised=realised)
    return EstimatedWeek(
        reported=day, days=(day,), model_version=3, rows=600, outcomes=600, metrics={"roc_auc": found}
    )


@pytest.mark.parametrize(
    ("realised", "is_told"),
    [
        ((0.5,), True),
        ((0.559,), True),
        ((0.561,), False),
        ((0.9,), False),
        ((0.5, 0.7), False),
        ((0.7, 0.5), True),
        ((0.5, None), True),
        ((None,), False),
        ((), False),
    ],
)
def test_the_newest_known_week_is_told_where_it_did_worse_than_its_scores_promised(
    realised: tuple[float | None, ...], is_told: bool
) -> None:
    model = CHURN.model_copy(update={"drift": DriftPolicy(min_rows=500, max_estimated_loss=0.04)})
    weeks = tuple(week(day, value) for day, value in zip(DAYS, realised, strict=False))

    verdict = decide(evidence(model, estimated_weeks=weeks), model)
    page = render_performance(model, DAYS[-1], verdict, outcomes(model.task))

    assert verdict.verdict == "as expected"
    assert ("did worse than their scores promised: ROC AUC 0.5" in verdict.reason) is is_told
    assert ("Customer churn does worse than its scores promise" in page) is is_told
    assert ("Nothing to do." in page) is not is_told


def test_a_week_that_did_worse_than_promised_hides_no_worse_verdict() -> None:
    verdict = decide(evidence(CHURN, **swapped(CHURN), estimated_weeks=(week(DAYS[0], 0.1),)), CHURN)

    page = render_performance(CHURN, DAYS[-1], verdict, outcomes(CHURN.task))

    assert "Customer churn does worse than its training promised" in page
