"""Training each segment (a country, a product) on its own, in batches that tasks work on side by side.

`stage_batches` stages the rows of each batch of segments, `fit_batch` tunes and fits the segments of one batch,
and `collect` gives `training.train` what came out, to compare with the estimators that learn from all segments
together. The three meet on the lake alone. A segment that cannot be fitted stops no other one.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import polars as pl

from include.lifecycle.modelling import model_files, tuning
from include.lifecycle.modelling.estimator_input import segment_names, to_matrix
from include.lifecycle.modelling.model_files import load_trusted
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.modelling.tuning import FoldRows
from include.lifecycle.specs import Candidate, ModelSpec, Spec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, PartitionNotFoundError, Pinned
from include.lifecycle.training.record import Params, SegmentRecord, TrainingRequest
from include.lifecycle.training.rehearsal import rehearse
from include.lifecycle.training.snapshots import Split, split
from include.lifecycle.training.training_set import TrainingSet, within

_SHOWN = 20
_FEWEST_VALIDATION_ROWS = 5
_ESTIMATORS = "estimators.skops"
_OUT_OF_FOLD = "out_of_fold.parquet"
_RECORD = "fits.json"
_BATCHES = "batches.json"

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class Batches(Spec):
    """The segments of each batch, and the days of the training set that they were staged from."""

    days: tuple[date, ...]
    batches: tuple[tuple[str, ...], ...]


class SegmentsFailedError(ValueError):
    """Some segments of a batch could not be fitted."""


@dataclass(frozen=True)
class SegmentFits:
    """What came of fitting segments on their own.

    `estimators` and `params`: by candidate and segment. `out_of_fold`: key, `dt` and a `<candidate>_score` of each
    candidate, for the validation rows of the folds. `failed`: why, by segment.
    """

    estimators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Params]] = field(default_factory=dict)
    out_of_fold: pl.DataFrame = field(default_factory=pl.DataFrame)
    failed: Mapping[str, str] = field(default_factory=dict)

    def with_own_scores(self, model: ModelSpec, rows: pl.DataFrame, candidate: str, score: str) -> pl.DataFrame:
        """Validation rows with `score` replaced by that of the segment's own fit, where there is one."""
        key = [*model.dataset.key, "dt"]
        own = self.out_of_fold.select(*key, own=f"{candidate}_score")
        joined = rows.join(own, on=key, how="left", maintain_order="left")
        return joined.with_columns(pl.coalesce("own", score).alias(score)).drop("own")


def stage_batches(model: ModelSpec, lake: Lake, request: TrainingRequest) -> list[list[str]]:
    """Stage the rows of each batch of segments under `segment_rows_prefix`; returns the segments of each batch.

    Raises
    ------
    NothingToLearnError
        If too few days have matured for the folds.
    PartitionNotFoundError
        If there is no training set; run `training_set.assemble` first.
    """
    size = model.segments.per_task
    if not own_candidates(model) or size is None:
        return []
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        training_set = TrainingSet.read(model, lake, request.as_of, scratch)
        split(list(training_set.rows), model)
        table = pl.concat(training_set.rows.values(), how="vertical_relaxed")
        rehearse(model, table, seed=0)
        segment = table.select(segment_names(model, table.schema)).to_series()
        names = segment.unique().sort().to_list()
        batches = [names[start : start + size] for start in range(0, len(names), size)]
        described_batches = Batches(days=tuple(training_set.rows), batches=tuple(map(tuple, batches)))
        (scratch / _BATCHES).write_text(described_batches.model_dump_json(indent=2))
        files = [LocalFile(scratch / _BATCHES)]
        for number, segments in enumerate(batches):
            batch = table.filter(segment.is_in(segments))
            batch.write_parquet(scratch / _batch_file(number), statistics=False)
            files.append(LocalFile(scratch / _batch_file(number), batch.height))
        prefix, inputs = model.segment_rows_prefix, training_set.inputs
        lake.publish(prefix, request.as_of, files, run=request.run, schema=table.schema, inputs=inputs)
    return batches


