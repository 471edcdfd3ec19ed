"""A candidate must also beat the naive models beside the baseline."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from include.lifecycle.promotion.evidence import unbeaten_references
from include.models.returns import RETURNS


def holdout(signal: float) -> pl.DataFrame:
    """Outcomes around a mean of 1; the candidate knows the mean and a part of the rest."""
    random = np.random.default_rng(0)
    known, rows = random.normal(size=600), 600
    return pl.DataFrame(
        {
            "dt": [date(2020, 1, 1) + timedelta(number // 5) for number in range(rows)],
            "label": 1 + known + random.normal(size=rows),
            "candidate_score": 1 + signal * known,
            "baseline_score": np.zeros(rows),
            "mean_score": np.ones(rows),
            "persistence_score": random.normal(size=rows),
        }
    )


def test_knowing_the_mean_alone_is_no_skill_though_the_baseline_expects_nothing() -> None:
    [sentence] = unbeaten_references(RETURNS, holdout(signal=0.0), "candidate_score")

    assert (
        "For the candidate beside the naive model 'mean', the lower end of the skill is 0, which is not above 0."
        in sentence
    )


def test_a_candidate_that_knows_more_than_every_naive_model_beats_them_all() -> None:
    assert unbeaten_references(RETURNS, holdout(signal=0.8), "candidate_score") == ()
