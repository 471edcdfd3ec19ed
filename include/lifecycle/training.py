"""Training: from features and outcomes to a calibrated candidate that waits on the lake.

`assemble` publishes the labels that have matured. `train` reads them with the features, splits them by time,
searches, fits, calibrates and measures, and stages the result beside the naive baseline. The same data, seed
and code give the same bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from include.lifecycle import model_card, model_files, plots
from include.lifecycle.estimator_input import predict, to_matrix
from include.lifecycle.evaluation import metrics
from include.lifecycle.lake import Lake, LocalFile, Manifest, RunInfo
from include.lifecycle.snapshots import (
    NothingToLearnError,
    Part,
    Split,
    matured_days,
    missing_outcomes,
    places,
    select,
    spaced_days,
)
from include.lifecycle.snapshots import split as split_days
from include.lifecycle.specs import ModelSpec
from include.lifecycle.tuning import Trial, best, fit, tune

log = logging.getLogger(__name__)

CALIBRATION_FOLDS = 3
FEWEST_OUTCOMES = 5
_PARTS = ("search", "validation", "fit", "holdout")


@dataclass(frozen=True)
class _Data:
    """The rows of each part by name (key, `dt`, features, `label`), and the partitions that they come from."""

    split: Split
    rows: dict[str, pl.DataFrame]
    inputs: dict[str, str]


@dataclass(frozen=True)
class _Result:
    candidate: Any
    baseline: Any
    trials: list[Trial]
    holdout: pl.DataFrame
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]


def assemble(model: ModelSpec, lake: Lake, as_of: date, run: RunInfo) -> list[date]:
    """Publish the labels of the snapshot days that have matured by `as_of`; returns these days, oldest first.

    A label says what was known when it matured, whatever became known later: the labels of a day do not depend
    on the day on which they are assembled.

    Raises
    ------
    NothingToLearnError
        If no day has matured.
    """
    days = _snapshot_days(model, lake, as_of)
    outcome_days = lake.days(model.dataset.clean(model.label_table))
    with TemporaryDirectory() as folder:
        for day in days:
            known = [known for known in outcome_days if day <= known <= day + _maturity(model)]
            _publish_labels(model, lake, day, known, run, Path(folder))
    return days


def train(
    model: ModelSpec, lake: Lake, as_of: date, *, trials: int, seed: int, run: RunInfo, reason: str = ""
) -> Manifest:
    """Tune, fit, calibrate and measure the candidates, and stage the best for the registry.

    Hyperparameters are chosen by fitting on older days and measuring on a later one. The best are fitted once
    more on all days whose labels end before the holdout, and calibrated by Platt scaling on predictions for
    customers that the predicting fit has not seen. The holdout is looked at once, at the end.

    Parameters
    ----------
    trials : how many sets of hyperparameters are tried, over all candidates.
    reason : why this training takes place; kept with the result.

    Returns
    -------
    The manifest of `staging/<model>/dt=<as_of>`: `model.skops`, `baseline.skops`, `training.json`,
    `holdout.parquet` and the pictures. The model card is published as well.

    Raises
    ------
    NothingToLearnError
        If no day has matured, or a part of the split has hardly any outcomes of one kind.
    PartitionNotFoundError
        If labels are missing; run `assemble` first.
    UntrustedModelError
        If the fitted model contains types that its spec does not trust.
    """
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = _read(model, lake, as_of, seed, scratch)
        result = _learn(model, data, trials, seed)
        training = {
            "model": model.name,
            "as_of": as_of.isoformat(),
            "seed": seed,
            "trials_budget": trials,
            "reason": reason,
            "code_version": run.code_version,
            **_story(model, data, result),
            "warnings": _warnings(model, lake, as_of, data.split, result.metrics),
        }
        figures = _figures(result.holdout)
        files = [*_stored(model, result, training, scratch), *_pictures(figures, scratch)]
        schema = dict(result.holdout.schema)
        staged = lake.publish(model.staging_prefix, as_of, files, run=run, schema=schema, inputs=data.inputs)
        model_card.publish(model, lake, as_of, training, figures, staged, run=run, scratch=scratch)
    return staged


def _maturity(model: ModelSpec) -> timedelta:
    return timedelta(days=model.horizon_days + model.label_delay_days)


def _snapshot_days(model: ModelSpec, lake: Lake, as_of: date) -> list[date]:
    """The days to learn from, oldest first.

    Days whose labels depend on outcomes that never arrived are left out: who is not known to have left would pass
    for one who stayed.
    """
    feature_days = lake.days(model.dataset.features_prefix)
    outcome_days = lake.days(model.dataset.clean(model.label_table))
    matured = matured_days(feature_days, outcome_days, as_of, _maturity(model))
    gaps = missing_outcomes(matured, outcome_days, _maturity(model))
    days = spaced_days([day for day in matured if day not in gaps], model.snapshot_every_days)
    if not days:
        raise NothingToLearnError(
            f"Model {model.name!r} has nothing to learn from as of {as_of}: outcomes are known "
            f"{_maturity(model).days} days after the features, but the first features are of "
            f"{min(feature_days, default='no day')} and the last outcomes of "
            f"{max(outcome_days, default='no day')}. Run {model.dataset.name}_etl for more days, or train as of "
            "a later day."
        )
    return days


def _publish_labels(
    model: ModelSpec, lake: Lake, day: date, known: Sequence[date], run: RunInfo, scratch: Path
) -> None:
    outcomes = model.dataset.clean(model.label_table)
    features = pl.read_parquet(lake.download(model.dataset.features_prefix, day, scratch))
    labels = model.label(day, features, lake.scan(outcomes, known, scratch)).sort(model.dataset.key)
    inputs = lake.digests(model.dataset.features_prefix, [day]) | lake.digests(outcomes, known)
    lake.publish_frame(model.labels_prefix, day, labels, run=run, scratch=scratch, inputs=inputs)


def _read(model: ModelSpec, lake: Lake, as_of: date, seed: int, scratch: Path) -> _Data:
    split = split_days(_snapshot_days(model, lake, as_of), timedelta(days=model.horizon_days))
    rows = {name: _rows(model, lake, getattr(split, name), seed, scratch) for name in _PARTS}
    for name, frame in rows.items():
        _require_outcomes(model, name, frame)
    days = sorted({*split.fit.days, *split.holdout.days})
    prefixes = (model.dataset.features_prefix, model.labels_prefix)
    inputs = {path: digest for prefix in prefixes for path, digest in lake.digests(prefix, days).items()}
    return _Data(split, rows, inputs)


def _rows(model: ModelSpec, lake: Lake, part: Part, seed: int, scratch: Path) -> pl.DataFrame:
    key = model.dataset.key
    days = []
    for day in part.days:
        features = lake.scan(model.dataset.features_prefix, [day], scratch)
        labels = lake.scan(model.labels_prefix, [day], scratch).select(*key, "label")
        frame = features.join(labels, on=key).select(*key, "dt", *model.features, "label").collect()
        days.append(select(frame, key, part, model.max_training_rows // len(part.days), seed))
    return pl.concat(days, how="vertical_relaxed")


def _require_outcomes(model: ModelSpec, part: str, frame: pl.DataFrame) -> None:
    positive = int(frame["label"].sum())
    negative = frame.height - positive
    if min(positive, negative) < FEWEST_OUTCOMES:
        raise NothingToLearnError(
            f"The {part} part of model {model.name!r} has {positive} rows with label 1 and {negative} with label "
            f"0, but at least {FEWEST_OUTCOMES} of each are needed; give more days or more customers."
        )


def _learn(model: ModelSpec, data: _Data, trials: int, seed: int) -> _Result:
    tried = tune(model, data.rows["search"], data.rows["validation"], budget=trials, seed=seed)
    chosen = best(tried)
    builders = {candidate.name: candidate.build for candidate in model.candidates()}
    matrix, labels = to_matrix(data.rows["fit"], model), data.rows["fit"]["label"].to_numpy()
    folds = (places(data.rows["fit"], model.dataset.key, seed) * CALIBRATION_FOLDS).astype(int)
    candidate = _fit_calibrated(builders[chosen.candidate](chosen.params, seed), matrix, labels, folds)
    baseline = fit(model.baseline(seed), matrix, labels)
    holdout = data.rows["holdout"]
    holdout = holdout.with_columns(
        candidate_score=predict(candidate, holdout, model), baseline_score=predict(baseline, holdout, model)
    )
    measured = {who: _holdout_metrics(holdout, f"{who}_score") for who in ("candidate", "baseline")}
    return _Result(candidate, baseline, tried, holdout, measured["candidate"], measured["baseline"])


def _fit_calibrated(estimator: Any, matrix: Any, labels: NDArray[Any], folds: NDArray[np.int_]) -> Any:
    """One fit on all rows, with Platt scaling learnt from out-of-fold predictions."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import PredefinedSplit

    calibrated = CalibratedClassifierCV(estimator, method="sigmoid", cv=PredefinedSplit(folds), ensemble=False)
    fit(calibrated, matrix, labels)
    # The fold of each training row has done its duty and would only swell the stored model.
    return calibrated.set_params(cv=CALIBRATION_FOLDS)


