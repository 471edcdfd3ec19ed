"""The performance report as a page: the verdict, what to do, and the metrics beside the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring import ab_test_section, estimate_page
from include.lifecycle.monitoring.estimate_verdict import newest_refuted
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
_BOTH_ARMS = "On the days of the A/B test these are the predictions of both versions."
_NOT_SHOWN = "The mean outcomes of the two versions of the A/B test are shown at its horizon, and not before."


def render_performance(model: ModelSpec, day: date, verdict: PerformanceVerdict, rows: pl.DataFrame) -> str:
    """The page of a report, self-contained; `rows` are the predictions with their outcomes."""
    names = {
        "title": model.title,
        "model": model.name,
        "dataset": model.dataset.name,
        "unit": model.dataset.calendar.unit,
        "delay": model.label.horizon_days + model.label.delay_days,
    }
    is_refuted = newest_refuted(verdict.estimated_weeks, model) is not None
    return render(
        Page(
            title=f"{model.title}: performance, {_period(verdict, day)}",
            verdict=_verdict(verdict, names, is_refuted=is_refuted),
            sections=[
                Section("What to do", _advice(model, verdict, is_refuted=is_refuted).format(**names)),
                *_metrics(model, verdict, rows),
                *ab_test_section.render_ab_test(model, verdict.ab_test),
                *render_shadow(model, verdict.shadow, is_tested=_is_split(verdict)),
                *estimate_page.render_estimates(model, verdict),
                *_plots(model, verdict, rows),
                *_by_version(verdict, rows),
            ],
            facts=_facts(model, verdict),
        )
    )


def _verdict(verdict: PerformanceVerdict, names: Mapping[str, object], *, is_refuted: bool) -> Verdict:
    """What is measured; what is or was estimated wrongly is worth a look where nobody has to act anyway.

    `is_refuted`: whether the newest week whose outcomes are known did worse than its scores promised.
    """
    status, headline, reason = _STATUS[verdict.verdict], _HEADLINE[verdict.verdict], verdict.reason
    found = [estimate_page.REFUTED] if is_refuted else []
    if _is_estimated_worse(verdict):
        found.append(estimate_page.HEADLINE)
        reason = f"{reason} {estimate_page.WORSE}"
    if found and status in ("good", "neutral"):
        status = "warning"
    if found and verdict.verdict == "as expected":
        headline = found[0]
    return Verdict(status, headline.format(**names), reason)


def _advice(model: ModelSpec, verdict: PerformanceVerdict, *, is_refuted: bool) -> str:
    """What to do; nothing only where no part of the report asks for anything."""
    estimated = estimate_page.ADVICE if is_refuted or _is_estimated_worse(verdict) else ""
    further = [text for text in (estimated, ab_test_section.advice(model, verdict.ab_test)) if text]
    measured = [] if verdict.verdict == "as expected" and further else [_ADVICE[verdict.verdict]]
    return " ".join([*measured, *further])


def _is_split(verdict: PerformanceVerdict) -> bool:
    """Whether an A/B test runs."""
    return verdict.ab_test is not None and not verdict.ab_test.has_ended


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
    both = f" {_BOTH_ARMS}" if verdict.ab_test else ""
    return [Section("Metrics", f"{_METRICS} {_mean(outcomes['label']):.4g}.{both}", table=table)]


def _plots(model: ModelSpec, verdict: PerformanceVerdict, rows: pl.DataFrame) -> list[Section]:
    if not verdict.measures:
        return []
    task = task_of(model)
    figures = task.draw(
        rows.rename({"score": "candidate_score"}), who="published", where="as outcomes became known"
    )
    return [Section(*task.plots[name], figure=charts.to_svg(figure)) for name, figure in figures.items()]


def _by_version(verdict: PerformanceVerdict, rows: pl.DataFrame) -> list[Section]:
    if rows.is_empty():
        return []
    test = verdict.ab_test
    hidden = {test.champion, test.challenger} if test and test.verdict == "running" else set()
    parts = sorted(rows.partition_by("model_version", as_dict=True).items())
    table = Table(
        ["version", "from", "to", "rows", "mean score", "mean outcome"],
        [_version_row(of, is_hidden=version in hidden) for (version,), of in parts],
    )
    text = "Which version made the predictions that are judged."
    return [Section("By version", f"{text} {_NOT_SHOWN}" if hidden else text, table=table)]


def _version_row(rows: pl.DataFrame, *, is_hidden: bool) -> list[Cell]:
    first, last = str(rows["dt"].min()), str(rows["dt"].max())
    version, outcome = str(rows["model_version"][0]), None if is_hidden else _mean(rows["label"])
    return [version, first, last, rows.height, _mean(rows["score"]), outcome]


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
