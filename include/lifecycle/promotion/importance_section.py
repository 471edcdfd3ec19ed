"""The section of a model card on what the model goes by: how much it owes to each feature."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from include.lifecycle.modelling.importance import FeatureImportance
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import Cell, Section, Table, unbreakable
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import TrainingRecord

_DRAWN = 15


def importance_section(model: ModelSpec, training: TrainingRecord) -> list[Section]:
    """What the metric loses without each feature, drawn and listed; empty for records from before it was kept."""
    importance = training.importance
    if importance is None:
        return []
    metric = task_of(model).metrics[importance.metric].within
    features = dict(sorted(importance.features.items(), key=lambda item: -item[1].mean))
    drawn = dict(list(features.items())[:_DRAWN])
    figure = charts.draw(_bars, drawn, f"Fall of the {metric}")
    text = (
        f"How far the {metric} falls where the values of one feature are shuffled among {importance.rows:,} rows "
        f"of the holdout; the range holds 95 % of {importance.repeats} shuffles of the same rows. Near 0, the "
        "model does as well without the feature, or another one says the same."
    )
    rows: list[list[Cell]] = [[name, found.mean, found.low, found.high] for name, found in features.items()]
    table = Table(["feature", f"fall of the {metric}", "from", "to"], rows)
    return [Section("What it goes by", text, figure=charts.to_svg(figure), table=table)]


def _bars(axes: Axes, features: Mapping[str, FeatureImportance], measured: str) -> None:
    names, found = list(features), list(features.values())
    means = [feature.mean for feature in found]
    below = [max(feature.mean - feature.low, 0) for feature in found]
    above = [max(feature.high - feature.mean, 0) for feature in found]
    axes.barh(names, means, color=charts.ACCENT, label="mean of the shuffles")
    axes.errorbar(
        means,
        names,
        xerr=[below, above],
        fmt="none",
        ecolor=charts.INK,
        capsize=2,
        label=unbreakable("95 % of the shuffles"),
    )
    axes.invert_yaxis()
    axes.set(title="The most important features", xlabel=measured)
