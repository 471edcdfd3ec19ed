"""Plots of how predicted numbers do beside the baseline's, on a holdout or as outcomes became known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from include.lifecycle.modelling.score_bins import score_bins
from include.lifecycle.reporting import charts


def draw(rows: pl.DataFrame, who: str, where: str) -> dict[str, Figure]:
    """The plots of predicted numbers by name: `over_time` and `calibration`.

    `rows` have `dt`, `label`, `candidate_score` and `baseline_score`. `who` is what the scores are called, `where`
    follows the titles, e.g. "on the holdout".
    """
    names = {who: "candidate_score", "baseline": "baseline_score"}
    return {
        "over_time": charts.draw(_over_time, rows, names, where),
        "calibration": charts.draw(_observed_by_predicted, rows, names, where),
    }


def _over_time(axes: Axes, rows: pl.DataFrame, names: Mapping[str, str], where: str) -> None:
    daily = rows.group_by("dt").agg(pl.col("label", "candidate_score", "baseline_score").mean()).sort("dt")
    axes.plot(daily["dt"], daily["label"], color=charts.INK, linewidth=0.9, label="observed")
    for (name, score), (color, line) in zip(names.items(), charts.LINES, strict=True):
        axes.plot(daily["dt"], daily[score], color=color, linestyle=line, linewidth=1.2, label=name)
    axes.set(title=f"Predicted and observed {where}", ylabel="Mean over the day's rows")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]


def _observed_by_predicted(axes: Axes, rows: pl.DataFrame, names: Mapping[str, str], where: str) -> None:
    label = rows["label"].to_numpy()
    ends: list[float] = []
    for (name, score), (color, line) in zip(names.items(), charts.LINES, strict=True):
        scores = rows[score].to_numpy()
        _, group = np.unique(score_bins(scores), return_inverse=True)
        counts = np.bincount(group)
        predicted, observed = np.bincount(group, scores) / counts, np.bincount(group, label) / counts
        axes.plot(predicted, observed, color=color, linestyle=line, marker="o", markersize=4, label=name)
        ends += [predicted.min(), predicted.max()]
    diagonal = [min(ends), max(ends)]
    axes.plot(diagonal, diagonal, color=charts.INK, linewidth=0.8, linestyle=":", label="perfect")
    axes.set(
        title=f"Calibration {where}, tenths of the rows by score",
        xlabel="Predicted (mean of the tenth)",
        ylabel="Observed",
    )
