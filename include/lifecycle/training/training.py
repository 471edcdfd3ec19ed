"""Training: from features and outcomes to a calibrated candidate that waits on the lake.

`assemble` publishes the labels that have matured. `train` reads them with the features, splits them by time,
searches, fits, calibrates and measures, and stages the result beside the naive baseline. The same data, seed
and code give the same bytes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from include.lifecycle.modelling import model_files, tuning
from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.intervals import (
    Interval,
    coverage,
    coverage_range,
    fit_interval,
    width_fault,
)
from include.lifecycle.modelling.tasks import FITTING_FOLDS, task_of
from include.lifecycle.modelling.tuning import FoldRows, Trial, best
from include.lifecycle.reporting import charts
from include.lifecycle.reporting.pages import percent
from include.lifecycle.segments import SegmentModels
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, RunInfo, partition
from include.lifecycle.training import segment_training, training_data
from include.lifecycle.training.record import RECORD, FoldDays, PartDays, SegmentRecord, TrainingRecord
from include.lifecycle.training.rehearsal import rehearse
from include.lifecycle.training.segment_training import SegmentFits
from include.lifecycle.training.snapshots import (
    NothingToLearnError,
    Part,
    Split,
    places,
    select,
)
from include.lifecycle.training.snapshots import split as split_days

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Data:
    """The rows of each part (key, `dt`, features, `label`), and the partitions that they come from."""

    split: Split
    folds: list[FoldRows]
    refit: pl.DataFrame
    holdout: pl.DataFrame
    inputs: dict[str, str]


@dataclass(frozen=True)
class _Result:
    """What was learnt; `holdout` and `out_of_fold`, all folds' validation rows, have each one's `<who>_score`."""

    candidate: Any
    baseline: Any
    trials: list[Trial]
    holdout: pl.DataFrame
    out_of_fold: pl.DataFrame
    intervals: dict[str, Interval]

    @property
    def coverage_range(self) -> tuple[float, float] | None:
        """The 95 % interval of the share of the holdout's outcomes that the candidate's interval holds."""
        interval = self.intervals.get("candidate")
        return None if interval is None else coverage_range(interval, self.holdout, "candidate_score")


def assemble(model: ModelSpec, lake: Lake, as_of: date, run: RunInfo) -> list[date]:
    """Publish the labels of the snapshot days that have matured by `as_of`, and stage the rows to learn from.

    Returns the days, oldest first. What is decided and staged here is what batches and training use.

    A label says what was known when it matured, whatever became known later: the labels of a day do not depend
    on the day on which they are assembled.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    """
    days = training_data.decide(model, lake, as_of)
    outcomes = model.dataset.clean(model.label.table)
    known = sorted({day for window in days.windows.values() for day in window})
    digests = lake.digests(outcomes, known)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        frames = {day: lake.scan(outcomes, [day], scratch) for day in known}
        for day, window in days.windows.items():
            features = pl.read_parquet(lake.download(model.dataset.features_prefix, day, scratch))
            labels = model.label.make(day, features, pl.concat([frames[other] for other in window]))
            paths = [partition(outcomes, other) for other in window]
            inputs = lake.digests(model.dataset.features_prefix, [day]) | {path: digests[path] for path in paths}
            labels = labels.sort(model.dataset.key)
            lake.publish_frame(model.labels_prefix, day, labels, run=run, scratch=scratch, inputs=inputs)
        training_data.stage(model, lake, as_of, days, run, scratch)
    return list(days.windows)


def train(
    model: ModelSpec, lake: Lake, as_of: date, *, trials: int, seed: int, run: RunInfo, reason: str = ""
) -> Manifest:
    """Tune, fit, calibrate and measure the candidates, and stage the best for the registry.

    Hyperparameters are chosen by fitting on older days and measuring on a later one. The best are fitted once
    more on all days whose labels end before the holdout, and calibrated by Platt scaling on predictions for
    rows that the predicting fit has not seen. The holdout is looked at once, at the end.

    Parameters
    ----------
    trials : how many sets of hyperparameters are tried, over all candidates.
    reason : why this training takes place; kept with the result.

    Returns
    -------
    The manifest of `staging/<model>/dt=<as_of>`: `model.skops`, `baseline.skops`, `training.json`,
    `holdout.parquet` and the plots. The model card follows once the gate has decided.

    Raises
    ------
    NothingToLearnError
        If a part of the split has hardly any outcomes of one kind.
    PartitionNotFoundError
        If no rows are staged; run `assemble` first. If segments are to be compared and their batches are missing;
        run `segment_training.stage_batches` first.
    UntrustedModelError
        If the fitted model contains types that its spec does not trust.
    """
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = _read(model, lake, as_of, seed, scratch)
        rehearse(model, data.refit, seed)
        own = segment_training.collect(
            model, lake, as_of, data.inputs, trials=trials, seed=seed, run=run, scratch=scratch
        )
        result = _learn(model, data, own, trials, seed)
        measured = _measured(model, result)
        record = TrainingRecord(
            model=model.name,
            as_of=as_of,
            seed=seed,
            trials_budget=trials,
            reason=reason,
            code_version=run.code_version,
            **measured,
            **_learnt_from(model, data),
            per_segment=SegmentRecord(params=own.params, failed=own.failed),
            warnings=(
                *_warnings(model, data.split, measured["metrics"]),
                *_gap_warnings(model, lake, as_of),
                *_segment_warnings(model, own),
                *_coverage_warnings(result),
            ),
        )
        figures = task_of(model).draw(result.holdout)
        files = [*_stored(model, result, record, scratch), *_plots(figures, scratch)]
        schema = dict(result.holdout.schema)
        return lake.publish(model.staging_prefix, as_of, files, run=run, schema=schema, inputs=data.inputs)


def _read(model: ModelSpec, lake: Lake, as_of: date, seed: int, scratch: Path) -> _Data:
    rows = training_data.snapshots(model, lake, as_of, scratch)
    split = split_days(list(rows), model)
    days = sorted({*split.refit.days, *split.holdout.days})

    def part(part: Part) -> pl.DataFrame:
        share = model.split.max_rows // len(part.days)
        chosen = [select(rows[day], model.dataset.key, part, share, seed) for day in part.days]
        return pl.concat(chosen, how="vertical_relaxed")

    folds = [FoldRows(part(fold.train), part(fold.validation)) for fold in split.folds]
    data = _Data(
        split,
        folds,
        part(split.refit),
        part(split.holdout),
        training_data.inputs(model, lake, as_of, days),
    )
    for name, frame in _named_rows(data):
        _require_labels(model, name, frame)
    return data


def _named_rows(data: _Data) -> list[tuple[str, pl.DataFrame]]:
    folds = [
        (name if len(data.folds) == 1 else f"{name} {number}", frame)
        for number, fold in enumerate(data.folds, start=1)
        for name, frame in (("train", fold.train), ("validation", fold.validation))
    ]
    return [*folds, ("refit", data.refit), ("holdout", data.holdout)]


def _require_labels(model: ModelSpec, part: str, frame: pl.DataFrame) -> None:
    shortage = task_of(model).label_shortfall(frame["label"])
    if shortage:
        raise NothingToLearnError(
            f"The {part} part of model {model.name!r} has {shortage}; give more days or more rows."
        )


def _learn(model: ModelSpec, data: _Data, own: SegmentFits, trials: int, seed: int) -> _Result:
    compared = [tuning.with_baseline(model, fold, seed) for fold in data.folds]
    pooled = tuning.tune(model, compared, budget=trials, seed=seed)
    build = {candidate.name: candidate.build for candidate in model.candidates()}[best(pooled).candidate]
    builders: dict[str, Callable[[], Any]] = {
        "candidate": partial(build, best(pooled).params, seed),
        "baseline": partial(model.baseline, seed),
        **{name: partial(reference, seed) for name, reference in model.gate.references.items()},
    }
    needs_out_of_fold = model.interval or model.segments.per_task
    folds = [tuning.predict_out_of_fold(model, [fold], builders) for fold in data.folds if needs_out_of_fold]
    tried = [*pooled, *_segment_trials(model, folds, own, len(pooled))]
    segmented = own.estimators.get(best(tried).candidate)
    fitted = {
        who: _fit(model, builder(), data.refit, seed, calibrate=who == "candidate")
        for who, builder in builders.items()
    }
    if segmented:
        fitted["candidate"] = SegmentModels(str(model.segments.by), dict(segmented), fitted["candidate"])
    holdout = data.holdout.with_columns(
        **{f"{who}_score": predict(estimator, data.holdout, model) for who, estimator in fitted.items()}
    )
    out_of_fold = pl.concat(folds, how="vertical_relaxed") if folds else data.holdout.clear()
    if segmented:
        out_of_fold = own.with_own_scores(model, out_of_fold, best(tried).candidate, "candidate_score")
    intervals = {
        who: fit_interval(model.interval, out_of_fold, f"{who}_score")
        for who in ("candidate", "baseline")
        if model.interval
    }
    return _Result(fitted["candidate"], fitted["baseline"], tried, holdout, out_of_fold, intervals)


def _segment_trials(
    model: ModelSpec, folds: list[pl.DataFrame], own: SegmentFits, first_number: int
) -> list[Trial]:
    """A trial for each candidate that was fitted on each segment, on the validation rows of each fold.

    Where a segment has no fit of its own, the `candidate_score` of what was learnt from all stays.
    """
    task = task_of(model)
    candidates = [name for name, fits in own.estimators.items() if fits]

    def value(candidate: str, fold: pl.DataFrame) -> float:
        rows = own.with_own_scores(model, fold, candidate, "candidate_score")
        return task.tuning_score(rows, "candidate_score")

    return [
        Trial(number, candidate, {}, math.fsum(value(candidate, fold) for fold in folds) / len(folds), "COMPLETE")
        for number, candidate in enumerate(candidates, start=first_number)
    ]


def _fit(model: ModelSpec, estimator: Any, rows: pl.DataFrame, seed: int, *, calibrate: bool) -> Any:
    matrix, labels = to_matrix(rows, model), rows["label"].to_numpy()
    if not calibrate:
        return tuning.fit(estimator, matrix, labels)
    folds = (places(rows, model.dataset.key, seed) * FITTING_FOLDS).astype(int)
    return task_of(model).fit(estimator, matrix, labels, folds)


def _measured(model: ModelSpec, result: _Result) -> dict[str, Any]:
    """The part of the record on what was tried, chosen and measured."""
    chosen, task = best(result.trials), task_of(model)
    measured = {
        who: {f"holdout_{name}": value for name, value in task.measure(result.holdout, f"{who}_score").items()}
        for who in ("candidate", "baseline", *model.gate.references)
    }
    return {
        "candidate": chosen.candidate,
        "params": chosen.params,
        "metrics": measured.pop("candidate"),
        "baseline_metrics": measured.pop("baseline"),
        "reference_metrics": measured,
        "segments": _segments(model, result.holdout),
        "tuning_metric": task.tuning_metric,
        "trials": tuple(result.trials),
        "intervals": {
            who: replace(interval, measured=coverage(interval, result.holdout, f"{who}_score"))
            for who, interval in result.intervals.items()
        },
        "coverage_range": result.coverage_range,
    }


def _learnt_from(model: ModelSpec, data: _Data) -> dict[str, Any]:
    """The part of the record on the rows."""
    split, rows = data.split, _named_rows(data)
    return {
        "data": data.inputs,
        "days": PartDays(refit=split.refit.days, holdout=split.holdout.days),
        "folds": tuple(FoldDays(train=fold.train.days, validation=fold.validation.days) for fold in split.folds),
        "split": split.by,
        "validation_split": split.validation_by,
        "rows": {name: frame.height for name, frame in rows},
        "mean_label": {name: float(frame["label"].mean()) for name, frame in rows},  # type: ignore[arg-type]
        "numeric": model.numeric,
        "categorical": model.categorical,
    }


def _segments(model: ModelSpec, holdout: pl.DataFrame) -> dict[str, dict[str, float]]:
    """The candidate's measures on the holdout rows of each segment, by its name."""
    if model.segments.by is None:
        return {}
    parts = holdout.partition_by(model.segments.by, as_dict=True)
    task = task_of(model)
    return {str(name): task.measure(rows, "candidate_score") for (name,), rows in sorted(parts.items())}


