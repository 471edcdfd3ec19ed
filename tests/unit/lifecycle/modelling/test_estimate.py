"""What metrics are estimated to be before labels are known, and what that is worth."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.tasks import Estimate, task_of
from include.lifecycle.modelling.tasks.classification import estimate as classification
from include.lifecycle.modelling.tasks.classification.metrics import measure
from include.lifecycle.modelling.tasks.regression.estimate import expected_errors, scaled_errors
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY
from tests.specs import changed

DAY = date(2026, 3, 2)
METRICS = ("average_precision", "roc_auc", "brier")


def risks(rng: np.random.Generator, keys: int) -> np.ndarray:
    """How probable a positive outcome is for each of so many keys, 0.11 on average."""
    return 1 / (1 + np.exp(2.5 - rng.normal(size=keys)))


def rows_of(scores: np.ndarray, keys: np.ndarray, baseline: Any = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customer_id": [f"C{number}" for number in keys],
            "dt": DAY,
            "score": scores,
            "baseline_score": np.full(len(scores), scores.mean()) if baseline is None else baseline,
        }
    )


def distinct(scores: np.ndarray) -> pl.DataFrame:
    return rows_of(scores, np.arange(len(scores)))


def churn_estimate(rows: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
    return task_of(CHURN).estimate(rows, holdout)


def is_worse(estimate: Estimate) -> bool:
    assert estimate.standing is not None
    return estimate.standing.most < estimate.standing.least


def held_shares(distort: Any) -> dict[str, float]:
    """By metric, the share of 200 weeks whose interval held what was realised; scores are `distort`ed risks.

    Each of 200 keys is scored on three neighbouring days, and its outcome is the same on all of them.
    """
    rng, held = np.random.default_rng(5), dict.fromkeys(METRICS, 0)
    keys = np.repeat(np.arange(200), 3)
    for _ in range(200):
        truth = risks(rng, 200)[keys]
        labels = (rng.random(200)[keys] < truth).astype(int)
        scores = distort(truth)
        realised = measure(labels, scores)
        worlds = classification.simulate(scores, {"score": scores}, keys)["score"]
        for name in METRICS:
            found = classification.expected(worlds[name])
            held[name] += found.lower_bound <= realised[name] <= found.upper_bound
    return {name: count / 200 for name, count in held.items()}


def test_simulated_metrics_are_those_that_are_measured_also_where_scores_are_tied() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(80).round(1)
    labels = rng.random((20, 80)) < scores

    found = classification._measure(labels, scores)

    for world, of_world in enumerate(labels):
        measured = measure(of_world.astype(int), scores)
        assert {name: values[world] for name, values in found.items()} == pytest.approx(
            {name: measured[name] for name in found}
        )


def test_the_interval_of_calibrated_scores_holds_what_is_realised_in_95_of_100_weeks() -> None:
    shares = held_shares(lambda truth: truth)

    # Of 200 weeks at 0.95, fewer than 181 or more than 196 happen in 1 of 100 cases.
    assert all(0.905 <= share <= 0.98 for share in shares.values()), shares


@pytest.mark.parametrize(
    ("distort", "misled"),
    [
        pytest.param(lambda truth: 2 * truth / (1 + truth), ("average_precision", "brier"), id="too high"),
        pytest.param(lambda truth: truth**2 / (truth**2 + (1 - truth) ** 2), ("roc_auc", "brier"), id="too sure"),
    ],
)
def test_scores_without_calibration_are_believed_which_is_the_limit_of_an_estimate(
    distort: Any, misled: tuple[str, ...]
) -> None:
    shares = held_shares(distort)

    assert all(shares[name] < 0.75 for name in misled), shares


def test_the_days_of_a_key_are_no_evidence_of_their_own() -> None:
    scores = np.repeat(risks(np.random.default_rng(2), 300), 7)

    def width(keys: np.ndarray) -> float:
        found = classification.expected(classification.simulate(scores, {"s": scores}, keys)["s"]["roc_auc"])
        return found.upper_bound - found.lower_bound

    assert width(np.repeat(np.arange(300), 7)) > 2 * width(np.arange(2100))


def test_of_many_rows_a_sample_is_simulated_and_its_interval_is_no_narrower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = risks(np.random.default_rng(3), 4000)
    keys = np.arange(4000)
    whole = classification.expected(classification.simulate(scores, {"s": scores}, keys)["s"]["roc_auc"])
    monkeypatch.setattr(classification, "MOST_ROWS", 1000)

    sample = classification.expected(classification.simulate(scores, {"s": scores}, keys)["s"]["roc_auc"])

    assert sample.value == pytest.approx(whole.value, abs=0.01)
    assert sample.upper_bound - sample.lower_bound > 1.5 * (whole.upper_bound - whole.lower_bound)


def test_an_estimate_is_the_same_each_time_and_does_not_depend_on_the_order_of_rows() -> None:
    rows = distinct(risks(np.random.default_rng(4), 500))

    first, again = (churn_estimate(rows, rows) for _ in range(2))
    reversed_rows = churn_estimate(rows.reverse(), rows)

    assert first == again
    assert reversed_rows.metrics["roc_auc"].value == pytest.approx(first.metrics["roc_auc"].value, abs=1e-9)


def test_scores_that_tell_less_apart_than_on_the_holdout_are_worse() -> None:
    rng = np.random.default_rng(6)
    holdout = risks(rng, 3000)
    blurred = (holdout + 3 * holdout.mean()) / 4

    assert is_worse(churn_estimate(distinct(blurred), distinct(holdout)))
    assert not is_worse(churn_estimate(distinct(risks(rng, 3000)), distinct(holdout)))


@pytest.mark.parametrize("times", [0.25, 0.5, 2, 4])
def test_another_class_balance_alone_is_not_worse(times: float) -> None:
    rng = np.random.default_rng(7)
    holdout, now = risks(rng, 5000), risks(rng, 20_000)
    positive = rng.random(20_000) < now
    kept = rng.random(20_000) < np.where(positive, min(1, times), min(1, 1 / times))

    estimate = churn_estimate(distinct(now[kept]), distinct(holdout))

    assert not is_worse(estimate)


@pytest.mark.parametrize("shift", [-1, -0.5, 0.5, 1])
def test_risks_that_all_fall_or_rise_are_not_worse(shift: float) -> None:
    """Average precision goes from 0.15 to 0.46 with them, as there are more positives to be met by chance."""
    rng = np.random.default_rng(7)
    holdout = risks(rng, 5000)
    now = 1 / (1 + np.exp(2.5 - shift - rng.normal(size=20_000)))

    assert not is_worse(churn_estimate(distinct(now), distinct(holdout)))


def test_by_its_own_scores_no_model_looks_worse_than_another() -> None:
    """Which is why the baseline is shown, and no verdict follows from it."""
    rng = np.random.default_rng(8)
    truth = risks(rng, 2000)
    noise = np.clip(truth + rng.normal(0, 0.3, 2000), 0.001, 0.999)
    keys = np.arange(2000)

    estimate = churn_estimate(rows_of(noise, keys, baseline=truth), distinct(truth))

    labels = (rng.random(2000) < truth).astype(int)
    assert measure(labels, noise)["roc_auc"] < measure(labels, truth)["roc_auc"]
    assert estimate.metrics["roc_auc"].value > estimate.baseline_metrics["roc_auc"]


@pytest.mark.parametrize(("score", "few"), [(0.001, "0.1 of 100"), (0.999, "99.9 of 100")])
def test_too_few_expected_outcomes_of_a_kind_give_no_estimate(score: float, few: str) -> None:
    rows = distinct(np.full(100, score))

    shortfall = task_of(CHURN).estimate_shortfall(rows, rows)

    assert shortfall is not None
    assert few in shortfall
    assert task_of(CHURN).estimate_shortfall(distinct(np.full(100, 0.06)), rows) is None


def test_labels_of_one_kind_are_no_metrics() -> None:
    rows = distinct(np.full(10, 0.1)).with_columns(label=0)

    assert task_of(CHURN).observed(rows) == {}
    assert task_of(CHURN).observed(rows.with_columns(label=pl.Series([0, 1] * 5))).keys() >= set(METRICS)


def moves(days: int, size: float, seed: int, per_day: int = 5) -> pl.DataFrame:
    """Predicted volatilities whose errors are proportional to the present one, and alike on a day."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(days):
        present = size * rng.uniform(0.5, 1.5, per_day)
        common = abs(rng.normal(0, 0.3))
        score = present * rng.uniform(0.8, 1.2, per_day)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [f"S{one}" for one in range(per_day)],
                    "dt": DAY + timedelta(number),
                    "volatility_21d": present,
                    "score": score,
                    "baseline_score": present * 3,
                    "label": score + present * common * rng.choice([-1, 1], per_day),
                }
            )
        )
    return pl.concat(frames)


