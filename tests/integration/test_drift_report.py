"""The drift report on a real lake and a real warehouse."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.monitoring.drift import monitor
from include.lifecycle.monitoring.drift_window import find_season
from include.lifecycle.specs import DriftPolicy, ModelSpec, TableSpec
from include.lifecycle.storage.lake import Lake, PartitionNotFoundError, RunInfo
from tests.integration.drift_world import DAY, MODEL, REFERENCE, TRAINED, WINDOW, World, people, scored
from tests.specs import people_dataset, unused


@pytest.fixture
def world(lake: Lake, run: RunInfo, tmp_path: Path) -> World:
    made = World(lake, run, tmp_path)
    made.holdout()
    return made


def objects(lake: Lake) -> dict[str, bytes | None]:
    return {key: lake.read_object(key) for key in lake.keys("")}


def warehouse_rows(postgres: Any) -> list[tuple[Any, ...]]:
    with postgres.cursor() as cursor:
        cursor.execute("select model, dt, column_name, distance, drifted from ml.drift order by column_name")
        return list(cursor.fetchall())


def test_a_window_like_the_training_shows_no_drift(world: World, postgres: Any) -> None:
    world.features()
    world.predictions()

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert verdict.verdict == "no drift"
    assert (verdict.reference_rows, verdict.current_rows) == (2_000, 2_000)
    assert verdict.columns["internet"].distance == 0.0
    assert verdict.columns["age"].distance is None


def test_scores_that_moved_are_drift_and_the_report_shows_which_features_moved(
    world: World, postgres: Any
) -> None:
    world.features(charges=40)
    world.predictions(risk=3.0)

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.verdict, verdict.drifted) == ("drift", ["charges"])
    manifest = world.lake.manifest("reports/leaving/drift", DAY)
    names = {file.plain_name for file in manifest.files}
    assert names == {"index.html", "verdict.json", "evidently.html", "evidently.json"}
    content = world.lake.read_json("reports/leaving/drift", DAY, "verdict.json")
    assert (content["verdict"], content["columns"]["charges"]["drifted"]) == ("drift", True)
    [page] = world.lake.download("reports/leaving/drift", DAY, world.scratch, "index.html")
    assert verdict.reason in page.read_text()
    assert page.read_text().count("<svg") == 2
    assert {row[2]: row[4] for row in warehouse_rows(postgres)} == {
        "score": True,
        "charges": True,
        **dict.fromkeys(("age", "contract", "internet", "senior"), False),
    }


def test_the_report_of_the_same_inputs_keeps_every_byte_and_its_rows(
    world: World, postgres: Any, run: RunInfo
) -> None:
    world.features(charges=40)
    world.predictions()
    first = monitor(MODEL, world.lake, postgres, DAY, run, REFERENCE)
    published, rows = objects(world.lake), warehouse_rows(postgres)
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.drift")

    later = dataclasses.replace(run, run_id="later", started_at=run.started_at + timedelta(hours=1))
    second = monitor(MODEL, world.lake, postgres, DAY, later, REFERENCE)

    assert second == first
    assert objects(world.lake) == published
    assert warehouse_rows(postgres) == rows


def test_a_damaged_report_comes_back_byte_for_byte(world: World, postgres: Any) -> None:
    world.features(charges=40)
    world.predictions()
    monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)
    published = objects(world.lake)
    for key in published:
        if key.startswith("reports/") and not key.endswith("manifest.json"):
            world.lake.write_object(key, b"damaged")

    monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert objects(world.lake) == published
    assert world.lake.intact("reports/leaving/drift", DAY)


@pytest.mark.parametrize("change", ["features", "champion", "policy"])
def test_the_report_of_other_inputs_is_made_anew(world: World, postgres: Any, change: str) -> None:
    world.features()
    world.predictions()
    model, champion = MODEL, REFERENCE
    assert monitor(model, world.lake, postgres, DAY, world.run, champion).verdict == "no drift"

    if change == "features":
        world.features(charges=40)
    elif change == "champion":
        world.holdout(version=4)
        champion = dataclasses.replace(REFERENCE, model_version=4)
    else:
        model = MODEL.model_copy(update={"drift": DriftPolicy(window_days=3, min_rows=4_000)})
    again = monitor(model, world.lake, postgres, DAY, world.run, champion)

    expected = {"features": "no drift", "champion": "not enough evidence", "policy": "not enough evidence"}
    assert again.verdict == expected[change]
    assert (change == "features") == ("charges" in again.drifted)
    assert {row[3] is None for row in warehouse_rows(postgres) if row[2] == "score"} == {change != "features"}


def test_scores_of_another_version_are_not_compared_with_the_champions_training(
    world: World, postgres: Any
) -> None:
    world.features()
    world.predictions(version=2, risk=2.0)

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert verdict.verdict == "not enough evidence"
    assert verdict.score.current_rows == 0


def test_days_that_another_version_scored_are_not_counted_among_the_champions(world: World, postgres: Any) -> None:
    world.features()
    world.predictions(version=2, risk=2.0)
    world.predictions(days=WINDOW[2:])

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.scored_days, verdict.predicted_days) == ((DAY,), tuple(WINDOW))
    assert verdict.reason.startswith("The champion's scores of 1 of 3 days stayed in place")
    assert verdict.score.null_rate_current == pytest.approx(2 / 3, abs=0.05)


def test_on_days_that_an_a_b_test_splits_the_champions_scores_alone_are_compared_and_the_page_says_how_many(
    world: World, postgres: Any, tmp_path: Path
) -> None:
    world.features()
    for seed, day in enumerate(WINDOW, start=20):
        own, other = scored(people(seed), seed), scored(people(seed), seed, version=4, risk=2.0)
        is_challengers = pl.Series([number % 10 < 3 for number in range(own.height)])
        rows = pl.concat([own.filter(~is_challengers), other.filter(is_challengers)])
        world._publish("predictions/leaving", day, rows, "predictions.parquet")

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert verdict.verdict == "no drift"
    assert verdict.scored_days == tuple(WINDOW)
    assert verdict.score.null_rate_current == pytest.approx(0.3, abs=0.05)
    [page] = world.lake.download(MODEL.report_prefix("drift"), DAY, tmp_path / "page", "index.html")
    assert re.search(r"100.0\s%\sof the rows in the reference and [67]\d.\d\s%\sin the window", page.read_text())


def test_scores_beside_no_features_and_scores_without_a_number_are_not_counted(
    world: World, postgres: Any
) -> None:
    world.features(days=WINDOW[1:])
    world.predictions()
    unknown = scored(people(21), 21).with_columns(score=pl.lit(float("nan")))
    world._publish("predictions/leaving", WINDOW[1], unknown, "predictions.parquet")

    assert monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE).scored_days == (DAY,)


def test_a_window_without_features_is_not_enough_evidence_and_names_the_days(world: World, postgres: Any) -> None:
    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.verdict, verdict.current_rows) == ("not enough evidence", 0)
    assert verdict.missing_days == tuple(WINDOW)
    [page] = world.lake.download("reports/leaving/drift", DAY, world.scratch, "index.html")
    assert f"Without features</dt><dd>{WINDOW[0]} to {WINDOW[-1]}</dd>" in page.read_text()


def test_the_days_that_exist_are_compared_and_the_others_named(world: World, postgres: Any) -> None:
    world.features(days=WINDOW[1:])
    world.predictions(days=WINDOW[1:])

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert verdict.verdict == "no drift"
    assert (verdict.days, verdict.missing_days) == (tuple(WINDOW[1:]), tuple(WINDOW[:1]))


def test_a_key_that_is_a_whole_number_and_a_feature_is_compared(world: World, postgres: Any) -> None:
    numbers = TableSpec(name="people", columns={"person": pl.Int64}, key=("person",), rules=unused)
    numbered = people_dataset(tables=(numbers,))
    for numeric, categorical in ((("charges", "person"), ("contract",)), (("charges",), ("contract", "person"))):
        model = MODEL.model_copy(
            update={
                "name": f"leaving_{len(numeric)}",
                "dataset": numbered,
                "numeric": numeric,
                "categorical": categorical,
            }
        )
        with_numbers(world, model)

        verdict = monitor(model, world.lake, postgres, DAY, world.run, REFERENCE)

        assert verdict.score.current_rows == 2_000
        assert verdict.columns["person"].outside == 0


def with_numbers(world: World, model: ModelSpec) -> None:
    """The world's partitions with whole numbers for keys."""

    def numbered(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("person").str.slice(1).cast(pl.Int64))

    holdout = numbered(people(1)).with_columns(
        dt=pl.lit(TRAINED), label=pl.lit(0), candidate_score=scored(people(1), 1)["score"], baseline_score=0.1
    )
    world._publish(model.reference_prefix(3), TRAINED, holdout, "holdout.parquet")
    for seed, day in enumerate(WINDOW, start=10):
        world._publish("features/people", day, numbered(people(seed)), "part.parquet")
        world._publish(model.predictions_prefix, day, numbered(scored(people(seed), seed)), "predictions.parquet")


