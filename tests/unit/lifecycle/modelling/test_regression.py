"""Skill over the baseline, its interval, and the range around a predicted number."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from include.lifecycle.modelling import intervals
from include.lifecycle.modelling.intervals import Interval, coverage, fit_interval
from include.lifecycle.modelling.tasks.regression import Regression, skill, skill_interval
from include.lifecycle.specs import IntervalPolicy
from include.models.returns import RETURNS

FIRST = date(2020, 1, 1)


def rows(noise: float, days: int = 120, per_day: int = 5, seed: int = 0) -> pl.DataFrame:
    """Labels with a part that can be known; `score` knows it up to `noise`, the baseline expects nothing."""
    random = np.random.default_rng(seed)
    size = days * per_day
    known = random.normal(size=size)
    return pl.DataFrame(
        {
            "dt": [FIRST + timedelta(number // per_day) for number in range(size)],
            "label": known + random.normal(size=size),
            "score": known + noise * random.normal(size=size),
            "baseline_score": np.zeros(size),
        }
    )


def hand(**columns: list[float]) -> pl.DataFrame:
    """A day's rows to be measured by hand."""
    return pl.DataFrame({"dt": [FIRST] * len(columns["label"]), **columns})


def test_the_errors_of_four_rows_are_those_computed_by_hand() -> None:
    # The errors are 1, -1, -3 and 1; the labels 1, 2, 3 and 10 have the mean 4.
    measured = Regression(RETURNS).measure(hand(label=[1, 2, 3, 10], score=[0, 3, 6, 9]), "score")

    assert measured == {
        "rmse": pytest.approx(math.sqrt((1 + 1 + 9 + 1) / 4)),
        "mae": pytest.approx((1 + 1 + 3 + 1) / 4),
        "r2": pytest.approx(1 - (1 + 1 + 9 + 1) / (9 + 4 + 1 + 36)),
    }


def test_saying_the_mean_of_the_rows_has_an_r2_of_0() -> None:
    assert Regression(RETURNS).measure(hand(label=[1, 2, 6], score=[3, 3, 3]), "score")["r2"] == pytest.approx(0)


def test_of_one_row_no_spread_is_explained() -> None:
    assert Regression(RETURNS).measure(hand(label=[2], score=[1]), "score") == {"rmse": 1, "mae": 1, "r2": 0}
    # Two rows can be on a line, and this one goes the wrong way: errors 1 and 1 around a spread of 0.25 + 0.25.
    assert Regression(RETURNS).measure(hand(label=[1, 2], score=[2, 1]), "score")["r2"] == pytest.approx(
        1 - 2 / 0.5
    )


def test_beside_a_baseline_all_measures_of_the_page_are_there() -> None:
    frame = rows(noise=0.5)

    measured = Regression(RETURNS).measure(frame, "score")

    assert list(measured) == list(Regression.metrics)
    assert (measured["skill_lower_bound"], measured["skill_upper_bound"]) == skill_interval(frame, "score")
    assert measured["skill"] == skill(frame, "score")


def test_scores_stand_as_the_upper_end_of_their_skill_does_to_0() -> None:
    measured = {"skill": 0.25, "skill_lower_bound": -0.125, "skill_upper_bound": 0.5}

    standing = Regression(RETURNS).standing(measured, {})

    assert (standing.most, standing.least) == (0.5, 0.0)
    assert standing.words.endswith(" 0.250 (-0.125 to 0.500)")


def test_an_estimator_answers_a_number_for_each_row_as_the_signature_says() -> None:
    task, matrix = Regression(RETURNS), pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    fitted = task.fit(LinearRegression(), matrix, np.array([1.0, 3.0, 5.0]), np.array([0, 1, 2]))

    answer = getattr(fitted, task.estimator_method)(matrix)

    assert task.scores_every_row
    assert task.output_shape == (-1, *answer.shape[1:])
    assert len(answer) == len(matrix)


def test_a_line_is_fitted_and_predicted_as_it_is() -> None:
    matrix = pd.DataFrame({"x": [0.0, 1.0, 2.0]})

    fitted = Regression(RETURNS).fit(LinearRegression(), matrix, np.array([1.0, 3.0, 5.0]), np.array([0, 1, 2]))

    assert Regression(RETURNS).predict(fitted, pd.DataFrame({"x": [10.0, 0.5]})).tolist() == pytest.approx([21, 2])


@pytest.mark.parametrize(("count", "shortage"), [(50, None), (49, "49 rows, but at least 50 are needed")])
def test_fifty_rows_are_the_fewest_to_learn_from(count: int, shortage: str | None) -> None:
    assert Regression(RETURNS).label_shortfall(pl.Series([0.5] * count)) == shortage


def test_tuning_ranks_by_the_skill_that_the_gate_judges() -> None:
    assert Regression(RETURNS).tuning_metric == "skill"


