"""Importance: how much worse a model does where the values of a feature say nothing of their rows.

Permutation importance (Breiman 2001, "Random forests"; Fisher, Rudin and Dominici 2019, "All models are wrong, but
many are useful"): the fall of the metric where a feature's values are shuffled among the rows.
`sklearn.inspection.permutation_importance` asks the model once for each shuffle and once more for each feature;
here it is asked once for all shuffles of a feature.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.tasks import task_of

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec

log = logging.getLogger(__name__)

REPEATS = 10
MAX_ROWS = 1_000

_SCORE = "score_of_shuffled"


class FeatureImportance(BaseModel):
    """By how much the metric falls: the mean over the shuffles, and the ends of the range of 95 % of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mean: float
    low: float
    high: float


class Importance(BaseModel):
    """How much a model owes to each of its features.

    Attributes
    ----------
    metric : the metric of the task that falls.
    rows, repeats : how many rows of the holdout were shuffled, and how often.
    features : by feature, in the order of the model's; without those that cannot be shuffled, as where the models
        of some segments cannot read what is missing in another one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    metric: str
    rows: int
    repeats: int
    features: Mapping[str, FeatureImportance]


def permutation_importance(model: ModelSpec, estimator: Any, holdout: pl.DataFrame, seed: int) -> Importance:
    """The importance of each feature, by the metric that hyperparameters are chosen by.

    The range is that of chance in the shuffling of the same rows: it says nothing of what other rows would give.

    Parameters
    ----------
    holdout : rows that the estimator has not seen, with features, `label`, `dt` and `baseline_score`; of more than
        1,000, so many are drawn with the seed.
    """
    task = task_of(model)
    rows = holdout.sample(MAX_ROWS, seed=seed) if holdout.height > MAX_ROWS else holdout
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(rows.height) for _ in range(REPEATS)]
    whole = task.tuning_score(rows.with_columns(pl.Series(_SCORE, predict(estimator, rows, model))), _SCORE)

    def falls(feature: str) -> FeatureImportance | None:
        shuffled = pl.concat([rows.with_columns(rows[feature].gather(order)) for order in orders])
        try:
            scores = np.split(predict(estimator, shuffled, model), REPEATS)
        except ValueError as error:
            log.warning("The importance of %r to %r is not known: %s", feature, model.name, error)
            return None
        measured = [task.tuning_score(rows.with_columns(pl.Series(_SCORE, own)), _SCORE) for own in scores]
        lost = whole - np.array(measured)
        low, high = np.quantile(lost, [0.025, 0.975])
        return FeatureImportance(mean=float(lost.mean()), low=float(low), high=float(high))

    found = {feature: falls(feature) for feature in model.features}
    return Importance(
        metric=task.tuning_metric,
        rows=rows.height,
        repeats=REPEATS,
        features={feature: importance for feature, importance in found.items() if importance is not None},
    )