def _holdout_metrics(holdout: pl.DataFrame, scores: str) -> dict[str, float]:
    measured = metrics(holdout["label"].to_numpy(), holdout[scores].to_numpy())
    return {f"holdout_{name}": value for name, value in measured.items()}


def _story(model: ModelSpec, data: _Data, result: _Result) -> dict[str, Any]:
    chosen = best(result.trials)
    return {
        "candidate": chosen.candidate,
        "params": chosen.params,
        "metrics": result.metrics,
        "baseline_metrics": result.baseline_metrics,
        "trials": [asdict(trial) for trial in result.trials],
        "data": data.inputs,
        "days": {name: [str(day) for day in getattr(data.split, name).days] for name in _PARTS},
        "split": data.split.by,
        "validation_split": data.split.validation_by,
        "rows": {name: frame.height for name, frame in data.rows.items()},
        "positives": {name: int(frame["label"].sum()) for name, frame in data.rows.items()},
        "numeric": list(model.numeric),
        "categorical": list(model.categorical),
    }


def _warnings(model: ModelSpec, lake: Lake, as_of: date, split: Split, measured: dict[str, float]) -> list[str]:
    warnings = []
    if measured["holdout_roc_auc"] > model.suspicious_roc_auc:
        warnings.append(
            f"The holdout ROC AUC of {measured['holdout_roc_auc']:.3f} is above {model.suspicious_roc_auc:g}, "
            "which is more likely a leak than skill: look for a feature that knows the outcome."
        )
    if split.by == "key":
        warnings.append(
            "The history is too short for a holdout that is later than what was learnt from, so it consists of "
            "other customers of the same day: how the model does on later days is not known."
        )
    return [*warnings, *_gap_warnings(model, lake, as_of)]


