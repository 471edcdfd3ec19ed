"""Performance before outcomes are known: estimated from the scores of a week, and compared with it later.

Each report of performance estimates the week that ends on its day. Later reports read what was published then, and
set what was measured beside it once the outcomes are known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from pydantic import ValidationError

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.champion import Champion
from include.lifecycle.monitoring.estimate_verdict import (
    EstimatedWeek,
    EstimateEvidence,
    EstimateVerdict,
    compare,
    decide,
)
from include.lifecycle.monitoring.performance_verdict import KIND, VERDICT, PerformanceVerdict
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LakeError, Pinned

log = logging.getLogger(__name__)

WINDOW = timedelta(days=7)
_COLUMNS = {
    "model": pl.String,
    "dt": pl.Date,
    "measure": pl.String,
    "value": pl.Float64,
    "lower_bound": pl.Float64,
    "upper_bound": pl.Float64,
    "baseline_value": pl.Float64,
    "realised_value": pl.Float64,
    "rows": pl.Int64,
}


@dataclass(frozen=True)
class Estimates:
    """What is estimated of the last week, what each report estimated, and what was read for both.

    Attributes
    ----------
    weeks : beside what became of them; by the day of the report, oldest first, with the present one as the last.
    inputs : path and manifest digest.
    """

    verdict: EstimateVerdict
    weeks: tuple[EstimatedWeek, ...]
    inputs: Mapping[str, str]


def look(lake: Lake, day: date, champion: Champion, outcomes: pl.DataFrame) -> Estimates:
    """Estimate the week that ends on `day`, and compare the weeks of earlier reports with `outcomes`.

    Only the champion's predictions are estimated, as those of other versions do not compare with its holdout, and
    only those whose outcomes are not known by the end of `day`. A week is compared once all of its days have
    outcomes of predictions by the version that was estimated. A report that cannot be read is left out.

    Raises
    ------
    NoSuchFileError
        If the champion's training left no holdout.
    """
    model = champion.model
    features, predictions = _pin_window(model, lake, day)
    verdict = decide(_evidence(champion, features, predictions), model)
    reports = _pin_earlier(model, lake, day)
    published = {reported: found for reported in reports.days if (found := _published(reports, reported))}
    weeks = [_week(model, *week, outcomes) for week in [*published.items(), (day, verdict)]]
    return Estimates(
        verdict,
        tuple(week for week in weeks if week),
        {**features.inputs, **predictions.inputs, **reports.only(published).inputs},
    )


def warehouse_rows(model: ModelSpec, weeks: Sequence[EstimatedWeek]) -> pl.DataFrame:
    """A row for each metric of each week, as `estimated_<metric>` of the day of the report that published it."""
    rows = [
        {
            "model": model.name,
            "dt": week.reported,
            "measure": f"estimated_{name}",
            "value": found.value,
            "lower_bound": found.lower_bound,
            "upper_bound": found.upper_bound,
            "baseline_value": found.baseline,
            "realised_value": found.realised,
            "rows": week.rows,
        }
        for week in weeks
        for name, found in week.metrics.items()
    ]
    return pl.DataFrame(rows, schema=_COLUMNS)


def _pin_window(model: ModelSpec, lake: Lake, day: date) -> tuple[Pinned, Pinned]:
    """Features and predictions of those days of the week that have both, and whose outcomes are not known yet."""
    first = day - WINDOW + timedelta(1)
    scored = [other for other in lake.days(model.predictions_prefix, first, day) if model.matures_on(other) > day]
    features = set(lake.days(model.dataset.features_prefix, first, day)) if scored else set()
    days = [other for other in scored if other in features]
    return lake.pin(model.dataset.features_prefix, days), lake.pin(model.predictions_prefix, days)


def _evidence(champion: Champion, features: Pinned, predictions: Pinned) -> EstimateEvidence:
    model, version = champion.model, champion.reference.model_version
    further = [model.interval.scale] if model.interval else []
    read = (champion.read_scores(features, predictions, day, *further) for day in predictions.days)
    found = [rows for frame in read if (rows := _of_version(frame, version)).height]
    evidence = EstimateEvidence(
        days=tuple(rows["dt"][0] for rows in found),
        model_version=version,
        rows=sum(rows.height for rows in found),
        shortage=None,
        estimate=None,
    )
    if not found:
        return evidence
    task = task_of(model)
    window, holdout = pl.concat(found, how="diagonal_relaxed").rechunk(), champion.read_holdout()
    shortage = task.estimate_shortfall(window, holdout)
    estimate = None if shortage else task.estimate(window, holdout)
    return evidence.model_copy(update={"shortage": shortage, "estimate": estimate})


def _of_version(rows: pl.DataFrame, version: int) -> pl.DataFrame:
    return rows.filter(pl.col("model_version") == version)


def _pin_earlier(model: ModelSpec, lake: Lake, day: date) -> Pinned:
    """The reports before `day` whose week lies within `drift.outcome_days`, as far as they can be read."""
    prefix = model.report_prefix(KIND)
    since = day - timedelta(model.drift.outcome_days) + WINDOW
    return lake.pin_readable(prefix, lake.days(prefix, since, day - timedelta(1)))[0]


def _published(reports: Pinned, reported: date) -> EstimateVerdict | None:
    """What a report estimated, or None where it estimated nothing or cannot be read."""
    try:
        return PerformanceVerdict.model_validate(reports.read_json(reported, VERDICT)).estimated
    except (LakeError, ValidationError) as error:
        log.warning("The estimates of the report of %s are left out: %s", reported, error)
        return None


def _week(
    model: ModelSpec, reported: date, found: EstimateVerdict, outcomes: pl.DataFrame
) -> EstimatedWeek | None:
    if outcomes.is_empty():
        return compare(reported, found, {}, 0)
    rows = _of_version(outcomes.filter(pl.col("dt").is_in(found.days)), found.model_version)
    are_all_known = set(rows["dt"]) == set(found.days)
    return compare(reported, found, task_of(model).observed(rows) if are_all_known else {}, rows.height)