def _warnings(model: ModelSpec, split: Split, metrics: Mapping[str, float]) -> list[str]:
    warnings = []
    name, limit = model.gate.leakage_threshold or ("", math.inf)
    if metrics.get(f"holdout_{name}", 0) > limit:
        warnings.append(
            f"The holdout {task_of(model).metrics[name].within} of {metrics[f'holdout_{name}']:.3f} is above "
            f"{limit:g}, which is too good to be true: look for a feature that knows the outcome."
        )
    if split.by == "key":
        warnings.append(
            "The history is too short for a holdout that is later than what was learnt from, so it consists of "
            f"other rows ({', '.join(model.dataset.key)}) of the same day: how the model does on later days is "
            "not known."
        )
    return warnings


def _gap_warnings(model: ModelSpec, lake: Lake, as_of: date) -> list[str]:
    gaps = training_data.decided_days(model, lake, as_of).missing
    if not gaps:
        return []
    missing = sorted({day for days in gaps.values() for day in days})
    return [
        f"The outcomes of {len(missing)} days are missing ({', '.join(map(str, missing))}), so {len(gaps)} days "
        f"whose labels depend on them were not learnt from; run {model.dataset.name}_etl for these days."
    ]


def _segment_warnings(model: ModelSpec, own: SegmentFits) -> list[str]:
    if not own.failed:
        return []
    return [
        f"Not every {model.segments.by} could be fitted on its own, and what was learnt from all answers for "
        f"{len(own.failed)}, also where candidates are compared: {segment_training.described(own.failed)}."
    ]


