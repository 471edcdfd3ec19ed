"""Volatility: how much prices will move over the next 21 sessions.

Candidates are fitted pooled over the symbols and one per symbol; walk-forward evidence decides between them.
"""

from __future__ import annotations

from typing import Any

from include.datasets.market import MARKET
from include.lifecycle.specs import Candidate, IntervalPolicy, ModelSpec
from include.models.stocks import DRIFT, TRUSTED_TYPES
from include.models.volatility.decisions import decide
from include.models.volatility.inputs import NUMERIC
from include.models.volatility.label import HORIZON, realized_volatility_ahead


def _candidates() -> tuple[Candidate, ...]:
    from include.models.volatility.estimators import CANDIDATES

    return CANDIDATES


def _persistence(seed: int) -> Any:
    from include.models.volatility.estimators import build_persistence

    return build_persistence(seed)


def _mean(seed: int) -> Any:
    from include.models.volatility.estimators import build_mean

    return build_mean(seed)


VOLATILITY = ModelSpec(
    name="volatility",
    title="Volatility",
    description=(
        "The realized volatility of the next 21 sessions, annualised, from that of the last week, month and "
        "quarter. The baseline says that the last 21 sessions go on."
    ),
    dataset=MARKET,
    kind="regression",
    numeric=NUMERIC,
    categorical=("symbol",),
    segment_by="symbol",
    segments_per_task=50,
    label=realized_volatility_ahead,
    label_table="prices",
    horizon_days=HORIZON,
    label_delay_days=0,
    snapshot_every_days=7,
    holdout_share=0.3,
    folds=4,
    candidates=_candidates,
    baseline=_persistence,
    references={"mean": _mean},
    metric="skill_low",
    suspicious=("skill", 0.5),
    interval=IntervalPolicy(scale="volatility_21d"),
    decide=decide,
    trusted_types=TRUSTED_TYPES,
    drift=DRIFT,
)
