"""Models that say how probable something is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.tasks import FITTING_FOLDS, Gain, Metric, Plot, Standing
from include.lifecycle.modelling.tasks.classification.metrics import measure, paired_gain
from include.lifecycle.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec

FEWEST_OUTCOMES = 5


class Classification:
    """A probability of label 1, calibrated by Platt scaling."""

    metrics: Mapping[str, Metric] = {
        "average_precision": Metric("average precision", "higher is better; by chance it is the mean label"),
        "roc_auc": Metric("ROC AUC", "higher is better; by chance it is 0.5"),
        "lift_10": Metric("lift at 10 %", "higher is better; by chance it is 1"),
        "brier": Metric("Brier score", "lower is better"),
        "ece": Metric("calibration error (ECE)", "lower is better"),
    }
    plots: Mapping[str, Plot] = {
        "precision_recall": Plot(
            "Precision and recall",
            "The higher the line, the fewer false alarms for the same share of positives found.",
        ),
        "calibration": Plot(
            "Calibration",
            "Points on the dotted line mean that of the rows given a probability, that share turned out positive.",
        ),
        "lift": Plot(
            "Lift",
            "How many times more positives than by chance are met among the rows with the highest scores; the "
            "vertical line marks the top tenth.",
        ),
    }
    gate_metrics = ("average_precision", "roc_auc")
    segment_metrics: Sequence[str] = ()
    estimator_method = "predict_proba"
    output_shape = (-1, 2)
    scores_every_row = True
    valid_scores = "numbers from 0 to 1"

    def __init__(self, model: ModelSpec) -> None:
        self._model = model

    @property
    def tuning_metric(self) -> str:
        """The metric that decides."""
        return self._model.gate.metric

    def tuning_score(self, rows: pl.DataFrame, score: str) -> float:
        """The metric that decides."""
        return self.measure(rows, score)[self.tuning_metric]

    def fit(self, estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any], folds: NDArray[Any]) -> Any:
        """One fit on all rows, with Platt scaling learnt from out-of-fold predictions."""
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import PredefinedSplit

        calibrated = CalibratedClassifierCV(estimator, method="sigmoid", cv=PredefinedSplit(folds), ensemble=False)
        tuning.fit(calibrated, matrix, labels)
        # The fold of each training row is no longer needed and would only make the stored model larger.
        return calibrated.set_params(cv=FITTING_FOLDS)

    def predict(self, estimator: Any, matrix: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of label 1."""
        with one_blas_thread():
            probabilities: NDArray[np.float64] = estimator.predict_proba(matrix)[:, 1]
        return probabilities

    def measure(self, rows: pl.DataFrame, score: str) -> dict[str, float]:
        """What `metrics.measure` gives."""
        return measure(rows["label"].to_numpy(), rows[score].to_numpy())

    def gain(self, rows: pl.DataFrame, score: str, other: str) -> Gain:
        """The difference in the model's metric; the interval is that of a bootstrap of the keys."""
        labels, scores, others = (rows[name].to_numpy() for name in ("label", score, other))
        keys = rows.select(pl.struct(self._model.dataset.key).rank("dense")).to_series().to_numpy() - 1
        return Gain(*paired_gain(labels, scores, others, keys, self._model.gate.metric))

    def standing(self, measured: Mapping[str, float], baseline: Mapping[str, float]) -> Standing:
        """The metric that decides beside the baseline's."""
        metric = self._model.gate.metric
        own, least = measured[metric], baseline[metric]
        return Standing(own, least, f"{self.metrics[metric].title} {own:.3f} (baseline {least:.3f})")

    def label_shortfall(self, labels: pl.Series) -> str | None:
        """Too few labels of a kind."""
        positive = int(labels.sum())
        negative = len(labels) - positive
        if min(positive, negative) >= FEWEST_OUTCOMES:
            return None
        return (
            f"{positive} rows with label 1 and {negative} with label 0, but at least {FEWEST_OUTCOMES} of each "
            "are needed"
        )

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """The curves of the scores and of the baseline's."""
        from include.lifecycle.modelling.tasks.classification import plots

        scores = {who: rows["candidate_score"].to_numpy(), "baseline": rows["baseline_score"].to_numpy()}
        return plots.draw(rows["label"].to_numpy(), scores, where)

    def is_valid_score(self, score: pl.Expr) -> pl.Expr:
        """A probability."""
        return score.is_between(0, 1).fill_null(False)


TASK = Classification
