"""The version at work and what its training left: the holdout, and the baseline that scores are set beside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.intervals import COVERAGE, HIGH, LOW
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Pinned
from include.lifecycle.training.record import BASELINE, HOLDOUT


@dataclass(frozen=True)
class Champion:
    """The version that a report is about, and the pinned files of its training."""

    model: ModelSpec
    reference: Reference
    left: Pinned
    scratch: Path

    @classmethod
    def pin(cls, model: ModelSpec, lake: Lake, reference: Reference, scratch: Path) -> Champion:
        """The version with its files as they are now.

        Raises
        ------
        PartitionNotFoundError
            If its training left none.
        """
        left = lake.pin(model.reference_prefix(reference.model_version), [reference.day])
        return cls(model, reference, left, scratch)

    @cached_property
    def baseline(self) -> Any:
        """The fitted baseline of its training."""
        [file] = self.left.download(self.reference.day, self.scratch, BASELINE)
        return model_files.load_trusted(file, self.model.trusted_types, f"the baseline of {self.model.name!r}")

    def read_holdout(self) -> pl.DataFrame:
        """The rows of its holdout with `label`, `baseline_score` and its own `score`."""
        [path] = self.left.download(self.reference.day, self.scratch, HOLDOUT)
        return pl.read_parquet(path).with_columns(score=pl.col(self.reference.score_column))

    def read_scores(self, features: Pinned, predictions: Pinned, day: date, *further: str) -> pl.DataFrame:
        """The predictions of a day, of whichever version, with `dt` and what the baseline gives the same rows.

        Columns: key, `score`, its interval, `model_version`, `dt`, `baseline_score`, and `further` features.
        """
        key = self.model.dataset.key
        of_day = features.only([day]).scan(self.scratch).collect()
        scored = of_day.with_columns(baseline_score=predict(self.baseline, of_day, self.model))
        published = pl.read_parquet(predictions.download(day, self.scratch, PARQUET))
        kept = [name for name in ("score", LOW, HIGH, COVERAGE, "model_version") if name in published.columns]
        beside = scored.select(*key, "dt", "baseline_score", *further)
        return published.select(*key, *kept).join(beside, on=key)
