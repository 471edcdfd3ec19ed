"""What follows from the outcomes of published predictions, and how the page shows it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from include.catalog import MODELS
from include.lifecycle import drift, performance
from include.lifecycle.kinds import kind_of
from include.lifecycle.lake import Lake
from include.lifecycle.performance import PerformanceEvidence, decide
from include.lifecycle.performance_page import render_performance
from include.lifecycle.specs import DriftPolicy, ModelSpec

CHURN, VOLATILITY = (
    MODELS[name].model_copy(update={"drift": DriftPolicy(min_rows=500)}) for name in ("churn", "volatility")
)
DAYS = tuple(date(2026, 1, 5) + timedelta(number) for number in range(5))


def outcomes(kind: str, rows: int = 600) -> pl.DataFrame:
    """Predictions that are good, and their outcomes."""
    rng = np.random.default_rng(3)
    truth = rng.random(rows)
    label = (
        (rng.random(rows) < truth).astype(int) if kind == "classification" else truth + rng.normal(0, 0.1, rows)
    )
    return pl.DataFrame(
        {
            "dt": [DAYS[number % len(DAYS)] for number in range(rows)],
            "score": truth,
            "baseline_score": np.full(rows, 0.5),
            "label": label,
            "model_version": [3] * rows,
        }
    )


def evidence(model: Any, **changes: Any) -> PerformanceEvidence:
    rows = outcomes(model.kind)
    known = {
        "days": DAYS,
        "rows": rows.height,
        "shortage": None,
        "measures": kind_of(model).measure(rows, "score"),
        "baseline_measures": kind_of(model).measure(rows, "baseline_score"),
        "coverage": None,
        "promised": None,
    }
    return PerformanceEvidence(**{**known, **changes})


def swapped(model: Any) -> dict[str, Any]:
    """The scores' and the baseline's measures exchanged; of a regression, a skill below zero."""
    own = evidence(model)
    if model.kind == "regression":
        return {"measures": {**own.measures, "skill": -0.2, "skill_low": -0.3, "skill_high": -0.1}}
    return {"measures": own.baseline_measures, "baseline_measures": own.measures}


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "as expected", "600 outcomes of 5"),
        ("swapped", "worse", "worse than the naive baseline"),
        ({"rows": 499}, "not enough evidence", "The outcomes of 499 predictions are known; a verdict needs 500."),
        ({"shortage": "no positives"}, "not enough evidence", "The outcomes have no positives."),
        (
            {"coverage": 0.80, "promised": 0.8},
            "as expected",
            "held 80.0% of the outcomes; the training promised 80%",
        ),
        ({"coverage": 0.75, "promised": 0.8}, "as expected", "held 75.0%"),
        ({"coverage": 0.85, "promised": 0.8}, "as expected", "held 85.0%"),
        ({"coverage": 0.72, "promised": 0.8}, "intervals off", "They are too narrow; the tolerance is 5 points."),
        ({"coverage": 0.93, "promised": 0.8}, "intervals off", "They are too wide; the tolerance is 5 points."),
        ({"coverage": 0.93, "promised": 0.8, "rows": 10}, "not enough evidence", "10 predictions"),
    ],
)
def test_each_kind_of_evidence_has_its_verdict(model: Any, changes: Any, verdict: str, reason: str) -> None:
    found = evidence(model, **(swapped(model) if changes == "swapped" else changes))

    decided = decide(found, model)

    assert decided.verdict == verdict
    assert reason in decided.reason


def test_scores_as_good_as_the_baseline_are_not_worse() -> None:
    own = evidence(CHURN).measures

    assert decide(evidence(CHURN, baseline_measures=own), CHURN).verdict == "as expected"


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
def test_the_pictures_are_of_published_predictions_and_of_no_holdout(model: Any) -> None:
    html = render_performance(model, DAYS[-1], decide(evidence(model), model), outcomes(model.kind))

    assert "holdout" not in html
    assert "candidate" not in html
    assert "as outcomes became known" in html
    assert ">published<" in html
    assert f"predictions of {DAYS[0]} to {DAYS[-1]}" in html
    assert f"5 {model.dataset.calendar.unit}s" in html


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "Good"),
        ("swapped", "Problem"),
        ({"coverage": 0.93, "promised": 0.8}, "Attention"),
        ({"rows": 10}, "Note"),
    ],
)
def test_the_badge_says_whether_somebody_has_to_act(changes: Any, word: str) -> None:
    found = evidence(CHURN, **(swapped(CHURN) if changes == "swapped" else changes))

    html = render_performance(CHURN, DAYS[-1], decide(found, CHURN), outcomes(CHURN.kind))

    assert f'<span class="status">{word}</span>' in html


class ListedLake:
    """A lake of which only the days can be listed; counts those it has named."""

    def __init__(self, days: list[date]) -> None:
        self._days = days
        self.named = 0

    def days(self, prefix: str, since: date = date.min, until: date = date.max) -> list[date]:
        found = [day for day in self._days if since <= day <= until]
        self.named += len(found)
        return found


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
def test_a_longer_history_makes_no_report_look_at_more_days(model: ModelSpec) -> None:
    last = date(2026, 3, 31)
    looked_at = []
    for history in (700, 2_800):
        lake = ListedLake([last - timedelta(days=number) for number in reversed(range(history))])
        judged = performance._judged_days(model, cast("Lake", lake), last)
        window = drift._find_window(model, cast("Lake", lake), last)
        looked_at.append((lake.named, judged, window))

    assert looked_at[0] == looked_at[1]


def test_one_single_day_of_outcomes_before_the_window_still_says_all() -> None:
    lake = ListedLake([date(2026, 1, 1)])

    days = performance._outcome_days(CHURN, cast("Lake", lake), date(2026, 2, 1), date(2026, 3, 1))

    assert days == [date(2026, 1, 1)]
