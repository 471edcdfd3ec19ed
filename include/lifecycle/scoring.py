"""Batch scoring: a day's features become checked, published predictions.

`score` stages the scores on the lake, `publish` checks them and makes them visible: prediction files, then
`latest.json`, then the warehouse. Rows are streamed from file to file: memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
from threadpoolctl import threadpool_limits

from include.lifecycle import intervals, ledger, warehouse
from include.lifecycle.batches import batches
from include.lifecycle.estimator_input import predict
from include.lifecycle.intervals import Interval
from include.lifecycle.kinds import kind_of
from include.lifecycle.lake import MANIFEST, Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.specs import ModelSpec

if TYPE_CHECKING:
    from psycopg2 import extensions

LATEST = "latest.json"
PARQUET = "predictions.parquet"
CSV = "predictions.csv"

_OWN_COLUMNS = ("score", "model_name", "model_version", "scored_at")
_UNIQUENESS_ROWS = 500_000
# A spreadsheet runs a cell that starts so (OWASP, "CSV injection").
_FORMULA_START = r"^[=+\-@\t\r\n]"


class PredictionsError(ValueError):
    """The scores break the contract of the prediction files."""


def plan(
    model: ModelSpec, lake: Lake, connection: extensions.connection, requested: tuple[date, date] | None
) -> dict[date, int]:
    """The days to score now, oldest first, each with the version that was champion for it.

    Without a request these are the days that have features and no predictions made from them, and for which there
    was a champion that had not seen their future: its scores would be hindsight passed off as history. A requested
    range (both ends included) is scored whatever the lake has, days from before the first champion with the
    present one.

    Raises
    ------
    PredictionsError
        If none of the requested days has features, or if there has never been a champion.
    """
    entries = ledger.entries(connection, model.name)
    if requested is None:
        since = min((entry.effective_from for entry in entries), default=date.max)
        champions = {day: ledger.champion_as_of(entries, day) for day in _unscored(model, lake, since)}
        return {day: version for day, version in champions.items() if version is not None}
    first, last = requested
    days = [day for day in lake.days(model.dataset.features_prefix) if first <= day <= last]
    if not days:
        raise PredictionsError(f"No day from {first} to {last} has features; run the ETL for these days first.")
    present = ledger.replay(entries).champion
    if present is None:
        raise PredictionsError(f"There is no champion to score {first} to {last} with; run the training first.")
    return {day: ledger.champion_as_of(entries, day) or present for day in days}


def _unscored(model: ModelSpec, lake: Lake, since: date) -> list[date]:
    """Days from `since`, oldest first, with features and no predictions, or those of features since replaced."""
    built, predicted = (
        lake.written(prefix, since) for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    return [
        day
        for day, written in sorted(built.items())
        if day not in predicted or (written >= predicted[day] and not _is_current(model, lake, day))
    ]


def _is_current(model: ModelSpec, lake: Lake, day: date) -> bool:
    """Whether the day's predictions were made from the features that the lake has now."""
    features = lake.manifest(model.dataset.features_prefix, day)
    used = lake.manifest(model.predictions_prefix, day).inputs
    return used.get(_features_input(model, day)) == features.digest


def staging_prefix(model: ModelSpec) -> str:
    """Lake prefix of the scores that are not yet checked and published."""
    return f"staging/{model.name}_scores"


def latest_version(model: ModelSpec, lake: Lake) -> int | None:
    """The version that made the newest published predictions, or None before there are any."""
    latest = _latest(model, lake)
    return int(latest["model_version"]) if latest else None


def _latest(model: ModelSpec, lake: Lake) -> dict[str, Any] | None:
    body = lake.read_object(latest_key(model))
    return json.loads(body) if body else None


def latest_key(model: ModelSpec) -> str:
    """Lake key of the object that names the newest published day."""
    return f"{model.predictions_prefix}/{LATEST}"


def predictions_table(model: ModelSpec) -> str:
    """Name of the warehouse table that consumers query."""
    return f"{model.name}_predictions"