def test_a_gain_is_the_skill_over_the_rival_and_its_lower_end() -> None:
    frame = rows(noise=0.5).with_columns(rival=pl.col("label") * 0.1)
    beside = frame.with_columns(baseline_score="rival")

    gain = Regression(RETURNS).gain(frame, "score", "rival")

    assert gain == (skill(beside, "score"), *skill_interval(beside, "score"))
    assert gain.lower_bound < gain.value < gain.upper_bound


def test_tuning_ranks_by_the_skill_itself() -> None:
    frame = rows(noise=0.5)

    assert Regression(RETURNS).tuning_score(frame, "score") == skill(frame, "score")


def test_a_bias_is_a_distance_of_means_in_standard_deviations_and_so_far_certain_as_its_interval_reaches() -> None:
    frame = rows(noise=0.5)
    spread = float(np.std(frame["label"].to_numpy()))
    unbiased = frame.with_columns(score=pl.col("label"))
    biased = frame.with_columns(score=pl.col("label") - 0.5 * spread)

    assert Regression(RETURNS).calibration(unbiased, "score") == (0, 0)
    assert Regression(RETURNS).calibration(biased, "score") == pytest.approx((0.5, 0.5))
    error, certain = Regression(RETURNS).calibration(frame.with_columns(score=pl.lit(0.0)), "score")
    assert 0 <= certain < error


def test_outcomes_that_are_all_the_same_give_no_bias() -> None:
    frame = rows(noise=0.5).with_columns(label=pl.lit(1.0))

    assert math.isnan(Regression(RETURNS).calibration(frame, "score").error)


def test_a_score_is_any_finite_number() -> None:
    scores = pl.DataFrame({"score": [-1e9, 0.0, math.inf, -math.inf, math.nan, None]})

    valid = scores.select(Regression(RETURNS).is_valid_score(pl.col("score"))).to_series()

    assert valid.to_list() == [True, True, False, False, False, False]


def test_the_plots_are_those_that_the_page_has_captions_for() -> None:
    frame = rows(noise=0.5).rename({"score": "candidate_score"})

    assert set(Regression(RETURNS).draw(frame)) == set(Regression.plots)


def test_skill_is_the_share_of_the_baselines_squared_error_that_is_saved() -> None:
    frame = pl.DataFrame(
        {"dt": [FIRST] * 2, "label": [1.0, 3.0], "score": [1.0, 2.0], "baseline_score": [0.0, 2.0]}
    )

    assert skill(frame, "score") == pytest.approx(1 - 1 / 2)
    assert skill(frame, "baseline_score") == 0


def test_nobody_is_better_than_a_baseline_that_never_errs() -> None:
    frame = pl.DataFrame({"dt": [FIRST], "label": [1.0], "score": [1.0], "baseline_score": [1.0]})

    assert skill(frame, "score") == 0
    assert skill(frame.with_columns(score=pl.lit(1.5)), "score") == -np.inf


def test_skill_is_the_same_in_any_unit() -> None:
    # Squared errors of 0.01 and 0.04 against 0.04 and 0.16.
    frame = hand(label=[0.1, 0.4], score=[0.2, 0.2], baseline_score=[0.3, 0.8])

    assert skill(frame, "score") == pytest.approx(1 - 0.05 / 0.2)
    assert skill(frame.with_columns(pl.exclude("dt") / 100), "score") == pytest.approx(1 - 0.05 / 0.2)


def blocks_one_by_one(losses: list[tuple[float, float]], length: int) -> list[float]:
    """The interval as Politis and Romano have it: block after block of days, on a circle, until all are drawn."""
    days = len(losses)
    starts = np.random.default_rng(0).integers(0, days, (2000, math.ceil(days / length)))
    skills = []
    for row in starts.tolist():
        drawn = [losses[(start + step) % days] for start in row for step in range(length)][:days]
        skills.append(1 - sum(own for own, _ in drawn) / sum(baseline for _, baseline in drawn))
    return list(stats.mstats.mquantiles(skills, [0.025, 0.975], alphap=1, betap=1))


@pytest.mark.parametrize(("days", "length"), [(7, 5), (250, 6), (700, 9)])
def test_the_interval_is_drawn_in_blocks_of_days_of_the_documented_length(days: int, length: int) -> None:
    # The cube root of 250 is 6.3, that of 700 is 8.9.
    random = np.random.default_rng(3)
    label = random.normal(size=(days, 2)).cumsum(axis=0)
    score = label + random.normal(size=(days, 2)) * np.linspace(0.1, 2, days)[:, None]
    frame = pl.DataFrame(
        {
            "dt": [FIRST + timedelta(number) for number in range(days) for _ in range(2)],
            "label": label.ravel(),
            "score": score.ravel(),
            "baseline_score": np.ones(2 * days),
        }
    )
    own, baseline = ((label - score) ** 2).sum(axis=1), ((label - 1) ** 2).sum(axis=1)

    expected = blocks_one_by_one(list(zip(own.tolist(), baseline.tolist(), strict=True)), length)

    assert skill_interval(frame.sample(fraction=1, shuffle=True, seed=1), "score") == pytest.approx(expected)
    assert expected[0] < expected[1]


