"""A day that was published keeps its version, whatever is lost of it and whichever is champion by then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.ledger import Entry
from include.lifecycle.scoring import planning
from include.lifecycle.scoring.day_versions import published_versions
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo, partition
from tests.integration.scoring.people import DAY, LEAVING, features, objects, predictions, work

PREFIX = LEAVING.predictions_prefix
LATER = RunInfo("test_run", datetime(2026, 4, 1, tzinfo=UTC), "test")
PROMOTION = Entry("leaving", "promote", 1, None, 1, DAY, "gate", "Better.", {}, "run 1")
NEXT = replace(PROMOTION, candidate=2, from_version=1, to_version=2, run_id="run 2")
"""A training as of the very day that version 1 has scored."""


@pytest.fixture
def scored(lake: Lake, postgres: Any, run: RunInfo, publish_features: Any) -> Lake:
    """A lake with a day that version 1 has scored; version 2 is champion by now, and for that day, too."""
    publish_features()
    ledger.record(postgres, PROMOTION)
    assert work(lake, postgres, run) == {DAY: 1}
    ledger.record(postgres, NEXT)
    assert planning.plan(LEAVING, lake, postgres, None) == {}
    return lake


def lose(lake: Lake, *prefixes: str) -> None:
    for key in [key for prefix in prefixes for key in lake.keys(prefix)]:
        lake.client.delete_object(Bucket=lake.bucket, Key=key)


def execute(connection: Any, statement: str) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "lost",
    [
        [latest.key(PREFIX)],
        [f"{partition(PREFIX, DAY)}/manifest.json"],
        [f"{PREFIX}/", "staging/"],
    ],
    ids=["latest.json", "the manifest", "everything on the lake"],
)
def test_what_is_lost_of_a_day_comes_back_byte_by_byte_though_another_version_is_champion(
    scored: Lake, postgres: Any, lost: list[str]
) -> None:
    before = objects(scored)
    lose(scored, *lost)

    assert work(scored, postgres, LATER) == {DAY: 1}

    assert objects(scored) == before


@pytest.mark.parametrize("body", [None, b"{"], ids=["deleted", "cut off"])
def test_latest_is_rebuilt_from_the_partition_without_scoring_anything(
    scored: Lake, postgres: Any, body: bytes | None
) -> None:
    before, key = objects(scored), latest.key(PREFIX)
    if body is None:
        lose(scored, key)
    else:
        scored.write_object(key, body)

    latest.restore(scored, postgres, PREFIX, PARQUET)

    assert objects(scored) == before
    assert planning.plan(LEAVING, scored, postgres, None) == {}


def test_latest_that_is_right_is_not_written_again(
    scored: Lake, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lake, "write_object", lambda *_: pytest.fail("It was written again."))

    latest.restore(scored, postgres, PREFIX, PARQUET)


def test_before_anything_is_published_there_is_no_latest(lake: Lake, postgres: Any) -> None:
    latest.restore(lake, postgres, PREFIX, PARQUET)

    assert lake.keys(PREFIX) == []


def test_the_rows_of_the_warehouse_tell_the_version_where_nothing_else_does(scored: Lake, postgres: Any) -> None:
    lose(scored, f"{PREFIX}/", "staging/")
    execute(postgres, "drop table ml.loads")

    assert planning.plan(LEAVING, scored, postgres, None) == {DAY: 1}


def test_a_day_of_which_nothing_is_known_is_its_champions(scored: Lake, postgres: Any) -> None:
    lose(scored, f"{PREFIX}/", "staging/")
    execute(
        postgres, "drop table ml.loads; update ml.leaving_predictions set model_version = 2 where person < 'P02'"
    )

    assert published_versions(LEAVING, scored, postgres, [DAY]) == {}
    assert planning.plan(LEAVING, scored, postgres, None) == {DAY: 2}


def test_files_tell_the_version_rather_than_a_table_that_was_not_loaded_from_them(
    scored: Lake, postgres: Any
) -> None:
    execute(postgres, "delete from ml.loads; update ml.leaving_predictions set model_version = 2")

    assert planning.plan(LEAVING, scored, postgres, None) == {DAY: 1}


def test_a_day_whose_features_were_corrected_keeps_its_version(
    scored: Lake, postgres: Any, publish_features: Any, tmp_path: Path
) -> None:
    publish_features(DAY, features(20))

    assert work(scored, postgres, LATER) == {DAY: 1}

    assert predictions(scored, DAY, tmp_path)["model_version"].to_list() == [1] * 20


def test_a_day_of_a_version_that_was_rolled_back_is_its_champions(scored: Lake, postgres: Any) -> None:
    back = replace(NEXT, action="rollback", candidate=1, from_version=2, to_version=1, run_id="back")
    for entry in (back, replace(PROMOTION, candidate=3, from_version=1, to_version=3, run_id="run 3")):
        ledger.record(postgres, entry)
    execute(
        postgres,
        'update ml.loads set manifest = replace(manifest, \'"models:/leaving":"1"\', \'"models:/leaving":"2"\')',
    )
    lose(scored, f"{PREFIX}/", "staging/")

    assert published_versions(LEAVING, scored, postgres, [DAY]) == {DAY: 2}
    assert planning.plan(LEAVING, scored, postgres, None) == {DAY: 3}


def test_a_named_day_keeps_its_version_unless_it_is_to_be_scored_again(scored: Lake, postgres: Any) -> None:
    named: tuple[date, date] = (DAY, DAY)

    assert planning.plan(LEAVING, scored, postgres, named) == {DAY: 1}
    assert planning.plan(LEAVING, scored, postgres, named, keeps_versions=False) == {DAY: 2}
