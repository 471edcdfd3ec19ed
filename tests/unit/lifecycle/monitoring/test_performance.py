"""How the page shows what became of published predictions, and which days the report looks at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, cast

import pytest

from include.lifecycle.monitoring import drift, performance
from include.lifecycle.monitoring.performance_page import render_performance
from include.lifecycle.monitoring.performance_verdict import decide
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Manifest, Pinned
from tests.unit.lifecycle.monitoring.test_performance_verdict import (
    CHURN,
    DAYS,
    VOLATILITY,
    evidence,
    outcomes,
    swapped,
)


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
def test_the_pictures_are_of_published_predictions_and_of_no_holdout(model: Any) -> None:
    html = render_performance(model, DAYS[-1], decide(evidence(model), model), outcomes(model.task))

    assert "holdout" not in html
    assert "candidate" not in html
    assert "as outcomes became known" in html
    assert ">published<" in html
    assert f"predictions of {DAYS[0]} to {DAYS[-1]}" in html
    assert f"5 {model.dataset.calendar.unit}s" in html


def test_days_are_those_with_known_outcomes_and_the_next_ones_are_announced() -> None:
    found = evidence(CHURN, days=(), rows=0, measures={}, next_outcomes_on=date(2026, 12, 21))

    html = render_performance(CHURN, DAYS[-1], decide(found, CHURN), outcomes(CHURN.task).clear())

    assert "Predictions with known outcomes</dt><dd>0 days</dd>" in html
    assert "a verdict needs 500. The next outcomes are known once data until 2026-12-21 have arrived." in html


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

    html = render_performance(CHURN, DAYS[-1], decide(found, CHURN), outcomes(CHURN.task))

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

    def pin(self, prefix: str, days: Iterable[date]) -> Pinned:
        return Pinned(cast("Lake", self), prefix, dict.fromkeys(days, cast("Manifest", None)))


@pytest.mark.parametrize("model", [CHURN, VOLATILITY], ids=lambda model: model.name)
def test_a_longer_history_makes_no_report_look_at_more_days(model: ModelSpec) -> None:
    last = date(2026, 3, 31)
    looked_at = []
    for history in (700, 2_800):
        lake = ListedLake([last - timedelta(days=number) for number in reversed(range(history))])
        judged = performance._label_windows(
            model, cast("Lake", lake), last, performance._predicted_days(model, cast("Lake", lake), last)
        )
        window = drift._find_window(model, cast("Lake", lake), last, Reference(last, 1))
        read = window.current.features.days, window.current.predictions.days, window.holdout.days
        looked_at.append((lake.named, judged, window.days, read))

    assert looked_at[0] == looked_at[1]


def test_one_single_day_of_outcomes_before_the_window_still_says_all() -> None:
    lake = ListedLake([date(2026, 1, 1)])

    days = performance._outcome_days(CHURN, cast("Lake", lake), date(2026, 2, 1), date(2026, 3, 1))

    assert days == [date(2026, 1, 1)]
