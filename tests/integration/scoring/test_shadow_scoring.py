"""A challenger scores the champion's days in shadow: which days, from what, and where nobody takes it for more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring import planning, shadow_scoring
from include.lifecycle.scoring.prediction_files import PARQUET, PredictionsError, features_input
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.scoring.people import (
    DAY,
    LEAVING,
    PEOPLE,
    Constant,
    features,
    predictions,
    warehouse_rows,
)

DAYS = [DAY + timedelta(number) for number in range(4)]
CHALLENGER = Scorer(Constant(0.7), 2)
SHADOW = LEAVING.shadow_prefix(2)
LATER = RunInfo("later", datetime(2026, 4, 1, tzinfo=UTC), "test")


@pytest.fixture
def world(lake: Lake, postgres: Any, run: RunInfo, publish_features: Any) -> Lake:
    """Four days that the champion has scored; the challenger has seen the future of the first one."""
    for entry in (
        Entry("leaving", "promote", 1, None, 1, DAYS[0], "gate", "Better.", {}, "run 1"),
        Entry("leaving", "keep", 2, 1, 1, DAYS[1], "gate", "No better.", {}, "run 2"),
    ):
        ledger.record(postgres, entry)
    for day in DAYS:
        publish_features(day)
        score(LEAVING, lake, day, Scorer(Constant(0.2), 1), run, postgres)
        publish(LEAVING, lake, postgres, day, run)
    return lake


def make_challenger(postgres: Any, version: int = 2, from_day: date = DAYS[1]) -> None:
    reason = "Live data may tell."
    entry = Entry("leaving", "shadow", version, 1, 1, from_day, "eve", reason, {}, f"shadow {version}")
    ledger.record(postgres, entry)


def planned(lake: Lake, postgres: Any, requested: tuple[date, date] | None = None) -> list[date]:
    return shadow_scoring.plan(LEAVING, lake, ledger.entries(postgres, "leaving"), requested)


def test_without_a_challenger_nothing_is_scored(world: Lake, postgres: Any) -> None:
    assert planned(world, postgres) == []
    assert planned(world, postgres, (DAYS[0], DAYS[3])) == []


def test_the_challenger_scores_the_days_whose_future_it_has_not_seen_newest_first_and_once(
    world: Lake, postgres: Any, tmp_path: Path
) -> None:
    make_challenger(postgres)

    days = planned(world, postgres)
    errors = shadow_scoring.score_days(LEAVING, world, days, CHALLENGER, LATER)

    assert days == [DAYS[3], DAYS[2], DAYS[1]]
    assert errors == {}
    assert world.days(SHADOW) == DAYS[1:]
    assert planned(world, postgres) == []
    assert planned(world, postgres, (DAYS[0], DAYS[2])) == [DAYS[2], DAYS[1]]
    [file] = world.download(SHADOW, DAYS[3], tmp_path, PARQUET)
    frame = pl.read_parquet(file)
    assert frame.columns == predictions(world, DAYS[3], tmp_path / "published").columns
    assert frame.select("score", "will_leave", "model_version").unique().rows() == [(0.7, True, 2)]
    inputs = world.manifest(SHADOW, DAYS[3]).inputs
    published = world.manifest(LEAVING.predictions_prefix, DAYS[3]).inputs
    assert inputs[features_input(LEAVING, DAYS[3])] == published[features_input(LEAVING, DAYS[3])]
    assert inputs["models:/leaving"] == "2"


def test_who_reads_predictions_finds_none_of_the_challenger(world: Lake, postgres: Any, tmp_path: Path) -> None:
    make_challenger(postgres)
    before = latest.find(world, LEAVING.predictions_prefix), warehouse_rows(postgres, DAYS[3])

    shadow_scoring.score_days(LEAVING, world, planned(world, postgres), CHALLENGER, LATER)

    assert (latest.find(world, LEAVING.predictions_prefix), warehouse_rows(postgres, DAYS[3])) == before
    assert world.days(LEAVING.predictions_prefix) == DAYS
    assert predictions(world, DAYS[3], tmp_path)["model_version"].unique().to_list() == [1]
    assert planning.plan(LEAVING, world, postgres, None) == {}


def test_a_second_challenger_scores_all_days_that_the_first_one_has_scored(world: Lake, postgres: Any) -> None:
    make_challenger(postgres)
    shadow_scoring.score_days(LEAVING, world, planned(world, postgres), CHALLENGER, LATER)
    make_challenger(postgres, version=3, from_day=DAYS[0])

    assert planned(world, postgres) == DAYS[::-1]


def test_a_day_that_was_published_again_is_scored_again(
    world: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_challenger(postgres)
    shadow_scoring.score_days(LEAVING, world, planned(world, postgres), CHALLENGER, LATER)
    scored = world.written(SHADOW)
    predicted = {**scored, DAYS[2]: scored[DAYS[2]] + timedelta(seconds=1)}
    monkeypatch.setattr(Lake, "written", lambda _, prefix, *__: scored if prefix == SHADOW else predicted)

    assert planned(world, postgres) == [DAYS[2]]


def test_days_before_the_look_back_and_days_without_features_are_left_out(
    world: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_challenger(postgres)
    monkeypatch.setattr(shadow_scoring, "LOOK_BACK", timedelta(days=1))
    for key in world.keys(f"{PEOPLE.features_prefix}/dt={DAYS[3]}"):
        world.client.delete_object(Bucket=world.bucket, Key=key)

    assert planned(world, postgres) == [DAYS[2]]


@pytest.mark.parametrize("probability", [1.5, np.nan])
def test_scores_that_may_not_be_published_are_named_and_stop_no_other_day(
    world: Lake, postgres: Any, probability: float, publish_features: Any
) -> None:
    make_challenger(postgres)
    publish_features(DAYS[2], features().clear())

    errors = shadow_scoring.score_days(LEAVING, world, DAYS[1:], CHALLENGER, LATER)

    assert list(errors) == [DAYS[2]]
    assert "has no rows, so there is nothing to score" in errors[DAYS[2]]
    assert world.days(SHADOW) == [DAYS[1], DAYS[3]]
    with pytest.raises(PredictionsError, match="40 scores are not"):
        shadow_scoring.score(LEAVING, world, DAYS[1], replace(CHALLENGER, estimator=Constant(probability)), LATER)
