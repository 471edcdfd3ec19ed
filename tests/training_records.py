"""Records of trainings: as `train` writes one, and that of what is staged."""

from __future__ import annotations

from datetime import date
from typing import Any

from include.lifecycle.storage.lake import Lake
from include.lifecycle.training.record import RECORD, PartDays, TrainingRecord


def training_record(**changes: Any) -> TrainingRecord:
    """A record with a day to learn from and one of the holdout."""
    fields = {
        "model": "churn",
        "as_of": date(2026, 3, 1),
        "seed": 7,
        "trials_budget": 2,
        "reason": "test",
        "code_version": "test",
        "candidate": "logistic_regression",
        "params": {},
        "metrics": {},
        "baseline_metrics": {},
        "tuning_metric": "average_precision",
        "trials": (),
        "data": {},
        "days": PartDays(refit=(date(2026, 1, 1),), holdout=(date(2026, 2, 1),)),
        "folds": (),
        "split": "time",
        "validation_split": "time",
        "rows": {"refit": 400, "holdout": 400},
        "mean_label": {"refit": 0.5, "holdout": 0.5},
        "numeric": ("price",),
        "categorical": ("colour",),
    }
    return TrainingRecord(**fields | changes)


def staged_record(lake: Lake, model: str, as_of: date) -> TrainingRecord:
    """The record of the training of a model that is staged for a day."""
    return TrainingRecord.model_validate(lake.read_json(f"staging/{model}", as_of, RECORD))
