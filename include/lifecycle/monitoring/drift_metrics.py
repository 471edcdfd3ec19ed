"""Drift as metrics of a version in MLflow, so that its page shows how it went after its training."""

from __future__ import annotations

import logging
import re
from datetime import date
from typing import TYPE_CHECKING

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.monitoring.drift_window import SCORE
from include.lifecycle.promotion import registry

if TYPE_CHECKING:
    from include.lifecycle.monitoring.drift_verdict import DriftVerdict
    from include.lifecycle.monitoring.reference import Reference
    from include.lifecycle.specs import ModelSpec

log = logging.getLogger(__name__)

_NOT_IN_A_NAME = re.compile(r"[^\w.\- ]")
"""What MLflow refuses in the name of a metric, and the slash, which makes groups."""


def log_drift(tracking_uri: str, model: ModelSpec, reference: Reference, day: date, verdict: DriftVerdict) -> None:
    """Log the drift of the window that ends on `day` to the run of the version that it is about.

    The step is the number of days since the version's training. A version that MLflow no longer has is an error in
    the log: the report has the figures.
    """
    step = (day - reference.day).days
    try:
        registry.log_metrics(tracking_uri, model.name, reference.model_version, as_metrics(verdict), day, step)
    except UnusableModelError as error:
        log.error("The drift of %s is in its report alone. %s", day, error)


def as_metrics(verdict: DriftVerdict) -> dict[str, float]:
    """By name, the distance of the scores and of each feature in units of its limit, and the drifted share.

    Above 1 a distance is drift. Columns with too few values have none.
    """
    columns = {SCORE: verdict.score, **verdict.columns}
    distances = {
        f"drift/{_NOT_IN_A_NAME.sub('_', name)}": column.distance / column.threshold
        for name, column in columns.items()
        if column.distance is not None
    }
    share = len(verdict.drifted) / max(len(verdict.columns), 1)
    return {**distances, "drift_feature_share": share}
