"""Prediction files, the warehouse and latest.json tell the same, on a real S3 server and a real PostgreSQL."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import psycopg2
import psycopg2.extensions
import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.scoring import planning, scoring
from include.lifecycle.scoring.prediction_files import latest_version
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.damage import delete
from tests.integration.scoring.people import (
    DAY,
    LEAVING,
    PEOPLE,
    Constant,
    features,
    objects,
    predictions,
    targets,
    warehouse_rows,
)

LATER = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def latest_written(lake: Lake) -> Any:
    return json.loads(lake.read_object(latest.key(LEAVING.predictions_prefix)) or b"null")


def test_days_of_older_code_that_did_not_say_what_they_are_about_stay_as_they_are(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(*arguments: Any) -> dict[str, pl.Expr]:
        return {name: value for name, value in origin(*arguments).items() if not name.startswith("target_")}

    def published(day: date, run: RunInfo) -> None:
        score(LEAVING, lake, day, Scorer(Constant(0.5), 1), run)
        publish(LEAVING, lake, postgres, day, run)

    ledger.record(postgres, ledger.Entry("leaving", "promote", 1, None, 1, DAY, "gate", "Better.", {}, "first"))
    origin, next_day = scoring._origin, DAY + timedelta(days=1)
    publish_features(DAY)
    publish_features(next_day)
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "_origin", older)
        published(DAY, run)
    of_older_code = objects(lake)
    newer = replace(run, code_version="newer")

    published(next_day, newer)

    assert {key: content for key, content in objects(lake).items() if f"dt={DAY}" in key} == {
        key: content for key, content in of_older_code.items() if f"dt={DAY}" in key
    }
    assert targets(postgres, DAY) == [(None, None)]
    assert targets(postgres, next_day) == [(next_day + timedelta(days=1),) * 2]
    assert planning.plan(LEAVING, lake, postgres, None) == {}
    published(DAY, newer)
    assert targets(postgres, DAY) == [(next_day, next_day)]


def test_manifest_latest_and_warehouse_tell_the_same(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any, tmp_path: Path
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)

    shown = publish(LEAVING, lake, postgres, DAY, run)

    manifest = lake.manifest(LEAVING.predictions_prefix, DAY)
    features = lake.manifest(PEOPLE.features_prefix, DAY)
    assert manifest.inputs == {f"features/people/dt={DAY}": features.digest, "models:/leaving": "3"}
    latest = latest_written(lake)
    assert latest == {
        "day": "2026-03-01",
        "manifest": f"predictions/leaving/dt={DAY}/manifest.json",
        "files": [file.model_dump() for file in manifest.files],
        "rows": 40,
        "model_name": "leaving",
        "model_version": 3,
        "challenger_version": None,
    }
    for file in latest["files"]:
        body = lake.read_object(f"predictions/leaving/dt={DAY}/{file['name']}") or b""
        assert (len(body), sha256(body).hexdigest(), file["rows"]) == (file["bytes"], file["sha256"], 40)
    frame = predictions(lake, DAY, tmp_path / "read")
    assert warehouse_rows(postgres) == [(DAY, *row) for row in frame.rows()]
    assert shown["rows"] == 40
    assert shown["files"] == [lake.uri(f"predictions/leaving/dt={DAY}/{file.name}") for file in manifest.files]


def test_the_same_features_and_version_again_change_no_byte(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)
    publish(LEAVING, lake, postgres, DAY, run)
    files, rows = objects(lake), warehouse_rows(postgres)
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.leaving_predictions")

    again = replace(run, run_id="again", started_at=LATER)
    score(LEAVING, lake, DAY, Scorer(estimator, 3), again)
    publish(LEAVING, lake, postgres, DAY, again)

    assert objects(lake) == files
    assert warehouse_rows(postgres) == rows


def test_a_version_that_was_staged_in_between_does_not_come_through(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)
    files = objects(lake)
    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), run)

    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    assert objects(lake) == files


def test_another_version_takes_the_place_of_the_first(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, tmp_path: Path
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), replace(run, started_at=LATER))
    publish(LEAVING, lake, postgres, DAY, run)

    frame = predictions(lake, DAY, tmp_path / "read")
    assert frame.select("score", "model_version", "scored_at").unique().rows() == [(0.75, 2, LATER)]
    assert latest_written(lake)["model_version"] == 2
    assert {row[-2] for row in warehouse_rows(postgres)} == {2}


def test_latest_never_goes_back(lake: Lake, postgres_dsn: str, run: RunInfo, publish_features: Any) -> None:
    days = [date(2026, 3, day) for day in range(1, 9)]
    for day in days:
        publish_features(day)
        score(LEAVING, lake, day, Scorer(Constant(0.5), 1), run)

    def publish_day(day: date) -> None:
        connection = psycopg2.connect(postgres_dsn)
        publish(LEAVING, lake, connection, day, run)
        connection.close()

    publish_day(days[3])
    publish_day(days[0])
    assert latest_written(lake)["day"] == "2026-03-04"

    with ThreadPoolExecutor(4) as side_by_side:
        list(side_by_side.map(publish_day, reversed(days)))
    assert latest_written(lake)["day"] == "2026-03-08"


class KilledInCopy(psycopg2.extensions.cursor):
    """A cursor whose process is killed with the rows copied and not committed."""

    def copy_expert(self, *arguments: Any, **named: Any) -> None:
        super().copy_expert(*arguments, **named)
        _kill_this_process()


class KilledBeforeCommit(psycopg2.extensions.cursor):
    """A cursor whose process is killed with the files published and the rows not committed."""

    def execute(self, query: Any, arguments: Any = None) -> None:
        super().execute(query, arguments)
        if "insert into" in str(query):
            _kill_this_process()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


CURSORS = {"copy": KilledInCopy, "commit": KilledBeforeCommit}
PUTS = {"parquet": 1, "csv": 2, "manifest": 3, "latest": 4}


def _publish_until_killed(endpoint: str, bucket: str, dsn: str, killed_at: str, run: RunInfo) -> None:
    """Publish version 2; killed in a statement of `CURSORS`, or before the PUT of that name."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="accesskey",
        aws_secret_access_key="secretkey123",
        region_name="us-east-1",
    )
    puts = count(1)

    def before_put(**_: Any) -> None:
        if next(puts) == PUTS.get(killed_at):
            _kill_this_process()

    client.meta.events.register("before-send.s3.PutObject", before_put)
    connection = psycopg2.connect(dsn, cursor_factory=CURSORS.get(killed_at))
    publish(LEAVING, Lake(client, bucket), connection, DAY, run)


