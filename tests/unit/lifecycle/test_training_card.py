"""The verdict of a model card, and the budget of a search."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle import ledger
from include.lifecycle.model_card import verdict_of
from include.lifecycle.numbers import distinct_texts
from include.lifecycle.promotion import GateEvidence
from include.lifecycle.tuning import Trial, best, tune
from include.models.churn import CHURN

DAY = date(2026, 11, 20)


def entry(action: ledger.Action, to_version: int | None, **evidence: Any) -> ledger.Entry:
    """The verdict on version 2."""
    found = GateEvidence(metric="average_precision", holdout_rows=1234, candidate_version=2, **evidence)
    before = found.champion_version
    return ledger.Entry("churn", action, 2, before, to_version, DAY, "gate", "Why.", found.model_dump(), "weekly")


@pytest.mark.parametrize(
    ("verdict", "warnings", "status", "headline"),
    [
        (
            entry("promote", 2, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3),
            [],
            "good",
            "Version 2, promoted: average precision 0.31; champion version 1 had 0.3",
        ),
        (
            entry("promote", 2, candidate_score=0.31, baseline_score=0.2),
            ["A leak?"],
            "warning",
            "Version 2, promoted: average precision 0.31; the baseline has 0.2",
        ),
        (
            entry(
                "keep", 1, candidate_score=0.3063, baseline_score=0.2, champion_version=1, champion_score=0.3082
            ),
            ["A leak?"],
            "neutral",
            "Version 2, refused: average precision 0.3063; champion version 1 has 0.3082",
        ),
        (
            entry("keep", 1, candidate_score=None, baseline_score=0.2, champion_version=1, champion_score=0.3082),
            [],
            "neutral",
            "Version 2, refused: average precision not measured; champion version 1 has 0.3082",
        ),
        (
            entry("baseline", 3, candidate_score=0.1, baseline_score=0.2),
            [],
            "neutral",
            "Version 2, refused: average precision 0.1; the baseline, 0.2, becomes champion as version 3",
        ),
    ],
)
def test_a_card_says_what_the_gate_decided(
    verdict: ledger.Entry, warnings: list[str], status: str, headline: str
) -> None:
    said = verdict_of(CHURN, {"warnings": warnings}, verdict)

    assert (said.status, said.headline) == (status, headline)
    assert said.reason == "Why."


@given(
    st.lists(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6), max_size=5
    )
)
def test_different_numbers_look_different(values: list[float | None]) -> None:
    texts = distinct_texts(values)

    assert [text is None for text in texts] == [value is None for value in values]
    numbers = {value + 0.0 for value in values if value is not None}
    assert len({text for text in texts if text is not None}) == len(numbers)


def test_the_first_verdict_on_a_version_counts() -> None:
    history = [
        entry("promote", 2, candidate_score=0.31, baseline_score=0.2),
        entry("keep", 2, candidate_score=0.31, baseline_score=0.2, champion_version=2),
    ]

    assert ledger.first_verdict(history, 2) is history[0]
    with pytest.raises(KeyError, match="Version 3 was never judged"):
        ledger.first_verdict(history, 3)


def test_of_equally_good_trials_the_first_wins() -> None:
    trials = [
        Trial(number, "logistic_regression", {}, value, "COMPLETE") for number, value in enumerate((1, 3, 3))
    ]

    assert best(trials).number == 1


def test_a_budget_that_leaves_a_candidate_out_is_refused() -> None:
    with pytest.raises(ValueError, match="budget of 1 is too small for the 2 candidates"):
        tune(CHURN, [], budget=1, seed=7)
