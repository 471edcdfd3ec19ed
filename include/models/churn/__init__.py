"""Churn: which customers leave within 30 days.

The decision threshold and the risk categories are those of `decisions`, the label is that of `label`.
"""

from __future__ import annotations

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.features import CATEGORICAL, NUMERIC
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import GateSegments, GateSpec, LabelSpec, ModelSpec, RollbackPolicy, SplitSpec
from include.models.churn.behaviour import BEHAVIOUR
from include.models.churn.decisions import decide
from include.models.churn.label import HORIZON, leaves_within_horizon
from include.models.churn.reasons import REASONS

_ESTIMATORS = "include.models.churn.estimators"  # imports scikit-learn

CHURN = ModelSpec(
    name="churn",
    title="Customer churn",
    description=(
        "The probability that a customer leaves within 30 days, from contract, tenure, charges, use and payment. "
        "From 0.15 on, the category of high risk, a retention offer pays back."
    ),
    dataset=CUSTOMERS,
    task="classification",
    numeric=NUMERIC,
    categorical=CATEGORICAL,
    label=LabelSpec(
        make=leaves_within_horizon, table="churns", horizon_days=HORIZON.days, delay_days=5, aim="lower"
    ),
    split=SplitSpec(look_back_days=120),
    candidates=Deferred(f"{_ESTIMATORS}:candidates"),
    baseline=Deferred(f"{_ESTIMATORS}:build_baseline"),
    behaviour=BEHAVIOUR,
    rollback=RollbackPolicy(margin=0.02),
    gate=GateSpec(
        metric="average_precision",
        segments=(GateSegments(by="contract"), GateSegments(by="age", cuts=(30, 45, 60))),
        max_segment_loss=0.02,
        min_segment_rows=500,
        max_calibration_error=0.02,
        leakage_threshold=("roc_auc", 0.9),
        max_champion_age_days=60,
    ),
    decide=decide,
    reasons=REASONS,
    trusted_types=(
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    ),
)
