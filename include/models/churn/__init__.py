"""Churn: which customers leave within 30 days.

The decision threshold and the risk categories are those of `decisions`, the label is that of `label`.
"""

from __future__ import annotations

from typing import Any

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.features import CATEGORICAL, NUMERIC
from include.lifecycle.specs import Candidate, GateSpec, LabelSpec, ModelSpec, SplitSpec
from include.models.churn.decisions import decide
from include.models.churn.label import HORIZON, leaves_within_horizon


def _candidates() -> tuple[Candidate, ...]:
    from include.models.churn.estimators import CANDIDATES

    return CANDIDATES


def _baseline(seed: int) -> Any:
    from include.models.churn.estimators import build_baseline

    return build_baseline(seed)


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
    label=LabelSpec(make=leaves_within_horizon, table="churns", horizon_days=HORIZON.days, delay_days=5),
    split=SplitSpec(look_back_days=180),
    candidates=_candidates,
    baseline=_baseline,
    gate=GateSpec(metric="average_precision", leakage_threshold=("roc_auc", 0.9)),
    decide=decide,
    trusted_types=(
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    ),
)
