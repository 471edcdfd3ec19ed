"""The part of the performance page that is estimated: the last week, and what became of earlier estimates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter

from include.lifecycle.modelling.tasks import Task, task_of
from include.lifecycle.monitoring.estimate_verdict import Comparison, EstimatedWeek, EstimateVerdict, held
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import Cell, Section, Table
from include.lifecycle.specs import ModelSpec

_TITLE = "Estimated, not measured"
_MEANING = "What an estimate means"
WORSE = "What was predicted in the last week, whose outcomes are not known yet, is estimated to be worse."
HEADLINE = "{title} has kept its promise so far, but the last week is estimated to be worse"
REFUTED = "{title} does worse than its scores promise"
ADVICE = (
    "Look at the drift report of the same day for what has changed. The task decide_retraining "
    "of {model}_monitoring says whether a training follows."
)
_DASH = "A dash: outcomes are not known yet, or another version has scored the days again."
_HELD = {True: "yes", False: "no", None: None}


def render_estimates(model: ModelSpec, verdict: PerformanceVerdict) -> list[Section]:
    """The sections on what is estimated; none for a report that looked for nothing to estimate."""
    if verdict.estimated is None:
        return []
    task = task_of(model)
    return [*_present(task, verdict.estimated), *_over_time(task, verdict.estimated_weeks)]


def _present(task: Task, estimated: EstimateVerdict) -> list[Section]:
    if estimated.estimate is None:
        return [Section(_TITLE, f"There is no estimate. {estimated.reason}")]
    rows: list[list[Cell]] = [
        [
            task.metrics[name].title,
            found.value,
            _interval(found.lower_bound, found.upper_bound),
            estimated.estimate.baseline_metrics.get(name),
            task.metrics[name].hint,
        ]
        for name, found in estimated.estimate.metrics.items()
    ]
    table = Table(["metric", "estimate", "95 % interval", "baseline, estimated", "how to read it"], rows)
    sentences = [
        f"The outcomes of {estimated.rows:,} predictions of {estimated.days[0]} to {estimated.days[-1]} are not "
        f"known yet. This is what version {estimated.model_version} can be expected to reach on them.",
        estimated.reason,
    ]
    return [Section(_TITLE, " ".join(sentences), table=table), Section(_MEANING, task.estimate_meaning)]


def _over_time(task: Task, weeks: Sequence[EstimatedWeek]) -> list[Section]:
    """The first metric of all weeks; the record has the others."""
    if not weeks:
        return []
    name = next(iter(weeks[-1].metrics))
    shown = [week for week in weeks if name in week.metrics]
    columns = [
        "predictions of",
        "version",
        "estimated then",
        "95 % interval",
        "measured",
        "difference",
        "interval held",
    ]
    table = Table(columns, [_row(week, week.metrics[name]) for week in shown])
    figure = charts.draw(_draw, shown, name, task.metrics[name].title) if len(shown) > 1 else None
    return [
        Section(
            f"{task.metrics[name].title}: estimated then, measured later",
            f"Each week as its report estimated it. {_sentence(task, weeks)} {_DASH}",
            figure=charts.to_svg(figure) if figure else None,
            table=table,
        )
    ]


def _sentence(task: Task, weeks: Sequence[EstimatedWeek]) -> str:
    """How often the intervals held, in words."""
    counts = {name: held(weeks, name) for name in weeks[-1].metrics}
    if not any(of for _, of in counts.values()):
        return "No week can be compared yet."
    parts = [f"{task.metrics[name].within} {kept} of {of}" for name, (kept, of) in counts.items()]
    return (
        f"Weeks whose measured figure lay within the interval: {', '.join(parts)}. Clearly fewer than 95 of "
        "100 mean that estimates are too sure of themselves."
    )


def _row(week: EstimatedWeek, found: Comparison) -> list[Cell]:
    return [
        f"{week.days[0]} to {week.days[-1]}",
        str(week.model_version),
        found.value,
        _interval(found.lower_bound, found.upper_bound),
        found.realised,
        found.difference,
        _HELD[found.held],
    ]


def _interval(low: float, high: float) -> str:
    return f"{low:,.3g} to {high:,.3g}"


def _draw(axes: Axes, weeks: Sequence[EstimatedWeek], name: str, title: str) -> None:
    days = np.array([week.days[-1] for week in weeks], dtype="datetime64[D]")
    found = [week.metrics[name] for week in weeks]
    value, low, high, realised = (
        np.array([getattr(one, of) for one in found], dtype=float)
        for of in ("value", "lower_bound", "upper_bound", "realised")
    )
    (own, _), (other, _) = charts.LINES
    ends = [value - low, high - value]
    axes.errorbar(days, value, ends, color=own, fmt="o", markersize=4, capsize=3, label="estimated then")
    axes.plot(days, realised, color=other, marker="D", markersize=5, linestyle="", label="measured later")
    axes.set(title=f"{title} by week", xlabel="Last day of the week", ylabel=title)
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
