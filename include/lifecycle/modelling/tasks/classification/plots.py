"""Plots of how probabilities do beside the baseline's, on a holdout or as outcomes became known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from include.lifecycle.modelling.score_bins import score_bins
from include.lifecycle.modelling.tasks.classification.metrics import LIFT_SHARE, lift
from include.lifecycle.reporting import charts

Scores = Mapping[str, NDArray[np.float64]]
"""Scores of the same rows by what gave them, in the order of `charts.LINES`: the model, then the baseline."""

_CURVE_POINTS = 400


def draw(labels: NDArray[np.integer], scores: Scores, where: str) -> dict[str, Figure]:
    """The plots of probabilities by name: `precision_recall`, `calibration` and `lift`.

    `where` follows the titles, e.g. "on the holdout".
    """
    drawings: dict[str, Callable[[Axes, NDArray[np.integer], Scores, str], None]] = {
        "precision_recall": _precision_recall,
        "calibration": _calibration,
        "lift": _lift,
    }
    return {name: charts.draw(drawing, labels, scores, where) for name, drawing in drawings.items()}


def _precision_recall(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    for (name, values), (color, line) in zip(scores.items(), charts.LINES, strict=True):
        precision, recall, _ = precision_recall_curve(labels, values, drop_intermediate=True)
        step = max(1, len(recall) // _CURVE_POINTS)
        kept = np.unique([*range(0, len(recall), step), len(recall) - 1])
        axes.plot(recall[kept], precision[kept], color=color, linestyle=line, label=name, drawstyle="steps-post")
    axes.axhline(labels.mean(), color=charts.INK, linewidth=0.8, linestyle=":", label="by chance")
    axes.set(
        title=f"Precision and recall {where}",
        xlabel="Recall: share of the positives that are found",
        ylabel="Precision: share of the found that are positive",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    charts.show_percent(axes.xaxis, axes.yaxis)


def _calibration(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    highest = 0.0
    for (name, values), (color, line) in zip(scores.items(), charts.LINES, strict=True):
        _, group = np.unique(score_bins(values), return_inverse=True)
        rows = np.bincount(group)
        predicted, observed = np.bincount(group, values) / rows, np.bincount(group, labels) / rows
        axes.plot(predicted, observed, color=color, linestyle=line, marker="o", markersize=4, label=name)
        highest = max(highest, predicted.max(), observed.max())
    axes.plot([0, highest], [0, highest], color=charts.INK, linewidth=0.8, linestyle=":", label="perfect")
    axes.set(
        title=f"Calibration {where}, tenths of the rows by score",
        xlabel="Predicted probability (mean of the tenth)",
        ylabel="Observed rate",
    )
    charts.show_percent(axes.xaxis, axes.yaxis)


def _lift(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    shares = np.arange(1, 101) / 100
    for (name, values), (color, line) in zip(scores.items(), charts.LINES, strict=True):
        lifts = [lift(labels, values, share) for share in shares]
        axes.plot(shares, lifts, color=color, linestyle=line, label=name)
    axes.axhline(1, color=charts.INK, linewidth=0.8, linestyle=":", label="by chance")
    axes.axvline(LIFT_SHARE, color=charts.INK, linewidth=0.8, alpha=0.4)
    axes.set(
        title=f"Lift {where}",
        xlabel="Share of the rows taken, highest scores first",
        ylabel="Rate of positives, times the average",
        xlim=(0, 1),
        ylim=(0, None),
    )
    charts.show_percent(axes.xaxis)
