"""The measures give what a hand gives."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.modelling.score_bins import score_bins
from include.lifecycle.modelling.tasks.classification.metrics import (
    calibration_error_by_chance,
    expected_calibration_error,
    lift,
    measure,
)


def test_the_measures_of_four_rows_are_those_computed_by_hand() -> None:
    labels = np.array([1, 0, 1, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.1])

    measured = measure(labels, scores)

    assert measured["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert measured["roc_auc"] == pytest.approx(3 / 4)
    assert measured["brier"] == pytest.approx((0.1**2 + 0.8**2 + 0.3**2 + 0.1**2) / 4)
    assert measured["lift_10"] == pytest.approx(1 / (2 / 4))


def test_the_calibration_error_is_the_mean_distance_of_predicted_and_observed_rates() -> None:
    scores = np.repeat([0.2, 0.6], 10)
    labels = np.repeat([1, 0, 1, 0], [3, 7, 5, 5])

    error = expected_calibration_error(labels, scores)

    assert error == pytest.approx((abs(2 - 3) + abs(6 - 5)) / 20)


def test_the_calibration_error_uses_equally_full_bins() -> None:
    scores = np.arange(100) / 1000
    labels = np.zeros(100, int)
    labels[90:] = 1

    error = expected_calibration_error(labels, scores)

    assert error == pytest.approx((scores[:90].sum() + (1 - scores[90:]).sum()) / 100)


def test_scores_are_parted_into_equally_full_bins_counted_from_0() -> None:
    scores = np.arange(100) / 100

    assert np.bincount(score_bins(scores)).tolist() == [10] * 10
    assert np.bincount(score_bins(scores, bins=4)).tolist() == [25] * 4
    assert score_bins(scores[::-1], bins=2).tolist() == [1] * 50 + [0] * 50


def test_the_calibration_error_bins_the_scores_and_not_the_labels() -> None:
    scores = np.repeat([0.2, 0.6], 10)
    labels = np.tile([1, 0, 0, 0, 1], 4)

    # Of ten scores each of 0.2 and 0.6, four labels are 1.
    assert measure(labels, scores)["ece"] == pytest.approx((abs(2 - 4) + abs(6 - 4)) / 20)


@pytest.mark.parametrize("seed", range(5))
def test_the_lift_of_a_tenth_is_that_of_the_highest_scores_in_any_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.permutation(5000) / 5000  # numpy sorts a few hundred altogether
    labels = (random.random(5000) < 0.3).astype(int)

    highest = [label for _, label in sorted(zip(scores.tolist(), labels.tolist(), strict=True))[-500:]]

    assert measure(labels, scores)["lift_10"] == pytest.approx(sum(highest) / 500 / (labels.sum() / 5000))


def test_several_rows_of_those_tied_at_the_cut_count_with_their_mean_rate() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])

    # The highest, and three of the four at 0.5 with a quarter of a positive each.
    assert lift(labels, scores, share=0.4) == pytest.approx((1 + 3 / 4) / 4 / (2 / 10))


def test_the_ends_of_the_range_are_probabilities() -> None:
    assert measure(np.array([0, 1]), np.array([0.0, 1.0]))["brier"] == 0


def test_lift_is_the_rate_at_the_top_over_the_rate_of_all() -> None:
    labels = np.zeros(20, int)
    labels[[0, 1, 7, 13]] = 1

    assert lift(labels, -np.arange(20.0), share=0.1) == pytest.approx(5)


def test_rows_tied_at_the_cut_count_with_their_mean_rate() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1])

    assert lift(labels, scores, share=0.2) == pytest.approx(((1 + 1 / 4) / 2) / (2 / 10))


def test_no_measure_depends_on_the_order_of_tied_rows() -> None:
    rng = np.random.default_rng(0)
    scores = rng.choice([0.1, 0.2, 0.4], 200)
    labels = (rng.random(200) < scores).astype(int)
    shuffled = rng.permutation(200)

    assert measure(labels, scores) == pytest.approx(measure(labels[shuffled], scores[shuffled]), rel=1e-12)


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels of 3 rows are \[0\], but measuring needs both"):
        measure(np.zeros(3, int), np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("bad", [1.5, -0.1, np.nan])
def test_scores_that_are_no_probabilities_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must be probabilities"):
        measure(np.array([0, 1]), np.array([0.5, bad]))


def test_what_a_perfectly_calibrated_model_misses_by_is_chance_and_falls_with_the_rows() -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(0.1, 0.5, 20_000)
    few = calibration_error_by_chance(scores[:500])
    many = calibration_error_by_chance(scores)
    labels = (random.random(20_000) < scores).astype(int)

    assert few > 3 * many > 0
    assert expected_calibration_error(labels, scores) < many
    assert expected_calibration_error(labels, np.minimum(scores + 0.05, 1)) > many


def test_chance_is_drawn_from_the_same_seed_as_often_each_time() -> None:
    scores = np.linspace(0.05, 0.95, 100)
    random = np.random.default_rng(0)
    errors = [expected_calibration_error((random.random(100) < scores).astype(int), scores) for _ in range(200)]

    assert calibration_error_by_chance(scores) == pytest.approx(np.quantile(errors, 0.95), rel=1e-12)
