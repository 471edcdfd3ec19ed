"""A candidate and the champion are compared row by row."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from include.lifecycle.modelling.bootstrap import samples_for
from include.lifecycle.modelling.tasks.classification import Classification
from include.lifecycle.modelling.tasks.classification.gains import paired_gain
from include.lifecycle.modelling.tasks.regression import Regression
from include.models.churn import CHURN
from include.models.returns import RETURNS

DAYS = [date(2026, 1, 1) + timedelta(number) for number in range(100)]


def errors(own: list[float], rival: list[float]) -> pl.DataFrame:
    """A row a day whose label is 1 and whose scores have these squared errors."""
    scores = {name: 1 - np.sqrt(losses) for name, losses in (("own", own), ("rival", rival))}
    return pl.DataFrame({"dt": DAYS, "label": np.ones(100), "baseline_score": np.zeros(100), **scores})


def outcomes(own: float, rival: float, seed: int = 0, customers: int = 60) -> pl.DataFrame:
    """Three rows a customer; the scores know so much of what decides the label."""
    random = np.random.default_rng(seed)
    keys = np.repeat([f"C{number}" for number in range(customers)], 3)
    cause = random.normal(size=len(keys))

    def scores(share: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(share * cause + (1 - share) * random.normal(size=len(keys)))))

    label = (cause + 0.3 * random.normal(size=len(keys)) > 0).astype("int8")
    return pl.DataFrame({"customer_id": keys, "label": label, "own": scores(own), "rival": scores(rival)})


def test_a_larger_error_is_no_gain_though_its_interval_beside_the_baseline_ends_higher() -> None:
    """The champion errs little on all days but one; that one alone widens its interval."""
    rival = [0.1] * 100
    rival[50] = 20.0
    rows = errors([0.5] * 100, rival)
    own_measures, rival_measures = (Regression(RETURNS).measure(rows, score) for score in ("own", "rival"))
    assert own_measures["rmse"] > rival_measures["rmse"]
    assert own_measures["skill_lower_bound"] > rival_measures["skill_lower_bound"]

    gain = Regression(RETURNS).gain(rows, "own", "rival")

    assert gain.value < 0
    assert gain.lower_bound < 0


def test_the_gain_of_a_regression_is_the_share_of_the_squared_error_that_is_saved() -> None:
    gain = Regression(RETURNS).gain(errors([0.3] * 100, [0.4] * 100), "own", "rival")

    assert gain == pytest.approx((0.25, 0.25, 0.25))


def test_the_gain_of_a_classification_is_the_difference_in_its_metric() -> None:
    rows = outcomes(own=0.9, rival=0.3)
    measured = [Classification(CHURN).measure(rows, score)[CHURN.gate.metric] for score in ("own", "rival")]

    gain = Classification(CHURN).gain(rows, "own", "rival")

    assert gain.value == pytest.approx(measured[0] - measured[1])
    assert 0 < gain.lower_bound < gain.value


def test_equal_scores_gain_exactly_nothing() -> None:
    rows = outcomes(own=0.5, rival=0.5).with_columns(rival=pl.col("own"))

    assert Classification(CHURN).gain(rows, "own", "rival") == (0, 0, 0)
    assert Regression(RETURNS).gain(errors([0.3] * 100, [0.3] * 100), "own", "rival") == (0, 0, 0)


def test_rows_repeated_for_each_customer_are_no_further_evidence() -> None:
    once = outcomes(own=0.6, rival=0.4)
    thrice = pl.concat([once] * 3)

    lows = [Classification(CHURN).gain(rows, "own", "rival").lower_bound for rows in (once, thrice)]

    assert lows[0] == pytest.approx(lows[1])


@settings(max_examples=4, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
def test_of_two_models_at_most_one_gains_over_the_other(own: float, rival: float, seed: int) -> None:
    rows = outcomes(own, rival, seed)
    forth = Classification(CHURN).gain(rows, "own", "rival")
    back = Classification(CHURN).gain(rows, "rival", "own")

    assert forth.value == -back.value
    assert not (forth.lower_bound > 0 and back.lower_bound > 0)


def test_a_gain_is_drawn_by_whole_keys_and_measured_on_the_same_draws() -> None:
    """The bootstrap written out: each draw repeats the rows of a key as often as it drew the key."""
    random = np.random.default_rng(1)
    keys = np.repeat(np.arange(15), 2)
    labels, scores, rivals = (random.random(30) < 0.5).astype(int), random.random(30), random.random(30)
    draws, differences = np.random.default_rng(0), []
    for _ in range(200):
        rows = [row for key in draws.integers(0, 15, 15) for row in (2 * key, 2 * key + 1)]
        own, rival = (roc_auc_score(labels[rows], of[rows]) for of in (scores, rivals))
        differences.append(own - rival)

    value, low, high = paired_gain(labels, (scores, rivals), keys, "roc_auc", 0.05)

    assert value == pytest.approx(roc_auc_score(labels, scores) - roc_auc_score(labels, rivals))
    assert low == pytest.approx(np.quantile(differences, 0.025))
    assert high == pytest.approx(np.quantile(differences, 0.975))


def test_draws_without_both_labels_are_left_out_and_no_others() -> None:
    random = np.random.default_rng(4)
    labels = np.array([1, 1, *[0] * 8])
    scores, rivals = random.random(10), random.random(10)
    draws, differences = np.random.default_rng(0), []
    for _ in range(200):
        rows = draws.integers(0, 10, 10)
        if labels[rows].any():
            differences.append(
                roc_auc_score(labels[rows], scores[rows]) - roc_auc_score(labels[rows], rivals[rows])
            )

    gain = paired_gain(labels, (scores, rivals), np.arange(10), "roc_auc", 0.05)

    assert len(differences) < 200
    assert gain[1:] == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))


@pytest.mark.parametrize(
    ("metric", "scikit_learn"), [("average_precision", average_precision_score), ("roc_auc", roc_auc_score)]
)
@pytest.mark.parametrize("decimals", [1, 8])
def test_a_gain_is_measured_as_scikit_learn_does_also_of_tied_scores(
    metric: str, scikit_learn: Any, decimals: int
) -> None:
    random = np.random.default_rng(2)
    labels = (random.random(300) < 0.2).astype(int)
    scores, others = random.random(300).round(decimals), (random.random(300) + labels).round(decimals)

    gain = paired_gain(labels, (scores, others), np.arange(300), metric, 0.05)

    assert gain.value == pytest.approx(scikit_learn(labels, scores) - scikit_learn(labels, others))


@pytest.mark.parametrize("task", [Classification(CHURN), Regression(RETURNS)])
def test_the_smaller_the_level_the_wider_the_interval(task: Any) -> None:
    rows = pl.concat([errors([0.3] * 50 + [0.9] * 50, [0.4] * 100)])
    if isinstance(task, Classification):
        rows = outcomes(own=0.6, rival=0.4)

    wide, narrow = (task.gain(rows, "own", "rival", level) for level in (0.005, 0.05))

    assert wide.value == narrow.value
    assert wide.lower_bound < narrow.lower_bound < narrow.value < narrow.upper_bound < wide.upper_bound


@pytest.mark.parametrize("level", [0.05, 0.002, 1e-9])
def test_an_interval_has_samples_beyond_its_ends_up_to_a_number_that_can_be_drawn(level: float) -> None:
    samples = samples_for(level)

    assert samples * level / 2 >= 5 or samples == 20_000
    assert samples <= 20_000