def _gap_warnings(model: ModelSpec, lake: Lake, as_of: date) -> list[str]:
    outcome_days = lake.days(model.dataset.clean(model.label_table))
    matured = matured_days(lake.days(model.dataset.features_prefix), outcome_days, as_of, _maturity(model))
    gaps = missing_outcomes(matured, outcome_days, _maturity(model))
    if not gaps:
        return []
    missing = sorted({day for days in gaps.values() for day in days})
    return [
        f"The outcomes of {len(missing)} days are missing ({', '.join(map(str, missing))}), so {len(gaps)} days "
        f"whose labels depend on them were not learnt from; run {model.dataset.name}_etl for these days."
    ]


def _stored(model: ModelSpec, result: _Result, training: dict[str, Any], scratch: Path) -> list[LocalFile]:
    model_files.dump(result.candidate, scratch / "model.skops", model.trusted_types)
    model_files.dump(result.baseline, scratch / "baseline.skops", model.trusted_types)
    (scratch / "training.json").write_text(json.dumps(training, indent=2))
    result.holdout.write_parquet(scratch / "holdout.parquet", statistics=False)
    return [
        *(LocalFile(scratch / name) for name in ("model.skops", "baseline.skops", "training.json")),
        LocalFile(scratch / "holdout.parquet", result.holdout.height),
    ]


def _figures(holdout: pl.DataFrame) -> dict[str, Figure]:
    scores = {who: holdout[f"{who}_score"].to_numpy() for who in ("candidate", "baseline")}
    return plots.draw_all(holdout["label"].to_numpy(), scores)


def _pictures(figures: Mapping[str, Figure], scratch: Path) -> list[LocalFile]:
    for name, figure in figures.items():
        plots.save_png(figure, scratch / f"{name}.png")
    return [LocalFile(scratch / f"{name}.png") for name in figures]
