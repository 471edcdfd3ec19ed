"""How candidates and their hyperparameters are chosen."""

from __future__ import annotations

import pytest

from include.lifecycle.modelling.tuning import Trial, best, tune
from include.models.churn import CHURN


def test_of_equally_good_trials_the_first_wins() -> None:
    trials = [
        Trial(number, "logistic_regression", {}, value, "COMPLETE") for number, value in enumerate((1, 3, 3))
    ]

    assert best(trials).number == 1


def test_a_budget_that_leaves_a_candidate_out_is_refused() -> None:
    with pytest.raises(ValueError, match="budget of 1 is too small for the 2 candidates"):
        tune(CHURN, [], budget=1, seed=7)