def test_errors_are_expected_to_grow_with_the_scale() -> None:
    holdout = moves(100, 0.2, seed=1)
    daily = scaled_errors(holdout, "score", "volatility_21d")

    same = expected_errors(holdout["volatility_21d"], daily)
    twice = expected_errors(2 * holdout["volatility_21d"], daily)

    for name, error in same.items():
        assert twice[name].value == pytest.approx(2 * error.value)
        assert error.lower_bound < error.value < error.upper_bound


def test_the_interval_of_errors_holds_what_is_realised_in_95_of_100_days() -> None:
    model = task_of(VOLATILITY)
    holdout = moves(300, 0.2, seed=2)
    later = [moves(1, 0.35, seed=1000 + number) for number in range(200)]

    held = 0
    for rows in later:
        found, realised = model.estimate(rows, holdout).metrics["mae"], model.observed(rows)["mae"]
        held += found.lower_bound <= realised <= found.upper_bound

    assert 0.90 <= held / 200 <= 0.99


def test_an_estimate_of_errors_gives_no_verdict_and_no_skill() -> None:
    estimate = task_of(VOLATILITY).estimate(moves(5, 0.2, seed=3), moves(50, 0.2, seed=4))

    assert estimate.standing is None
    assert set(estimate.metrics) == {"rmse", "mae"}
    assert estimate.baseline_metrics["rmse"] > estimate.metrics["rmse"].value


@pytest.mark.parametrize(
    ("model", "rows", "days", "sentence"),
    [
        (VOLATILITY, moves(5, 0.2, seed=1), 19, "The holdout has errors of 19 days, but at least 20 are needed."),
        (VOLATILITY, moves(5, 0.0, seed=1), 50, "None of 25 rows has a 'volatility_21d' above 0"),
        (changed(VOLATILITY, interval=None), moves(5, 0.2, seed=1), 50, "The model has no interval"),
    ],
)
def test_where_errors_have_no_scale_that_is_said(model: Any, rows: pl.DataFrame, days: int, sentence: str) -> None:
    shortfall = task_of(model).estimate_shortfall(rows, moves(days, 0.2, seed=5))

    assert shortfall is not None
    assert sentence in shortfall


def test_twenty_days_and_a_single_row_of_a_known_scale_are_enough() -> None:
    rows = moves(5, 0.0, seed=1).with_columns(volatility_21d=pl.Series([0.2, *[0.0] * 24]))

    assert task_of(VOLATILITY).estimate_shortfall(rows, moves(20, 0.2, seed=5)) is None
