"""A dataset and its models taken through all stages on a sample, without Airflow: what `make check-data` shows."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from include.checks.datasets import assert_point_in_time, assert_regrouping_changes_nothing
from include.checks.models import (
    assert_behaviour_can_be_tested,
    assert_can_be_stored,
    assert_decisions_fit,
    assert_labels_fit,
    assert_naive_forecast_fits,
)
from include.lifecycle.failures import one_line
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.drift_samples import Samples, clip, tidy
from include.lifecycle.monitoring.evidently_comparison import compare
from include.lifecycle.specs import DatasetSpec, ModelSpec, Source
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.snapshots import matured_days, spaced_days, split
from include.lifecycle.training.training_set import refuse_missing_columns

MOST_DAYS, MOST_ROWS = 400, 200_000
_MOST_NAMED = 5
_REGROUPED_DAYS = 5
_OWN_CODE = ("/include/datasets/", "/include/models/")
_RUN = RunInfo("check-data", datetime(2000, 1, 1, tzinfo=UTC), "check")


@dataclass(frozen=True)
class Finding:
    """What a step found, in a sentence, and whether that is as it should be."""

    step: str
    text: str
    is_good: bool = True


@dataclass(frozen=True)
class _Sample:
    """The days that were taken through the stages, and the folder for what is read of them."""

    dataset: DatasetSpec
    lake: Lake
    days: Sequence[date]
    scratch: Path

    def rows(self, table: str, days: Sequence[date]) -> pl.LazyFrame:
        """Clean rows of those of the days that have some."""
        spec, found = self.dataset.table(table), self.lake.days(self.dataset.clean(table))
        wanted = sorted(set(days) & set(found))
        if not wanted:
            return pl.LazyFrame(schema={**spec.columns, "dt": pl.Date})
        return self.lake.scan(self.dataset.clean(table), wanted, self.scratch).collect().lazy()

    def features(self, days: Sequence[date]) -> pl.DataFrame:
        """Features of the days, with `dt`."""
        return self.lake.scan(self.dataset.features_prefix, days, self.scratch).collect()


def walk(
    dataset: DatasetSpec, models: Sequence[ModelSpec], source: Source, lake: Lake, scratch: Path
) -> Iterator[Finding]:
    """What each step finds, one after the other; a step that fails ends the way, and says what to change."""
    sample = _Sample(dataset, lake, [], scratch)
    stages: tuple[tuple[str, Callable[[_Sample], tuple[Finding, _Sample]]], ...] = (
        ("source", partial(_extracted, source)),
        ("validation", _validated),
        ("features", _with_features),
    )
    for name, stage in stages:
        try:
            finding, sample = stage(sample)
        except Exception as error:
            yield Finding(name, _explained(error), is_good=False)
            return
        yield finding
        if not sample.days:
            return
    yield _checked("point in time", partial(_point_in_time, sample))
    yield _checked("regrouping", partial(_regrouping, sample))
    for model in models:
        yield from _model(model, sample)


def _checked(step: str, check: Callable[[], str]) -> Finding:
    """What a check says; where it fails, its error."""
    try:
        return Finding(step, check())
    except Exception as error:
        return Finding(step, _explained(error), is_good=False)


def _explained(error: Exception) -> str:
    """An error's sentence, and where in the dataset's or model's own code it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(folder in frame.filename for folder in _OWN_CODE)]
    where = ""
    if own:
        file = Path(own[-1].filename)
        where = f" ({file.parent.name}/{file.name}, line {own[-1].lineno})"
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{kind}{one_line(error)}{where}."


def _extracted(source: Source, sample: _Sample) -> tuple[Finding, _Sample]:
    """The newest days of the source, as many as the sample takes."""
    dataset = sample.dataset
    days = [day for day in source.days() if day >= dataset.first_day]
    if not days:
        raise ValueError(f"The source has no day since `first_day`, {dataset.first_day}; correct either")
    rows, taken, faults = 0, list[date](), list[str](source.faults())
    for day in reversed(days[-MOST_DAYS:]):
        extracted = extract(dataset, sample.lake, source, [day], _RUN)
        faults += [f"{day}: {table} {why}." for table, why in extracted.faults.get(day, {}).items()]
        taken.append(day)
        rows += sum(_rows_of(sample.lake, dataset, table.name, day) for table in dataset.tables)
        if rows >= MOST_ROWS:
            break
    gaps = len(dataset.calendar.days(days[0], days[-1])) - len(days)
    missing = f", {gaps:,} days of the calendar missing" if gaps else ""
    text = (
        f"{len(days):,} days, {days[0]} to {days[-1]}{missing}; the sample is the newest {len(taken):,} of them "
        f"with {rows:,} rows."
    )
    found = Finding("source", f"{text} {_some(faults)}".strip(), not faults)
    return found, _Sample(dataset, sample.lake, sorted(taken), sample.scratch)


