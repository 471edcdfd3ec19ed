"""What follows from an estimate, and how the page tells it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from include.lifecycle.modelling.tasks import Estimate, Expected, Standing
from include.lifecycle.monitoring.estimate_verdict import (
    EstimatedWeek,
    EstimateEvidence,
    EstimateVerdict,
    compare,
    decide,
    held,
)
from include.lifecycle.monitoring.performance_page import render_performance
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.monitoring.performance_verdict import decide as decide_performance
from tests.unit.lifecycle.monitoring.test_performance_verdict import (
    CHURN,
    DAYS,
    VOLATILITY,
    evidence,
    outcomes,
    swapped,
)

WEEK = tuple(date(2026, 3, 2) + timedelta(number) for number in range(7))
WORDS = "ROC AUC is expected to be 0.700"


def expected(value: float, half: float = 0.05) -> Expected:
    return Expected(value=value, lower_bound=value - half, upper_bound=value + half)


def estimate(most: float | None = 0.75, least: float = 0.7) -> Estimate:
    return Estimate(
        metrics={"average_precision": expected(0.4), "roc_auc": expected(0.7)},
        baseline_metrics={"average_precision": 0.1, "roc_auc": 0.5},
        standing=None if most is None else Standing(most, least, WORDS),
    )


def found(**changes: Any) -> EstimateEvidence:
    known = {"days": WEEK, "model_version": 3, "rows": 700, "shortage": None, "estimate": estimate()}
    return EstimateEvidence(**{**known, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "as expected", f"{WORDS}."),
        ({"estimate": estimate(most=0.7)}, "as expected", f"{WORDS}."),
        (
            {"estimate": estimate(most=0.699)},
            "worse",
            "Even the upper end of the estimate is lower",
        ),
        ({"rows": 500, "estimate": estimate(most=0.1)}, "worse", WORDS),
        (
            {"rows": 499, "estimate": estimate(most=0.1)},
            "not enough evidence",
            "499 predictions; a verdict",
        ),
        ({"estimate": estimate(most=None)}, "not judged", "No verdict follows"),
        ({"rows": 5, "estimate": estimate(most=None)}, "not judged", "No verdict"),
        ({"estimate": None, "shortage": "The model has no interval."}, "not enough evidence", "has no interval."),
        ({"estimate": None, "days": (), "rows": 0}, "not enough evidence", "no predictions that wait for"),
    ],
)
def test_each_kind_of_estimate_has_its_verdict(changes: dict[str, Any], verdict: str, reason: str) -> None:
    decided = decide(found(**changes), CHURN)

    assert decided.verdict == verdict
    assert reason in decided.reason


@pytest.mark.parametrize(
    ("realised", "difference", "is_held"),
    [(0.43, 0.03, True), (0.45, 0.05, True), (0.46, 0.06, False), (0.36, -0.04, True), (0.3, -0.1, False)],
)
def test_what_was_realised_stands_beside_the_estimate_of_then(
    realised: float, difference: float, is_held: bool
) -> None:
    week = compare(WEEK[-1], decide(found(), CHURN), {"average_precision": realised}, 690)

    assert week is not None
    assert (week.rows, week.outcomes, week.days) == (700, 690, WEEK)
    compared = week.metrics["average_precision"]
    assert compared.difference == pytest.approx(difference)
    assert (compared.value, compared.realised, compared.held) == (0.4, realised, is_held)
    assert week.metrics["roc_auc"].held is None


def test_without_an_estimate_there_is_nothing_to_compare() -> None:
    assert compare(WEEK[-1], decide(found(estimate=None), CHURN), {"roc_auc": 0.5}, 690) is None


def weeks(*realised: float | None) -> tuple[EstimatedWeek, ...]:
    """One week for each figure of average precision; None is a week whose outcomes are not known."""
    made = []
    for number, value in enumerate(realised):
        days = tuple(day + timedelta(7 * number) for day in WEEK)
        known = {} if value is None else {"average_precision": value, "roc_auc": 0.7}
        made.append(compare(days[-1], decide(found(days=days), CHURN), known, 0 if value is None else 690))
    return tuple(week for week in made if week)


def test_how_often_the_interval_held_counts_the_weeks_that_are_known() -> None:
    assert held(weeks(0.4, 0.9, 0.41, None), "average_precision") == (2, 3)
    assert held(weeks(0.4, 0.9, 0.41, None), "roc_auc") == (3, 3)
    assert held(weeks(None), "roc_auc") == (0, 0)
    assert held(weeks(0.4), "brier") == (0, 0)


def reported(estimated: EstimateVerdict, known: tuple[EstimatedWeek, ...]) -> PerformanceVerdict:
    measured = evidence(CHURN).model_copy(update={"estimated": estimated, "estimated_weeks": known})
    return decide_performance(measured, CHURN)


def test_the_record_reads_as_it_was_written() -> None:
    verdict = reported(decide(found(), CHURN), weeks(0.4, None))

    assert PerformanceVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_record_of_before_there_were_estimates_is_still_read() -> None:
    content = reported(decide(found(), CHURN), ()).model_dump(
        mode="json", exclude={"estimated", "estimated_weeks"}
    )

    assert PerformanceVerdict.model_validate(content).estimated is None


def page(estimated: EstimateVerdict, *realised: float | None) -> str:
    verdict = reported(estimated, weeks(*realised))
    return render_performance(CHURN, DAYS[-1], verdict, outcomes(CHURN.task)).replace("\u00a0", " ")


def test_the_page_says_that_the_estimate_is_none_of_the_measured_and_what_it_means() -> None:
    html = page(decide(found(), CHURN), 0.4, 0.9, None)

    assert "<h2>Estimated, not measured</h2>" in html
    assert "The outcomes of 700 predictions of 2026-03-02 to 2026-03-08 are not known yet." in html
    assert "It takes each score at its word" in html
    assert "<h2>Average precision: estimated then, measured later</h2>" in html
    assert "average precision 1 of 2, ROC AUC 2 of 2." in html
    assert '<span class="status">Good</span>' in html


def test_a_worse_estimate_says_where_to_look() -> None:
    html = page(decide(found(estimate=estimate(most=0.5)), CHURN), None)

    assert '<span class="status">Attention</span>' in html
    assert "whose outcomes are not known yet, is estimated to be worse." in html
    assert "lower than on the holdout" in html
    assert "Customer churn has kept its promise so far, but the last week is estimated to be worse" in html
    assert "Look at the drift report of the same day" in html
    assert "Nothing to do." not in html
    assert "No week can be compared yet." in html


def test_a_worse_estimate_hides_no_worse_outcomes() -> None:
    measured = evidence(CHURN, **swapped(CHURN)).model_copy(
        update={"estimated": decide(found(estimate=estimate(most=0.5)), CHURN)}
    )

    html = render_performance(CHURN, DAYS[-1], decide_performance(measured, CHURN), outcomes(CHURN.task))

    assert '<span class="status">Problem</span>' in html
    assert "run churn_training" in html.replace("<wbr>", "")


def test_where_nothing_can_be_estimated_the_page_says_why() -> None:
    html = page(decide(found(estimate=None, shortage="The model has no interval."), CHURN))

    assert "There is no estimate. The model has no interval." in html
    assert "measured later" not in html


def test_errors_that_are_estimated_are_shown_without_a_verdict() -> None:
    errors = Estimate(metrics={"rmse": expected(0.1), "mae": expected(0.08)}, baseline_metrics={"rmse": 0.2})
    estimated = decide(found(estimate=errors), VOLATILITY)
    verdict = decide_performance(evidence(VOLATILITY).model_copy(update={"estimated": estimated}), VOLATILITY)

    html = render_performance(VOLATILITY, DAYS[-1], verdict, outcomes(VOLATILITY.task))

    assert "Root mean squared error" in html
    assert "neither skill nor verdict follows" in html
