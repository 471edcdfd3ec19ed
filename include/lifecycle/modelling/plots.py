"""Pictures of how scores do beside the baseline's, on a holdout or as outcomes became known."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from include.lifecycle.modelling.evaluation import LIFT_SHARE, lift, score_bins

Scores = Mapping[str, NDArray[np.float64]]
"""Scores of the same rows by what gave them, in the order of `_LINES`: the model first, then the baseline."""

INK = "#1b2330"
ACCENT = "#2f6fdb"
SECOND = "#c7761a"
_LINES = ((ACCENT, "-"), (SECOND, "--"))
_CURVE_POINTS = 400
STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "model card",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw_classification(labels: NDArray[np.integer], scores: Scores, where: str) -> dict[str, Figure]:
    """The pictures of probabilities by name: `precision_recall`, `calibration` and `lift`.

    `where` follows the titles, e.g. "on the holdout".
    """
    drawings: dict[str, Callable[[Axes, NDArray[np.integer], Scores, str], None]] = {
        "precision_recall": _precision_recall,
        "calibration": _calibration,
        "lift": _lift,
    }
    return {name: _figure(drawing, labels, scores, where) for name, drawing in drawings.items()}


def draw_regression(rows: pl.DataFrame, who: str, where: str) -> dict[str, Figure]:
    """The pictures of predicted numbers by name: `over_time` and `calibration`.

    `rows` have `dt`, `label`, `candidate_score` and `baseline_score`. `who` is what the scores are called, `where`
    follows the titles, e.g. "on the holdout".
    """
    names = {who: "candidate_score", "baseline": "baseline_score"}
    return {
        "over_time": _figure(_over_time, rows, names, where),
        "calibration": _figure(_observed_by_predicted, rows, names, where),
    }


def save_png(figure: Figure, path: Path) -> None:
    """Write a picture for viewers that show files; equal pictures give equal files."""
    with rc_context(STYLE):
        figure.savefig(path, dpi=120, facecolor="white", metadata={"Software": None})


def to_svg(figure: Figure) -> str:
    """The picture as an SVG element that takes its colours from the page around it."""
    target = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace(INK, "currentColor").replace(ACCENT, f"var(--accent, {ACCENT})")


def _figure(drawing: Callable[..., None], *data: Any) -> Figure:
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        drawing(axes, *data)
        axes.legend()
    return figure


def _over_time(axes: Axes, rows: pl.DataFrame, names: Mapping[str, str], where: str) -> None:
    daily = rows.group_by("dt").agg(pl.col("label", "candidate_score", "baseline_score").mean()).sort("dt")
    axes.plot(daily["dt"], daily["label"], color=INK, linewidth=0.9, label="observed")
    for (name, score), (color, line) in zip(names.items(), _LINES, strict=True):
        axes.plot(daily["dt"], daily[score], color=color, linestyle=line, linewidth=1.2, label=name)
    axes.set(title=f"Predicted and observed {where}", ylabel="Mean over the day's rows")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]


def _observed_by_predicted(axes: Axes, rows: pl.DataFrame, names: Mapping[str, str], where: str) -> None:
    label = rows["label"].to_numpy()
    ends: list[float] = []
    for (name, score), (color, line) in zip(names.items(), _LINES, strict=True):
        scores = rows[score].to_numpy()
        _, group = np.unique(score_bins(scores), return_inverse=True)
        counts = np.bincount(group)
        predicted, observed = np.bincount(group, scores) / counts, np.bincount(group, label) / counts
        axes.plot(predicted, observed, color=color, linestyle=line, marker="o", markersize=4, label=name)
        ends += [predicted.min(), predicted.max()]
    axes.plot(
        [min(ends), max(ends)], [min(ends), max(ends)], color=INK, linewidth=0.8, linestyle=":", label="perfect"
    )
    axes.set(
        title=f"Calibration {where}, tenths of the rows by score",
        xlabel="Predicted (mean of the tenth)",
        ylabel="Observed",
    )


def _precision_recall(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    for (name, values), (color, line) in zip(scores.items(), _LINES, strict=True):
        precision, recall, _ = precision_recall_curve(labels, values, drop_intermediate=True)
        step = max(1, len(recall) // _CURVE_POINTS)
        kept = np.unique([*range(0, len(recall), step), len(recall) - 1])
        axes.plot(recall[kept], precision[kept], color=color, linestyle=line, label=name, drawstyle="steps-post")
    axes.axhline(labels.mean(), color=INK, linewidth=0.8, linestyle=":", label="by chance")
    axes.set(
        title=f"Precision and recall {where}",
        xlabel="Recall: share of the positives that are found",
        ylabel="Precision: share of the found that are positive",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    _percent(axes)


def _calibration(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    highest = 0.0
    for (name, values), (color, line) in zip(scores.items(), _LINES, strict=True):
        _, group = np.unique(score_bins(values), return_inverse=True)
        rows = np.bincount(group)
        predicted, observed = np.bincount(group, values) / rows, np.bincount(group, labels) / rows
        axes.plot(predicted, observed, color=color, linestyle=line, marker="o", markersize=4, label=name)
        highest = max(highest, predicted.max(), observed.max())
    axes.plot([0, highest], [0, highest], color=INK, linewidth=0.8, linestyle=":", label="perfect")
    axes.set(
        title=f"Calibration {where}, tenths of the rows by score",
        xlabel="Predicted probability (mean of the tenth)",
        ylabel="Observed rate",
    )
    _percent(axes)


def _lift(axes: Axes, labels: NDArray[np.integer], scores: Scores, where: str) -> None:
    shares = np.arange(1, 101) / 100
    for (name, values), (color, line) in zip(scores.items(), _LINES, strict=True):
        lifts = [lift(labels, values, share) for share in shares]
        axes.plot(shares, lifts, color=color, linestyle=line, label=name)
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":", label="by chance")
    axes.axvline(LIFT_SHARE, color=INK, linewidth=0.8, alpha=0.4)
    axes.set(
        title=f"Lift {where}",
        xlabel="Share of the rows taken, highest scores first",
        ylabel="Rate of positives, times the average",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol="\u00a0%"))


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol="\u00a0%"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol="\u00a0%"))
