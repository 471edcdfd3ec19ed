"""A candidate must also beat the naive models beside the baseline."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from include.lifecycle.promotion.evidence import naive_models
from include.lifecycle.promotion.gate_checks import check_rows
from include.models.returns import RETURNS
from tests.gate_evidence import gate_evidence


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


def unbeaten(signal: float) -> list[str]:
    """The naive models that the candidate does not beat."""
    found = gate_evidence(naive_models=naive_models(RETURNS, holdout(signal), "candidate_score"))
    return [row.name for row in check_rows(found) if row.name.startswith("Naive model") and not row.passed]


def test_knowing_the_mean_alone_is_no_skill_though_the_baseline_expects_nothing() -> None:
    mean, persistence = naive_models(RETURNS, holdout(signal=0.0), "candidate_score")

    assert (mean.name, mean.candidate_score, mean.score) == ("mean", 0, 0)
    assert (persistence.candidate_score or 0) > (persistence.score or 0)
    assert unbeaten(signal=0.0) == ["Naive model: mean"]


def test_a_candidate_that_knows_more_than_every_naive_model_beats_them_all() -> None:
    assert unbeaten(signal=0.8) == []
