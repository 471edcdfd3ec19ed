"""Scores become prediction files, on a real S3 server and a real PostgreSQL."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.scoring import checks, scoring
from include.lifecycle.scoring.prediction_files import PredictionsError
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.storage.batches import batches
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.scoring.people import (
    DAY,
    LEAVING,
    Constant,
    decide,
    features,
    objects,
    predictions,
    targets,
    warehouse_rows,
)
from tests.specs import changed

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def test_a_person_finds_score_decision_and_origin_of_each_row(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any, tmp_path: Path
) -> None:
    publish_features()

    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)
    publish(LEAVING, lake, postgres, DAY, run)

    frame = predictions(lake, DAY, tmp_path / "read")
    expected = estimator.predict_proba(to_matrix(features(), LEAVING))[:, 1]
    assert frame.select("person", "place").equals(features().select("person", "place"))
    assert frame["score"].to_list() == expected.tolist()
    assert frame["will_leave"].to_list() == (expected >= 0.5).tolist()
    assert frame.select("model_name", "model_version", "scored_at").unique().rows() == [
        ("leaving", 3, run.started_at)
    ]


@pytest.mark.parametrize(
    ("target_days", "first", "last"), [(None, "2026-03-02", "2026-03-08"), ((7, 7), "2026-03-08", "2026-03-08")]
)
def test_files_and_table_say_which_days_a_prediction_is_about(
    lake: Lake,
    postgres: Any,
    run: RunInfo,
    publish_features: Any,
    tmp_path: Path,
    target_days: tuple[int, int] | None,
    first: str,
    last: str,
) -> None:
    publish_features()
    model = changed(LEAVING, label={"horizon_days": 7, "target_days": target_days})

    score(model, lake, DAY, Scorer(Constant(0.5), 3), run)
    publish(model, lake, postgres, DAY, run)

    [path] = lake.download(model.predictions_prefix, DAY, tmp_path / "csv", "predictions.csv")
    in_csv = pl.read_csv(path, infer_schema=False).select("target_from", "target_until")
    assert in_csv.unique().rows() == [(first, last)]
    days = [(date.fromisoformat(first), date.fromisoformat(last))]
    assert predictions(lake, DAY, tmp_path).select("target_from", "target_until").unique().rows() == days
    assert targets(postgres, DAY) == days


def test_batches_give_the_scores_of_the_whole(
    lake: Lake,
    run: RunInfo,
    publish_features: Any,
    estimator: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish_features()
    whole = score(LEAVING, lake, DAY, Scorer(estimator, 1), run)
    whole_frame = pl.read_parquet(lake.download(LEAVING.staged_scores_prefix, DAY, tmp_path / "whole"))

    monkeypatch.setattr(scoring, "batches", partial(batches, size=7))
    in_batches = score(LEAVING, lake, DAY, Scorer(estimator, 1), run)
    frame = pl.read_parquet(lake.download(LEAVING.staged_scores_prefix, DAY, tmp_path / "batches"))

    assert in_batches.rows == whole.rows == 40
    assert frame.drop("score").equals(whole_frame.drop("score"))
    np.testing.assert_allclose(frame["score"], whole_frame["score"], rtol=1e-12)


def _without_decision(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.with_columns(will_leave=pl.when(pl.col("person") != "P001").then(pl.lit(True)))


def _short(scores: pl.DataFrame) -> pl.DataFrame:
    return decide(scores).head(-1)


def _shuffled(scores: pl.DataFrame) -> pl.DataFrame:
    return decide(scores).reverse()


@pytest.mark.parametrize(
    ("decide", "probability", "sentence"),
    [
        (decide, float("nan"), "40 scores are not numbers from 0 to 1"),
        (decide, float("inf"), "40 scores are not numbers from 0 to 1"),
        (decide, 1.01, "40 scores are not numbers from 0 to 1"),
        (decide, -0.01, "40 scores are not numbers from 0 to 1"),
        (_without_decision, 0.5, "1 rows lack the decision 'will_leave'"),
        (_short, 0.5, "There are 39 of them for 40 rows of features"),
        (_shuffled, 0.5, "40 keys are not those of the features"),
    ],
)
def test_scores_that_break_the_contract_are_not_published(
    lake: Lake,
    postgres: Any,
    run: RunInfo,
    publish_features: Any,
    decide: Any,
    probability: float,
    sentence: str,
) -> None:
    publish_features()
    score(LEAVING.model_copy(update={"decide": decide}), lake, DAY, Scorer(Constant(probability), 1), run)

    with pytest.raises(PredictionsError, match=sentence):
        publish(LEAVING, lake, postgres, DAY, run)

    assert objects(lake) == {}


def test_a_day_that_cannot_be_scored_stops_no_other(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    days = [DAY + timedelta(number) for number in range(3)]
    publish_features(days[0])
    publish_features(days[1], features().clear())
    publish_features(days[2])

    errors = dict(scoring.score_days(LEAVING, lake, postgres, days, Scorer(Constant(0.5), 1), run))

    assert lake.days(LEAVING.staged_scores_prefix) == [days[0], days[2]]
    assert list(errors) == days
    assert [errors[days[0]], errors[days[2]]] == [None, None]
    assert "has no rows" in str(errors[days[1]])


@pytest.mark.parametrize("slice_rows", [5, 500_000])
def test_repeated_keys_are_not_published(
    lake: Lake,
    postgres: Any,
    run: RunInfo,
    publish_features: Any,
    monkeypatch: pytest.MonkeyPatch,
    slice_rows: int,
) -> None:
    monkeypatch.setattr(checks, "_UNIQUENESS_ROWS", slice_rows)
    publish_features(frame=pl.concat([features(), features().tail(2)]))
    score(LEAVING, lake, DAY, Scorer(Constant(0.5), 1), run)

    with pytest.raises(PredictionsError, match=r"2 rows repeat the key \(person, place\) of another"):
        publish(LEAVING, lake, postgres, DAY, run)


def test_scores_of_features_that_changed_meanwhile_are_not_published(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.5), 1), run)
    publish_features(frame=features().with_columns(visits=pl.lit(1.0)))

    with pytest.raises(PredictionsError, match="published again after they were scored"):
        publish(LEAVING, lake, postgres, DAY, run)


def test_a_day_without_rows_is_refused(lake: Lake, run: RunInfo, publish_features: Any) -> None:
    publish_features(frame=features().clear())

    with pytest.raises(PredictionsError, match="has no rows"):
        score(LEAVING, lake, DAY, Scorer(Constant(0.5), 1), run)


def test_no_text_cell_of_the_csv_is_a_formula(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, tmp_path: Path
) -> None:
    hostile = [start + "cmd|' /C calc'!A0" for start in FORMULA_STARTS]
    harmless = ['a"b, c', "1-2", "'quoted", "", "plain"]
    people = hostile + harmless
    frame = pl.DataFrame({"person": people, "place": people, "visits": 1.0, "plan": "x"})
    publish_features(frame=frame)
    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    [path] = lake.download(LEAVING.predictions_prefix, DAY, tmp_path / "read", "predictions.csv")
    cells = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))

    for column in ("person", "place"):
        assert [row[column] for row in cells] == ["'" + text for text in hostile] + harmless
    assert {row["note"] for row in cells} == {"'-call"}
    assert {row["margin"] for row in cells} == {"-0.25"}
    assert predictions(lake, DAY, tmp_path / "parquet")["person"].to_list() == people
    assert {row[1] for row in warehouse_rows(postgres)} == set(people)