def test_few_customers_give_no_verdict_however_many_days_show_them(world: World, postgres: Any) -> None:
    world.features(rows=400)
    world.predictions()

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.verdict, verdict.current_rows, verdict.keys) == ("not enough evidence", 400, 400)


def test_where_days_lack_keys_the_report_does_not_say_that_there_are_too_few(world: World, postgres: Any) -> None:
    world.features(rows=100, days=WINDOW[:2])
    world.features(rows=1_000, days=WINDOW[2:])
    world.predictions()

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert verdict.verdict == "not enough evidence"
    assert verdict.current_rows < 500
    assert verdict.keys == 1_000
    [page] = world.lake.download("reports/leaving/drift", DAY, world.scratch, "index.html")
    assert "The window has 1,000 keys, but not every day has every key" in page.read_text()
    assert "Lower" not in page.read_text()


def test_keys_are_counted_only_where_each_gives_one_row_and_these_are_too_few(world: World, postgres: Any) -> None:
    all_days = MODEL.drift.model_copy(update={"all_days_of_a_key": True})
    world.features(rows=100)
    few = monitor(MODEL.model_copy(update={"drift": all_days}), world.lake, postgres, DAY, world.run, REFERENCE)
    world.features()
    many = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (few.current_rows, few.keys) == (300, None)
    assert (many.current_rows, many.keys) == (2_000, None)