@pytest.mark.parametrize(
    ("killed_at", "in_files", "in_table"),
    [("copy", 1, 1), ("parquet", 1, 1), ("csv", 1, 1), ("manifest", 1, 1), ("commit", 2, 1), ("latest", 2, 2)],
)
def test_killed_while_publishing_files_table_and_latest_tell_the_same_or_the_day_is_not_done(
    lake: Lake,
    postgres_dsn: str,
    run: RunInfo,
    publish_features: Any,
    tmp_path: Path,
    killed_at: str,
    in_files: int,
    in_table: int,
) -> None:
    connection = psycopg2.connect(postgres_dsn)
    for number, before in ((1, None), (2, 1)):
        ledger.record(
            connection,
            ledger.Entry(
                "leaving", "promote", number, before, number, DAY, "gate", "Better.", {}, f"run {number}"
            ),
        )
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, connection, DAY, run)
    assert planning.plan(LEAVING, lake, connection, None) == {}
    second = replace(run, started_at=LATER)
    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), second)

    endpoint = lake.client.meta.endpoint_url
    arguments = (endpoint, lake.bucket, postgres_dsn, killed_at, second)
    process = multiprocessing.get_context("spawn").Process(target=_publish_until_killed, args=arguments)
    process.start()
    process.join()

    assert process.exitcode == -signal.SIGKILL
    frame = predictions(lake, DAY, tmp_path / "killed")
    assert frame["model_version"].to_list() == [in_files] * 40
    assert {row[-2] for row in warehouse_rows(connection)} == {in_table}
    assert latest_written(lake)["model_version"] == 1
    # `latest.json` names the files of version 1.
    assert planning.plan(LEAVING, lake, connection, None) == ({} if in_files == in_table == 1 else {DAY: 2})

    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), second)
    publish(LEAVING, lake, connection, DAY, second)

    completed = predictions(lake, DAY, tmp_path / "completed")
    assert completed.select("score", "model_version", "scored_at").unique().rows() == [(0.75, 2, LATER)]
    assert warehouse_rows(connection) == [(DAY, *row) for row in completed.rows()]
    assert latest_written(lake)["model_version"] == 2
    assert planning.plan(LEAVING, lake, connection, None) == {}
    connection.close()


