from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.promotion import GateEvidence, decide

NAN = math.nan


def evidence(**changes: Any) -> GateEvidence:
    known = {
        "metric": "average_precision",
        "holdout_rows": 5000,
        "candidate_version": 8,
        "candidate_score": 0.60,
        "baseline_score": 0.40,
        "champion_version": 7,
        "champion_score": 0.50,
    }
    return GateEvidence(**{**known, **changes})


FIRST = {"champion_version": None, "champion_score": None}


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, "promote"),
        ({"candidate_score": 0.50}, "keep"),
        ({"candidate_score": 0.49}, "keep"),
        ({"baseline_score": 0.60}, "keep"),
        ({"baseline_score": 0.70}, "keep"),
        ({"min_gain": 0.05}, "promote"),
        ({"min_gain": 0.10}, "keep"),
        ({"min_gain": 0.20}, "keep"),
        ({"candidate_version": 7}, "keep"),
        ({"candidate_version": 7, "champion_score": None}, "keep"),
        ({"problems": ("The champion has learnt the holdout.",)}, "keep"),
        ({**FIRST}, "promote"),
        ({**FIRST, "min_gain": 0.5}, "promote"),
        ({**FIRST, "candidate_score": 0.40}, "baseline"),
        ({**FIRST, "candidate_score": 0.30}, "baseline"),
        ({**FIRST, "problems": ("Version 8 is no longer in the registry.",)}, "baseline"),
    ],
)
def test_a_candidate_is_promoted_only_above_the_baseline_and_above_the_champion(
    changes: dict[str, Any], action: str
) -> None:
    decision = decide(evidence(**changes))

    assert decision.action == action
    assert decision.evidence == evidence(**changes)
    assert all(reason.endswith(".") for reason in decision.reasons)


@pytest.mark.parametrize("missing", [None, NAN, math.inf, -math.inf])
@pytest.mark.parametrize("score", ["candidate_score", "baseline_score", "champion_score"])
def test_missing_evidence_is_a_no_that_names_what_is_missing(score: str, missing: float | None) -> None:
    decision = decide(evidence(**{score: missing}))

    assert decision.action == "keep"
    assert f"The {score.removesuffix('_score')} has no average_precision" in decision.reasons[0]


@pytest.mark.parametrize("score", ["candidate_score", "baseline_score"])
def test_missing_evidence_without_a_champion_makes_the_baseline_champion(score: str) -> None:
    assert decide(evidence(**FIRST, **{score: NAN})).action == "baseline"


def test_every_combination_of_evidence_follows_the_rule() -> None:
    scores = (None, NAN, 0.4, 0.5, 0.6)
    versions = (None, 7, 8)
    for candidate, baseline, champion, version, gain in product(scores, scores, scores, versions, (0.0, 0.1)):
        decision = decide(
            evidence(
                candidate_score=candidate,
                baseline_score=baseline,
                champion_score=champion,
                champion_version=version,
                min_gain=gain,
            )
        )
        deserved = (
            _is_number(candidate)
            and _is_number(baseline)
            and candidate > baseline
            and (version is None or (version == 7 and _is_number(champion) and candidate > champion + gain))
        )
        refused = "baseline" if version is None else "keep"
        assert decision.action == ("promote" if deserved else refused)
        assert decision.reasons


@given(candidate=st.floats(0, 1), champion=st.floats(0, 1), baseline=st.floats(0, 1), min_gain=st.floats(0, 0.2))
def test_of_two_models_at_most_one_replaces_the_other(
    candidate: float, champion: float, baseline: float, min_gain: float
) -> None:
    shared = {"baseline_score": baseline, "min_gain": min_gain}
    forth = decide(evidence(candidate_score=candidate, champion_score=champion, **shared))
    back = decide(evidence(candidate_score=champion, champion_score=candidate, **shared))

    assert [forth.action, back.action].count("promote") <= 1


def test_the_reasons_give_the_numbers() -> None:
    decision = decide(evidence(min_gain=0.2))

    assert decision.reasons == (
        "The candidate's average_precision of 0.600000 on 5,000 holdout rows is not above the 0.500000 of the "
        "champion, version 7, by more than the required gain of 0.2.",
    )


def _is_number(score: float | None) -> bool:
    return score is not None and math.isfinite(score)
