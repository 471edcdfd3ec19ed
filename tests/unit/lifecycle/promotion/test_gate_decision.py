from __future__ import annotations

import math
from itertools import product
from typing import Any, TypeGuard

import pytest

from include.lifecycle.promotion.gate import evaluate_gate
from include.lifecycle.promotion.gate_evidence import GateEvidence
from tests.gate_evidence import (
    DEAD_CHAMPION,
    FAULT,
    NO_CHAMPION,
    OLD,
    WORSE,
    behaviour,
    calibration,
    gate_evidence,
    leak,
    naive_model,
    segment,
)

NAN = math.nan
CLOSE = {"gain": 0.02, "gain_lower_bound": 0.005, "gain_upper_bound": 0.04}
ALWAYS, WHEN_CLOSE = {"limits": {"approval": "always"}}, {"limits": {"approval": "when_close"}}
TESTED = {"running_test": "Version 8 is compared with the champion in an A/B test on 30 days from 2026-03-01 on."}
ALARM = {"leak": leak(0.95)}
FEW = segment(upper_bound=-1, shortfall="120 rows, but at least 200 are needed")
LOSS = {"segments": (segment(upper_bound=-0.021), segment("under 30", by="age"))}


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, "promote"),
        # The gain.
        ({"gain_lower_bound": 0.0}, "keep"),
        ({"gain_lower_bound": -0.01}, "keep"),
        ({"gain_lower_bound": None}, "keep"),
        ({"gain_lower_bound": NAN}, "keep"),
        ({"gain_lower_bound": 1e-12}, "promote"),
        ({"min_gain": 0.04}, "promote"),
        ({"min_gain": 0.05}, "keep"),
        ({"min_gain": 0.20}, "keep"),
        # The baseline and the naive models.
        ({"baseline_score": 0.60}, "keep"),
        ({"baseline_score": 0.70}, "keep"),
        ({"naive_models": (naive_model(0.59),)}, "promote"),
        ({"naive_models": (naive_model(), naive_model(0.60))}, "keep"),
        ({"naive_models": (naive_model(None),)}, "keep"),
        # The champion itself.
        ({"candidate_version": 7}, "keep"),
        ({"candidate_version": 7, "champion_score": None}, "keep"),
        # What cannot be trusted.
        ({"problems": ("The champion has learnt the holdout.",)}, "keep"),
        ({"holdout_digest": ""}, "keep"),
        ({"distinct_scores": 1}, "keep"),
        ({"distinct_scores": 2}, "promote"),
        ({"distinct_scores": None}, "keep"),
        # Segments.
        (LOSS, "keep"),
        ({"segments": (segment(upper_bound=-0.02), segment("under 30", by="age"))}, "promote"),
        ({"segments": (segment(upper_bound=None), segment("under 30", by="age"))}, "keep"),
        ({"segments": (segment(upper_bound=NAN), segment("under 30", by="age"))}, "keep"),
        ({"segments": (FEW, segment("Month-to-month"), segment("under 30", by="age"))}, "promote"),
        ({"segments": (FEW, segment("under 30", by="age"))}, "keep"),
        ({**NO_CHAMPION, "segments": (FEW, segment("under 30", by="age"))}, "promote"),
        ({**DEAD_CHAMPION, "segments": (FEW, segment("under 30", by="age"))}, "promote"),
        ({"segments": (segment(), segment("60 and over", by="age"))}, "keep"),
        ({"segments": (segment(),)}, "keep"),
        ({"segments": ()}, "keep"),
        ({"segments": (), "limits": {"segments": ()}}, "promote"),
        # Calibration.
        ({"calibration": calibration(0.03)}, "promote"),
        ({"calibration": calibration(0.031)}, "keep"),
        ({"calibration": calibration(0.031, champion_error=0.031)}, "promote"),
        ({"calibration": calibration(0.032, champion_error=0.031)}, "keep"),
        ({"calibration": calibration(0.031, champion_error=None)}, "keep"),
        ({"calibration": calibration(None)}, "keep"),
        ({"calibration": calibration(error=NAN)}, "keep"),
        ({"calibration": None}, "keep"),
        ({"calibration": None, "limits": {"max_calibration_error": None}}, "promote"),
        # Behaviour.
        ({"behaviour": (behaviour(), behaviour(False))}, "keep"),
        ({"behaviour": (behaviour(None),)}, "keep"),
        ({"behaviour": ()}, "promote"),
        # The leak alarm.
        ({"leak": leak(0.9)}, "promote"),
        (ALARM, "propose"),
        ({"leak": leak(None)}, "keep"),
        ({"leak": None}, "keep"),
        ({"leak": None, "limits": {"leakage_threshold": None}}, "promote"),
        ({**ALARM, **LOSS}, "keep"),
        ({**ALARM, **NO_CHAMPION}, "propose"),
        ({**ALARM, **ALWAYS}, "propose"),
        # Refresh.
        ({**OLD, **WORSE}, "refresh"),
        ({**WORSE, "champion_age_days": 60}, "keep"),
        ({**WORSE, "champion_age_days": None}, "keep"),
        ({**OLD, **WORSE, "gain_lower_bound": -0.01}, "keep"),
        ({**OLD, **WORSE, "gain_lower_bound": None}, "keep"),
        ({**OLD, **WORSE, "champion_score": None}, "keep"),
        ({**OLD, **WORSE, "limits": {"max_champion_age_days": None}}, "keep"),
        ({**OLD, **WORSE, "limits": {"refresh_margin": 0.009}}, "keep"),
        ({**OLD, **WORSE, **LOSS}, "keep"),
        ({**OLD, **WORSE, **ALARM}, "propose"),
        ({**OLD, **WORSE, **ALWAYS}, "propose"),
        ({**OLD, **WORSE, "candidate_version": 7}, "keep"),
        ({**OLD}, "promote"),
        ({**DEAD_CHAMPION, **OLD}, "promote"),
        # Approval.
        (ALWAYS, "propose"),
        ({**ALWAYS, "gain_lower_bound": 0.0}, "keep"),
        ({**ALWAYS, **NO_CHAMPION}, "propose"),
        (WHEN_CLOSE, "promote"),
        ({**WHEN_CLOSE, **CLOSE}, "propose"),
        ({**WHEN_CLOSE, **CLOSE, "gain": 0.035}, "propose"),
        ({**WHEN_CLOSE, **CLOSE, "gain": 0.036}, "promote"),
        ({**WHEN_CLOSE, **CLOSE, "gain": 0.136, "min_gain": 0.1, "gain_lower_bound": 0.105}, "promote"),
        ({**WHEN_CLOSE, **CLOSE, "gain_upper_bound": None}, "propose"),
        ({**WHEN_CLOSE, **CLOSE, "gain": None}, "propose"),
        ({**WHEN_CLOSE, "gain_upper_bound": NAN}, "propose"),
        ({**WHEN_CLOSE, **NO_CHAMPION}, "promote"),
        ({**WHEN_CLOSE, **DEAD_CHAMPION}, "promote"),
        ({**WHEN_CLOSE, **ALARM}, "propose"),
        ({"limits": {"approval": "when_close"}, **OLD, **WORSE}, "propose"),
        (
            {
                "limits": {"approval": "when_close"},
                **OLD,
                "gain": 0.0005,
                "gain_lower_bound": 0.0,
                "gain_upper_bound": 0.001,
            },
            "refresh",
        ),
        # A running A/B test.
        (TESTED, "propose"),
        ({**TESTED, **OLD, **WORSE}, "propose"),
        ({**TESTED, "gain_lower_bound": 0.0}, "keep"),
        ({**TESTED, **DEAD_CHAMPION}, "promote"),
        # A champion that cannot be used.
        (DEAD_CHAMPION, "promote"),
        ({**DEAD_CHAMPION, "min_gain": 0.5}, "promote"),
        ({**DEAD_CHAMPION, "candidate_score": 0.40}, "keep"),
        ({**DEAD_CHAMPION, "candidate_score": None}, "keep"),
        ({**DEAD_CHAMPION, "baseline_score": None}, "keep"),
        ({**DEAD_CHAMPION, "problems": ("The candidate has learnt the holdout.",)}, "keep"),
        ({**DEAD_CHAMPION, "candidate_version": 7}, "keep"),
        # The first champion.
        (NO_CHAMPION, "promote"),
        ({**NO_CHAMPION, "min_gain": 0.5}, "promote"),
        ({**NO_CHAMPION, "candidate_score": 0.40}, "baseline"),
        ({**NO_CHAMPION, "candidate_score": 0.30}, "baseline"),
        ({**NO_CHAMPION, "behaviour": (behaviour(False),)}, "baseline"),
        ({**NO_CHAMPION, "problems": ("Version 8 is no longer in the registry.",)}, "baseline"),
    ],
)
def test_a_candidate_becomes_champion_only_if_it_passes_every_check(changes: dict[str, Any], action: str) -> None:
    decision = evaluate_gate(gate_evidence(**changes))

    assert decision.action == action, decision.reasons
    assert decision.evidence.model_dump_json() == gate_evidence(**changes).model_dump_json()
    assert decision.reasons
    assert all(reason.endswith(".") for reason in decision.reasons)
    refusing = [row.sentence for row in decision.checks if row.refuses]
    assert action not in ("keep", "baseline") or {*refusing} <= {*decision.reasons}


