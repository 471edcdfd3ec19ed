"""What an A/B test says: each branch of the verdict, and how often it is wrong where there is no difference."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ab_test_policy import AbTestEvidence, AbTestResult, Arm, decide

TEST = AbTest(share=0.2, salt="churn", first_day=date(2026, 3, 5), days=3, aim="lower")
DAYS = tuple(TEST.first_day + timedelta(number) for number in range(3))
CHAMPION = Arm(keys=4000, mean=0.05, deviation=0.2)
CHALLENGER = Arm(keys=1000, mean=0.03, deviation=0.15)


def decided(**changes: Any) -> AbTestResult:
    known: dict[str, Any] = {
        "test": TEST,
        "champion": 3,
        "challenger": 4,
        "days": DAYS,
        "champion_arm": CHAMPION,
        "challenger_arm": CHALLENGER,
        **changes,
    }
    return decide(AbTestEvidence(**known))


def arm(**changes: Any) -> Arm:
    return CHALLENGER.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        (
            {},
            "better",
            "The mean outcome is 0.03 for the 1,000 keys of the challenger, version 4, and 0.05 for the",
        ),
        ({"challenger_arm": arm(mean=0.07)}, "worse", "The mean outcome is 0.07 for the 1,000 keys of the challe"),
        (
            {"challenger_arm": arm(mean=0.05)},
            "no difference",
            "The mean outcome is 0.05 for the 1,000 keys of the",
        ),
        ({"challenger_arm": arm(mean=0.049)}, "no difference", "The mean outcome is 0.049 for the 1,000 keys of"),
        (
            {"champion_arm": arm(mean=0.05, deviation=0), "challenger_arm": arm(mean=0.05, deviation=0)},
            "no difference",
            "The mean outcome is 0.05 for the 1,000 keys of the",
        ),
        ({"challenger_arm": arm(keys=500, mean=0.0)}, "better", "The mean outcome is 0 for the 500 keys of the"),
        ({"test": TEST.model_copy(update={"aim": "higher"})}, "worse", "The mean outcome is 0.03 for the 1,000"),
        (
            {"test": TEST.model_copy(update={"aim": "higher"}), "challenger_arm": arm(mean=0.07)},
            "better",
            "The mean outcome is 0.07 for the 1,000",
        ),
        (
            {"challenger_arm": arm(keys=499)},
            "not enough evidence",
            "The challenger has 499 keys; a verdict needs 500",
        ),
        (
            {"champion_arm": arm(keys=0)},
            "not enough evidence",
            "The champion has 0 keys; a verdict needs 500 on each",
        ),
        (
            {"challenger_arm": arm(shortage="4 rows with label 1")},
            "not enough evidence",
            "The outcomes of the challenger's keys have 4 rows with label 1.",
        ),
        (
            {"champion_arm": None, "challenger_arm": None, "days": DAYS[:2]},
            "running",
            "The outcomes of 2 of 3 days are known; they are compared once, when all are.",
        ),
        (
            {"champion_arm": None, "challenger_arm": None, "days": DAYS[:2], "has_ended": True},
            "stopped",
            "The test was ended before a report had compared both sides, so it has no verdict; by now the "
            "outcomes of 2 of 3 days are known.",
        ),
        (
            {"champion_arm": None, "challenger_arm": None, "looked_at": date(2026, 3, 6)},
            "stopped",
            "The first day of the test is 2026-03-05, but the report looks back to 2026-03-06 alone",
        ),
        (
            {"champion_arm": None, "challenger_arm": None, "days": DAYS[:2], "looked_at": date(2026, 3, 5)},
            "running",
            "The outcomes of 2 of 3 days are known; they are compared once, when all are.",
        ),
    ],
)
def test_the_verdict_follows_from_what_became_of_the_keys(
    changes: dict[str, Any], verdict: str, reason: str
) -> None:
    found = decided(**changes)

    assert found.verdict == verdict
    assert found.reason.startswith(reason)
    assert found.is_final == (verdict not in ("running", "stopped"))


def test_the_verdict_shows_the_difference_with_its_interval_and_what_was_aimed_at() -> None:
    found = decided()

    assert found.difference == pytest.approx(-0.02)
    # sqrt(0.2**2 / 4000 + 0.15**2 / 1000) is 0.0057.
    assert (found.lower_bound, found.upper_bound) == pytest.approx((-0.03117, -0.00883), abs=1e-5)
    assert found.reason.endswith("a difference of -0.02, 95 % interval -0.0312 to -0.00883. Lower is better.")


@given(mean=st.floats(0, 1), other=st.floats(0, 1), deviation=st.floats(0.001, 1))
def test_champion_and_challenger_swapped_flip_the_verdict(mean: float, other: float, deviation: float) -> None:
    one, two = (Arm(keys=800, mean=value, deviation=deviation) for value in (mean, other))
    flipped = {"better": "worse", "worse": "better", "no difference": "no difference"}

    verdict = decided(champion_arm=one, challenger_arm=two).verdict

    assert decided(champion_arm=two, challenger_arm=one).verdict == flipped[verdict]


def test_where_there_is_no_difference_5_in_100_tests_find_one() -> None:
    random = np.random.default_rng(7)
    verdicts = []
    for _ in range(2000):
        arms = [random.random(keys) < 0.06 for keys in (3000, 1000)]
        champion, challenger = (
            Arm(keys=len(left), mean=float(left.mean()), deviation=float(left.std(ddof=1))) for left in arms
        )
        verdicts.append(decided(champion_arm=champion, challenger_arm=challenger).verdict)

    found = sum(verdict != "no difference" for verdict in verdicts) / 2000

    assert 0.035 <= found <= 0.065
