"""Batch scoring: a day's features become checked, published predictions.

`score` stages the scores on the lake, `publish` checks them and makes them visible: prediction files and warehouse
together, then `latest.json`. Rows are streamed from file to file: memory does not grow with their number.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from include.lifecycle.failures import lies_in_the_data
from include.lifecycle.ingestion.feature_version import other_versions, present_feature_days
from include.lifecycle.modelling import intervals
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion import ledger, registry
from include.lifecycle.specs import ModelSpec, Spec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.batches import batches
from include.lifecycle.storage.lake import (
    MANIFEST,
    CorruptFileError,
    FileEntry,
    Lake,
    LakeError,
    LocalFile,
    Manifest,
    RunInfo,
    partition,
)

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

LATEST = "latest.json"
PARQUET = "predictions.parquet"
CSV = "predictions.csv"

_OWN_COLUMNS = ("score", "model_name", "model_version", "scored_at")
_UNIQUENESS_ROWS = 500_000
# A spreadsheet runs a cell that starts so (OWASP, "CSV injection").
_FORMULA_START = r"^[=+\-@\t\r\n]"


class PredictionsError(ValueError):
    """The scores break the contract of the prediction files."""


class LatestPredictions(Spec):
    """The content of `latest.json`: the newest published day and its files. `manifest` is a lake key."""

    day: date
    manifest: str
    files: tuple[FileEntry, ...]
    rows: int
    model_name: str
    model_version: int


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
        champions = {day: ledger.champion_as_of(entries, day) for day in _unscored(model, lake, connection, since)}
        return {day: version for day, version in champions.items() if version is not None}
    first, last = requested
    days = present_feature_days(model.dataset, lake, first, last)
    if not days:
        raise PredictionsError(f"No day from {first} to {last} has features; run the ETL for these days first.")
    present = ledger.replay(entries).champion
    if present is None:
        raise PredictionsError(f"There is no champion to score {first} to {last} with; run the training first.")
    return {day: ledger.champion_as_of(entries, day) or present for day in days}


def _unscored(model: ModelSpec, lake: Lake, connection: extensions.connection, since: date) -> list[date]:
    """Days from `since`, oldest first, that have features of the present version and are not done.

    A day is done when its predictions are made of the features that there are now, the warehouse was loaded from
    these predictions, and `latest.json` names these files or a later day. Manifests are read only of the newest
    day and of those where the times of writing leave it open.
    """
    built, predicted = (
        lake.written(prefix, since) for prefix in (model.dataset.features_prefix, model.predictions_prefix)
    )
    loaded = warehouse.loads(connection, predictions_table(model), since)
    unnoted = {day: predicted[day] for day in predicted if day not in loaded}
    if unnoted:
        loaded |= _adopt_loads(model, lake, connection, unnoted)
    newest = max(predicted, default=None)

    def is_done(day: date, written: datetime) -> bool:
        if day not in predicted or day not in loaded:
            return False
        if day == newest and not _is_in_latest(model, lake, day):
            return False
        is_older = written < predicted[day] == loaded[day].written
        return is_older or _is_current(model, lake, day, loaded[day].digest)

    others = set(other_versions(model.dataset, lake, built))
    return [day for day, written in sorted(built.items()) if day not in others and not is_done(day, written)]


def _adopt_loads(
    model: ModelSpec, lake: Lake, connection: extensions.connection, written: Mapping[date, datetime]
) -> dict[date, warehouse.Load]:
    """Note in `ml.loads` days that the warehouse took before it kept notes, so that they are not scored again.

    These are days of which it has as many rows, all of the same version, as the manifest says. `written` says when
    each manifest was.
    """
    table = predictions_table(model)
    counts = warehouse.day_counts(connection, table, "model_version", min(written))
    adopted: dict[date, warehouse.Load] = {}
    for day in written.keys() & counts.keys():
        manifest = lake.usable_manifest(model.predictions_prefix, day)
        if manifest is not None and counts[day] == {_version(model, manifest): manifest.rows}:
            adopted[day] = warehouse.Load(manifest.digest, written[day])
            with connection, connection.cursor() as cursor:
                warehouse.note_load(cursor, table, day, adopted[day], manifest.model_dump_json())
    return adopted


def _is_in_latest(model: ModelSpec, lake: Lake, day: date) -> bool:
    """Whether `latest.json` names the files of a day, or a later day."""
    latest = _latest(model, lake)
    if latest is None or latest.day != day:
        return latest is not None and latest.day > day
    manifest = lake.usable_manifest(model.predictions_prefix, day)
    return manifest is not None and manifest.files == latest.files


def _is_current(model: ModelSpec, lake: Lake, day: date, loaded_digest: str) -> bool:
    """Whether the predictions of a day are in the warehouse and made from the features that the lake has now.

    Features whose manifest is damaged cannot be scored: they are left to the ETL, which rebuilds them.
    """
    features = lake.usable_manifest(model.dataset.features_prefix, day)
    predictions = lake.usable_manifest(model.predictions_prefix, day)
    if features is None or predictions is None:
        return features is None
    is_of_features = predictions.inputs.get(_features_input(model, day)) == features.digest
    return is_of_features and predictions.digest == loaded_digest


def latest_version(model: ModelSpec, lake: Lake) -> int | None:
    """The version that made the newest published predictions, or None before there are any."""
    latest = _latest(model, lake)
    if latest is not None:
        return latest.model_version
    newest = lake.newest(model.predictions_prefix)
    return None if newest is None else _version(model, newest[1])


def _latest(model: ModelSpec, lake: Lake) -> LatestPredictions | None:
    """What `latest.json` says; None where it is missing or damaged, or names what is no day of predictions."""
    body = lake.read_object(latest_key(model))
    if body is None:
        return None
    try:
        latest = LatestPredictions.model_validate_json(body)
    except ValidationError as error:
        log.warning("%s counts as missing: it cannot be read (%s).", lake.uri(latest_key(model)), error)
        return None
    is_of_a_day = latest.manifest == _manifest_key(model, latest.day)
    return latest if is_of_a_day and lake.has_manifest(model.predictions_prefix, latest.day) else None


def _manifest_key(model: ModelSpec, day: date) -> str:
    return f"{partition(model.predictions_prefix, day)}/{MANIFEST}"


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
    connection: extensions.connection | None = None,
) -> Manifest:
    """Score a day's features and stage the result; returns the staged partition's manifest.

    One Parquet file, in the order of the features' rows, with the key columns, `score` (probability or predicted
    number), where there is an interval `score_low`, `score_high` and its measured `coverage`, the columns of
    `model.decide`, `model_name`, `model_version` and `scored_at` (UTC, the run's start). Where the day has been
    scored already from the same features by the same version and code, the result is the same: what was published
    is staged again, or, where that is damaged, rebuilt with the time at which it was first scored. That time is
    the manifest's `created_at`; the warehouse of `connection` knows it where the lake has lost it.

    Raises
    ------
    PartitionNotFoundError
        If the day has no features.
    PredictionsError
        If the features have no rows.
    """
    inputs = _inputs(model, lake, day, version)
    published = _same_work(lake.usable_manifest(model.predictions_prefix, day), inputs, run)
    staged = _same_work(lake.usable_manifest(model.staged_scores_prefix, day), inputs, run)
    earlier = published or staged or _same_work(_loaded_manifest(model, connection, day), inputs, run)
    dated = replace(run, started_at=earlier.created_at) if earlier else run
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        path = scratch / PARQUET
        if not (published and _take_published(model, lake, day, path)):
            features = lake.download(model.dataset.features_prefix, day, scratch)
            _write_scores(model, features, path, Scorer(estimator, version, interval), dated)
        scores = pl.scan_parquet(path)
        return lake.publish(
            model.staged_scores_prefix,
            day,
            [LocalFile(path, _count(scores))],
            run=dated,
            schema=scores.collect_schema(),
            inputs=inputs,
        )


def score_days(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    days: Iterable[date],
    scorer: Scorer,
    run: RunInfo,
    note: Callable[[date], None],
) -> dict[date, str]:
    """Score days with one version, call `note` after each, and return the errors by day: one day stops no other.

    Raises
    ------
    OSError, psycopg2.OperationalError
        If a service is out of reach, which is no error of a day.
    """
    errors = {}
    for day in days:
        try:
            score(model, lake, day, scorer.estimator, scorer.version, run, scorer.interval, connection)
            note(day)
        except Exception as error:
            if not _concerns_one_day(error):
                raise
            log.exception("The features of %s cannot be scored.", day)
            errors[day] = str(error)
    return errors


def publish_days(
    model: ModelSpec, lake: Lake, connection: extensions.connection, days: Iterable[date], run: RunInfo
) -> tuple[list[dict[str, Any]], dict[date, str]]:
    """Publish days, and return what `publish` says of each, and the errors by day: one day stops no other.

    Raises
    ------
    OSError, psycopg2.OperationalError
        If a service is out of reach, which is no error of a day.
    """
    published, errors = [], {}
    for day in days:
        try:
            published.append(publish(model, lake, connection, day, run))
        except Exception as error:
            if not _concerns_one_day(error):
                raise
            log.exception("The scores of %s are not published.", day)
            errors[day] = str(error)
    return published, errors


def _concerns_one_day(error: Exception) -> bool:
    return isinstance(error, LakeError) or lies_in_the_data(error)


def unpublished_days(planned: Iterable[str], published: Container[str], errors: Mapping[str, str]) -> list[str]:
    """A sentence for each planned day (`YYYY-MM-DD`) that was not published, oldest first, with the reason."""
    unknown = "its task failed; the log of that task says why."
    return [f"{day}: {errors.get(day, unknown)}" for day in sorted(planned) if day not in published]


def _same_work(manifest: Manifest | None, inputs: Mapping[str, str], run: RunInfo) -> Manifest | None:
    """The manifest if it is of these inputs and of the run's code."""
    if manifest is None or (manifest.inputs, manifest.code_version) != (inputs, run.code_version):
        return None
    return manifest


def _loaded_manifest(model: ModelSpec, connection: extensions.connection | None, day: date) -> Manifest | None:
    body = connection and warehouse.loaded_manifest(connection, predictions_table(model), day)
    return Manifest.model_validate_json(body) if body else None


def _take_published(model: ModelSpec, lake: Lake, day: date, path: Path) -> bool:
    """Fetch the day's published Parquet file to `path`; False where it is damaged."""
    try:
        lake.download(model.predictions_prefix, day, path.parent, PARQUET)[0].rename(path)
    except CorruptFileError as error:
        log.warning("%s is scored again: %s", day, error)
        return False
    return True


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
    with TemporaryDirectory() as scratch:
        files = checked_files(model, lake, day, Path(scratch))
        with warehouse.replacing(connection, table, day, pl.scan_parquet(files[0].path), key=key) as cursor:
            manifest = publish_files(model, lake, day, files, run)
            written = lake.written(model.predictions_prefix, since=day, until=day)[day]
            load = warehouse.Load(manifest.digest, written)
            warehouse.note_load(cursor, table, day, load, manifest.model_dump_json())
    advance_latest(model, lake, connection, day, manifest)
    folder = lake.uri(partition(model.predictions_prefix, day))
    return {
        "day": day.isoformat(),
        "rows": manifest.rows,
        "model_version": _version(model, manifest),
        "files": [f"{folder}/{file.name}" for file in manifest.files],
        "table": f"{warehouse.SCHEMA}.{predictions_table(model)}",
    }


def checked_files(model: ModelSpec, lake: Lake, day: date, scratch: Path) -> list[LocalFile]:
    """A day's staged scores as Parquet and CSV in `scratch`, once they are found to keep the contract."""
    staged = lake.manifest(model.staged_scores_prefix, day)
    parquet, csv = scratch / PARQUET, scratch / CSV
    lake.download(model.staged_scores_prefix, day, scratch, PARQUET)[0].rename(parquet)
    # The check waits for the features most of its time.
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(_write_csv, parquet, csv)
        _check(model, lake, day, parquet, scratch)
        written.result()
    return [LocalFile(parquet, staged.rows), LocalFile(csv, staged.rows)]


def publish_files(model: ModelSpec, lake: Lake, day: date, files: Sequence[LocalFile], run: RunInfo) -> Manifest:
    """Publish what `checked_files` gave. The manifest's `created_at` is when the day was scored."""
    staged = lake.manifest(model.staged_scores_prefix, day)
    return lake.publish(
        model.predictions_prefix,
        day,
        files,
        run=replace(run, started_at=staged.created_at),
        schema=staged.schema_,
        inputs=staged.inputs,
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


def load_scorer(tracking_uri: str, model: ModelSpec, version: int, sha256: str | None) -> Scorer:
    """A version from the registry; `sha256` as for `registry.load`.

    Raises
    ------
    UnusableModelError
        If the version, its file or its interval is gone, or the file is not the one that was trained.
    """
    estimator = registry.load(tracking_uri, model.name, version, model.trusted_types, sha256)
    return Scorer(estimator, version, registry.interval(tracking_uri, model, version))


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
    staged = lake.manifest(model.staged_scores_prefix, day)
    if staged.inputs[_features_input(model, day)] != lake.manifest(prefix, day).digest:
        raise PredictionsError(
            f"The features of {day} were published again after they were scored; score the day again."
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
    task, schema = task_of(model), scores.collect_schema()
    missing_value = {
        name: pl.col(name).is_null() | (~pl.col(name).is_finite() if schema[name].is_float() else False)
        for name in decisions
    }
    counts = (
        scores.select(
            (~task.is_valid_score(pl.col("score"))).sum().alias("score"),
            *(is_missing.sum().alias(name) for name, is_missing in missing_value.items()),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if invalid := counts.pop("score"):
        yield f"{invalid} scores are not {task.valid_scores}."
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


def advance_latest(
    model: ModelSpec, lake: Lake, connection: extensions.connection, day: date, manifest: Manifest
) -> None:
    # Days may be published side by side: under the lock, an older one never replaces a newer one.
    with warehouse.locked(connection, lake.uri(latest_key(model))):
        present = _latest(model, lake)
        if present is None:
            day, manifest = lake.newest(model.predictions_prefix) or (day, manifest)
        elif present.day > day:
            return
        latest = LatestPredictions(
            day=day,
            manifest=_manifest_key(model, day),
            files=manifest.files,
            rows=manifest.rows,
            model_name=model.name,
            model_version=_version(model, manifest),
        )
        lake.write_object(latest_key(model), latest.model_dump_json(indent=2).encode())


def _count(rows: pl.LazyFrame) -> int:
    return _value(rows.select(pl.len()))


def _value(query: pl.LazyFrame) -> int:
    return int(query.collect(engine="streaming").item())
