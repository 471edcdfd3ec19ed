"""From the source to the features: which days to work on, landing them raw, and making features of clean days."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from include.lifecycle.lake import Lake, LakeError, LocalFile, Manifest, RunInfo
from include.lifecycle.specs import DatasetSpec, Source, TableSpec

log = logging.getLogger(__name__)


def plan(
    dataset: DatasetSpec, lake: Lake, source: Source, requested: tuple[date, date] | None, until: date
) -> list[date]:
    """The days to work on, oldest first, none of them after `until`.

    Without a request these are the days that the source has and that lack features: new ones, and those whose run
    was cut short. A day that validation rejected is left alone until somebody asks for it, since the same rows
    would be rejected again. A requested range (both ends included) is redone whatever the lake has.

    Raises
    ------
    ValueError
        If the source has none of the requested days.
    """
    given = [day for day in source.days() if day <= until]
    if requested is None:
        done = set(lake.days(dataset.features_prefix))
        judged = set(lake.days(dataset.validation_prefix))
        return [d for d in given if d not in done and not (d in judged and _is_rejected(dataset, lake, d))]
    first, last = requested
    days = [day for day in given if first <= day <= last]
    if not days:
        raise ValueError(
            f"The source of {dataset.name!r} has no day from {first} to {last}: {_described(given)} "
            "Ask for days among these."
        )
    return days


def chunks(days: Sequence[date], size: int) -> list[list[date]]:
    """`days` in lists of at most `size`, in their order."""
    return [list(days[start : start + size]) for start in range(0, len(days), size)]


def land(dataset: DatasetSpec, lake: Lake, source: Source, day: date, run: RunInfo) -> dict[str, Manifest]:
    """Copy each of the source's tables as it is into the lake: `raw/<dataset>/<table>/dt=<day>/table.csv`.

    Tables that the source lacks are left out of the answer.

    Raises
    ------
    LakeError
        If the source lacks a table of which the lake has this day: validation would mix two sources.
    """
    landed = {}
    with TemporaryDirectory() as scratch:
        for table in dataset.tables:
            file = Path(scratch) / table.name / "table.csv"
            file.parent.mkdir()
            if source.extract(table.name, day, file):
                landed[table.name] = _publish_csv(lake, dataset.raw(table.name), day, file, run)
            else:
                _refuse_other_source(dataset, lake, table.name, day)
    return landed


def build_features(dataset: DatasetSpec, lake: Lake, days: Sequence[date], run: RunInfo) -> list[Manifest]:
    """Make and publish the features of clean days, each from its own rows and those of its history.

    Call it when the histories are as clean as they will be: a day that the lake lacks is passed over, and `inputs`
    in the manifest name the partitions that were used. Only `days` are built. A warning names the later days whose
    features had used other rows of them; they are renewed when somebody asks for them.

    Raises
    ------
    PartitionNotFoundError
        If one of `days` is not clean.
    """
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        parts = {table.name: _clean_parts(dataset, table, lake, days, scratch) for table in dataset.tables}
        manifests = [_publish_features(dataset, lake, parts, day, run, scratch) for day in days]
    stale = stale_features(dataset, lake, days)
    if stale:
        log.warning(
            "The features of %s were made before %s changed; ask for them to have them renewed.",
            ", ".join(map(str, stale)),
            ", ".join(map(str, days)),
        )
    return manifests


def stale_features(dataset: DatasetSpec, lake: Lake, changed: Sequence[date]) -> list[date]:
    """Days after those `changed` whose features were made of other clean rows of them than there are now."""
    reach = max(dataset.history_days.values())
    later = [
        day
        for day in lake.days(dataset.features_prefix)
        if day not in changed and any(0 < (day - other).days <= reach for other in changed)
    ]
    if not later:
        return []
    digests = {
        (table.name, day): manifest.digest
        for table in dataset.tables
        for day in changed
        if (manifest := lake.find_manifest(dataset.clean(table.name), day))
    }
    return [day for day in later if _is_stale(dataset, lake, day, digests)]


@dataclass(frozen=True)
class _Part:
    """A clean partition on the local disk."""

    path: str
    digest: str
    rows: pl.LazyFrame


def _clean_parts(
    dataset: DatasetSpec, table: TableSpec, lake: Lake, days: Sequence[date], scratch: Path
) -> dict[date, _Part]:
    """The table's clean partitions in the histories of `days`, each fetched once, and read once if used often."""
    prefix = dataset.clean(table.name)
    wanted = {other for day in days for other in _history(dataset, table.name, day)}
    found = wanted & set(lake.days(prefix))
    if not table.optional:
        found |= set(days)
    parts = {}
    for day in sorted(found):
        rows = lake.scan(prefix, [day], scratch)
        if dataset.history_days[table.name]:
            rows = rows.collect().lazy()
        parts[day] = _Part(_path(prefix, day), lake.manifest(prefix, day).digest, rows)
    return parts


def _publish_features(
    dataset: DatasetSpec,
    lake: Lake,
    parts: Mapping[str, Mapping[date, _Part]],
    day: date,
    run: RunInfo,
    scratch: Path,
) -> Manifest:
    used = {
        table: [given[other] for other in _history(dataset, table, day) if other in given]
        for table, given in parts.items()
    }
    tables = {table: _rows(dataset.table(table), history) for table, history in used.items()}
    return lake.publish_frame(
        dataset.features_prefix,
        day,
        dataset.features(day, tables),
        run=run,
        scratch=scratch,
        inputs={part.path: part.digest for history in used.values() for part in history},
    )


def _rows(table: TableSpec, history: Sequence[_Part]) -> pl.LazyFrame:
    if not history:
        return pl.LazyFrame(schema={**table.columns, "dt": pl.Date})
    return pl.concat([part.rows for part in history])


def _history(dataset: DatasetSpec, table: str, day: date) -> list[date]:
    """The days of a table that the features of `day` look at, oldest first."""
    return [day - timedelta(days=back) for back in range(dataset.history_days[table], -1, -1)]


def _is_stale(dataset: DatasetSpec, lake: Lake, day: date, digests: Mapping[tuple[str, date], str]) -> bool:
    used = lake.manifest(dataset.features_prefix, day).inputs
    return any(
        used.get(_path(dataset.clean(table), other)) != digest
        for (table, other), digest in digests.items()
        if other in _history(dataset, table, day)
    )


def _path(prefix: str, day: date) -> str:
    return f"{prefix}/dt={day.isoformat()}"


def _publish_csv(lake: Lake, prefix: str, day: date, file: Path, run: RunInfo) -> Manifest:
    rows = pl.scan_csv(file, infer_schema=False)
    count = rows.select(pl.len()).collect().item()
    return lake.publish(prefix, day, [LocalFile(file, count)], run=run, schema=rows.collect_schema())


def _refuse_other_source(dataset: DatasetSpec, lake: Lake, table: str, day: date) -> None:
    if lake.find_manifest(dataset.raw(table), day) is not None:
        raise LakeError(
            f"The source of {dataset.name!r} has no table {table!r}, but the lake has rows of it of {day}, "
            "from another source. Give each source days, or a lake, of its own."
        )


def _is_rejected(dataset: DatasetSpec, lake: Lake, day: date) -> bool:
    return not lake.read_json(dataset.validation_prefix, day, "verdict.json")["accepted"]


def _described(days: Sequence[date]) -> str:
    return f"it has {days[0]} to {days[-1]}." if days else "it has none yet."
