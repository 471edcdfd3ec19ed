"""A small model and trainings of it, staged on the lake as `train` stages them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from include.lifecycle.modelling.estimator_input import predict, to_matrix
from include.lifecycle.modelling.importance import FeatureImportance, Importance
from include.lifecycle.modelling.model_files import dump
from include.lifecycle.modelling.tasks.classification.metrics import measure
from include.lifecycle.modelling.tuning import Trial
from include.lifecycle.specs import DatasetSpec, GateSpec, LabelSpec, ModelSpec, TableSpec
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, RunInfo
from include.lifecycle.training.behaviour_tests import run_behaviour_tests
from include.lifecycle.training.record import RECORD, PartDays
from tests.training_records import training_record

AS_OF = date(2026, 3, 1)


def small_model(name: str, **changes: Any) -> ModelSpec:
    """A model with two numeric features and a categorical one."""
    table = TableSpec(name="orders", columns={"id": pl.String}, key=("id",), rules=list)
    dataset = DatasetSpec(
        name="shop",
        title="Shop",
        description="Orders.",
        key=("id",),
        timezone="UTC",
        schedule="0 3 * * *",
        tables=(table,),
        make_source=lambda settings, connect: None,
        features=lambda day, tables: pl.DataFrame(),
        history_days={"orders": 0},
    )
    settings = {
        "name": name,
        "title": "Returns",
        "description": "Will the order be returned?",
        "dataset": dataset,
        "numeric": ("price", "age"),
        "categorical": ("colour",),
        "task": "classification",
        "label": LabelSpec(
            make=lambda day, features, outcomes: pl.DataFrame(), table="orders", horizon_days=7, delay_days=1
        ),
        "candidates": tuple,
        "baseline": lambda seed: None,
        "gate": GateSpec(metric="roc_auc"),
        "decide": lambda frame: frame,
        "trusted_types": ("numpy.dtype",),
    }
    return ModelSpec(**{**settings, **changes})


def stage(
    model: ModelSpec,
    lake: Lake,
    run: RunInfo,
    scratch: Path,
    *,
    as_of: date = AS_OF,
    noise: float = 0.0,
    trials: int = 2,
    learnt_until: date | None = None,
) -> Manifest:
    """Stage a training. `noise` spoils the features that the candidate learns from, and so the candidate."""
    holdout_day = as_of - timedelta(days=model.label.horizon_days + model.label.delay_days)
    learnt_until = learnt_until or holdout_day - timedelta(days=model.label.horizon_days)
    rows = orders(holdout_day, seed=1)
    learnt = orders(learnt_until, seed=2)
    candidate = _fit(learnt.with_columns(pl.col("price", "age") * (1 - noise)), model, model.features)
    baseline = _fit(learnt, model, model.categorical)
    rows = rows.with_columns(
        candidate_score=predict(candidate, rows, model), baseline_score=predict(baseline, rows, model)
    )
    record = training_record(
        model=model.name,
        as_of=as_of,
        trials_budget=trials,
        warnings=("The holdout is small.",),
        code_version=run.code_version,
        candidate="logistic",
        params={"C": 1.0, "noise": noise},
        metrics=_named(measure(rows["label"].to_numpy(), rows["candidate_score"].to_numpy())),
        baseline_metrics=_named(measure(rows["label"].to_numpy(), rows["baseline_score"].to_numpy())),
        trials=tuple(
            Trial(number, "logistic", {"C": 1.0 + number}, 0.5 + number / 100, "COMPLETE")
            for number in range(trials)
        ),
        data={f"features/shop/dt={learnt_until}": "a" * 64, f"features/shop/dt={holdout_day}": "b" * 64},
        days=PartDays(refit=(learnt_until,), holdout=(holdout_day,)),
        rows={"refit": learnt.height, "holdout": rows.height},
        importance=Importance(
            metric="average_precision",
            rows=rows.height,
            repeats=10,
            features={"price": FeatureImportance(mean=0.25, low=0.2, high=0.3)},
        ),
        numeric=model.numeric,
        categorical=model.categorical,
        behaviour_tests=run_behaviour_tests(model, candidate, rows, seed=7),
    )
    record.write(scratch / RECORD)
    dump(candidate, scratch / "model.skops", model.trusted_types)
    dump(baseline, scratch / "baseline.skops", model.trusted_types)
    rows.write_parquet(scratch / "holdout.parquet")
    (scratch / "calibration.png").write_bytes(b"\x89PNG picture")
    names = (
        "model.skops",
        "baseline.skops",
        RECORD,
        "holdout.parquet",
        "calibration.png",
    )
    return lake.publish(model.staging_prefix, as_of, [LocalFile(scratch / name) for name in names], run=run)


def orders(day: date, seed: int, rows: int = 400) -> pl.DataFrame:
    """Rows whose label follows from the price, a little from the age, and hardly from the colour."""
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "id": [f"O{number:05d}" for number in range(rows)],
            "price": random.normal(size=rows),
            "age": random.normal(size=rows),
            "colour": random.choice(["red", "green"], size=rows),
        }
    ).with_columns(dt=pl.lit(day))
    strength = 2 * frame["price"] + frame["age"] + 0.3 * (frame["colour"] == "red").cast(pl.Float64)
    label = (strength.to_numpy() + random.normal(size=rows) > 0).astype("int8")
    return frame.with_columns(label=pl.Series(label))


def _fit(frame: pl.DataFrame, model: ModelSpec, features: tuple[str, ...]) -> Any:
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), [name for name in model.numeric if name in features]),
        (OneHotEncoder(handle_unknown="ignore"), [name for name in model.categorical if name in features]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(to_matrix(frame, model), frame["label"].to_numpy())


def _named(values: dict[str, float]) -> dict[str, float]:
    return {f"holdout_{name}": value for name, value in values.items()}
