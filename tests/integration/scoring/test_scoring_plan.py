"""Which days scoring takes up, from what the lake and the ledger have."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.look_back import undone_days
from include.lifecycle.operations import backup, restore
from include.lifecycle.operations.backup import Origin
from include.lifecycle.operations.backup_records import BackupSettings
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.dumps import PostgresServer
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring import planning, publishing
from include.lifecycle.scoring.prediction_files import PARQUET, PredictionsError
from include.lifecycle.storage import latest, warehouse
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.models.churn import CHURN

DAY = date(2026, 3, 2)
LATEST = latest.key(CHURN.predictions_prefix)
BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)


@pytest.fixture
def scored(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with a day whose predictions were made from its features, by version 1."""
    promoted = ledger.Entry("churn", "promote", 1, None, 1, DAY, "gate", "It is better.", {}, "first")
    ledger.record(postgres, promoted)
    publish_features(lake, run, tmp_path, age=40)
    features = lake.manifest("features/customers", DAY)
    inputs = {f"features/customers/dt={DAY}": features.digest}
    inputs["models:/churn"] = "1"
    scores = pl.DataFrame({"customer_id": ["C1"], "score": [0.5], "contract": ["month"], "model_version": [1]})
    lake.publish_frame(CHURN.staged_scores_prefix, DAY, scores, run=run, scratch=tmp_path, inputs=inputs)
    files = [LocalFile((tmp_path / "part.parquet").rename(tmp_path / PARQUET), 1)]
    with warehouse.replacing(postgres, "churn_predictions", DAY, scores.lazy(), key=["customer_id"]) as cursor:
        staged = lake.pin(CHURN.staged_scores_prefix, [DAY])
        manifest = publishing.publish_files(CHURN, lake, staged, files, run)
        load = warehouse.Load(manifest.digest, lake.written("predictions/churn")[DAY])
        warehouse.note_load(cursor, "churn_predictions", DAY, load, manifest.model_dump_json())
    latest.advance(lake, postgres, CHURN.predictions_prefix, DAY, PARQUET)
    return lake


def publish_features(lake: Lake, run: RunInfo, scratch: Path, age: int, day: date = DAY) -> None:
    frame = pl.DataFrame({"customer_id": ["C1"], "age": [age]})
    version = version_input(CHURN.dataset)
    lake.publish_frame("features/customers", day, frame, run=run, scratch=scratch, inputs=version)


def test_a_scored_day_is_left_alone(scored: Lake, postgres: Any) -> None:
    assert planning.plan(CHURN, scored, postgres, None) == {}


