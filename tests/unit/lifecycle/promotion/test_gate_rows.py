"""The rows of the gate's table, as people read them on the card and in the question."""

from __future__ import annotations

from typing import Any

import pytest

from include.lifecycle.promotion.gate import evaluate_gate
from tests.gate_evidence import (
    DEAD_CHAMPION,
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

GAIN = ("Gain over the champion", "lower end of its interval above 0")
REFRESH = (
    "Routine refresh",
    "champion more than 60 days older, and lower end of the gain's interval above -0.01",
)
CONTRACT = ("Segments by contract", "none of 200 rows or more loses more than 0.02 beyond chance")
AGE = ("Segments by age", CONTRACT[1])
CALIBRATION = ("Calibration", "not above 0.03, or not above the champion's, beyond chance")
BEHAVIOUR = ("Behaviour: late payments", "no lower risk")
SCORES = ("Scores differ", "more than one score")
HOLDOUT = ("Use of the holdout", "counted, with a wider interval each time")
LEAK = ("Leak alarm", "not above 0.9, or a person is asked")
PASSED = (
    ("Baseline", "above the baseline's 0.4", "0.6", "passed"),
    ("Naive model: the mean", "above 0.3", "0.6", "passed"),
    (*GAIN, "0.1 (0.05 to 0.14)", "passed"),
    (*REFRESH, "14 days; 0.05", "does not apply"),
    (*CONTRACT, "2 of 2 judged; worst: Month-to-month (800 rows): gain 0.03, at most 0.06", "passed"),
    (*AGE, "1 of 1 judged; worst: under 30 (800 rows): gain 0.03, at most 0.06", "passed"),
    (*CALIBRATION, "0.012, of which 0 is beyond chance", "passed"),
    (*BEHAVIOUR, "No row is lower.", "passed"),
    (*SCORES, "4,000 of 5,000 rows", "passed"),
    (*HOLDOUT, "candidate number 1; 95 % interval of the gain", "passed"),
    (*LEAK, "ROC AUC 0.8", "passed"),
)


FEW = segment(upper_bound=None, rows=120, shortfall="120 rows, but at least 200 are needed")
FEWER = segment("One year", upper_bound=None, rows=90, shortfall="90 rows, but at least 200 are needed")


def rows(**changes: Any) -> list[tuple[str, ...]]:
    decision = evaluate_gate(gate_evidence(**changes))
    return [(row.name, row.asked, row.measured, row.outcome) for row in decision.checks]


def test_each_check_is_a_row_in_the_order_of_the_page() -> None:
    assert rows() == [*PASSED]


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        # Missing evidence keeps the name of its row.
        ({"candidate_score": None}, ("Baseline", "above the baseline", "missing", "missing")),
        ({"naive_models": (naive_model(None),)}, ("Naive model: the mean", "above it", "missing", "missing")),
        (
            {"naive_models": (naive_model().model_copy(update={"candidate_score": None}),)},
            ("Naive model: the mean", "above it", "missing", "missing"),
        ),
        ({"champion_score": None}, (*GAIN, "missing", "missing")),
        ({"gain_lower_bound": None}, (*GAIN, "missing", "missing")),
        ({"gain_lower_bound": None}, (*REFRESH, "14 days; unknown", "does not apply")),
        ({"segments": ()}, (*CONTRACT, "missing", "missing")),
        ({"segments": (segment("60 and over", by="age"),)}, (*AGE, "missing", "missing")),
        ({"segments": (segment(upper_bound=None),)}, (*CONTRACT, "missing", "missing")),
        ({"segments": (FEW, segment("under 30", by="age"))}, (*CONTRACT, "missing", "missing")),
        ({"calibration": None}, (*CALIBRATION, "missing", "missing")),
        ({"behaviour": (behaviour(None),)}, (*BEHAVIOUR, "missing", "missing")),
        ({"distinct_scores": None}, (*SCORES, "missing", "missing")),
        ({"holdout_digest": ""}, (*HOLDOUT, "missing", "missing")),
        ({"leak": None}, (*LEAK, "missing", "missing")),
        # What failed.
        ({"baseline_score": 0.7}, ("Baseline", "above the baseline's 0.7", "0.6", "failed")),
        ({"naive_models": (naive_model(0.7),)}, ("Naive model: the mean", "above 0.7", "0.6", "failed")),
        ({"gain": 0.0, "gain_lower_bound": -0.02}, (*GAIN, "0 (-0.02 to 0.14)", "failed")),
        (
            {"segments": (segment(gain=-0.6, upper_bound=-0.5), segment("under 30", by="age"))},
            (*CONTRACT, "1 of 1 judged; worst: Two year (800 rows): gain -0.6, at most -0.5", "failed"),
        ),
        (
            {"calibration": calibration(0.05, error=0.06)},
            (*CALIBRATION, "0.06, of which 0.05 is beyond chance", "failed"),
        ),
        ({"behaviour": (behaviour(False),)}, (*BEHAVIOUR, "No row is lower.", "failed")),
        ({"distinct_scores": 1}, (*SCORES, "1 of 5,000 rows", "failed")),
        ({"leak": leak(0.95)}, (*LEAK, "ROC AUC 0.95", "asks a person")),
        ({"candidate_version": 7}, ("Another version", "not the champion itself", "version 7", "failed")),
        (
            {"problems": ("It has learnt the holdout.",)},
            ("Evidence", "complete, and from rows that nobody has learnt", "a problem", "missing"),
        ),
        # What there is to beat.
        (NO_CHAMPION, (*GAIN, "no champion", "passed")),
        (NO_CHAMPION, (*CONTRACT, "no champion", "passed")),
        (DEAD_CHAMPION, (*GAIN, "the champion cannot be used", "passed")),
        (OLD | WORSE, (*REFRESH, "61 days; -0.009", "passed")),
        (OLD | WORSE | {"gain_lower_bound": -0.0100001}, (*REFRESH, "61 days; -0.0100001", "does not apply")),
        # The holdout is used up, and people are asked.
        (
            {"judgement": 3, "gain_level": 0.05 / 9},
            (*HOLDOUT, "candidate number 3; 99.44 % interval of the gain", "passed"),
        ),
        (
            {"running_test": "Version 8 is in an A/B test."},
            ("A/B test", "none that another champion would end", "one runs", "asks a person"),
        ),
        (
            {"limits": {"approval": "always"}},
            ("Approval", "a person's agreement", "required", "asks a person"),
        ),
        (
            {"limits": {"approval": "when_close"}, "gain": 0.02, "gain_upper_bound": 0.09},
            (
                "Approval",
                "a person's answer where the gain is close to what is required",
                "close",
                "asks a person",
            ),
        ),
        (
            {"limits": {"approval": "when_close"}},
            ("Approval", "a person's answer where the gain is close to what is required", "clear", "passed"),
        ),
    ],
)
def test_a_row_says_what_was_asked_what_was_measured_and_what_came_of_it(
    changes: dict[str, Any], row: tuple[str, ...]
) -> None:
    assert row in rows(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"behaviour": (behaviour(False),)},
            "The behaviour test 'late payments' failed: No row is lower.",
        ),
        ({}, "The behaviour test 'late payments' passed: No row is lower."),
        (
            {"segments": (FEWER, FEW, segment("under 30", by="age"))},
            "Segments by contract: none of 2 can be judged; the largest, Two year, has 120 rows, but at least 200",
        ),
    ],
)
def test_a_row_says_in_a_sentence_what_came_of_it(changes: dict[str, Any], sentence: str) -> None:
    found = [row.sentence for row in evaluate_gate(gate_evidence(**changes)).checks]

    assert any(text.startswith(sentence) for text in found), found
