"""What an earlier report of performance found, for the days of which nothing has been replaced since."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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
from include.lifecycle.training.listings import marked_days

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
    model: ModelSpec, lake: Lake, day: date, marks: Mapping[date, str], reference: Pinned, run: RunInfo
) -> EarlierOutcomes:
    """Those of the days of `marks` that the newest report before `day` has as they would be found now.

    That report was made by the same code beside the same baseline, its outcomes can be read, and it has noted the
    same mark of the day: features, predictions, labels and the outcomes in the day's window are still those that
    it was made of.
    """
    prefix = model.report_prefix(KIND)
    newest = lake.days(prefix, day - _RECENT, day - timedelta(days=1))[-1:]
    before, _ = lake.pin_readable(prefix, newest if run.code_version != UNKNOWN_VERSION else [])
    for reported, manifest in before.manifests.items():
        days = marked_days(manifest.inputs, marks)
        is_of_same_code = manifest.code_version == run.code_version
        if days and is_of_same_code and reference.inputs.items() <= manifest.inputs.items():
            return _outcomes(model, before, reported, days)
    return EarlierOutcomes()


def _outcomes(model: ModelSpec, report: Pinned, reported: date, days: Sequence[date]) -> EarlierOutcomes:
    """The outcomes of some days as a report has them; none where they cannot be read."""
    rows = _rows(report, reported)
    if rows is None:
        return EarlierOutcomes()
    of_a_day = (model.dataset.features_prefix, model.predictions_prefix, model.labels_prefix)
    paths = [partition(prefix, day) for prefix in of_a_day for day in days]
    inputs = {path: report.manifests[reported].inputs[path] for path in paths}
    return EarlierOutcomes(tuple(days), inputs, {day: rows[day,] for day in days if (day,) in rows})


def _rows(report: Pinned, day: date) -> dict[tuple[Any, ...], pl.DataFrame] | None:
    """The outcomes of a report by their day; None where the file is missing or damaged."""
    with TemporaryDirectory() as folder:
        try:
            [path] = report.download(day, Path(folder), OUTCOMES)
        except CorruptFileError as error:
            log.warning("The report of %s is not carried on: %s", day, error)
            return None
        return pl.read_parquet(path).partition_by("dt", as_dict=True)