def fit_batch(model: ModelSpec, lake: Lake, request: TrainingRequest, batch: int) -> Manifest:
    """Tune and fit each segment of a batch on its own, and stage the results under `segment_fits_prefix`.

    Hyperparameters are chosen for each segment by the folds on which all of them are compared. Those too young for
    that are left out.

    Parameters
    ----------
    request : its budget is the whole training's, of which each candidate has its share for each segment.
    batch : its place in the answer of `stage_batches`.

    Raises
    ------
    SegmentsFailedError
        If some segments could not be fitted. The others are staged all the same.
    """
    staged = lake.pin(model.segment_rows_prefix, [request.as_of])
    days = Batches.model_validate(staged.read_json(request.as_of, _BATCHES)).days
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        [path] = staged.download(request.as_of, scratch, _batch_file(batch))
        fits = _fit_segments(model, pl.read_parquet(path), split(days, model), request)
        files = _write_fits(model, fits, scratch)
        prefix, inputs = model.segment_fits_prefix(batch), _fit_inputs(staged, request)
        published = lake.publish(prefix, request.as_of, files, run=request.run, inputs=inputs)
    if fits.failed:
        raise SegmentsFailedError(
            f"{len(fits.failed)} of the batch could not be fitted on their own: {described(fits.failed)}. The "
            "others are staged, and the training goes on without these; fix their data, then clear this run from "
            "`build_labels` on."
        )
    return published


def collect(
    model: ModelSpec, lake: Lake, request: TrainingRequest, training_set: TrainingSet, scratch: Path
) -> SegmentFits:
    """What `fit_batch` staged for a training set, with the budget, seed, run and code of the request.

    Segments of a batch that left nothing count as failed.

    Raises
    ------
    PartitionNotFoundError
        If no batches are staged.
    ValueError
        If the staged batches are of another training set.
    """
    if not own_candidates(model):
        return SegmentFits()
    staged = lake.pin(model.segment_rows_prefix, [request.as_of])
    if staged.manifests[request.as_of].inputs != training_set.inputs:
        raise ValueError(
            f"The batches staged for {model.name!r} as of {request.as_of} are of other features or labels than "
            "there are now; clear this run from `build_labels` on."
        )
    inputs = _fit_inputs(staged, request)
    batches = Batches.model_validate(staged.read_json(request.as_of, _BATCHES)).batches
    fits = []
    for number, segments in enumerate(batches):
        found = _read_fits(model, lake, request.as_of, number, inputs, scratch)
        fits.append(found or SegmentFits(failed=dict.fromkeys(segments, "its task left no result")))
    return _union(fits)


def own_candidates(model: ModelSpec) -> list[Candidate]:
    """The candidates that are fitted on each segment on its own.

    Raises
    ------
    ValueError
        If they contradict `segments.per_task`, or none learns from all segments.
    """
    candidates = model.candidates()
    own = [candidate for candidate in candidates if candidate.per_segment]
    if bool(own) != bool(model.segments.per_task) or len(own) == len(candidates):
        raise ValueError(
            f"Model {model.name!r} has {len(own)} of {len(candidates)} candidates with `per_segment`, and "
            f"`segments.per_task` is {model.segments.per_task}; set it where there are such candidates, and give "
            "at least one candidate for all segments together."
        )
    return own


def described(failed: Mapping[str, str]) -> str:
    """The segments that could not be fitted, each with its reason; those beyond a few are counted."""
    shown = "; ".join(f"{segment} ({reason})" for segment, reason in list(failed.items())[:_SHOWN])
    return shown if len(failed) <= _SHOWN else f"{shown}; and {len(failed) - _SHOWN} more"


def _fit_segments(model: ModelSpec, rows: pl.DataFrame, parts: Split, request: TrainingRequest) -> SegmentFits:
    share = tuning.shares(model, request.trials)
    candidates = {candidate: share[candidate.name] for candidate in own_candidates(model)}
    fits = []
    for (segment,), own in rows.group_by(segment_names(model, rows.schema), maintain_order=True):
        try:
            folds = _segment_folds(model, own, parts, request.seed)
            if folds:
                refit = within(own, parts.refit)
                fits.append(_fit_segment(model, candidates, str(segment), folds, refit, request.seed))
            else:
                log.info("%s has too few rows to be fitted on its own.", segment)
        except MemoryError:
            raise
        except Exception as error:
            # Whatever is wrong with one segment must not stop the others; the task fails once these are staged.
            log.exception("%s %s could not be fitted.", model.segments.by, segment)
            fits.append(SegmentFits(failed={str(segment): f"{type(error).__name__}: {error}"}))
    return _union(fits)


def _segment_folds(model: ModelSpec, rows: pl.DataFrame, parts: Split, seed: int) -> list[FoldRows]:
    """The folds of one segment that have enough rows, with the baseline's scores."""
    folds = [FoldRows(within(rows, fold.train), within(rows, fold.validation)) for fold in parts.folds]
    return [tuning.with_baseline(model, fold, seed) for fold in folds if _is_enough(model, fold)]


