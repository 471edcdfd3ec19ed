"""The performance report as a page: the verdict, what to do, and the metrics beside the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import estimate_page
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.monitoring.shadow_section import render_shadow
from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import Cell, Page, Section, Status, Table, Verdict, render
from include.lifecycle.specs import ModelSpec

_STATUS: dict[str, Status] = {
    "as expected": "good",
    "worse": "bad",
    "intervals off": "warning",
    "not enough evidence": "neutral",
}
_HEADLINE = {
    "as expected": "{title} keeps what its training promised",
    "worse": "{title} does worse than its training promised",
    "intervals off": "{title}: the intervals do not hold what the training promised",
    "not enough evidence": "Too few outcomes of {title} are known yet",
}
_ADVICE = {
    "as expected": "Nothing to do.",
    "worse": (
        "Look at the drift report of the same day. If the data are sound, run {model}_training: its gate promotes "
        "a new model only if it is better, and the naive baseline is champion where nothing beats it."
    ),
    "intervals off": ("Take the intervals with care. {model}_training fits new ones to recent outcomes."),
    "not enough evidence": (
        "Wait for data: an outcome is known {delay} {unit}s after the prediction. If days are missing, run "
        "{dataset}_etl and {model}_scoring for them."
    ),
}

_METRICS = "What was published and the naive baseline, on the same rows, whose mean label is"


def render_performance(model: ModelSpec, day: date, verdict: PerformanceVerdict, rows: pl.DataFrame) -> str:
    """The page of a report, self-contained; `rows` are the predictions with their outcomes."""
    names = {
        "title": model.title,
        "model": model.name,
        "dataset": model.dataset.name,
        "unit": model.dataset.calendar.unit,
        "delay": model.label.horizon_days + model.label.delay_days,
    }
    return render(
        Page(
            title=f"{model.title}: performance, {_period(verdict, day)}",
            verdict=_verdict(verdict, names),
            sections=[
                Section("What to do", _advice(verdict).format(**names)),
                *_metrics(model, verdict, rows),
                *render_shadow(model, verdict.shadow),
                *estimate_page.render_estimates(model, verdict),
                *_plots(model, verdict, rows),
                *_by_version(rows),
            ],
            facts=_facts(model, verdict),
        )
    )


def _verdict(verdict: PerformanceVerdict, names: Mapping[str, object]) -> Verdict:
    """What is measured; an estimate that is worse is worth a look where nobody has to act anyway."""
    status, headline = _STATUS[verdict.verdict], _HEADLINE[verdict.verdict]
    if not _is_estimated_worse(verdict):
        return Verdict(status, headline.format(**names), verdict.reason)
    status = "warning" if status in ("good", "neutral") else status
    headline = estimate_page.HEADLINE if verdict.verdict == "as expected" else headline
    return Verdict(status, headline.format(**names), f"{verdict.reason} {estimate_page.WORSE}")


def _advice(verdict: PerformanceVerdict) -> str:
    measured = _ADVICE[verdict.verdict]
    if not _is_estimated_worse(verdict):
        return measured
    return estimate_page.ADVICE if verdict.verdict == "as expected" else f"{measured} {estimate_page.ADVICE}"


def _is_estimated_worse(verdict: PerformanceVerdict) -> bool:
    return verdict.estimated is not None and verdict.estimated.verdict == "worse"


def _metrics(model: ModelSpec, verdict: PerformanceVerdict, outcomes: pl.DataFrame) -> list[Section]:
    if not verdict.measures:
        return []
    rows: list[list[Cell]] = [
        [metric.title, verdict.measures[name], verdict.baseline_measures[name], metric.hint]
        for name, metric in task_of(model).metrics.items()
    ]
    table = Table(["metric", "predictions", "baseline", "how to read it"], rows)
    return [Section("Metrics", f"{_METRICS} {_mean(outcomes['label']):.4g}.", table=table)]


def _plots(model: ModelSpec, verdict: PerformanceVerdict, rows: pl.DataFrame) -> list[Section]:
    if not verdict.measures:
        return []
    task = task_of(model)
    figures = task.draw(
        rows.rename({"score": "candidate_score"}), who="published", where="as outcomes became known"
    )
    return [Section(*task.plots[name], figure=charts.to_svg(figure)) for name, figure in figures.items()]


def _by_version(rows: pl.DataFrame) -> list[Section]:
    if rows.is_empty():
        return []
    table = Table(
        ["version", "from", "to", "rows", "mean score", "mean outcome"],
        [_version_row(of) for _, of in sorted(rows.partition_by("model_version", as_dict=True).items())],
    )
    return [Section("By version", "Which version made the predictions that are judged.", table=table)]


def _version_row(rows: pl.DataFrame) -> list[Cell]:
    first, last = str(rows["dt"].min()), str(rows["dt"].max())
    version = str(rows["model_version"][0])
    return [version, first, last, rows.height, _mean(rows["score"]), _mean(rows["label"])]


def _mean(values: pl.Series) -> float:
    return float(values.mean())  # type: ignore[arg-type]


def _period(verdict: PerformanceVerdict, day: date) -> str:
    if not verdict.days:
        return str(day)
    return (
        f"predictions of {verdict.days[0]} to {verdict.days[-1]}"
        if len(verdict.days) > 1
        else (f"predictions of {verdict.days[0]}")
    )


def _facts(model: ModelSpec, verdict: PerformanceVerdict) -> dict[str, str | int]:
    count, unit = len(verdict.days), model.dataset.calendar.unit
    span = f": {verdict.days[0]} to {verdict.days[-1]}" if verdict.days else ""
    return {
        "Predictions with known outcomes": f"{count} {unit}{'' if count == 1 else 's'}{span}",
        "Outcomes known": verdict.rows,
        "Looked back": f"{model.drift.outcome_days} days",
    }