@pytest.mark.parametrize("days", [1, 4, 5])
def test_as_many_days_as_the_shortest_block_has_are_always_drawn_together(days: int) -> None:
    frame = rows(noise=1, days=days)

    assert skill_interval(frame, "score") == pytest.approx([skill(frame, "score")] * 2)


def test_each_row_counts_once_however_many_its_day_has() -> None:
    # Errors: 1 on the first day, 3 and 3 on the second; the baseline's 2, and 2 and 2.
    frame = pl.DataFrame(
        {
            "dt": [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 2)],
            "label": 0.0,
            "score": [1.0, 3.0, 3.0],
            "baseline_score": 2.0,
        }
    )

    assert skill(frame, "score") == 1 - (1 + 9 + 9) / (4 + 4 + 4)


def test_where_nobody_errs_on_any_day_the_interval_is_0() -> None:
    right = rows(noise=1, days=12).with_columns(pl.lit(0.0).alias(name) for name in ("label", "score"))

    assert skill_interval(right, "score") == (0, 0)


@pytest.mark.parametrize("coverage", [0.5, 0.8])
@pytest.mark.parametrize("count", [1, 4, 9, 19])
def test_the_multiple_is_the_order_statistic_of_split_conformal_prediction(coverage: float, count: int) -> None:
    """Lei et al.: the k-th smallest of n scaled errors, k = coverage times (n + 1) rounded up, at most n."""
    missed = [float(number) for number in range(1, count + 1)]
    learnt = pl.DataFrame(
        {"label": [0.0] * count, "score": [-2 * miss for miss in missed], "scale": [2.0] * count}
    )

    interval = fit_interval(IntervalPolicy(scale="scale", coverage=coverage), learnt, "score")

    assert interval == Interval("scale", missed[min(count, math.ceil(coverage * (count + 1))) - 1], coverage)


def test_real_skill_is_beyond_chance_and_noise_is_not() -> None:
    knowing, guessing = rows(noise=0.1), rows(noise=5)

    assert skill_interval(knowing, "score")[0] > 0.3
    assert skill_interval(guessing.with_columns(score=pl.col("score") * 0.01), "score")[0] < 0


def test_the_interval_holds_the_skill_and_is_always_the_same() -> None:
    frame = rows(noise=0.5)

    low, high = skill_interval(frame, "score")

    assert low < skill(frame, "score") < high
    assert skill_interval(frame.sample(fraction=1, shuffle=True, seed=1), "score") == pytest.approx((low, high))


def test_rows_of_a_day_count_as_one_piece_of_evidence() -> None:
    frame = rows(noise=1, days=30, per_day=2)
    repeated = pl.concat([frame] * 20)

    assert skill_interval(repeated, "score") == pytest.approx(skill_interval(frame, "score"))


def test_the_baseline_has_no_skill_over_itself() -> None:
    measured = Regression(RETURNS).measure(rows(noise=1), "baseline_score")

    assert (measured["skill"], measured["skill_lower_bound"], measured["skill_upper_bound"]) == (0, 0, 0)


def test_the_range_holds_the_share_it_promises_of_rows_like_those_it_was_learnt_from() -> None:
    learnt, later = (rows(noise=0.3, days=800, seed=seed).with_columns(scale=pl.lit(2.0)) for seed in (1, 2))

    interval = fit_interval(IntervalPolicy(scale="scale", coverage=0.8), learnt, "score")

    assert coverage(interval, learnt, "score") == pytest.approx(0.8, abs=0.001)
    assert coverage(interval, later, "score") == pytest.approx(0.8, abs=0.03)


def test_rows_without_a_scale_do_not_spoil_the_range() -> None:
    learnt = rows(noise=0.3).with_columns(scale=pl.lit(2.0))
    flat = learnt.head(5).with_columns(scale=pl.lit(0.0), label=pl.lit(0.0), score=pl.lit(0.0))
    policy = IntervalPolicy(scale="scale", coverage=0.8)

    assert fit_interval(policy, pl.concat([learnt, flat]), "score") == fit_interval(policy, learnt, "score")
    with pytest.raises(ValueError, match="None of 5 rows has a 'scale' above 0"):
        fit_interval(policy, flat, "score")


def test_the_range_is_as_wide_as_its_scale_says_and_names_its_coverage() -> None:
    frame = pl.DataFrame({"score": [1.0, 1.0], "scale": [0.5, 2.0]})

    ends = intervals.add(Interval("scale", multiple=2, nominal=0.8, measured=0.75), frame)

    assert ends["score_low"].to_list() == [0, -3]
    assert ends["score_high"].to_list() == [2, 5]
    assert ends["coverage"].to_list() == [0.75, 0.75]


def test_an_interval_comes_back_from_the_tags_of_its_version() -> None:
    interval = Interval("scale", multiple=2.5, nominal=0.8, measured=0.79)
    tags = {f"interval_{name}": str(value) for name, value in vars(interval).items()}

    assert intervals.from_tags(tags) == interval
    assert intervals.from_tags({"as_of": "2026-01-01"}) is None
