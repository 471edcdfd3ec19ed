"""The clean tables that features are made of, each partition pinned to the manifest that it is read by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.specs import DatasetSpec, TableSpec
from include.lifecycle.storage.lake import Lake, Pinned, partition


@dataclass(frozen=True)
class CleanTables:
    """The clean partitions within the histories of some days, as their manifests were at one moment.

    Attributes
    ----------
    written : by table, its days that there are, and when the manifest of each was written.
    pinned : by table, its days whose manifest can be read.
    digests : path and digest of all that is pinned.
    faults : by lake path, why a manifest cannot be read.
    """

    dataset: DatasetSpec
    lake: Lake
    written: Mapping[str, Mapping[date, datetime]]
    pinned: Mapping[str, Pinned]
    digests: Mapping[str, str]
    faults: Mapping[str, str]

    @classmethod
    def pin(cls, dataset: DatasetSpec, lake: Lake, days: Sequence[date]) -> CleanTables:
        """Read the manifest of each partition that the features of `days` look at, once."""
        written = _written(dataset, lake, days)
        pinned, digests, faults = dict[str, Pinned](), dict[str, str](), dict[str, str]()
        for table, found in written.items():
            prefix = dataset.clean(table)
            pinned[table], unreadable = lake.pin_readable(prefix, found)
            digests |= pinned[table].inputs
            faults |= {partition(prefix, day): sentence for day, sentence in unreadable.items()}
        return cls(dataset, lake, written, pinned, digests, faults)

    def lacks(self, day: date) -> bool:
        """Whether a day is not clean: a table that no source may lack has no partition of it."""
        return any(day not in self.written[table.name] for table in self.dataset.tables if not table.optional)

    def fault(self, day: date) -> str | None:
        """Why a partition that the features of a day look at cannot be read; None if all can."""
        return next((self.faults[path] for path in self._paths(day) if path in self.faults), None)

    def inputs(self, day: date) -> dict[str, str]:
        """What the features of a day are made of: path and digest of each partition, and the version."""
        found = {path: self.digests[path] for path in self._paths(day) if path in self.digests}
        return found | version_input(self.dataset)

    def scan(self, days: Sequence[date], scratch: Path) -> dict[str, pl.LazyFrame]:
        """By table, the clean rows of `days` and of their histories."""
        return {table.name: self._rows(table, days, scratch) for table in self.dataset.tables}

    def replaced(self, days: Sequence[date]) -> list[date]:
        """Those of `days` that look at a partition which has been written since, or at a new one."""
        now = _written(self.dataset, self.lake, days)
        return [
            day
            for day in days
            if any(
                now[table].get(other) != found.get(other)
                for table, found in self.written.items()
                for other in history(self.dataset, table, day)
            )
        ]

    def _rows(self, table: TableSpec, days: Sequence[date], scratch: Path) -> pl.LazyFrame:
        wanted = {other for day in days for other in history(self.dataset, table.name, day)}
        pinned = self.pinned[table.name]
        found = pinned.only(day for day in pinned.days if day in wanted)
        if not found.days:
            return pl.LazyFrame(schema={**table.columns, "dt": pl.Date})
        rows = found.scan(scratch)
        # What many days look at is read once.
        return rows.collect().lazy() if self.dataset.history_days[table.name] else rows

    def _paths(self, day: date) -> Iterator[str]:
        """Lake paths of all that the features of a day look at, whether it is there or not."""
        for table in self.dataset.tables:
            prefix = self.dataset.clean(table.name)
            yield from (partition(prefix, other) for other in history(self.dataset, table.name, day))


def history(dataset: DatasetSpec, table: str, day: date) -> list[date]:
    """The days of a table that the features of `day` look at, oldest first."""
    return [day - timedelta(days=back) for back in range(dataset.history_days[table], -1, -1)]


def _written(dataset: DatasetSpec, lake: Lake, days: Sequence[date]) -> dict[str, dict[date, datetime]]:
    """By table, the clean days within the histories of `days`, and when each was written."""
    return {table.name: _written_of(dataset, lake, table.name, days) for table in dataset.tables}


def _written_of(dataset: DatasetSpec, lake: Lake, table: str, days: Sequence[date]) -> dict[date, datetime]:
    wanted = {other for day in days for other in history(dataset, table, day)}
    if not wanted:
        return {}
    found = lake.written(dataset.clean(table), min(wanted), max(wanted))
    return {day: written for day, written in found.items() if day in wanted}