@pytest.mark.parametrize("missing", [None, NAN, math.inf, -math.inf])
@pytest.mark.parametrize("score", ["candidate_score", "baseline_score", "champion_score"])
def test_missing_evidence_is_a_no_that_names_what_is_missing(score: str, missing: float | None) -> None:
    decision = evaluate_gate(gate_evidence(**{score: missing}))

    assert decision.action == "keep"
    assert decision.reasons == (
        f"Average precision could not be measured for the {score.removesuffix('_score')}.",
    )


@pytest.mark.parametrize("score", ["candidate_score", "baseline_score"])
def test_missing_evidence_without_a_champion_makes_the_baseline_champion(score: str) -> None:
    assert evaluate_gate(gate_evidence(**NO_CHAMPION, **{score: NAN})).action == "baseline"


def test_a_champion_that_cannot_be_used_is_named_whatever_becomes_of_the_candidate() -> None:
    for score in (0.6, 0.3):
        assert FAULT in evaluate_gate(gate_evidence(**DEAD_CHAMPION, candidate_score=score)).reasons


def test_every_combination_of_evidence_follows_the_rule() -> None:
    scores = (None, NAN, 0.4, 0.5, 0.6)
    gains = (None, NAN, -0.1, 0.0, 0.1, 0.2)
    champions = ((None, None), (7, None), (7, FAULT), (8, None), (8, FAULT))
    problems = ((), ("The holdout is small.",))
    for candidate, baseline, champion, (version, fault), low, least, problem in product(
        scores, scores, (None, 0.5), champions, gains, (0.0, 0.1), problems
    ):
        decision = evaluate_gate(
            gate_evidence(
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


def test_the_reasons_of_a_refusal_are_the_checks_that_failed() -> None:
    decision = evaluate_gate(gate_evidence(min_gain=0.2, **LOSS))

    assert decision.reasons == (
        "Average precision on 5,000 holdout rows: 0.6 against 0.5 of the champion, version 7, and the lower end "
        "of the 95 % interval of the candidate's gain, 0.05, is not above the required gain of 0.2.",
        "Segments by contract: the candidate loses more than 0.02 beyond chance in Two year (800 rows): gain "
        "0.03, at most -0.021.",
    )


def test_the_reasons_of_a_promotion_give_the_numbers() -> None:
    over_baseline = "Average precision on 5,000 holdout rows: the candidate's 0.6 is above the baseline's 0.4."

    assert evaluate_gate(gate_evidence()).reasons == (
        over_baseline,
        "Average precision on 5,000 holdout rows: 0.6 against 0.5 of the champion, version 7, and the lower end "
        "of the 95 % interval of the candidate's gain, 0.05, is above the required gain of 0.",
        "All other checks that were asked for, 8, passed.",
    )
    first = evaluate_gate(gate_evidence(**NO_CHAMPION)).reasons
    assert first[0] == over_baseline
    assert "There was no champion before." in first


def test_a_refresh_says_how_old_the_champion_is_and_a_promotion_does_not() -> None:
    said = (
        "The champion is 61 days older than the candidate, more than the 60 after which one that is not worse may "
        "replace it, and the lower end of the candidate's gain, -0.009, is above -0.01."
    )

    assert said in evaluate_gate(gate_evidence(**OLD, **WORSE)).reasons
    assert not [reason for reason in evaluate_gate(gate_evidence(**OLD)).reasons if "days older" in reason]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        (ALARM, "ROC AUC: the candidate's 0.95 is above 0.9, too good to be true unless a person knows why."),
        (ALWAYS, "A person must agree before it becomes champion."),
        ({**WHEN_CLOSE, **CLOSE}, "The gain is close, so a person is asked."),
    ],
)
def test_a_proposal_says_first_why_a_person_is_asked(changes: dict[str, Any], first: str) -> None:
    assert evaluate_gate(gate_evidence(**changes)).reasons[0] == first


