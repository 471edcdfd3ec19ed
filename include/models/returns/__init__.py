"""Returns: what prices will gain over the next 5 sessions, if that can be said at all.

Next to nothing of it can be known beforehand (Gu, Kelly and Xiu 2020, "Empirical asset pricing via machine
learning": R² below 1 % a month), so the baseline, no return, will often stay champion.
"""

from __future__ import annotations

from include.datasets.market import MARKET
from include.datasets.market.features import NUMERIC
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import (
    GateSpec,
    IntervalPolicy,
    LabelSpec,
    ModelSpec,
)
from include.models.returns.behaviour import BEHAVIOUR
from include.models.returns.decisions import decide
from include.models.returns.label import HORIZON, return_ahead
from include.models.returns.reasons import REASONS
from include.models.stocks import DRIFT, GATE, RETRAINING, SEGMENTS, SPLIT, TRUSTED_TYPES

_ESTIMATORS = "include.models.returns.estimators"  # imports scikit-learn

RETURNS = ModelSpec(
    name="returns",
    title="Returns",
    description=(
        "The log return of the next 5 sessions. The baseline expects none, which is hard to beat: a candidate "
        "must show skill beyond chance before it may be champion."
    ),
    dataset=MARKET,
    task="regression",
    numeric=NUMERIC,
    categorical=("symbol",),
    label=LabelSpec(make=return_ahead, table="prices", horizon_days=HORIZON, delay_days=0),
    split=SPLIT,
    segments=SEGMENTS,
    candidates=Deferred(f"{_ESTIMATORS}:candidates"),
    baseline=Deferred(f"{_ESTIMATORS}:build_zero"),
    gate=GateSpec(
        metric="skill_lower_bound",
        references={
            "mean": Deferred(f"{_ESTIMATORS}:build_mean"),
            "persistence": Deferred(f"{_ESTIMATORS}:build_persistence"),
        },
        **GATE,
        leakage_threshold=("skill", 0.02),
    ),
    behaviour=BEHAVIOUR,
    interval=IntervalPolicy(scale="volatility_21d"),
    decide=decide,
    reasons=REASONS,
    trusted_types=TRUSTED_TYPES,
    drift=DRIFT,
    retraining=RETRAINING,
)