def _coverage_warnings(result: _Result) -> list[str]:
    interval, ends = result.intervals.get("candidate"), result.coverage_range
    if interval is None or ends is None:
        return []
    measured = coverage(interval, result.holdout, "candidate_score")
    broken = width_fault(interval.nominal, measured, ends)
    if broken is None:
        return []
    return [
        f"The interval promises to hold {percent(interval.nominal, 0)} of the outcomes, but held "
        f"{percent(measured, 1)} of the holdout's (95 % interval {percent(ends[0], 1)} to {percent(ends[1], 1)}): "
        f"it is {broken}."
    ]


def _stored(model: ModelSpec, result: _Result, record: TrainingRecord, scratch: Path) -> list[LocalFile]:
    model_files.dump(result.candidate, scratch / "model.skops", model.trusted_types)
    model_files.dump(result.baseline, scratch / "baseline.skops", model.trusted_types)
    record.write(scratch / RECORD)
    result.holdout.write_parquet(scratch / "holdout.parquet", statistics=False)
    return [
        *(LocalFile(scratch / name) for name in ("model.skops", "baseline.skops", RECORD)),
        LocalFile(scratch / "holdout.parquet", result.holdout.height),
    ]


def _plots(figures: Mapping[str, Figure], scratch: Path) -> list[LocalFile]:
    for name, figure in figures.items():
        charts.save_png(figure, scratch / f"{name}.png")
    return [LocalFile(scratch / f"{name}.png") for name in figures]
