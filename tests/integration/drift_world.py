"""People on a lake, whose features and scores a drift report compares with those of a training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.specs import DriftPolicy
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from tests.specs import people_model

DAY = date(2026, 11, 20)
TRAINED = date(2026, 10, 1)
CUSTOMERS = 3_000
REFERENCE = Reference(TRAINED, model_version=3)
MODEL = people_model(
    numeric=("charges", "senior", "age"),
    categorical=("contract", "internet"),
    drift=DriftPolicy(window_days=3, sample_rows=2_000),
)
WINDOW = [DAY - timedelta(days) for days in (2, 1, 0)]


def people(seed: int, *, charges: float = 0.0, rows: int = CUSTOMERS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "person": [f"P{number}" for number in range(rows)],
            "charges": rng.gamma(4, 16, rows) + charges,
            "senior": rng.random(rows) < 0.2,
            "age": [None] * rows,
            "contract": rng.choice(["Month-to-month", "One year", "Two year"], rows),
            "internet": ["DSL"] * rows,
        },
        schema_overrides={"age": pl.Float64},
    )


def scored(rows: pl.DataFrame, seed: int, *, version: int = 3, risk: float = 8.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return rows.select("person", score=pl.Series(rng.beta(1, risk, rows.height)), model_version=pl.lit(version))


class World:
    """A lake with a champion's holdout, and a window to judge."""

    def __init__(self, lake: Lake, run: RunInfo, scratch: Path) -> None:
        self.lake, self.run, self.scratch = lake, run, scratch

    def holdout(self, version: int = 3) -> None:
        scores = scored(people(1), 1)["score"]
        frame = people(1).with_columns(
            dt=pl.lit(TRAINED), label=pl.lit(0), candidate_score=scores, baseline_score=0.1
        )
        self._publish(f"references/leaving/version={version}", TRAINED, frame, "holdout.parquet")

    def features(self, *, charges: float = 0.0, rows: int = CUSTOMERS, days: Sequence[date] = WINDOW) -> None:
        for seed, day in enumerate(days, start=10):
            self._publish("features/people", day, people(seed, charges=charges, rows=rows), "part.parquet")

    def predictions(self, *, version: int = 3, risk: float = 8.0, days: Sequence[date] = WINDOW) -> None:
        for seed, day in enumerate(days, start=20):
            scores = scored(people(seed), seed, version=version, risk=risk)
            self._publish("predictions/leaving", day, scores, "predictions.parquet")

    def _publish(self, prefix: str, day: date, frame: pl.DataFrame, name: str) -> None:
        path, csv = self.scratch / name, self.scratch / "predictions.csv"
        frame.write_parquet(path)
        files = [LocalFile(path, frame.height)]
        if prefix.startswith("predictions"):
            frame.write_csv(csv)
            files.append(LocalFile(csv, frame.height))
        self.lake.publish(prefix, day, files, run=self.run)
