"""Evidence of the gate on which a candidate passes every check."""

from __future__ import annotations

from typing import Any

from include.lifecycle.promotion.gate_evidence import (
    BehaviourEvidence,
    CalibrationEvidence,
    GateEvidence,
    LeakEvidence,
    NaiveModel,
    SegmentGain,
)
from include.lifecycle.specs import GateLimits, GateSegments

LIMITS = GateLimits(
    segments=(GateSegments(by="contract"), GateSegments(by="age", cuts=(30, 60))),
    max_segment_loss=0.02,
    min_segment_rows=200,
    max_calibration_error=0.03,
    leakage_threshold=("roc_auc", 0.9),
    max_champion_age_days=60,
    refresh_margin=0.01,
)
NO_CHAMPION: dict[str, Any] = {
    "champion_version": None,
    "champion_score": None,
    "champion_age_days": None,
    "gain": None,
    "gain_lower_bound": None,
    "gain_upper_bound": None,
}
FAULT = "The champion, version 7, cannot be loaded: its file is empty."
DEAD_CHAMPION = {
    **NO_CHAMPION,
    "champion_version": 7,
    "champion_age_days": 14,
    "champion_fault": FAULT,
}
WORSE = {"gain": -0.005, "gain_lower_bound": -0.009, "gain_upper_bound": 0.002}
"""A gain that is within the margin of a refresh."""
OLD = {"champion_age_days": 61}


def segment(name: str = "Two year", by: str = "contract", **changes: Any) -> SegmentGain:
    """A segment in which the candidate gains."""
    return SegmentGain(**{"by": by, "name": name, "rows": 800, "gain": 0.03, "upper_bound": 0.06, **changes})


SEGMENTS = (segment("Month-to-month"), segment("Two year"), segment("under 30", by="age"))


def calibration(beyond_chance: float | None = 0.0, **changes: Any) -> CalibrationEvidence:
    """A calibration error that is chance."""
    known = {"title": "Calibration error", "error": 0.012, "beyond_chance": beyond_chance, "champion_error": 0.01}
    return CalibrationEvidence(**{**known, **changes})


def leak(value: float | None = 0.8) -> LeakEvidence:
    """A metric that is not suspicious."""
    return LeakEvidence(title="ROC AUC", value=value)


def behaviour(passed: bool | None = True) -> BehaviourEvidence:
    """A behaviour test that passed."""
    return BehaviourEvidence(
        name="late payments", asked="no lower risk", measured="No row is lower.", passed=passed
    )


def naive_model(score: float | None = 0.3) -> NaiveModel:
    """A naive model that is beaten."""
    return NaiveModel(name="the_mean", candidate_score=0.6, score=score)


def gate_evidence(**changes: Any) -> GateEvidence:
    """Evidence on which the candidate is promoted, with changes; `limits` may be changes of LIMITS."""
    limits = changes.pop("limits", {})
    known = {
        "metric": "average_precision",
        "title": "Average precision",
        "holdout_rows": 5000,
        "holdout_digest": "a" * 64,
        "limits": LIMITS.model_copy(update=limits) if isinstance(limits, dict) else limits,
        "candidate_version": 8,
        "candidate_score": 0.60,
        "baseline_score": 0.40,
        "champion_version": 7,
        "champion_score": 0.50,
        "champion_age_days": 14,
        "gain": 0.10,
        "gain_lower_bound": 0.05,
        "gain_upper_bound": 0.14,
        "distinct_scores": 4000,
        "segments": SEGMENTS,
        "champion_segments": (("contract", "Two year"), ("age", "under 30"), ("tenure", "a year")),
        "calibration": calibration(),
        "leak": leak(),
        "behaviour": (behaviour(),),
        "naive_models": (naive_model(),),
    }
    return GateEvidence(**{**known, **changes})
