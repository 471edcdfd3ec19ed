"""Models that say how probable something is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.modelling.tasks import (
    FITTING_FOLDS,
    Calibration,
    Estimate,
    Expected,
    Gain,
    Metric,
    Plot,
    Standing,
)
from include.lifecycle.modelling.tasks.classification.estimate import expected, simulate
from include.lifecycle.modelling.tasks.classification.gains import paired_gain
from include.lifecycle.modelling.tasks.classification.metrics import (
    calibration_error_by_chance,
    expected_calibration_error,
    measure,
)
from include.lifecycle.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec

FEWEST_OUTCOMES = 5
_RANKING = "roc_auc"


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
    calibration_title = "Calibration error (ECE)"
    estimator_method = "predict_proba"
    output_shape = (-1, 2)
    scores_every_row = True
    valid_scores = "numbers from 0 to 1"
    estimate_metric = _RANKING
    estimate_meaning = (
        "It takes each score at its word: of the rows scored 0.2, one in five turns out positive. As long as that "
        "holds, the measured figure lies within the interval in 95 of 100 weeks. What scores cannot know is not "
        "covered: lost calibration, new reasons for the same outcome, or an event that moves many rows at once."
    )

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

    def gain(self, rows: pl.DataFrame, score: str, other: str, level: float = LEVEL) -> Gain:
        """The difference in the model's metric; the interval is that of a bootstrap of the keys."""
        labels, scores, others = (rows[name].to_numpy() for name in ("label", score, other))
        return paired_gain(labels, (scores, others), self._keys(rows), self._model.gate.metric, level)

    def calibration(self, rows: pl.DataFrame, score: str) -> Calibration:
        """The ECE, and what of it is above that which 19 in 20 perfectly calibrated models have."""
        labels, scores = rows["label"].to_numpy(), rows[score].to_numpy()
        error = expected_calibration_error(labels, scores)
        return Calibration(error, max(0.0, error - calibration_error_by_chance(scores)))

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

    def estimate_shortfall(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> str | None:
        """Too few labels of a kind to be expected."""
        positive = float(rows["score"].sum())
        negative = rows.height - positive
        if min(positive, negative) >= FEWEST_OUTCOMES:
            return None
        return (
            f"By their scores, {positive:.1f} of {rows.height:,} rows will be positive and {negative:.1f} "
            f"negative, but at least {FEWEST_OUTCOMES} of each are needed."
        )

    def estimate(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
        """What `estimate.simulate` expects; see there for what the intervals mean."""
        own, baseline = (rows[name].to_numpy() for name in ("score", "baseline_score"))
        worlds = simulate(own, {"score": own, "baseline": baseline}, self._keys(rows))
        metrics = {name: expected(values) for name, values in worlds["score"].items()}
        trained = holdout["score"].to_numpy()
        before = expected(simulate(trained, {"score": trained}, self._keys(holdout))["score"][_RANKING])
        return Estimate(
            metrics=metrics,
            baseline_metrics={name: float(values.mean()) for name, values in worlds["baseline"].items()},
            standing=self._estimate_standing(metrics[_RANKING], before.value),
        )

    def observed(self, rows: pl.DataFrame) -> dict[str, float]:
        """What `measure` gives of the metrics that are estimated, where both labels occur."""
        if rows["label"].n_unique() < 2:
            return {}
        return self.measure(rows, "score")

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """The curves of the scores and of the baseline's."""
        from include.lifecycle.modelling.tasks.classification import plots

        scores = {who: rows["candidate_score"].to_numpy(), "baseline": rows["baseline_score"].to_numpy()}
        return plots.draw(rows["label"].to_numpy(), scores, where)

    def is_valid_score(self, score: pl.Expr) -> pl.Expr:
        """A probability."""
        return score.is_between(0, 1).fill_null(False)

    def _estimate_standing(self, now: Expected, before: float) -> Standing:
        """The ROC AUC beside what the holdout's scores gave: another class balance alone does not change it.

        The baseline is no measure here: where labels have the probabilities that the scores give, no other order
        of the rows can be expected to be better.
        """
        sentence = (
            f"{self.metrics[_RANKING].title} is expected to be {now.value:.3f} ({now.lower_bound:.3f} to "
            f"{now.upper_bound:.3f}); by the same estimate it was {before:.3f} on the holdout"
        )
        return Standing(now.upper_bound, before - self._model.drift.max_estimated_loss, sentence)

    def _keys(self, rows: pl.DataFrame) -> NDArray[np.integer]:
        """The number of each row's key, counted from 0."""
        return rows.select(pl.struct(self._model.dataset.key).rank("dense")).to_series().to_numpy() - 1


TASK = Classification