def score(
    model: ModelSpec,
    lake: Lake,
    day: date,
    estimator: Any,
    version: int,
    run: RunInfo,
    interval: Interval | None = None,
) -> Manifest:
    """Score a day's features and stage the result; returns the staged partition's manifest.

    One Parquet file, in the order of the features' rows, with the key columns, `score` (probability or predicted
    number), where there is an interval `score_low`, `score_high` and its measured `coverage`, the columns of
    `model.decide`, `model_name`, `model_version` and `scored_at` (UTC, the run's start). Where the
    day is published already, from the same features by the same version and code, those predictions are staged
    again.

    Raises
    ------
    PartitionNotFoundError
        If the day has no features.
    PredictionsError
        If the features have no rows.
    """
    inputs = _inputs(model, lake, day, version)
    published = lake.find_manifest(model.predictions_prefix, day)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        path = scratch / PARQUET
        if published and (published.inputs, published.code_version) == (inputs, run.code_version):
            lake.download(model.predictions_prefix, day, scratch, PARQUET)[0].rename(path)
        else:
            features = lake.download(model.dataset.features_prefix, day, scratch)
            _write_scores(model, features, path, Scorer(estimator, version, interval), run)
        scores = pl.scan_parquet(path)
        return lake.publish(
            staging_prefix(model),
            day,
            [LocalFile(path, _count(scores))],
            run=run,
            schema=scores.collect_schema(),
            inputs=inputs,
        )


def publish(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, run: RunInfo
) -> dict[str, Any]:
    """Check a day's staged scores and publish them: files, manifest, `latest.json`, warehouse, in this order.

    Killed at any point, it leaves readable what was published before; run again, it completes. Returns what
    the run shows: day, rows, model version, the S3 addresses of the files and the warehouse table.

    Raises
    ------
    PredictionsError
        If the scores break the contract: their keys are not those of the day's features, row by row, or not
        unique; a score is not one of its kind (a number from 0 to 1, a finite number); a decision is missing.
        Nothing is published then.
    """
    manifest = publish_files(model, lake, connection, day, run)
    load_warehouse(model, lake, connection, day)
    folder = lake.uri(partition(model.predictions_prefix, day))
    return {
        "day": day.isoformat(),
        "rows": manifest.rows,
        "model_version": _version(model, manifest),
        "files": [f"{folder}/{file.name}" for file in manifest.files],
        "table": f"{warehouse.SCHEMA}.{predictions_table(model)}",
    }


def publish_files(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, run: RunInfo
) -> Manifest:
    """Check a day's staged scores, publish them as Parquet and CSV, and let `latest.json` name them if newest.

    `connection` is for the lock that keeps days published side by side from moving `latest.json` back.
    """
    staged = lake.manifest(staging_prefix(model), day)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        parquet, csv = scratch / PARQUET, scratch / CSV
        lake.download(staging_prefix(model), day, scratch, PARQUET)[0].rename(parquet)
        _check(model, lake, day, parquet, scratch)
        _write_csv(parquet, csv)
        manifest = lake.publish(
            model.predictions_prefix,
            day,
            [LocalFile(parquet, staged.rows), LocalFile(csv, staged.rows)],
            run=run,
            schema=staged.schema_,
            inputs=staged.inputs,
        )
    _advance_latest(model, lake, connection, day, manifest)
    return manifest


def load_warehouse(model: ModelSpec, lake: Lake, connection: extensions.connection, day: date) -> int:
    """Make a day of the warehouse table equal to the published Parquet file. Returns the number of rows."""
    with TemporaryDirectory() as folder:
        files = lake.download(model.predictions_prefix, day, Path(folder), PARQUET)
        return warehouse.replace_partition(
            connection, predictions_table(model), day, pl.scan_parquet(files), key=model.dataset.key
        )


def _features_input(model: ModelSpec, day: date) -> str:
    return partition(model.dataset.features_prefix, day)


def _version_input(model: ModelSpec) -> str:
    return f"models:/{model.name}"


def _version(model: ModelSpec, manifest: Manifest) -> int:
    return int(manifest.inputs[_version_input(model)])


def _inputs(model: ModelSpec, lake: Lake, day: date, version: int) -> dict[str, str]:
    features = lake.manifest(model.dataset.features_prefix, day)
    if not features.rows:
        raise PredictionsError(
            f"{lake.uri(_features_input(model, day))} has no rows, so there is nothing to score; "
            f"run {model.dataset.name}_etl for {day} again."
        )
    return {_features_input(model, day): features.digest, _version_input(model): str(version)}


@dataclass(frozen=True)
class Scorer:
    """A version at work."""

    estimator: Any
    version: int
    interval: Interval | None


def _write_scores(model: ModelSpec, features: list[Path], path: Path, scorer: Scorer, run: RunInfo) -> None:
    import pyarrow.parquet as pq

    rows = pl.scan_parquet(features)

    def score_batch(batch: pl.LazyFrame) -> pl.DataFrame:
        return _score_batch(model, batch.collect(), scorer, run)

    with ExitStack() as stack:
        writer = None
        for scored in _map_in_order(score_batch, batches(rows)):
            table = scored.to_arrow()
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
            writer.write_table(table)