def test_a_baseline_champion_is_compared_with_its_own_scores(world: World, postgres: Any) -> None:
    world.features()
    world.predictions()

    verdict = monitor(
        MODEL,
        world.lake,
        postgres,
        DAY,
        world.run,
        dataclasses.replace(REFERENCE, score_column="baseline_score"),
    )

    assert verdict.verdict == "drift"


def test_without_the_champions_holdout_there_is_no_report(lake: Lake, run: RunInfo, postgres: Any) -> None:
    with pytest.raises(PartitionNotFoundError, match="references/leaving/version=3"):
        monitor(MODEL, lake, postgres, DAY, run, REFERENCE)

    assert list(lake.keys("reports/")) == []


def test_evidentlys_json_tells_the_same_distances(world: World, postgres: Any) -> None:
    world.features(charges=40)
    world.predictions()

    verdict = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)

    report = world.lake.read_json("reports/leaving/drift", DAY, "evidently.json")
    distances = {metric["config"]["column"]: metric["value"] for metric in report["metrics"]}
    assert distances["charges"] == pytest.approx(verdict.columns["charges"].distance, abs=1e-6)
    assert json.dumps(report).count("ValueDrift(column=age") == 0


SEASONAL = MODEL.model_copy(update={"drift": MODEL.drift.model_copy(update={"seasonal_weeks": 3})})
A_YEAR_AGO = [day - timedelta(weeks=52) for day in WINDOW]


def test_a_summer_like_the_last_one_is_no_drift_and_the_page_says_so(world: World, postgres: Any) -> None:
    world.features(charges=40)
    world.predictions(risk=3.0)
    world.features(charges=40, days=A_YEAR_AGO)
    world.predictions(risk=3.0, version=1, days=A_YEAR_AGO)

    plain = monitor(MODEL, world.lake, postgres, DAY, world.run, REFERENCE)
    seasonal = monitor(SEASONAL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (plain.verdict, seasonal.verdict, seasonal.is_seasonal) == ("drift", "no drift", True)
    assert seasonal.season is not None
    assert seasonal.season.days == tuple(A_YEAR_AGO)
    [page] = world.lake.download("reports/leaving/drift", DAY, world.scratch, "index.html")
    assert "The same weeks a year ago" in page.read_text()
    assert seasonal.reason in page.read_text()
    inputs = world.lake.manifest("reports/leaving/drift", DAY).inputs
    assert f"predictions/leaving/dt={A_YEAR_AGO[0]}" in inputs


def test_a_window_that_differs_from_last_year_too_is_drift(world: World, postgres: Any) -> None:
    world.features(charges=40)
    world.predictions(risk=3.0)
    world.features(days=A_YEAR_AGO)
    world.predictions(version=1, days=A_YEAR_AGO)

    verdict = monitor(SEASONAL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.verdict, verdict.is_seasonal) == ("drift", False)
    assert "it has drifted, too" in verdict.reason


def test_without_days_of_last_year_the_training_alone_decides(world: World, postgres: Any) -> None:
    world.features(charges=40)
    world.predictions(risk=3.0)

    verdict = monitor(SEASONAL, world.lake, postgres, DAY, world.run, REFERENCE)

    assert (verdict.verdict, verdict.season) == ("drift", None)


@pytest.mark.parametrize(("weeks", "first", "last"), [(1, -2, 0), (2, -9, 0), (3, -9, 7), (4, -16, 7)])
def test_the_season_is_so_many_weeks_around_the_same_days_a_year_ago(
    world: World, weeks: int, first: int, last: int
) -> None:
    around = [DAY - timedelta(weeks=52) + timedelta(number) for number in range(-17, 9)]
    world.features(rows=1, days=around)
    policy = MODEL.drift.model_copy(update={"seasonal_weeks": weeks})

    season = find_season(MODEL.model_copy(update={"drift": policy}), world.lake, DAY)

    assert season is not None
    days = season.features.days
    assert [(day - (DAY - timedelta(weeks=52))).days for day in (days[0], days[-1])] == [first, last]
