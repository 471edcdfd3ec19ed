"""Volatility: how much prices will move over the next 21 sessions.

Candidates are fitted pooled over the symbols and one per symbol; walk-forward evidence decides between them.
"""

from __future__ import annotations

from include.datasets.market import MARKET
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import (
    GateSpec,
    IntervalPolicy,
    LabelSpec,
    ModelSpec,
)
from include.models.stocks import DRIFT, GATE, RETRAINING, SEGMENTS, SPLIT, TRUSTED_TYPES
from include.models.volatility.behaviour import BEHAVIOUR
from include.models.volatility.decisions import decide
from include.models.volatility.inputs import NUMERIC
from include.models.volatility.label import HORIZON, realized_volatility_ahead

_ESTIMATORS = "include.models.volatility.estimators"  # imports scikit-learn

VOLATILITY = ModelSpec(
    name="volatility",
    title="Volatility",
    description=(
        "The realized volatility of the next 21 sessions, annualised, from that of the last week, month and "
        "quarter. The baseline says that the last 21 sessions go on."
    ),
    dataset=MARKET,
    task="regression",
    numeric=NUMERIC,
    categorical=("symbol",),
    label=LabelSpec(make=realized_volatility_ahead, table="prices", horizon_days=HORIZON, delay_days=0),
    split=SPLIT,
    segments=SEGMENTS,
    candidates=Deferred(f"{_ESTIMATORS}:candidates"),
    baseline=Deferred(f"{_ESTIMATORS}:build_persistence"),
    gate=GateSpec(
        metric="skill_lower_bound",
        references={"mean": Deferred(f"{_ESTIMATORS}:build_mean")},
        **GATE,
        leakage_threshold=("skill", 0.5),
    ),
    behaviour=BEHAVIOUR,
    interval=IntervalPolicy(scale="volatility_21d"),
    decide=decide,
    trusted_types=TRUSTED_TYPES,
    drift=DRIFT,
    retraining=RETRAINING,
)
