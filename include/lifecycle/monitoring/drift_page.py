"""The drift report as a page: the verdict, what to do, and charts of what moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from include.lifecycle.monitoring.drift_methods import method_name
from include.lifecycle.reporting.distribution_chart import distribution, label, shares
from include.lifecycle.reporting.pages import Cell, Page, Section, Status, Table, Verdict, percent, render
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from include.lifecycle.monitoring.drift_samples import Samples
    from include.lifecycle.monitoring.drift_verdict import ColumnDrift, DriftVerdict
    from include.lifecycle.monitoring.reference import Reference

Sides = tuple[pl.Series, pl.Series]
"""A column's values in the reference and in the window."""

_STATUS: dict[str, Status] = {"drift": "bad", "no drift": "good", "not enough evidence": "neutral"}
_HEADLINE = {
    "drift": "{title} has drifted from its training",
    "no drift": "{title} shows no drift",
    "not enough evidence": "{title}: not enough evidence yet",
}
_ADVICE = {
    "drift": (
        "Find out whether the world or the data changed. New gaps, new categories or another unit point at the "
        "data: fix the source and run {dataset}_etl again for these days. If things really are different now, "
        "run {model}_training, whose gate promotes a new model only if it is better."
    ),
    "features drifted": "Nothing to do. The features that moved are shown below; the scores did not follow them.",
    "no drift": "Nothing to do.",
    "in season": (
        "Nothing to do as long as the performance report is as expected: the same weeks a year ago looked like "
        "this."
    ),
    "days missing": "{runs}, then {model}_monitoring again for this day.",
    "reference too small": (
        "The reference is the holdout of the champion's training: run {model}_training once more labels are known."
    ),
    "too few keys": (
        "Waiting does not help: each key counts once, however many {unit}s the window has, and there are fewer "
        "keys than the {rows} rows that a verdict needs. Lower that number in the drift policy of {model}."
    ),
    "incomplete days": (
        "The window has {keys:,} keys, but not every {unit} has every key: each counts on a single {unit}, and "
        "only {drawn:,} have features on that one. If the source lost rows, fix it and run {dataset}_etl again "
        "for these {unit}s. If keys come and go by nature, let them count on every {unit}, in the drift policy of "
        "{model}."
    ),
    "window not full": "Wait: each further {unit} brings more rows into the window.",
    "window too short": (
        "The window is too short for the {rows} rows that a verdict needs: widen it in the drift policy of "
        "{model}."
    ),
    "too many gaps": (
        "The features have too many gaps to be compared. Fix the source and run {dataset}_etl again for these "
        "days; if the reference has the gaps too, run {model}_training after it."
    ),
    "too few scores": (
        "Wait: only the champion's own scores count, and each further {unit} brings more of them into the window."
    ),
}


def render_drift(
    model: ModelSpec, day: date, reference: Reference, verdict: DriftVerdict, samples: Samples, clipped: Samples
) -> str:
    """The page of a report on the window that ends on `day`, self-contained.

    Figures are those of `samples`, charts those of `clipped`, whose distances were measured.
    """
    window = _window(verdict)
    headline = _HEADLINE[verdict.verdict].format(title=model.title)
    return render(
        Page(
            title=f"{model.title}: drift, {window[0] if window else day} to {day}",
            verdict=Verdict(_STATUS[verdict.verdict], headline, verdict.reason),
            links=_links(verdict),
            sections=[
                Section("What to do", _advice(model, verdict)),
                *_figures(verdict, samples, clipped),
                _all_columns(verdict),
                *_season(verdict),
            ],
            facts=_facts(model, reference, verdict),
        )
    )


def _window(verdict: DriftVerdict) -> list[date]:
    return sorted([*verdict.days, *verdict.missing_days])


def _advice(model: ModelSpec, verdict: DriftVerdict) -> str:
    runs = _runs(model, verdict)
    return _ADVICE[_situation(model, verdict, has_gaps=bool(runs))].format(
        model=model.name,
        dataset=model.dataset.name,
        unit=model.dataset.calendar.unit,
        rows=model.drift.min_rows,
        keys=verdict.keys,
        drawn=verdict.current_rows,
        runs=runs,
    )


