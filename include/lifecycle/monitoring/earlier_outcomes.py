"""What an earlier report of performance found, for the days of which nothing has been written since."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from include.lifecycle.monitoring.performance_verdict import KIND
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Pinned, RunInfo, partition
from include.lifecycle.storage.manifests import UNKNOWN_VERSION, CorruptFileError
from include.lifecycle.training.labels import Windows

log = logging.getLogger(__name__)

OUTCOMES = "outcomes.parquet"

_RECENT = timedelta(days=35)
"""An older report is not carried on."""


@dataclass(frozen=True)
class EarlierOutcomes:
    """Days whose outcomes an earlier report has, and path and digest of what they were made of.

    `rows` are those of each day that has any.
    """

    days: tuple[date, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[date, pl.DataFrame] = field(default_factory=dict)


def find(
    model: ModelSpec, lake: Lake, day: date, windows: Windows, reference: Pinned, run: RunInfo
) -> EarlierOutcomes:
    """Those of the days of `windows` that the newest report before `day` has as they would be found now.

    That report was made by the same code beside the same baseline, its outcomes can be read, and features,
    predictions, labels and the outcomes in the day's window were written before it.
    """
    prefix = model.report_prefix(KIND)
    reports = lake.written(prefix, day - _RECENT, day - timedelta(days=1))
    if not windows or not reports or run.code_version == UNKNOWN_VERSION:
        return EarlierOutcomes()
    newest = max(reports)
    made, (before, _) = reports[newest], lake.pin_readable(prefix, [newest])
    manifest = before.manifests.get(newest)
    if manifest is None:
        return EarlierOutcomes()
    if manifest.code_version != run.code_version or not reference.inputs.items() <= manifest.inputs.items():
        return EarlierOutcomes()
    of_a_day = (model.dataset.features_prefix, model.predictions_prefix, model.labels_prefix)
    outcomes = model.dataset.clean(model.label.table)
    first = min(day for window in windows.values() for day in (*windows, *window))
    written = {prefix: lake.written(prefix, first, day) for prefix in (*of_a_day, outcomes)}

    def is_unchanged(other: date) -> bool:
        times = [written[prefix].get(other) for prefix in of_a_day]
        times += [written[outcomes].get(known) for known in windows[other]]
        is_named = all(partition(prefix, other) in manifest.inputs for prefix in of_a_day)
        return is_named and all(time is not None and time < made for time in times)

    days = tuple(other for other in windows if is_unchanged(other))
    rows = _rows(before, newest) if days else None
    if rows is None:
        return EarlierOutcomes()
    paths = [partition(prefix, other) for prefix in of_a_day for other in days]
    inputs = {path: manifest.inputs[path] for path in paths}
    return EarlierOutcomes(days, inputs, {other: rows[other,] for other in days if (other,) in rows})


def _rows(report: Pinned, day: date) -> dict[tuple[Any, ...], pl.DataFrame] | None:
    """The outcomes of a report by their day; None where the file is missing or damaged."""
    with TemporaryDirectory() as folder:
        try:
            [path] = report.download(day, Path(folder), OUTCOMES)
        except CorruptFileError as error:
            log.warning("The report of %s is not carried on: %s", day, error)
            return None
        return pl.read_parquet(path).partition_by("dt", as_dict=True)
