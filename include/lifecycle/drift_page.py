"""The drift report as a page: the verdict, what to do, and pictures of what moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from include.lifecycle.distribution_chart import distribution, label, shares
from include.lifecycle.pages import Cell, Page, Section, Status, Table, Verdict, render
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from include.lifecycle.drift import ColumnDrift, DriftVerdict, Reference, Samples

_STATUS: dict[str, Status] = {"drift": "bad", "no drift": "good", "not enough evidence": "warning"}
_HEADLINE = {
    "drift": "{title} has drifted from its training",
    "no drift": "{title} shows no drift",
    "not enough evidence": "There is not enough evidence on {title}",
}
_ADVICE = {
    "drift": (
        "Find out whether the world or the data changed. New gaps, new categories or another unit point at the "
        "data: mend the source and run {dataset}_etl again for these days. If things really are different now, "
        "run {model}_training, whose gate promotes a new model only if it is better."
    ),
    "no drift": "Nothing. Single features that moved are shown below; the scores do not follow them.",
    "not enough evidence": (
        "Look at the facts for days that are missing. Run {dataset}_etl for days without features and "
        "{model}_scoring for days without scores of the champion, then run {model}_monitoring again for this day."
    ),
}


def render_drift(
    model: ModelSpec, day: date, reference: Reference, verdict: DriftVerdict, samples: Samples
) -> str:
    """The page of a report, self-contained; `samples` are those that were compared, clipped."""
    names = {"title": model.title, "model": model.name, "dataset": model.dataset.name}
    return render(
        Page(
            title=f"{model.title}: drift, {day}",
            verdict=Verdict(_STATUS[verdict.verdict], _HEADLINE[verdict.verdict].format(**names), verdict.reason),
            links=_links(verdict),
            sections=[
                Section("What to do", _ADVICE[verdict.verdict].format(**names)),
                *_figures(verdict, samples),
                _all_columns(verdict),
            ],
            facts=_facts(model, reference, verdict),
        )
    )


def _links(verdict: DriftVerdict) -> dict[str, str]:
    compared = [column for column in (verdict.score, *verdict.columns.values()) if column.distance is not None]
    return {"Evidently's full report": "evidently.html"} if compared else {}


def _figures(verdict: DriftVerdict, samples: Samples) -> list[Section]:
    shown = {"score": verdict.score} | {name: verdict.columns[name] for name in verdict.drifted}
    return [_figure(name, column, samples) for name, column in shown.items()]


def _figure(name: str, column: ColumnDrift, samples: Samples) -> Section:
    sides = samples.reference[name].drop_nulls(), samples.current[name].drop_nulls()
    rates = f"{column.null_rate_reference:.1%} of the reference and {column.null_rate_current:.1%} of the window"
    missing = (
        f"On days with predictions, this version has not scored {rates}."
        if name == "score"
        else f"Missing are {rates}."
    )
    if column.distance is None:
        return Section(name, f"Too few values to compare. {missing}")
    side = "beyond" if column.exceeded else "within"
    measured = f"The {column.method} distance {column.distance:.3f} is {side} the limit of {column.threshold:g}."
    gaps = missing if column.null_rate_reference or column.null_rate_current else ""
    return Section(name, f"{_change(*sides)} {measured} {gaps}", figure=distribution(name, *sides))


def _change(reference: pl.Series, current: pl.Series) -> str:
    if reference.dtype.is_numeric():
        before, now = (float(side.to_numpy().mean()) for side in (reference, current))
        return f"The mean went from {before:,.4g} to {now:,.4g}."
    parts, parts_now = shares(reference), shares(current)
    most = max(sorted(parts | parts_now), key=lambda value: abs(parts_now.get(value, 0) - parts.get(value, 0)))
    return f"“{label(most)}” went from {parts.get(most, 0):.1%} to {parts_now.get(most, 0):.1%}."


def _all_columns(verdict: DriftVerdict) -> Section:
    columns = {"score": verdict.score, **verdict.columns}
    order = ["score", *verdict.drifted, *(name for name in verdict.columns if name not in verdict.drifted)]
    rows = [_row(name, columns[name]) for name in order]
    header = ["column", "drifted", "distance", "limit", "missing before", "missing now"]
    return Section("All columns", "Those that drifted come first.", table=Table(header, rows))


def _row(name: str, column: ColumnDrift) -> list[Cell]:
    return [
        name,
        "yes" if column.drifted else "no",
        None if column.distance is None else f"{column.distance:.3f}",
        f"{column.threshold:g}",
        f"{column.null_rate_reference:.1%}",
        f"{column.null_rate_current:.1%}",
    ]


def _facts(model: ModelSpec, reference: Reference, verdict: DriftVerdict) -> dict[str, str]:
    policy, days = model.drift, len(verdict.days) + len(verdict.missing_days)
    return {
        "Days compared": f"{len(verdict.days)} of {days}: {_days(verdict.days)}",
        "Days without features": _days(verdict.missing_days),
        "Days with scores": f"{len(verdict.scored_days)} of {days}",
        "Rows drawn": f"{verdict.current_rows:,} from the window, {verdict.reference_rows:,} from the reference",
        "Champion": f"{model.name}, version {reference.model_version}",
        "Reference": f"holdout of its training of {reference.day}",
        "Numbers": f"{policy.numeric_method} distance, cut off at the reference's 0.1 and 99.9 % quantiles",
        "Categories": f"{policy.categorical_method} distance",
        "Missing values": f"drift where their share changes by more than {policy.max_null_change * 100:g} points",
    }


def _days(days: Sequence[date]) -> str:
    return ", ".join(map(str, days)) or "none"