def _situation(model: ModelSpec, verdict: DriftVerdict, *, has_gaps: bool) -> str:
    if verdict.is_seasonal:
        return "in season"
    if verdict.verdict == "no drift" and verdict.drifted:
        return "features drifted"
    if verdict.verdict != "not enough evidence":
        return verdict.verdict
    policy = model.drift
    if min(verdict.reference_rows, verdict.score.reference_rows) < policy.min_rows:
        return "reference too small"
    if verdict.keys is not None:
        return "too few keys" if verdict.keys < policy.min_rows else "incomplete days"
    if has_gaps:
        return "days missing"
    if verdict.current_rows < policy.min_rows:
        return "window not full" if verdict.missing_days else "window too short"
    is_compared = any(column.distance is not None or column.drifted for column in verdict.columns.values())
    return "too few scores" if is_compared else "too many gaps"


def _runs(model: ModelSpec, verdict: DriftVerdict) -> str:
    """Which DAGs to run for the days that are missing between the first that is there and the last with features.

    The source may not have the days after that one yet.
    """
    window, missing = _window(verdict), {}
    last = verdict.days[-1] if verdict.days else date.max
    for dag, days in (
        (f"{model.dataset.name}_etl", verdict.days),
        (f"{model.name}_scoring", verdict.predicted_days),
    ):
        first = days[0] if days else date.min
        gaps = [day for day in _without(days, window) if first <= day <= last]
        if gaps:
            missing[dag] = f"{dag} for {_ranges(gaps, window)}"
    return f"Run {' and '.join(missing.values())}" if missing else ""


def _without(days: Sequence[date], window: Sequence[date]) -> list[date]:
    return [day for day in window if day not in days]


def _links(verdict: DriftVerdict) -> dict[str, str]:
    compared = [column for column in (verdict.score, *verdict.columns.values()) if column.distance is not None]
    return {"Evidently's full report": "evidently.html"} if compared else {}


def _figures(verdict: DriftVerdict, samples: Samples, clipped: Samples) -> list[Section]:
    shown = {"score": verdict.score} | {name: verdict.columns[name] for name in verdict.drifted}
    return [
        _figure(name, column, _values(samples, name), _values(clipped, name)) for name, column in shown.items()
    ]


def _values(samples: Samples, name: str) -> Sides:
    return samples.reference[name].drop_nulls(), samples.current[name].drop_nulls()


def _figure(name: str, column: ColumnDrift, values: Sides, drawn: Sides) -> Section:
    has_gaps = column.null_rate_reference or column.null_rate_current
    before, now = 1 - column.null_rate_reference, 1 - column.null_rate_current
    what = "score of this version" if name == "score" else "value"
    filled = (
        f"{percent(before, 1)} of the rows in the reference and {percent(now, 1)} in the window have a {what}."
    )
    gaps = filled if has_gaps else ""
    if column.distance is None:
        return Section(name, f"There are too few values to compare. {gaps}")
    side = "beyond" if column.exceeded else "within"
    distance = f"The {method_name(column.method)} distance {column.distance:.3f}"
    measured = f"{distance} is {side} the limit of {column.threshold:g}."
    text = " ".join(filter(None, [_change(*values), _unknown(column, values[0]), measured, gaps]))
    return Section(name, text, figure=distribution(name, *drawn))


def _unknown(column: ColumnDrift, reference: pl.Series) -> str:
    if not column.outside:
        return ""
    share = percent(column.outside)
    if not reference.dtype.is_numeric():
        return f"{share} of the window's values are categories that the reference does not have."
    low, high = float(reference.to_numpy().min()), float(reference.to_numpy().max())
    return f"{share} of the window's values lie outside the reference's range, {low:,.4g} to {high:,.4g}."