def test_a_gain_that_could_not_be_measured_is_the_only_reason() -> None:
    assert evaluate_gate(gate_evidence(gain_lower_bound=None)).reasons == (
        "The candidate's gain over the champion could not be measured.",
    )


def test_close_scores_get_the_digits_it_takes() -> None:
    decision = evaluate_gate(gate_evidence(candidate_score=0.4, baseline_score=0.4000000003))

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


def test_evidence_from_before_there_were_limits_shows_only_what_was_asked_then() -> None:
    later = GateEvidence.model_validate({**LATER_JSON, "baseline_score": 0.4, "problems": []})

    decision = evaluate_gate(later)

    assert decision.action == "promote"
    assert [row.name for row in decision.checks] == ["Baseline", "Gain over the champion"]


def test_evidence_is_read_back_from_the_ledger_as_it_was() -> None:
    evidence = gate_evidence()

    assert GateEvidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_evidence_with_an_infinite_metric_is_read_back_without_it() -> None:
    """A skill beside a baseline without any error is infinitely bad."""
    stored = gate_evidence(champion_metrics={"skill": -math.inf, "rmse": 0.1}).model_dump_json()

    assert GateEvidence.model_validate_json(stored).champion_metrics == {"skill": None, "rmse": 0.1}


def _is_number(score: float | None) -> TypeGuard[float]:
    return score is not None and math.isfinite(score)