def _map_in_order(
    work: Callable[[pl.LazyFrame], pl.DataFrame], items: Iterable[pl.LazyFrame]
) -> Iterator[pl.DataFrame]:
    """`work` on each item, on as many threads as the process may use, with few in memory at a time.

    One batch per thread beats several threads per batch: the encoding of features runs on one thread only,
    and OpenMP's threads spin while they wait for each other, which is costly where other tasks run.
    """
    threads = pl.thread_pool_size()
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1, "openmp")) as pool,
    ):
        pending: deque[Future[pl.DataFrame]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _score_batch(model: ModelSpec, batch: pl.DataFrame, scorer: Scorer, run: RunInfo) -> pl.DataFrame:
    scored = batch.with_columns(score=pl.Series(predict(scorer.estimator, batch, model), dtype=pl.Float64))
    if scorer.interval:
        scored = intervals.add(scorer.interval, scored)
    decided = model.decide(scored)
    features = [name for name in batch.columns if name not in model.dataset.key]
    return decided.drop(features).with_columns(
        pl.lit(model.name).alias("model_name"),
        pl.lit(scorer.version, dtype=pl.Int64).alias("model_version"),
        pl.lit(run.started_at).dt.convert_time_zone("UTC").alias("scored_at"),
    )


def _check(model: ModelSpec, lake: Lake, day: date, path: Path, scratch: Path) -> None:
    prefix = model.dataset.features_prefix
    staged = lake.manifest(staging_prefix(model), day)
    if staged.inputs[_features_input(model, day)] != lake.manifest(prefix, day).digest:
        raise PredictionsError(
            f"The features of {day} were published anew after they were scored; score the day again."
        )
    scores = pl.scan_parquet(path)
    features = pl.scan_parquet(lake.download(prefix, day, scratch))
    problems = [
        *_key_problems(scores, features, model.dataset.key),
        *_value_problems(model, scores),
    ]
    if problems:
        raise PredictionsError(
            f"The scores of {day} are not published: {' '.join(problems)} "
            f"Correct the model {model.name!r} and score the day again."
        )


def _key_problems(scores: pl.LazyFrame, features: pl.LazyFrame, key: Sequence[str]) -> Iterator[str]:
    scored = scores.select(pl.struct(key).alias("scored"))
    given = features.select(pl.struct(key).alias("given"))
    rows, given_rows = _count(scored), _count(given)
    if rows != given_rows:
        yield f"There are {rows} of them for {given_rows} rows of features."
        return
    pairs = pl.concat([scored, given], how="horizontal")
    if differing := _value(pairs.select(pl.col("scored").ne_missing(pl.col("given")).sum())):
        yield f"{differing} keys are not those of the features at the same place."
    # In slices by hash, so that memory stays the same for any number of rows.
    slices = rows // _UNIQUENESS_ROWS + 1
    hashed = scored.with_columns(slice=pl.col("scored").hash() % slices)
    unique = sum(
        _value(hashed.filter(pl.col("slice") == number).select(pl.col("scored").n_unique()))
        for number in range(slices)
    )
    if unique < rows:
        yield f"{rows - unique} rows repeat the key ({', '.join(key)}) of another."


def _value_problems(model: ModelSpec, scores: pl.LazyFrame) -> Iterator[str]:
    decisions = [name for name in scores.collect_schema() if name not in {*model.dataset.key, *_OWN_COLUMNS}]
    kind, schema = kind_of(model), scores.collect_schema()
    missing_value = {
        name: pl.col(name).is_null() | (~pl.col(name).is_finite() if schema[name].is_float() else False)
        for name in decisions
    }
    counts = (
        scores.select(
            (~kind.valid(pl.col("score"))).sum().alias("score"),
            *(is_missing.sum().alias(name) for name, is_missing in missing_value.items()),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if invalid := counts.pop("score"):
        yield f"{invalid} scores are not {kind.valid_scores}."
    for name, missing in counts.items():
        if missing:
            yield f"{missing} rows lack the decision {name!r}."


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


def _advance_latest(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, manifest: Manifest
) -> None:
    key = latest_key(model)
    content = {
        "day": day.isoformat(),
        "manifest": f"{partition(model.predictions_prefix, day)}/{MANIFEST}",
        "files": [file.model_dump() for file in manifest.files],
        "rows": manifest.rows,
        "model_name": model.name,
        "model_version": _version(model, manifest),
    }
    # Days may be published side by side: under the lock, an older one never replaces a newer one.
    with warehouse.locked(connection, lake.uri(key)):
        present = _latest(model, lake)
        if present is None or present["day"] <= content["day"]:
            lake.write_object(key, json.dumps(content, indent=2).encode())


def _count(rows: pl.LazyFrame) -> int:
    return _value(rows.select(pl.len()))


def _value(query: pl.LazyFrame) -> int:
    return int(query.collect(engine="streaming").item())
