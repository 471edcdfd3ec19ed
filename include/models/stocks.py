"""What the models of stock prices have in common."""

from __future__ import annotations

from include.lifecycle.specs import DriftPolicy, GateSegments, RetrainingSpec, SegmentsSpec, SplitSpec

# Volatility comes in clusters: on five real stocks half of all half-years lie within 0.25 standard deviations of
# the two years before them, and nine of ten within 0.6, without anything new.
DRIFT = DriftPolicy(window_days=183, min_rows=200, all_days_of_a_key=True, numeric_threshold=0.6)
# Ten years: volatility has calm and stormy ones, and five may be all calm.
SPLIT = SplitSpec(snapshot_every_days=7, look_back_days=3653, holdout_share=0.3, folds=4)
SEGMENTS = SegmentsSpec(by="symbol", per_task=50)
GATE = {
    "segments": (GateSegments(by="symbol"),),
    "max_segment_loss": 0.05,
    "min_segment_rows": 60,
    "max_calibration_error": 0.25,
    "max_champion_age_days": 182,
}
RETRAINING = RetrainingSpec(max_age_days=182)
TRUSTED_TYPES = (
    "include.lifecycle.segments.SegmentModels",
    "include.lifecycle.segments.Persistence",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
