"""How a model of a table's rows is tuned, judged and stored, where nothing is known that says otherwise.

scikit-learn is imported only when an estimator is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import Candidate, GateSpec

_ESTIMATORS = "include.toolkit.estimators"  # imports scikit-learn

CLASSIFICATION_GATE = GateSpec(metric="average_precision", leakage_threshold=("roc_auc", 0.95))
REGRESSION_GATE = GateSpec(metric="skill_lower_bound", leakage_threshold=("skill", 0.9))
TRUSTED_TYPES = (
    "include.lifecycle.segments.Persistence",
    "include.toolkit.estimators.NaiveForecast",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""All types that the estimators of this module contain."""


def classifiers(numeric: Sequence[str], categorical: Sequence[str]) -> Callable[[], tuple[Candidate, ...]]:
    """Candidates for a probability: logistic regression and gradient-boosted trees."""
    return partial(Deferred(f"{_ESTIMATORS}:classifiers"), tuple(numeric), tuple(categorical))


def regressors(numeric: Sequence[str], categorical: Sequence[str]) -> Callable[[], tuple[Candidate, ...]]:
    """Candidates for a number: ridge regression and gradient-boosted trees."""
    return partial(Deferred(f"{_ESTIMATORS}:regressors"), tuple(numeric), tuple(categorical))


def usual_rate() -> Callable[[int], Any]:
    """The baseline that gives each row the rate of the past."""
    return Deferred(f"{_ESTIMATORS}:build_usual_rate")


def usual_mean() -> Callable[[int], Any]:
    """The baseline that gives each row the mean of the past."""
    return Deferred(f"{_ESTIMATORS}:build_usual_mean")


def persistence(column: str) -> Callable[[int], Any]:
    """The baseline that says the feature `column` stays as it is."""
    return partial(Deferred(f"{_ESTIMATORS}:build_persistence"), column)


def naive_forecast(column: str, same_weekday: str) -> Callable[[int], Any]:
    """The baseline that says `column` stays, or is as on the target's weekday, whichever was closer in the past.

    Parameters
    ----------
    same_weekday : the feature that `include.toolkit.features.same_weekday` makes of `column`.
    """
    return partial(Deferred(f"{_ESTIMATORS}:build_naive_forecast"), column, same_weekday)