def test_what_the_warehouse_cannot_take_is_found_before_anything_is_published(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    hostile = features().with_columns(person=pl.concat_str(pl.col("person"), pl.lit("\0")))
    publish_features(DAY, hostile)
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)

    with pytest.raises(psycopg2.DataError):
        publish(LEAVING, lake, postgres, DAY, run)

    assert lake.keys(LEAVING.predictions_prefix) == []


def test_a_day_without_its_load_or_its_latest_is_not_done(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    ledger.record(postgres, ledger.Entry("leaving", "promote", 1, None, 1, DAY, "gate", "Better.", {}, "first"))
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    lake.write_object(latest.key(LEAVING.predictions_prefix), b'{"day": "2026-')
    assert planning.plan(LEAVING, lake, postgres, None) == {DAY: 1}
    assert latest_version(LEAVING, lake) == 1

    publish(LEAVING, lake, postgres, DAY, run)
    assert planning.plan(LEAVING, lake, postgres, None) == {}
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.loads; delete from ml.leaving_predictions")
    assert planning.plan(LEAVING, lake, postgres, None) == {DAY: 1}


def test_of_days_that_are_up_to_date_the_newest_manifest_alone_is_read(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.record(postgres, ledger.Entry("leaving", "promote", 1, None, 1, DAY, "gate", "Better.", {}, "first"))
    days = [DAY + timedelta(number) for number in range(3)]
    for day in days:
        publish_features(day)
        score(LEAVING, lake, day, Scorer(Constant(0.25), 1), run)
        publish(LEAVING, lake, postgres, day, run)
    time.sleep(1.5)  # The S3 server forgets what it remembers of its files after a second.
    find, read = Lake.find_manifest, []

    def find_manifest(self: Lake, prefix: str, day: date) -> Any:
        read.append((prefix, day))
        return find(self, prefix, day)

    monkeypatch.setattr(Lake, "find_manifest", find_manifest)
    assert planning.plan(LEAVING, lake, postgres, None) == {}
    assert read == [(LEAVING.predictions_prefix, days[-1])]


@pytest.mark.parametrize("body", [None, b"{"], ids=["deleted", "cut off"])
@pytest.mark.parametrize("lost", ["files", "published manifest", "both manifests", "everything on the lake"])
def test_a_day_scored_again_keeps_the_time_at_which_it_was_first_scored(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, lost: str, body: bytes | None
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)
    files, digest = objects(lake), lake.manifest(LEAVING.predictions_prefix, DAY).digest
    for key in [*lake.keys(LEAVING.predictions_prefix), *lake.keys("staging/")]:
        is_manifest, is_published = key.endswith("/manifest.json"), key.startswith("predictions/")
        if {
            "files": is_published and not is_manifest,
            "published manifest": is_published and is_manifest,
            "both manifests": is_manifest,
            "everything on the lake": True,
        }[lost]:
            delete(lake, key) if body is None else lake.write_object(key, body)

    again = replace(run, started_at=LATER)
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), again, connection=postgres)
    publish(LEAVING, lake, postgres, DAY, again)

    assert objects(lake) == files
    assert lake.intact(LEAVING.predictions_prefix, DAY) is not None
    assert lake.manifest(LEAVING.predictions_prefix, DAY).digest == digest
