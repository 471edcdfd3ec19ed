"""What an earlier report of performance found, for the days of which nothing has been written since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from include.lifecycle.monitoring.performance_verdict import KIND
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Pinned, RunInfo, partition
from include.lifecycle.storage.manifests import UNKNOWN_VERSION
from include.lifecycle.training.labels import Windows

OUTCOMES = "outcomes.parquet"

_RECENT = timedelta(days=35)
"""An older report is not carried on."""


@dataclass(frozen=True)
class EarlierOutcomes:
    """Days whose outcomes an earlier report has, and path and digest of what they were made of."""

    days: tuple[date, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    report: Pinned | None = None

    def read(self, scratch: Path) -> dict[date, pl.DataFrame]:
        """The rows of each day that has any."""
        if self.report is None:
            return {}
        [path] = self.report.download(self.report.days[0], scratch, OUTCOMES)
        by_day = pl.read_parquet(path).partition_by("dt", as_dict=True)
        return {day: by_day[day,] for day in self.days if (day,) in by_day}


def find(
    model: ModelSpec, lake: Lake, day: date, windows: Windows, reference: Pinned, run: RunInfo
) -> EarlierOutcomes:
    """Those of the days of `windows` that the newest report before `day` has as they would be found now.

    That report is whole, was made by the same code beside the same baseline, and features, predictions, labels and
    the outcomes in the day's window were written before it.
    """
    prefix = model.report_prefix(KIND)
    reports = lake.written(prefix, day - _RECENT, day - timedelta(days=1))
    if not windows or not reports or run.code_version == UNKNOWN_VERSION:
        return EarlierOutcomes()
    newest = max(reports)
    made, (before, _) = reports[newest], lake.pin_readable(prefix, [newest])
    manifest = before.manifests.get(newest)
    if manifest is None or lake.damaged(prefix, newest, manifest):
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
    paths = [partition(prefix, other) for prefix in of_a_day for other in days]
    return EarlierOutcomes(days, {path: manifest.inputs[path] for path in paths}, before if days else None)