def _rows_of(lake: Lake, dataset: DatasetSpec, table: str, day: date) -> int:
    if not lake.has_manifest(dataset.raw(table), day):
        return 0
    return sum(file.rows or 0 for file in lake.manifest(dataset.raw(table), day).files)


def _validated(sample: _Sample) -> tuple[Finding, _Sample]:
    """The verdict of each day; the accepted ones go on."""
    verdicts = validate(sample.dataset, sample.lake, sample.days, _RUN)
    accepted = [verdict.day for verdict in verdicts if verdict.accepted]
    rejected = [f"{verdict.day}: {' '.join(verdict.problems)}" for verdict in verdicts if not verdict.accepted]
    text = f"{len(accepted):,} of {len(verdicts):,} days accepted. {_quarantined(verdicts)}"
    advice = f" {_some(rejected)} Correct the source, or the table's limits and rules." if rejected else ""
    kept = _Sample(sample.dataset, sample.lake, accepted, sample.scratch)
    return Finding("validation", text + advice, not rejected), kept


def _quarantined(verdicts: Sequence[DayVerdict]) -> str:
    rules: dict[str, int] = {}
    for verdict in verdicts:
        for table in verdict.tables.values():
            for rule, count in table.rules.items():
                rules[rule] = rules.get(rule, 0) + count
    if not rules:
        return "No row broke a rule."
    return f"Rows in quarantine, by rule: {', '.join(f'{rule} {count:,}' for rule, count in rules.items())}."


def _with_features(sample: _Sample) -> tuple[Finding, _Sample]:
    build_features(sample.dataset, sample.lake, sample.days, _RUN)
    return found_in(sample.features(sample.days)), sample


def found_in(features: pl.DataFrame) -> Finding:
    """How many features there are, and which of them never have a value."""
    missing = features.null_count().sum_horizontal().item() / max(features.height * features.width, 1)
    text = (
        f"{features.height:,} rows of {features.width - 1} columns; {_share(1 - missing)} of the values are there."
    )
    if empty := [column.name for column in features if column.null_count() == features.height]:
        text += f" Never a value: {', '.join(empty)}. Does it look back further than `history_days`?"
    return Finding("features", text)


def _share(share: float) -> str:
    """A share in per cent, rounded down, so that only all is 100 %."""
    return f"{math.floor(1000 * share) / 10:g} %"


