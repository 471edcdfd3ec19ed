"""Publishing scores: files and warehouse table together, then `latest.json`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from include.lifecycle.scoring.checks import check_scores
from include.lifecycle.scoring.prediction_files import CSV, PARQUET, predictions_table, version_of
from include.lifecycle.scoring.scoring import errors_by_day
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.batches import batches
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, Pinned, RunInfo, partition

if TYPE_CHECKING:
    from psycopg2 import extensions

# A spreadsheet runs a cell that starts so (OWASP, "CSV injection").
_FORMULA_START = r"^[=+\-@\t\r\n]"


def publish_days(
    model: ModelSpec, lake: Lake, connection: extensions.connection, days: Iterable[date], run: RunInfo
) -> tuple[list[dict[str, Any]], dict[date, str]]:
    """Publish days, and return what `publish` says of each, and the errors by day: one day stops no other.

    Raises
    ------
    OSError, psycopg2.OperationalError
        If a service is out of reach, which is no error of a day.
    """
    published: list[dict[str, Any]] = []
    tried = errors_by_day(days, lambda day: published.append(publish(model, lake, connection, day, run)))
    errors = {day: error for day, error in tried if error is not None}
    return published, errors


def unpublished_days(planned: Iterable[str], published: Container[str], errors: Mapping[str, str]) -> list[str]:
    """A sentence for each planned day (`YYYY-MM-DD`) that was not published, oldest first, with the reason."""
    unknown = "its task failed; the log of that task says why."
    return [f"{day}: {errors.get(day, unknown)}" for day in sorted(planned) if day not in published]


def publish(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, run: RunInfo
) -> dict[str, Any]:
    """Check a day's staged scores and publish them: files and warehouse together, then `latest.json`.

    The warehouse takes the rows before a file is published, and shows them only after the manifest is. It notes
    which manifest they are of, so that where the two differ, killed in between, `plan` finds the day. Run again,
    it completes. Returns what the run shows: day, rows, model version, the S3 addresses of the files and the
    warehouse table.

    Raises
    ------
    PredictionsError
        If the scores break the contract: their keys are not those of the day's features, row by row, or not
        unique; a score is not one of its kind (a number from 0 to 1, a finite number); a decision is missing.
        Nothing is published then.
    psycopg2.DataError
        If the warehouse cannot take the rows, e.g. a NUL in a text. Nothing is published then.
    """
    table, key = predictions_table(model), model.dataset.key
    staged = lake.pin(model.staged_scores_prefix, [day])
    with TemporaryDirectory() as scratch:
        files = checked_files(model, lake, staged, Path(scratch))
        with warehouse.replacing(connection, table, day, pl.scan_parquet(files[0].path), key=key) as cursor:
            manifest = publish_files(model, lake, staged, files, run)
            written = lake.written(model.predictions_prefix, since=day, until=day)[day]
            load = warehouse.Load(manifest.digest, written)
            warehouse.note_load(cursor, table, day, load, manifest.model_dump_json())
    latest.advance(lake, connection, model.predictions_prefix, day, PARQUET)
    folder = lake.uri(partition(model.predictions_prefix, day))
    return {
        "day": day.isoformat(),
        "rows": manifest.rows,
        "model_version": version_of(model, manifest),
        "files": [f"{folder}/{file.name}" for file in manifest.files],
        "table": f"{warehouse.SCHEMA}.{table}",
    }


def checked_files(model: ModelSpec, lake: Lake, staged: Pinned, scratch: Path) -> list[LocalFile]:
    """The staged scores of a day as Parquet and CSV in `scratch`, once they are found to keep the contract.

    Parameters
    ----------
    staged : `staged_scores_prefix`, pinned to the one day.
    """
    [(day, manifest)] = staged.manifests.items()
    parquet, csv = scratch / PARQUET, scratch / CSV
    staged.download(day, scratch, PARQUET)[0].rename(parquet)
    # The check waits for the features most of its time.
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(_write_csv, parquet, csv)
        check_scores(model, lake, day, manifest, parquet)
        written.result()
    return [LocalFile(parquet, manifest.rows), LocalFile(csv, manifest.rows)]


def publish_files(
    model: ModelSpec, lake: Lake, staged: Pinned, files: Sequence[LocalFile], run: RunInfo
) -> Manifest:
    """Publish what `checked_files` gave. The manifest's `created_at` is when the day was scored."""
    [(day, manifest)] = staged.manifests.items()
    return lake.publish(
        model.predictions_prefix,
        day,
        files,
        run=replace(run, started_at=manifest.created_at),
        schema=manifest.schema_,
        inputs=manifest.inputs,
    )


def _write_csv(parquet: Path, csv: Path) -> None:
    rows = pl.scan_parquet(parquet)
    types = rows.collect_schema()
    texts = [name for name in types if types[name] in (pl.String, pl.Categorical, pl.Enum)]
    escaped = rows.with_columns(_escaped(name) for name in texts)
    with csv.open("wb") as file:
        for number, batch in enumerate(batches(escaped)):
            batch.collect().write_csv(file, include_header=number == 0, datetime_format="%+")


def _escaped(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String)
    formula = text.str.contains(_FORMULA_START)
    return pl.when(formula).then(pl.concat_str(pl.lit("'"), text)).otherwise(text).alias(column)
