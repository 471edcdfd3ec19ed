"""Fitting: the best candidate, the naive models beside it, and their scores on rows that they have not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.intervals import Interval, coverage_range, fit_interval
from include.lifecycle.modelling.tasks import FITTING_FOLDS, task_of
from include.lifecycle.modelling.tuning import Trial, best
from include.lifecycle.segments import SegmentModels
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.record import TrainingRecord, TrainingRequest
from include.lifecycle.training.segment_training import SegmentFits
from include.lifecycle.training.snapshots import places
from include.lifecycle.training.split_rows import SplitRows

_CANDIDATE_SCORE = "candidate_score"

Builders = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Fitted:
    """What was learnt.

    Attributes
    ----------
    trials : everything that was tried; the best of them is the candidate.
    holdout : the rows of the holdout, with the `<who>_score` of the candidate, the baseline and each reference.
    out_of_fold : the validation rows of all folds, scored likewise by fits that had seen nothing later. Empty
        where neither an interval nor segments need them.
    intervals : of `candidate` and `baseline`, where the model has them.
    segment_fits : what came of fitting segments on their own.
    """

    candidate: Any
    baseline: Any
    trials: list[Trial]
    holdout: pl.DataFrame
    out_of_fold: pl.DataFrame
    intervals: Mapping[str, Interval]
    segment_fits: SegmentFits

    @property
    def coverage_range(self) -> tuple[float, float] | None:
        """The 95 % interval of the share of the holdout's outcomes that the candidate's interval holds."""
        interval = self.intervals.get("candidate")
        return None if interval is None else coverage_range(interval, self.holdout, _CANDIDATE_SCORE)


def fit_candidates(
    model: ModelSpec, rows: SplitRows, segment_fits: SegmentFits, request: TrainingRequest
) -> Fitted:
    """Choose a candidate by the folds, fit it and the naive models once more, and score the holdout.

    Whatever was fitted on each segment is compared with the best that learns from all of them, which answers for
    the segments without a fit of their own.
    """
    folds = [tuning.with_baseline(model, fold, request.seed) for fold in rows.folds]
    pooled = tuning.tune(model, folds, budget=request.trials, seed=request.seed)
    builders = _builders(model, best(pooled), request.seed)
    scored_folds = _score_folds(model, rows, builders)
    trials = [*pooled, *_segment_trials(model, scored_folds, segment_fits, len(pooled))]
    fitted = {
        who: _refit(model, build(), rows.refit, request.seed, calibrate=who == "candidate")
        for who, build in builders.items()
    }
    out_of_fold = pl.concat(scored_folds, how="vertical_relaxed") if scored_folds else rows.holdout.clear()
    chosen = best(trials).candidate
    if own := segment_fits.estimators.get(chosen):
        fitted["candidate"] = SegmentModels(str(model.segments.by), dict(own), fitted["candidate"])
        out_of_fold = segment_fits.with_own_scores(model, out_of_fold, chosen, _CANDIDATE_SCORE)
    scores = {f"{who}_score": predict(estimator, rows.holdout, model) for who, estimator in fitted.items()}
    return Fitted(
        candidate=fitted["candidate"],
        baseline=fitted["baseline"],
        trials=trials,
        holdout=rows.holdout.with_columns(**scores),
        out_of_fold=out_of_fold,
        intervals=_intervals(model, out_of_fold),
        segment_fits=segment_fits,
    )


def fit_again(model: ModelSpec, record: TrainingRecord, rows: pl.DataFrame) -> Any:
    """The candidate of a training, fitted on other rows with the same hyperparameters and seed, and calibrated."""
    build = {candidate.name: candidate.build for candidate in model.candidates()}[record.candidate]
    return _refit(model, build(dict(record.params), record.seed), rows, record.seed, calibrate=True)


def _builders(model: ModelSpec, chosen: Trial, seed: int) -> Builders:
    """What makes the unfitted candidate, the baseline and each reference, by name."""
    build = {candidate.name: candidate.build for candidate in model.candidates()}[chosen.candidate]
    return {
        "candidate": partial(build, chosen.params, seed),
        "baseline": partial(model.baseline, seed),
        **{name: partial(reference, seed) for name, reference in model.gate.references.items()},
    }


def _score_folds(model: ModelSpec, rows: SplitRows, builders: Builders) -> list[pl.DataFrame]:
    """The validation rows of each fold with everybody's out-of-fold score; empty where nothing needs them."""
    if not (model.interval or model.segments.per_task):
        return []
    return [tuning.predict_out_of_fold(model, [fold], builders) for fold in rows.folds]


def _segment_trials(
    model: ModelSpec, folds: Sequence[pl.DataFrame], segment_fits: SegmentFits, first_number: int
) -> list[Trial]:
    """A trial for each candidate that was fitted on each segment, on the validation rows of each fold.

    Where a segment has no fit of its own, the `candidate_score` of what was learnt from all stays.
    """
    task = task_of(model)
    candidates = [name for name, fits in segment_fits.estimators.items() if fits]

    def value(candidate: str, fold: pl.DataFrame) -> float:
        rows = segment_fits.with_own_scores(model, fold, candidate, _CANDIDATE_SCORE)
        return task.tuning_score(rows, _CANDIDATE_SCORE)

    return [
        Trial(number, candidate, {}, math.fsum(value(candidate, fold) for fold in folds) / len(folds), "COMPLETE")
        for number, candidate in enumerate(candidates, start=first_number)
    ]


def _refit(model: ModelSpec, estimator: Any, rows: pl.DataFrame, seed: int, *, calibrate: bool) -> Any:
    matrix, labels = to_matrix(rows, model), rows["label"].to_numpy()
    if not calibrate:
        return tuning.fit(estimator, matrix, labels)
    folds = (places(rows, model.dataset.key, seed) * FITTING_FOLDS).astype(int)
    return task_of(model).fit(estimator, matrix, labels, folds)


def _intervals(model: ModelSpec, out_of_fold: pl.DataFrame) -> dict[str, Interval]:
    if model.interval is None:
        return {}
    return {who: fit_interval(model.interval, out_of_fold, f"{who}_score") for who in ("candidate", "baseline")}
