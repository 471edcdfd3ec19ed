from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest

from include.lifecycle.promotion.gate import GateEvidence, evaluate_gate

NAN = math.nan


def evidence(**changes: Any) -> GateEvidence:
    known = {
        "metric": "average_precision",
        "title": "Average precision",
        "holdout_rows": 5000,
        "candidate_version": 8,
        "candidate_score": 0.60,
        "baseline_score": 0.40,
        "champion_version": 7,
        "champion_score": 0.50,
        "gain": 0.10,
        "gain_lower_bound": 0.05,
    }
    return GateEvidence(**{**known, **changes})


FIRST = {"champion_version": None, "champion_score": None, "gain": None, "gain_lower_bound": None}
FAULT = "The champion, version 7, cannot be loaded: its file is empty."
DEAD = {"champion_score": None, "gain": None, "gain_lower_bound": None, "champion_fault": FAULT}


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, "promote"),
        ({"gain_lower_bound": 0.0}, "keep"),
        ({"gain_lower_bound": -0.01}, "keep"),
        ({"gain_lower_bound": None}, "keep"),
        ({"gain_lower_bound": 1e-12}, "promote"),
        ({"baseline_score": 0.60}, "keep"),
        ({"baseline_score": 0.70}, "keep"),
        ({"min_gain": 0.04}, "promote"),
        ({"min_gain": 0.05}, "keep"),
        ({"min_gain": 0.20}, "keep"),
        ({"candidate_version": 7}, "keep"),
        ({"candidate_version": 7, "champion_score": None}, "keep"),
        ({"problems": ("The champion has learnt the holdout.",)}, "keep"),
        ({**DEAD}, "promote"),
        ({**DEAD, "min_gain": 0.5}, "promote"),
        ({**DEAD, "candidate_score": 0.40}, "keep"),
        ({**DEAD, "candidate_score": None}, "keep"),
        ({**DEAD, "baseline_score": None}, "keep"),
        ({**DEAD, "problems": ("The candidate has learnt the holdout.",)}, "keep"),
        ({**DEAD, "candidate_version": 7}, "keep"),
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
    decision = evaluate_gate(evidence(**changes))

    assert decision.action == action
    assert decision.evidence == evidence(**changes)
    assert all(reason.endswith(".") for reason in decision.reasons)


@pytest.mark.parametrize("missing", [None, NAN, math.inf, -math.inf])
@pytest.mark.parametrize("score", ["candidate_score", "baseline_score", "champion_score"])
def test_missing_evidence_is_a_no_that_names_what_is_missing(score: str, missing: float | None) -> None:
    decision = evaluate_gate(evidence(**{score: missing}))

    assert decision.action == "keep"
    assert (
        f"Average precision could not be measured for the {score.removesuffix('_score')} on" in decision.reasons[0]
    )


@pytest.mark.parametrize("score", ["candidate_score", "baseline_score"])
def test_missing_evidence_without_a_champion_makes_the_baseline_champion(score: str) -> None:
    assert evaluate_gate(evidence(**FIRST, **{score: NAN})).action == "baseline"


def test_a_champion_that_cannot_be_used_is_named_whatever_becomes_of_the_candidate() -> None:
    for score in (0.6, 0.3):
        assert FAULT in evaluate_gate(evidence(**DEAD, candidate_score=score)).reasons


def test_every_combination_of_evidence_follows_the_rule() -> None:
    scores = (None, NAN, 0.4, 0.5, 0.6)
    gains = (None, NAN, -0.1, 0.0, 0.1, 0.2)
    champions = ((None, None), (7, None), (7, FAULT), (8, None), (8, FAULT))
    problems = ((), ("The holdout is small.",))
    for candidate, baseline, champion, (version, fault), low, least, problem in product(
        scores, scores, (None, 0.5), champions, gains, (0.0, 0.1), problems
    ):
        decision = evaluate_gate(
            evidence(
                candidate_score=candidate,
                baseline_score=baseline,
                champion_score=champion,
                champion_version=version,
                champion_fault=fault,
                gain=low,
                gain_lower_bound=low,
                min_gain=least,
                problems=problem,
            )
        )
        beats_baseline = _is_number(candidate) and _is_number(baseline) and candidate > baseline
        beats_champion = _is_number(champion) and _is_number(low) and low > least
        has_champion_to_beat = version is not None and fault is None
        deserved = beats_baseline and not problem and version != 8 and (beats_champion or not has_champion_to_beat)
        refused = "baseline" if version is None else "keep"
        assert decision.action == ("promote" if deserved else refused)
        assert decision.reasons
        assert all(sentence in decision.reasons for sentence in problem) or version == 8


def test_the_reasons_give_the_numbers() -> None:
    decision = evaluate_gate(evidence(min_gain=0.2))

    assert decision.reasons == (
        "Average precision on 5,000 holdout rows: beside the champion, version 7, it is 0.6 against 0.5, and the "
        "lower end of the 95 % interval of the candidate's gain, 0.05, is not above the required gain of 0.2.",
    )


def test_the_reasons_of_a_promotion_give_the_numbers() -> None:
    over_baseline = "Average precision on 5,000 holdout rows: the candidate's 0.6 is above the baseline's 0.4."

    assert evaluate_gate(evidence()).reasons == (
        over_baseline,
        "Beside the champion, version 7, it is 0.6 against 0.5, and the lower end of the 95 % interval of the "
        "candidate's gain, 0.05, is above the required gain of 0.",
    )
    assert evaluate_gate(evidence(**FIRST)).reasons == (over_baseline, "There was no champion before.")


def test_a_gain_that_could_not_be_measured_is_the_only_reason() -> None:
    assert evaluate_gate(evidence(gain_lower_bound=None)).reasons == (
        "The candidate's gain over the champion could not be measured.",
    )


def test_close_scores_get_the_digits_it_takes() -> None:
    decision = evaluate_gate(evidence(candidate_score=0.4, baseline_score=0.4000000003))

    assert "candidate's 0.4 is" in decision.reasons[0]
    assert "0.4000000003." in decision.reasons[0]


FIRST_JSON = {
    "metric": "average_precision",
    "holdout_rows": 5000,
    "candidate_version": 8,
    "candidate_score": 0.6,
    "baseline_score": None,
    "champion_version": 7,
    "champion_score": 0.5,
    "min_gain": 0.0,
    "problems": ["The holdout is small."],
}
LATER_JSON = {
    **FIRST_JSON,
    "title": "Average precision",
    "champion_fault": None,
    "gain": 0.1,
    "gain_low": 0.05,
    "champion_measures": {"average_precision": 0.5},
}


def test_evidence_that_the_ledger_has_of_any_earlier_version_of_the_code_is_read() -> None:
    first, later = GateEvidence.model_validate(FIRST_JSON), GateEvidence.model_validate(LATER_JSON)

    assert (first.candidate_score, first.baseline_score, first.problems) == (0.6, None, ("The holdout is small.",))
    assert (later.gain_lower_bound, later.champion_metrics) == (0.05, {"average_precision": 0.5})
    assert GateEvidence.model_validate_json(later.model_dump_json()) == later


def test_evidence_with_an_infinite_metric_is_read_back_without_it() -> None:
    """A skill beside a baseline without any error is infinitely bad."""
    stored = evidence(champion_metrics={"skill": -math.inf, "rmse": 0.1}).model_dump_json()

    assert GateEvidence.model_validate_json(stored).champion_metrics == {"skill": None, "rmse": 0.1}


def _is_number(score: float | None) -> bool:
    return score is not None and math.isfinite(score)