def test_after_a_restore_no_day_is_scored_again_and_a_new_one_is(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    # given
    artifacts, bucket, new = (Lake(scored.client, f"{kind}-{scored.bucket}") for kind in ("a", "b", "c"))
    scored.client.create_bucket(Bucket=artifacts.bucket)
    origin = Origin(scored, artifacts, PostgresServer({}), "", "test")
    settings = BackupSettings(databases=(), artifacts=artifacts.bucket)
    made = backup.back_up(origin, Store(bucket), settings, datetime(2026, 3, 3, tzinfo=UTC))

    # when
    restore.restore_lake(Store(bucket), made, new, lambda *_: None)

    # then
    assert planning.plan(CHURN, new, postgres, None) == {}
    publish_features(new, run, tmp_path, age=42, day=AFTER)
    assert planning.plan(CHURN, new, postgres, None) == {AFTER: 1}


def test_a_day_whose_features_were_corrected_is_scored_again(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish_features(scored, run, tmp_path, age=41)

    assert planning.plan(CHURN, scored, postgres, None) == {DAY: 1}


@pytest.mark.parametrize("forget", ["delete from ml.loads", "drop table ml.loads"])
def test_a_day_loaded_before_there_were_notes_of_loads_is_not_scored_again(
    scored: Lake, postgres: Any, forget: str
) -> None:
    noted = warehouse.loads(postgres, "churn_predictions", DAY)
    manifest = warehouse.loaded_manifest(postgres, "churn_predictions", DAY)
    execute(postgres, forget)

    assert planning.plan(CHURN, scored, postgres, None) == {}
    assert warehouse.loads(postgres, "churn_predictions", DAY) == noted
    assert warehouse.loaded_manifest(postgres, "churn_predictions", DAY) == manifest


@pytest.mark.parametrize(
    "lose",
    [
        "delete from ml.churn_predictions",
        "update ml.churn_predictions set model_version = 2",
        "drop table ml.churn_predictions",
    ],
)
def test_a_day_without_a_note_whose_rows_are_not_those_of_its_files_is_scored_again(
    scored: Lake, postgres: Any, lose: str
) -> None:
    execute(postgres, "delete from ml.loads")
    execute(postgres, lose)

    assert planning.plan(CHURN, scored, postgres, None) == {DAY: 1}
    assert warehouse.loads(postgres, "churn_predictions", DAY) == {}


def test_the_newest_day_is_completed_when_latest_names_its_former_files(scored: Lake, postgres: Any) -> None:
    named = json.loads(scored.read_object(LATEST) or b"")
    named["files"][0]["sha256"] = "0" * 64
    scored.write_object(LATEST, json.dumps(named).encode())

    assert planning.plan(CHURN, scored, postgres, None) == {DAY: 1}


def test_the_newest_day_is_completed_when_latest_names_a_day_that_has_no_predictions(
    scored: Lake, postgres: Any
) -> None:
    named = json.loads(scored.read_object(LATEST) or b"")
    later = {"day": "2199-03-01", "manifest": f"{CHURN.predictions_prefix}/dt=2199-03-01/manifest.json"}
    scored.write_object(LATEST, json.dumps(named | later).encode())

    assert planning.plan(CHURN, scored, postgres, None) == {DAY: 1}

    latest.advance(scored, postgres, CHURN.predictions_prefix, DAY, PARQUET)
    assert json.loads(scored.read_object(LATEST) or b"") == named


def execute(connection: Any, statement: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_named_day_is_scored_whatever_there_is(scored: Lake, postgres: Any) -> None:
    assert planning.plan(CHURN, scored, postgres, (DAY, DAY)) == {DAY: 1}


@pytest.fixture
def three_days(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with features of the day before DAY, DAY and the day after."""
    for day in (BEFORE, DAY, AFTER):
        publish_features(lake, run, tmp_path, age=40, day=day)
    return lake


def promote(connection: Any, version: int, former: int | None, day: date) -> None:
    ledger.record(
        connection,
        ledger.Entry("churn", "promote", version, former, version, day, "gate", "", {}, f"run {version}"),
    )


def test_days_are_scored_oldest_first_with_the_champion_that_had_not_seen_their_future(
    three_days: Lake, postgres: Any
) -> None:
    promote(postgres, 1, None, DAY)
    promote(postgres, 2, 1, AFTER)

    assert list(planning.plan(CHURN, three_days, postgres, None).items()) == [(DAY, 1), (AFTER, 2)]


def test_days_are_looked_for_from_the_first_champion_on_whatever_was_refused_before(
    three_days: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ledger.Entry("churn", "propose", 1, None, None, BEFORE, "gate", "", {}, "first")
    for entry in (refused, replace(refused, action="reject", actor="ana")):
        ledger.record(postgres, entry)
    promote(postgres, 2, None, DAY)
    looked: list[date] = []

    def looking(newest: date | None, first: date, look: Any) -> list[date]:
        looked.append(first)
        return undone_days(newest, first, look)

    monkeypatch.setattr(planning, "undone_days", looking)

    assert planning.plan(CHURN, three_days, postgres, None) == {DAY: 2, AFTER: 2}
    assert looked == [DAY]


def test_named_days_from_before_the_first_champion_are_scored_with_the_present_one(
    three_days: Lake, postgres: Any
) -> None:
    promote(postgres, 1, None, DAY)
    promote(postgres, 2, 1, AFTER)

    assert planning.plan(CHURN, three_days, postgres, (BEFORE, DAY)) == {BEFORE: 2, DAY: 1}


def test_naming_days_without_features_is_refused(three_days: Lake, postgres: Any) -> None:
    promote(postgres, 1, None, DAY)
    later = AFTER + timedelta(days=1)

    with pytest.raises(PredictionsError, match=f"No day from {later} to {later} has features"):
        planning.plan(CHURN, three_days, postgres, (later, later))


def test_naming_days_before_there_is_any_champion_is_refused(three_days: Lake, postgres: Any) -> None:
    with pytest.raises(PredictionsError, match="no champion"):
        planning.plan(CHURN, three_days, postgres, (DAY, DAY))