def _change(reference: pl.Series, current: pl.Series) -> str:
    if reference.dtype.is_numeric():
        before, now = (float(side.to_numpy().mean()) for side in (reference, current))
        return f"The mean went from {before:,.4g} to {now:,.4g}."
    parts, parts_now = shares(reference), shares(current)
    most = max(sorted(parts | parts_now), key=lambda value: abs(parts_now.get(value, 0) - parts.get(value, 0)))
    share, share_now = (percent(side.get(most, 0), 1) for side in (parts, parts_now))
    return f"“{label(most)}” went from {share} to {share_now}."


def _all_columns(verdict: DriftVerdict) -> Section:
    columns = {"score": verdict.score, **verdict.columns}
    drifted = ["score"] * verdict.score.drifted + verdict.drifted
    rows = [_row(name, columns[name]) for name in [*drifted, *(name for name in columns if name not in drifted)]]
    header = ["column", "drifted", "distance", "limit", "outside the reference", "missing before", "missing now"]
    text = "Those that drifted come first." if drifted else "No column drifted."
    return Section("All columns", text, table=Table(header, rows))


def _season(verdict: DriftVerdict) -> list[Section]:
    """How far each column lies from the same weeks a year ago, if that was asked for."""
    season = verdict.season
    if season is None:
        return []
    columns = {"score": season.score, **season.columns}
    rows: list[list[Cell]] = [
        [
            name,
            "too few values" if column.distance is None else "yes" if column.exceeded else "no",
            None if column.distance is None else f"{column.distance:.3f}",
            f"{column.threshold:g}",
            percent(column.null_rate_reference, 1),
            percent(column.null_rate_current, 1),
        ]
        for name, column in columns.items()
    ]
    text = (
        f"The window beside {season.rows:,} rows of {season.days[0]} to {season.days[-1]}. Their scores are those "
        "published then, by the versions of then. What lies within the limits here is the season's doing."
    )
    header = ["column", "beyond the limit", "distance", "limit", "missing then", "missing now"]
    return [Section("The same weeks a year ago", text, table=Table(header, rows))]


def _row(name: str, column: ColumnDrift) -> list[Cell]:
    return [
        name,
        "yes" if column.drifted else "too few values" if column.distance is None else "no",
        None if column.distance is None else f"{column.distance:.3f}",
        f"{column.threshold:g}",
        percent(column.outside, 1),
        percent(column.null_rate_reference, 1),
        percent(column.null_rate_current, 1),
    ]


def _facts(model: ModelSpec, reference: Reference, verdict: DriftVerdict) -> dict[str, str]:
    policy, window = model.drift, _window(verdict)
    numeric, categorical = method_name(policy.numeric_method), method_name(policy.categorical_method)
    units = f"of {len(window)} {model.dataset.calendar.unit}s"
    is_filling = verdict.days and all(day < verdict.days[0] for day in verdict.missing_days)
    so_far = " so far" if verdict.missing_days and is_filling else ""
    return {
        "Compared": f"{len(verdict.days)} {units}{so_far}: {_ranges(verdict.days, window)}",
        "Without features": _ranges(verdict.missing_days, window),
        "With the champion's scores": f"{len(verdict.scored_days)} {units}{so_far}",
        "Without the champion's scores": _ranges(_without(verdict.scored_days, window), window),
        "Rows drawn": f"{verdict.current_rows:,} from the window, {verdict.reference_rows:,} from the reference",
        "Champion": f"{model.name}, version {reference.model_version}",
        "Reference": f"holdout of its training of {reference.day}",
        "Numbers": f"{numeric} distance, cut off at the reference's 0.1 and 99.9 % quantiles",
        "Categories": f"{categorical} distance",
        "Missing values": f"drift where their share changes by more than {policy.max_null_change * 100:g} points",
    }


def _ranges(days: Sequence[date], window: Sequence[date]) -> str:
    """Days of a window as ranges of those that follow each other in it."""
    places = enumerate(window.index(day) for day in days)
    runs = [[window[place] for _, place in run] for _, run in groupby(places, key=lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs) or "none"
