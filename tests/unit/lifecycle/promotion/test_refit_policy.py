"""Whether a refitted version takes its parent's place: each branch of the policy, and its limits."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest

from include.lifecycle.promotion.gate_evidence import BehaviourEvidence
from include.lifecycle.promotion.refit_policy import RefitDecision, RefitEvidence, decide
from include.lifecycle.specs import RefitSpec

LIMITS = RefitSpec(max_mean_difference=0.02, max_high_difference=0.2, max_calibration_increase=0.01)
PASSED = BehaviourEvidence(
    name="any order", asked="It scores in any order.", measured="No difference.", passed=True
)
ALIKE: dict[str, Any] = {
    "parent": 2,
    "version": 3,
    "parent_learnt_until": date(2026, 1, 1),
    "learnt_until": date(2026, 2, 1),
    "limits": LIMITS,
    "rows": 600,
    "mean_difference": 0.02,
    "high_difference": 0.2,
    "calibration_title": "Calibration error",
    "calibration_error": 0.03,
    "parent_calibration_error": 0.02,
    "behaviour": (PASSED,),
}


def decided(**changes: Any) -> RefitDecision:
    return decide(RefitEvidence(**{**ALIKE, **changes}))


def test_a_version_at_every_limit_takes_its_parents_place() -> None:
    decision = decided()

    assert decision.action == "refit"
    assert decision.reasons == (
        "Version 3 is version 2 fitted on the holdout as well: it has learnt until 2026-02-01 instead of "
        "2026-01-01.",
        "All 4 checks passed.",
    )
    assert [row.passed for row in decision.checks] == [True] * 4


MISSING = "it could not be measured"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"problems": ("Version 3 is gone.",)}, "Version 3 is gone."),
        ({"mean_difference": 0.0201}, "Mean difference of scores: 0.0201 is above the limit of 0.02."),
        ({"mean_difference": None}, f"Mean difference of scores: {MISSING}."),
        ({"mean_difference": math.nan}, f"Mean difference of scores: {MISSING}."),
        ({"mean_difference": math.inf}, f"Mean difference of scores: {MISSING}."),
        ({"high_difference": 0.201}, "Difference that 99 % of rows keep within: 0.201 is above the limit of 0.2."),
        ({"high_difference": None}, f"Difference that 99 % of rows keep within: {MISSING}."),
        ({"high_difference": math.nan}, f"Difference that 99 % of rows keep within: {MISSING}."),
        ({"calibration_error": 0.031}, "Calibration error: 0.031 is more than 0.01 above the parent's 0.02."),
        ({"calibration_error": None}, f"Calibration error: {MISSING} for both versions."),
        ({"calibration_error": math.nan}, f"Calibration error: {MISSING} for both versions."),
        ({"parent_calibration_error": None}, f"Calibration error: {MISSING} for both versions."),
        ({"parent_calibration_error": math.inf}, f"Calibration error: {MISSING} for both versions."),
        (
            {"behaviour": (PASSED, BehaviourEvidence(name="late", measured="It fell.", passed=False))},
            "The behaviour test 'late' failed: It fell.",
        ),
        ({"behaviour": (BehaviourEvidence(name="late"), PASSED)}, "The behaviour test 'late' was not run."),
    ],
)
def test_whatever_fails_or_is_missing_refuses_alone_and_is_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    decision = decided(**changes)

    assert decision.action == "refuse_refit"
    assert decision.reasons == (reason, "Version 2, which the gate judged, stays champion.")
    assert sum(not row.passed for row in decision.checks) == 1


def test_calibration_is_not_asked_where_scores_promise_nothing() -> None:
    decision = decided(calibration_title=None, calibration_error=None, parent_calibration_error=None)

    assert decision.action == "refit"
    assert "Calibration" not in [row.name for row in decision.checks]


def test_a_calibration_at_its_limit_passes() -> None:
    limits = LIMITS.model_copy(update={"max_calibration_increase": 0.25})

    assert decided(limits=limits, calibration_error=0.5, parent_calibration_error=0.25).action == "refit"


def test_the_rows_say_what_a_behaviour_test_asked_and_measured() -> None:
    shown = [
        (row.asked, row.measured)
        for row in decided(behaviour=(PASSED, BehaviourEvidence(name="late"))).checks
        if row.name.startswith("Behaviour")
    ]

    assert shown == [("It scores in any order.", "No difference."), ("run, and passed", "missing")]


def test_a_better_calibration_passes_and_all_reasons_are_told_together() -> None:
    assert decided(calibration_error=0.0).action == "refit"
    assert len(decided(mean_difference=1.0, high_difference=1.0).reasons) == 3
