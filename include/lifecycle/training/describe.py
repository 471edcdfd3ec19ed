"""What a training says of itself: its record, and the warnings in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from include.lifecycle.modelling.estimator_input import segment_names
from include.lifecycle.modelling.importance import permutation_importance
from include.lifecycle.modelling.intervals import coverage, width_fault
from include.lifecycle.modelling.reasons import usual_values
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.modelling.tuning import best
from include.lifecycle.reporting.pages import percent
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.lifecycle.training.fitting import Fitted
from include.lifecycle.training.record import (
    FoldDays,
    Metrics,
    PartDays,
    SegmentRecord,
    TrainingRecord,
    TrainingRequest,
)
from include.lifecycle.training.segment_training import SegmentFits, described
from include.lifecycle.training.snapshots import SplitBy
from include.lifecycle.training.split_rows import SplitRows
from include.lifecycle.training.training_set import TrainingSet


def describe(
    model: ModelSpec, request: TrainingRequest, training_set: TrainingSet, rows: SplitRows, fitted: Fitted
) -> TrainingRecord:
    """The record of a training: what was asked for, learnt from, tried and measured."""
    own, results = fitted.segment_fits, _results(model, fitted)
    return TrainingRecord(
        model=model.name,
        as_of=request.as_of,
        seed=request.seed,
        trials_budget=request.trials,
        reason=request.reason,
        code_version=request.run.code_version,
        **results,
        **_parts(model, rows),
        importance=permutation_importance(model, fitted.candidate, fitted.holdout, request.seed),
        usual_values=usual_values(model, rows.refit),
        per_segment=SegmentRecord(params=own.params, failed=own.failed),
        behaviour_tests=run_behaviour_tests(model, fitted.candidate, rows.holdout, request.seed),
        warnings=(
            *_leakage_warnings(model, results["metrics"]),
            *_split_warnings(model, rows.split.by),
            *_gap_warnings(model, training_set.missing),
            *_segment_warnings(model, own),
            *interval_warnings(fitted),
        ),
    )


def _results(model: ModelSpec, fitted: Fitted) -> dict[str, Any]:
    """The fields of the record on what was tried, chosen and measured."""
    chosen, task = best(fitted.trials), task_of(model)
    measured = {
        who: {f"holdout_{name}": value for name, value in task.measure(fitted.holdout, f"{who}_score").items()}
        for who in ("candidate", "baseline", *model.gate.references)
    }
    return {
        "candidate": chosen.candidate,
        "params": chosen.params,
        "metrics": measured.pop("candidate"),
        "baseline_metrics": measured.pop("baseline"),
        "reference_metrics": measured,
        "segments": _segment_metrics(model, fitted),
        "tuning_metric": task.tuning_metric,
        "trials": tuple(fitted.trials),
        "intervals": {
            who: replace(interval, measured=coverage(interval, fitted.holdout, f"{who}_score"))
            for who, interval in fitted.intervals.items()
        },
        "coverage_range": fitted.coverage_range,
    }


def _segment_metrics(model: ModelSpec, fitted: Fitted) -> dict[str, Metrics]:
    """The candidate's metrics on the holdout rows of each segment, by its name, in the order of its values."""
    if model.segments.by is None:
        return {}
    rows, task = fitted.holdout.sort(model.segments.by, nulls_last=True, maintain_order=True), task_of(model)
    segments = rows.group_by(segment_names(model, rows.schema), maintain_order=True)
    return {str(name): task.measure(segment, "candidate_score") for (name,), segment in segments}


def _parts(model: ModelSpec, rows: SplitRows) -> dict[str, Any]:
    """The fields of the record on the rows and their days."""
    parts, by_name = rows.split, dict(rows.by_name())
    return {
        "data": rows.inputs,
        "days": PartDays(refit=parts.refit.days, holdout=parts.holdout.days),
        "folds": tuple(FoldDays(train=fold.train.days, validation=fold.validation.days) for fold in parts.folds),
        "split": parts.by,
        "validation_split": parts.validation_by,
        "rows": {name: frame.height for name, frame in by_name.items()},
        "mean_label": {name: float(frame["label"].mean()) for name, frame in by_name.items()},  # type: ignore[arg-type]
        "numeric": model.numeric,
        "categorical": model.categorical,
    }


def _leakage_warnings(model: ModelSpec, metrics: Metrics) -> list[str]:
    name, limit = model.gate.leakage_threshold or ("", math.inf)
    if metrics.get(f"holdout_{name}", 0) <= limit:
        return []
    return [
        f"The holdout {task_of(model).metrics[name].within} of {metrics[f'holdout_{name}']:.3f} is above "
        f"{limit:g}, which is too good to be true: look for a feature that knows the outcome, or a weak baseline."
    ]


def _split_warnings(model: ModelSpec, split_by: SplitBy) -> list[str]:
    if split_by == "time":
        return []
    return [
        "The history is too short for a holdout that is later than what was learnt from, so it consists of "
        f"other rows ({', '.join(model.dataset.key)}) of the same day: how the model does on later days is "
        "not known."
    ]


def _gap_warnings(model: ModelSpec, gaps: Mapping[date, tuple[date, ...]]) -> list[str]:
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
        f"{len(own.failed)}, also where candidates are compared: {described(own.failed)}."
    ]


def interval_warnings(fitted: Fitted) -> list[str]:
    """A sentence if the candidate's interval holds another share of the holdout's outcomes than it promises."""
    interval, ends = fitted.intervals.get("candidate"), fitted.coverage_range
    if interval is None or ends is None:
        return []
    measured = coverage(interval, fitted.holdout, "candidate_score")
    broken = width_fault(interval.nominal, measured, ends)
    if broken is None:
        return []
    return [
        f"The interval promises to hold {percent(interval.nominal, 0)} of the outcomes, but held "
        f"{percent(measured, 1)} of the holdout's (95 % interval {percent(ends[0], 1)} to {percent(ends[1], 1)}): "
        f"it is {broken}."
    ]