def _point_in_time(sample: _Sample) -> str:
    day = sample.days[len(sample.days) // 2]
    assert_point_in_time(sample.dataset, day, _all_tables(sample))
    return f"Neither later rows, nor older ones than `history_days`, nor their order change the features of {day}."


def _regrouping(sample: _Sample) -> str:
    days = sample.days[-_REGROUPED_DAYS:]
    assert_regrouping_changes_nothing(sample.dataset, days, _all_tables(sample))
    return "A day's features are the same bytes alone and with others."


def _all_tables(sample: _Sample) -> dict[str, pl.LazyFrame]:
    return {table.name: sample.rows(table.name, sample.days) for table in sample.dataset.tables}


def _model(model: ModelSpec, sample: _Sample) -> Iterator[Finding]:
    """What labels, candidates, decisions and drift of a model are on the sample."""
    try:
        rows = _labelled(model, sample)
    except Exception as error:
        yield Finding(f"{model.name}: labels", _explained(error), is_good=False)
        return
    mean = float(rows["label"].cast(pl.Float64).to_numpy().mean())
    yield Finding(f"{model.name}: labels", f"{rows.height:,} rows to learn from; the mean label is {mean:.4g}.")
    split_found = _checked(f"{model.name}: split", partial(_split, model, rows))
    yield split_found
    # What the split finds too little of, nothing can be fitted to.
    if split_found.is_good:
        yield _checked(f"{model.name}: candidates", partial(_candidates, model, rows))
    yield _checked(f"{model.name}: decisions", partial(_decisions, model, rows))
    if model.behaviour and split_found.is_good:
        yield _checked(f"{model.name}: behaviour", partial(_behaviour, model, rows))
    yield _checked(f"{model.name}: drift", partial(_drift, model, rows))


def _labelled(model: ModelSpec, sample: _Sample) -> pl.DataFrame:
    """Features and labels of the snapshot days that have matured."""
    outcome_days = sample.lake.days(model.dataset.clean(model.label.table))
    matured = matured_days(sample.days, outcome_days, date.max, model.matures_on)
    days = spaced_days(matured, model.split.snapshot_every_days)
    assert days, (
        f"No day of the sample has a label: it is known {model.label.horizon_days + model.label.delay_days} days "
        "after the features. Give a longer history, or a shorter `horizon_days`."
    )
    outcomes = sample.rows(model.label.table, outcome_days)
    frames = []
    for day in days:
        features = sample.features([day])
        refuse_missing_columns(model, features)
        window = model.label_window(day, outcome_days)
        labels = assert_labels_fit(model, day, features, outcomes.filter(pl.col("dt").is_in(window)))
        frames.append(features.join(labels, on=list(model.dataset.key)))
    rows = pl.concat(frames, how="vertical_relaxed")
    assert rows.height, (
        f"None of the sample's {len(days)} days has a row with a label; look at what `label.make` leaves out, or "
        "give more rows."
    )
    return rows


def _split(model: ModelSpec, rows: pl.DataFrame) -> str:
    parts = split(rows["dt"].unique().to_list(), model)
    shortfall = task_of(model).label_shortfall(rows["label"])
    assert not shortfall, f"The labels have {shortfall}; give more days or more rows."
    return (
        f"{len(parts.holdout.days)} of {rows['dt'].n_unique()} snapshots judge, separated by {parts.by}; a "
        f"training takes those of its last {model.split.look_back_days} days (`look_back_days`)."
    )


def _candidates(model: ModelSpec, rows: pl.DataFrame) -> str:
    assert_naive_forecast_fits(model, rows)
    few = rows.sample(min(rows.height, 500), seed=7)
    assert_can_be_stored(model, few if not task_of(model).label_shortfall(few["label"]) else rows)
    names = ", ".join(candidate.name for candidate in model.candidates())
    return f"{names} and the baseline were fitted, stored and loaded."


def _decisions(model: ModelSpec, rows: pl.DataFrame) -> str:
    decided = assert_decisions_fit(model, rows)
    example = ", ".join(f"{name} {_shown(value)}" for name, value in decided.row(0, named=True).items())
    return f"`decide` adds {', '.join(decided.columns)}; e.g. {example}."


def _behaviour(model: ModelSpec, rows: pl.DataFrame) -> str:
    found = assert_behaviour_can_be_tested(model, rows)
    failed = [
        f"{candidate} fails {result.name!r}: {result.asked} {result.measured} {result.example}".strip()
        for candidate, results in found.items()
        for result in results
        if not result.passed
    ]
    assert not failed, f"{_some(failed)} Constrain the estimator, or correct the test"
    names = ", ".join(test.name for test in model.behaviour)
    return f"{', '.join(found)} pass every test after a fit without a search: {names}."


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _drift(model: ModelSpec, rows: pl.DataFrame) -> str:
    """The newer half of the rows against the older one."""
    tidied = tidy(rows.sort("dt").lazy(), model.numeric, model.categorical).collect()
    middle = tidied.height // 2
    samples = clip(Samples(tidied[:middle], tidied[middle:]), model.numeric)
    policy = model.drift.model_copy(update={"min_rows": min(model.drift.min_rows, max(middle, 1))})
    drifted = [
        name
        for name, column in compare(samples, model.numeric, model.categorical, policy).columns.items()
        if column.exceeded
    ]
    found = f"these drift: {', '.join(drifted)}" if drifted else "nothing drifts"
    return f"Between the halves of the sample, {found}."


def _some(sentences: Sequence[str]) -> str:
    more = f" … and {len(sentences) - _MOST_NAMED} more." if len(sentences) > _MOST_NAMED else ""
    return " ".join(sentences[:_MOST_NAMED]) + more
