"""The verdict of a model card, and the budget of a search."""

from __future__ import annotations

import pytest

from include.lifecycle.model_card import verdict_of
from include.lifecycle.tuning import Trial, best, tune
from include.models.churn import CHURN


def _training(candidate: float, baseline: float, warnings: list[str]) -> dict[str, object]:
    name = "holdout_average_precision"
    metrics = {"metrics": {name: candidate}, "baseline_metrics": {name: baseline}}
    return {**metrics, "rows": {"holdout": 1234}, "warnings": warnings}


@pytest.mark.parametrize(
    ("candidate", "baseline", "warnings", "status"),
    [
        (0.3, 0.2, [], "good"),
        (0.3, 0.2, ["A leak?"], "warning"),
        (0.2, 0.2, [], "bad"),
        (0.1, 0.2, ["A leak?"], "bad"),
        (float("nan"), 0.2, [], "bad"),
    ],
)
def test_a_candidate_is_good_only_if_it_beats_the_baseline_without_reservations(
    candidate: float, baseline: float, warnings: list[str], status: str
) -> None:
    verdict = verdict_of(CHURN, _training(candidate, baseline, warnings))

    assert verdict.status == status
    assert "1,234 holdout rows" in verdict.reason


def test_of_equally_good_trials_the_first_wins() -> None:
    trials = [
        Trial(number, "logistic_regression", {}, value, "COMPLETE") for number, value in enumerate((1, 3, 3))
    ]

    assert best(trials).number == 1


def test_a_budget_that_leaves_a_candidate_out_is_refused() -> None:
    with pytest.raises(ValueError, match="budget of 1 is too small for the 2 candidates"):
        tune(CHURN, [], budget=1, seed=7)
