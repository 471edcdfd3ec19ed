"""From the source to the lake: each table of a day is copied as it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from include.lifecycle.failures import lies_in_a_days_data, one_line
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.ingestion.records import ExtractedDays
from include.lifecycle.specs import DatasetSpec, Extracted, Source
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo

log = logging.getLogger(__name__)


def extract(dataset: DatasetSpec, lake: Lake, source: Source, days: Sequence[date], run: RunInfo) -> ExtractedDays:
    """Copy each of the source's tables as it is into the lake: `raw/<dataset>/<table>/dt=<day>/table.csv`.

    No file is parsed, so none is too broken for it: what cannot be read is for validation to say. The manifest has
    the rows that the source counted, or else the file's lines. Tables that the source lacks are left out. A table
    that the source cannot give for a day is noted as a fault of that day, and stops no other.
    """
    faults: dict[date, dict[str, str]] = {}
    for day in days:
        for table in dataset.tables:
            fault = _extract_table(dataset, lake, source, table.name, day, run)
            if fault is not None:
                faults.setdefault(day, {})[table.name] = fault
    return ExtractedDays(days=tuple(days), faults=faults, source_faults=tuple(source.faults()))


def _extract_table(
    dataset: DatasetSpec, lake: Lake, source: Source, table: str, day: date, run: RunInfo
) -> str | None:
    """Copy a table of a day; returns why that cannot be, to follow the table's name, or None."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "table.csv"
        try:
            extracted = source.extract(table, day, file)
        except Exception as error:
            if not lies_in_a_days_data(error):
                raise
            log.exception("%s of %s could not be extracted.", table, day)
            return f"could not be extracted: {one_line(error)}"
        if extracted is None:
            return _other_source(dataset, lake, table, day)
        _publish_csv(lake, dataset.raw(table), day, file, extracted, run)
        return None


def _publish_csv(lake: Lake, prefix: str, day: date, file: Path, extracted: Extracted, run: RunInfo) -> None:
    counts_rows = extracted.records is not None
    counted = LocalFile(file, extracted.records) if counts_rows else LocalFile(file, lines=count_data_lines(file))
    lake.publish(prefix, day, [counted], run=run)


def _other_source(dataset: DatasetSpec, lake: Lake, table: str, day: date) -> str | None:
    """Why a table that the source lacks is a fault: validation would mix two sources, or two extracts."""
    if not lake.has_manifest(dataset.raw(table), day):
        return None
    return (
        "is not in the source, but the lake has rows of it from an earlier extract; give the day's table back, or "
        "give each source days, or a lake, of its own"
    )
