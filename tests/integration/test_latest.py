"""`latest.json` names the newest day, whoever publishes beside whom, and whatever became of the file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
import pytest

from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, LocalFile, Manifest, RunInfo
from tests.damage import delete

PREFIX = "predictions/leaving"
MAIN = "predictions.parquet"
DAYS = [date(2026, 3, 1) + timedelta(number) for number in range(4)]
DAMAGES = [b"", b"{", b"[]", b"{}", b'{"day": "2026-03-01"}', b"\xff"]

Publish = Callable[..., Manifest]


@pytest.fixture
def publish(lake: Lake, run: RunInfo, tmp_path: Path) -> Publish:
    """Publishes a day of so many rows, and leaves `latest.json` alone."""

    def publish(day: date, rows: int = 1) -> Manifest:
        folder = tmp_path / str(day)
        folder.mkdir(exist_ok=True)
        pl.DataFrame({"score": [0.5] * rows}).write_parquet(folder / MAIN)
        (folder / "notes.txt").write_text("seven\n" * 7)
        files = [LocalFile(folder / MAIN, rows), LocalFile(folder / "notes.txt", 7)]
        return lake.publish(PREFIX, day, files, run=run, inputs={"models:/leaving": "3"})

    return publish


def advance(lake: Lake, connection: Any, day: date) -> latest.Latest | None:
    return latest.advance(lake, connection, PREFIX, day, MAIN)


def named(lake: Lake) -> latest.Latest:
    found = latest.find(lake, PREFIX)
    assert found is not None
    return found


def test_it_names_the_day_its_files_the_rows_of_the_main_one_and_the_model(
    lake: Lake, postgres: Any, publish: Publish
) -> None:
    manifest = publish(DAYS[0], rows=2)

    advance(lake, postgres, DAYS[0])

    assert json.loads(lake.read_object(latest.key(PREFIX)) or b"") == {
        "day": str(DAYS[0]),
        "manifest": f"{PREFIX}/dt={DAYS[0]}/manifest.json",
        "files": [file.model_dump() for file in manifest.files],
        "rows": 2,
        "model_name": "leaving",
        "model_version": 3,
        "challenger_version": None,
    }
    assert named(lake).names(PREFIX, DAYS[0], manifest)


def test_an_older_day_after_a_newer_one_changes_nothing(lake: Lake, postgres: Any, publish: Publish) -> None:
    for day in (DAYS[2], DAYS[0]):
        publish(day)
        advance(lake, postgres, day)

    assert named(lake).day == DAYS[2]


def test_of_publishers_side_by_side_the_newest_day_is_named(
    lake: Lake, postgres_dsn: str, publish: Publish
) -> None:
    def work(day: date) -> None:
        connection = psycopg2.connect(postgres_dsn)
        publish(day)
        advance(lake, connection, day)
        connection.close()

    with ThreadPoolExecutor(len(DAYS)) as side_by_side:
        list(side_by_side.map(work, reversed(DAYS)))

    assert named(lake).day == DAYS[-1]


def test_a_publisher_of_an_older_day_that_is_held_up_before_writing_does_not_go_back(
    lake: Lake, postgres_dsn: str, publish: Publish
) -> None:
    """The older day's publisher has looked, and is about to write, when the newer day's comes."""
    publish(DAYS[0])
    first, second = psycopg2.connect(postgres_dsn), psycopg2.connect(postgres_dsn)
    newer = threading.Thread(target=lambda: (publish(DAYS[1]), advance(lake, second, DAYS[1])))

    def hold_up(**_: Any) -> None:
        if not newer.ident:
            newer.start()
            newer.join(timeout=1)

    lake.client.meta.events.register("before-call.s3.PutObject", hold_up)
    try:
        advance(lake, first, DAYS[0])
    finally:
        lake.client.meta.events.unregister("before-call.s3.PutObject", hold_up)
    newer.join()
    first.close()
    second.close()

    assert named(lake).day == DAYS[1]


def test_a_day_that_was_published_again_meanwhile_is_named_with_the_files_it_has(
    lake: Lake, postgres: Any, publish: Publish
) -> None:
    publish(DAYS[0])
    again = publish(DAYS[0], rows=5)

    advance(lake, postgres, DAYS[0])

    assert named(lake).names(PREFIX, DAYS[0], again)
    assert named(lake).rows == 5


@pytest.mark.parametrize("body", [*DAMAGES, None])
def test_a_damaged_file_is_rebuilt_by_whichever_day_is_published(
    lake: Lake, postgres: Any, publish: Publish, body: bytes | None
) -> None:
    for day in DAYS[:2]:
        publish(day)
        advance(lake, postgres, day)
    delete(lake, latest.key(PREFIX)) if body is None else lake.write_object(latest.key(PREFIX), body)

    assert latest.usable(lake, PREFIX) is None
    advance(lake, postgres, DAYS[0])

    assert named(lake).day == DAYS[1]


@pytest.mark.parametrize("body", DAMAGES)
def test_who_only_reads_a_damaged_file_gets_a_sentence(lake: Lake, body: bytes) -> None:
    lake.write_object(latest.key(PREFIX), body)

    with pytest.raises(latest.DamagedLatestError, match="Run the DAG maintenance"):
        latest.find(lake, PREFIX)


def test_a_file_that_names_another_prefix_is_damaged(lake: Lake, postgres: Any, publish: Publish) -> None:
    publish(DAYS[0])
    advance(lake, postgres, DAYS[0])
    lake.write_object(latest.key("predictions/other"), lake.read_object(latest.key(PREFIX)) or b"")

    with pytest.raises(latest.DamagedLatestError, match="is not the manifest of"):
        latest.find(lake, "predictions/other")


def test_a_day_that_is_named_and_gone_makes_way_for_the_newest_there_is(
    lake: Lake, postgres: Any, publish: Publish
) -> None:
    for day in DAYS[:3]:
        publish(day)
        advance(lake, postgres, day)
    delete(lake, named(lake).manifest)

    advance(lake, postgres, DAYS[0])

    assert named(lake).day == DAYS[1]
