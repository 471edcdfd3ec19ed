"""People who may leave: a model of them, their features, and what was written of their scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ab_test import Split
from include.lifecycle.scoring import planning
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.rescoring import withdrawn
from include.lifecycle.scoring.scorers import Challenger, Challengers, Scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.specs import LabelSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.specs import people_dataset, people_model, unused

DAY = date(2026, 3, 1)


def decide(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.with_columns(
        will_leave=pl.col("score") >= 0.5,
        margin=pl.col("score") - 1,
        note=pl.when(pl.col("score") >= 0.5).then(pl.lit("-call")).otherwise(pl.lit("wait")),
    )


PEOPLE = people_dataset(key=("person", "place"))
LEAVING = people_model(
    dataset=PEOPLE,
    numeric=("visits",),
    categorical=("plan",),
    label=LabelSpec(make=unused, table="people", horizon_days=1, delay_days=0),
    decide=decide,
)


def features(rows: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "person": [f"P{number:03d}" for number in range(rows)],
            "place": ["here", "there"] * (rows // 2),
            "visits": [None if number % 7 == 0 else number / 3 for number in range(rows)],
            "plan": ["basic", "plus", None, "basic"] * (rows // 4),
            "not_a_feature": ["x"] * rows,
        }
    )


class ZeroForMissing:
    """scikit-learn step: missing numbers become zero."""

    def fit(self, X: Any, y: Any = None) -> ZeroForMissing:
        return self

    def transform(self, X: Any) -> Any:
        return np.nan_to_num(np.asarray(X, dtype=float))


@dataclass(frozen=True)
class Constant:
    """A classifier that gives each row the same probability."""

    probability: float

    def predict_proba(self, matrix: Any) -> Any:
        return np.column_stack(
            [np.full(len(matrix), 1 - self.probability), np.full(len(matrix), self.probability)]
        )


def predictions(lake: Lake, day: date, scratch: Path) -> pl.DataFrame:
    return pl.read_parquet(lake.download(LEAVING.predictions_prefix, day, scratch, "predictions.parquet"))


def warehouse_rows(connection: Any, day: date = DAY) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select * from ml.leaving_predictions where dt = %s order by person", [day])
        return list(cursor.fetchall())


def targets(connection: Any, day: date) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select target_from, target_until from ml.leaving_predictions where dt = %s", [day])
        return list(set(cursor.fetchall()))


def objects(lake: Lake) -> dict[str, bytes]:
    keys = lake.keys(LEAVING.predictions_prefix)
    return {key: lake.read_object(key) or b"" for key in keys}


def work(lake: Lake, connection: Any, run: RunInfo) -> dict[date, int]:
    """Score and publish what is planned, as a run of the scoring does; returns the plan."""
    planned = planning.plan(LEAVING, lake, connection, None)
    why = withdrawn(ledger.entries(connection, "leaving"))
    for day, version in planned.items():
        score(LEAVING, lake, day, Scorer(Constant(version / 10), version, withdrawn=why), run, connection)
        publish(LEAVING, lake, connection, day, run)
    return planned


def split_between(champion: Scorer, challenger: Challenger) -> Scorer:
    """A champion that a challenger is compared with in a running A/B test."""
    split = Split(challenger.test, champion.version, challenger.version)
    return replace(champion, challengers=Challengers([split], lambda _: challenger))
