"""Skill over the baseline, its interval, and the range around a predicted number."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from include.lifecycle import intervals
from include.lifecycle.intervals import Interval, coverage, fit_interval
from include.lifecycle.regression import Regression, skill, skill_interval
from include.lifecycle.specs import IntervalPolicy

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


def test_skill_is_the_share_of_the_baselines_squared_error_that_is_saved() -> None:
    frame = pl.DataFrame(
        {"dt": [FIRST] * 2, "label": [1.0, 3.0], "score": [1.0, 2.0], "baseline_score": [0.0, 2.0]}
    )

    assert skill(frame, "score") == pytest.approx(1 - 1 / 2)
    assert skill(frame, "baseline_score") == 0


def test_nobody_is_better_than_a_baseline_that_never_errs() -> None:
    frame = pl.DataFrame({"dt": [FIRST], "label": [1.0], "score": [1.0], "baseline_score": [1.0]})

    assert skill(frame, "score") == 0
    assert skill(frame.with_columns(score=pl.lit(2.0)), "score") == -np.inf


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
    measured = Regression().measure(rows(noise=1), "baseline_score")

    assert (measured["skill"], measured["skill_low"], measured["skill_high"]) == (0, 0, 0)


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