def _fit_segment(
    model: ModelSpec,
    candidates: Mapping[Candidate, int],
    segment: str,
    folds: list[FoldRows],
    refit: pl.DataFrame,
    seed: int,
) -> SegmentFits:
    """Tune the candidates on a segment's folds, each with so many trials, and fit them on all its rows."""
    params, builders = {}, {}
    for candidate, trials in candidates.items():
        tried = tuning.search(model, candidate, folds, trials, seed)
        chosen = tuning.best(tried)
        log.info("%s, %s: the best of %d trials reaches %.4f.", segment, candidate.name, len(tried), chosen.value)
        params[candidate.name] = chosen.params
        builders[candidate.name] = partial(candidate.build, chosen.params, seed)
    matrix, labels = to_matrix(refit, model), refit["label"].to_numpy()
    out_of_fold = tuning.predict_out_of_fold(model, folds, builders)
    return SegmentFits(
        {name: {segment: tuning.fit(build(), matrix, labels)} for name, build in builders.items()},
        {name: {segment: chosen} for name, chosen in params.items()},
        out_of_fold.select(*model.dataset.key, "dt", *(f"{name}_score" for name in builders)),
    )


def _is_enough(model: ModelSpec, fold: FoldRows) -> bool:
    """Whether a fold of one segment has rows enough to learn from, and to measure on."""
    shortage = task_of(model).label_shortfall(fold.train["label"])
    return shortage is None and fold.validation.height >= _FEWEST_VALIDATION_ROWS


def _union(fits: list[SegmentFits]) -> SegmentFits:
    """All segments of each candidate."""
    frames = [fit.out_of_fold for fit in fits if not fit.out_of_fold.is_empty()]
    return SegmentFits(
        _merged(fit.estimators for fit in fits),
        _merged(fit.params for fit in fits),
        pl.concat(frames) if frames else pl.DataFrame(),
        {segment: reason for fit in fits for segment, reason in fit.failed.items()},
    )


def _merged(parts: Iterable[Mapping[str, Mapping[str, Value]]]) -> dict[str, dict[str, Value]]:
    merged: dict[str, dict[str, Value]] = defaultdict(dict)
    for part in parts:
        for candidate, segments in part.items():
            merged[candidate].update(segments)
    return dict(merged)


def _fit_inputs(staged: Pinned, request: TrainingRequest) -> dict[str, str]:
    """What the fits of staged batches depend on, as their manifest names it."""
    run = request.run
    settings = {"run": run.run_id, "code_version": run.code_version, "trials": str(request.trials)}
    return staged.inputs | settings | {"seed": str(request.seed)}


def _write_fits(model: ModelSpec, fits: SegmentFits, scratch: Path) -> list[LocalFile]:
    model_files.dump(fits.estimators, scratch / _ESTIMATORS, model.trusted_types)
    fits.out_of_fold.write_parquet(scratch / _OUT_OF_FOLD, statistics=False)
    record = SegmentRecord(params=fits.params, failed=fits.failed)
    (scratch / _RECORD).write_text(record.model_dump_json(indent=2))
    return [
        LocalFile(scratch / _ESTIMATORS),
        LocalFile(scratch / _OUT_OF_FOLD, fits.out_of_fold.height),
        LocalFile(scratch / _RECORD),
    ]


def _read_fits(
    model: ModelSpec, lake: Lake, as_of: date, batch: int, inputs: Mapping[str, str], scratch: Path
) -> SegmentFits | None:
    """What came of a batch, or None where its task left nothing that depends on these inputs."""
    prefix = model.segment_fits_prefix(batch)
    try:
        staged = lake.pin(prefix, [as_of])
    except PartitionNotFoundError:
        return None
    if staged.manifests[as_of].inputs != inputs:
        return None
    [estimators] = staged.download(as_of, scratch, _ESTIMATORS)
    [out_of_fold] = staged.download(as_of, scratch, _OUT_OF_FOLD)
    record = SegmentRecord.model_validate(staged.read_json(as_of, _RECORD))
    return SegmentFits(
        load_trusted(estimators, model.trusted_types, f"batch {batch} of {model.name!r}"),
        record.params,
        pl.read_parquet(out_of_fold),
        record.failed,
    )


def _batch_file(number: int) -> str:
    return f"batch_{number:04d}.parquet"
