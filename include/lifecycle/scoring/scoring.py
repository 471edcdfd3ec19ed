"""Scoring: a day's features become scores that are staged on the lake until they are checked and published.

Rows are streamed from file to file: memory does not grow with their number.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl
from threadpoolctl import threadpool_limits

from include.lifecycle.failures import lies_in_the_data
from include.lifecycle.modelling import intervals
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.reasons import reasons_of
from include.lifecycle.scoring.prediction_files import (
    PARQUET,
    TARGET_FROM,
    TARGET_UNTIL,
    PredictionsError,
    challenger_input,
    features_input,
    predictions_table,
    rescored_input,
    version_input,
)
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.split_scoring import ChallengerError, by_arm, for_day, split_inputs, unsplit
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.batches import batches
from include.lifecycle.storage.lake import (
    CorruptFileError,
    Lake,
    LakeError,
    LocalFile,
    Manifest,
    Pinned,
    RunInfo,
)

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)


def score_days(
    model: ModelSpec,
    lake: Lake,
    connection: extensions.connection,
    days: Iterable[date],
    scorer: Scorer,
    run: RunInfo,
) -> Iterator[tuple[date, str | None]]:
    """Score days with one version; each day, once it is done, with its error or None: one day stops no other.

    Raises
    ------
    OSError, psycopg2.OperationalError
        If a service is out of reach, which is no error of a day.
    """
    return errors_by_day(days, lambda day: score(model, lake, day, scorer, run, connection))


def errors_by_day(days: Iterable[date], work: Callable[[date], object]) -> Iterator[tuple[date, str | None]]:
    """Each day, once it is done, with its error or None: what concerns one day stops no other."""
    for day in days:
        error = None
        try:
            work(day)
        except Exception as raised:
            if not concerns_one_day(raised):
                raise
            log.exception("The day %s is left out.", day)
            error = str(raised)
        yield day, error


def concerns_one_day(error: Exception) -> bool:
    """Whether an error lies in what one day has, so that other days may do well."""
    return isinstance(error, LakeError) or lies_in_the_data(error)


def score(
    model: ModelSpec,
    lake: Lake,
    day: date,
    scorer: Scorer,
    run: RunInfo,
    connection: extensions.connection | None = None,
) -> Manifest:
    """Score a day's features and stage the result; returns the staged partition's manifest.

    One Parquet file, in the order of the features' rows, with the key columns, `score` (probability or predicted
    number), where there is an interval `score_low`, `score_high` and its measured `coverage`, the columns of
    `model.decide`, where the model gives reasons `reason_1` to `reason_3`, `target_from` and `target_until` (see
    `model.target_range`), `model_name`, `model_version` and `scored_at` (UTC, the run's start).

    Where the day has been scored already from the same features by the same version and code, the result is the
    same: what was published is staged again, or, where that is damaged, rebuilt with the time at which it was
    first scored. That time is the manifest's `created_at`; the warehouse of `connection` knows it where the lake
    has lost it. Where the version that had scored the day was rolled back, an input of the manifest says why it is
    scored again.

    On a day that an A/B test splits, the rows of the challenger's keys are its own, and the manifest names both
    versions. Where it cannot score them, the champion scores all, and the manifest says why. Who repeats that does
    the same.

    Raises
    ------
    PartitionNotFoundError
        If the day has no features.
    PredictionsError
        If the features have no rows.
    """
    features = lake.pin(model.dataset.features_prefix, [day])
    refuse_empty(model, lake, day, features)
    last = lake.usable_manifest(model.predictions_prefix, day)
    loaded = cache(lambda: _loaded(model, connection, day))
    scorer = for_day(model, last or loaded(), scorer, day)
    made_by = {
        version_input(model): str(scorer.version),
        **scorer.inputs,
        **split_inputs(model, scorer),
    }
    inputs = features.inputs | made_by | _why_again(model, last or loaded(), scorer, day)
    published = _same_work(last, inputs, run)
    earlier = (
        published
        or _same_work(lake.usable_manifest(model.staged_scores_prefix, day), inputs, run)
        or _same_work(loaded(), inputs, run)
    )
    dated = replace(run, started_at=earlier.created_at) if earlier else run
    with TemporaryDirectory() as folder:
        path = Path(folder) / PARQUET
        if not (published and _take_published(Pinned(lake, model.predictions_prefix, {day: published}), path)):
            try:
                write_scores(model, features, scorer, dated, path)
            except ChallengerError as error:
                alone = unsplit(scorer, day, error.challenger, str(error))
                return score(model, lake, day, alone, run, connection)
        return publish_scores(lake, model.staged_scores_prefix, day, path, dated, inputs)


def publish_scores(
    lake: Lake, prefix: str, day: date, path: Path, run: RunInfo, inputs: Mapping[str, str]
) -> Manifest:
    """Publish a file that `write_scores` has written as a day's partition of a prefix."""
    scores = pl.scan_parquet(path)
    rows = int(scores.select(pl.len()).collect().item())
    schema = scores.collect_schema()
    files = [LocalFile(path, rows)]
    return lake.publish(prefix, day, files, run=run, schema=schema, inputs=inputs)


def refuse_empty(model: ModelSpec, lake: Lake, day: date, features: Pinned) -> None:
    """Raise PredictionsError where a day's features have no rows."""
    if not features.manifests[day].rows:
        raise PredictionsError(
            f"{lake.uri(features_input(model, day))} has no rows, so there is nothing to score; "
            f"run {model.dataset.name}_etl for {day} again."
        )


def _same_work(manifest: Manifest | None, inputs: Mapping[str, str], run: RunInfo) -> Manifest | None:
    """The manifest if it is of these inputs and of the run's code."""
    if manifest is None or (manifest.inputs, manifest.code_version) != (inputs, run.code_version):
        return None
    return manifest


def _loaded(model: ModelSpec, connection: extensions.connection | None, day: date) -> Manifest | None:
    """The manifest that the warehouse's day was loaded from."""
    body = connection and warehouse.loaded_manifest(connection, predictions_table(model), day)
    return Manifest.model_validate_json(body) if body else None


def _why_again(model: ModelSpec, known: Manifest | None, scorer: Scorer, day: date) -> dict[str, str]:
    """Why a day is scored again, as an input: a version of it was rolled back. Who repeats that says the same."""
    if known is None:
        return {}
    name, version = rescored_input(model), known.inputs.get(version_input(model))
    is_split = scorer.challenger is not None or scorer.unsplit
    challenger = None if is_split else known.inputs.get(challenger_input(model))
    gone = [int(other) for other in (version, challenger) if other and int(other) != scorer.version]
    why = next((scorer.withdrawn[other] for other in gone if other in scorer.withdrawn), None)
    if why is None and version == str(scorer.version):
        why = known.inputs.get(name)
    return {name: why} if why else {}


def _take_published(published: Pinned, path: Path) -> bool:
    """Fetch the published Parquet file of the one day to `path`; False where it is damaged."""
    [day] = published.days
    try:
        published.download(day, path.parent, PARQUET)[0].rename(path)
    except CorruptFileError as error:
        log.warning("%s is scored again: %s", day, error)
        return False
    return True


def _origin(model: ModelSpec, day: date, scorer: Scorer, run: RunInfo) -> dict[str, pl.Expr]:
    """The columns that are the same in each row of a day that a version scores: what it is about, what made it."""
    first, last = model.target_range(day)
    return {
        TARGET_FROM: pl.lit(first),
        TARGET_UNTIL: pl.lit(last),
        "model_name": pl.lit(model.name),
        "model_version": pl.lit(scorer.version, dtype=pl.Int64),
        "scored_at": pl.lit(run.started_at).dt.convert_time_zone("UTC"),
    }


def write_scores(model: ModelSpec, features: Pinned, scorer: Scorer, run: RunInfo, path: Path) -> None:
    """Score the one pinned day into a Parquet file, whose columns are those that `score` names."""
    import pyarrow.parquet as pq

    [day] = features.days
    rows = pl.scan_parquet(features.download(day, path.parent))

    def score_rows(some: pl.DataFrame, by: Scorer) -> pl.DataFrame:
        return _score_rows(model, some, by).with_columns(**_origin(model, day, by, run))

    def score_batch(batch: pl.LazyFrame) -> pl.DataFrame:
        return by_arm(model, batch.collect(), scorer, score_rows)

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


def _score_rows(model: ModelSpec, rows: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
    scored = rows.with_columns(score=pl.Series(predict(scorer.estimator, rows, model), dtype=pl.Float64))
    if scorer.interval:
        scored = intervals.add(scorer.interval, scored)
    decided = model.decide(scored)
    if model.reasons:
        decided = decided.with_columns(reasons_of(model, decided, scorer.estimator, scorer.usual))
    features = [name for name in rows.columns if name not in model.dataset.key]
    return decided.drop(features)
