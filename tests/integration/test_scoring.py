"""Scores become prediction files, on a real S3 server and a real PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import polars as pl
import psycopg2
import psycopg2.extensions
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.promotion import ledger
from include.lifecycle.scoring import checks, planning, scoring
from include.lifecycle.scoring.prediction_files import PredictionsError, latest_version
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.scoring import Scorer, score
from include.lifecycle.specs import DatasetSpec, GateSpec, LabelSpec, ModelSpec, TableSpec
from include.lifecycle.storage import latest
from include.lifecycle.storage.batches import batches
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.damage import delete
from tests.specs import changed

DAY = date(2026, 3, 1)
LATER = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def _decide(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.with_columns(
        will_leave=pl.col("score") >= 0.5,
        margin=pl.col("score") - 1,
        note=pl.when(pl.col("score") >= 0.5).then(pl.lit("-call")).otherwise(pl.lit("wait")),
    )


def _unused(*_: Any) -> Any:
    raise AssertionError("Scoring needs neither source, nor features, labels or candidates.")


PEOPLE = DatasetSpec(
    name="people",
    title="People",
    description="",
    key=("person", "place"),
    timezone="UTC",
    schedule="@daily",
    tables=(TableSpec(name="people", columns={"person": pl.String}, key=("person",), rules=list),),
    make_source=_unused,
    features=_unused,
    history_days={"people": 0},
)
LEAVING = ModelSpec(
    name="leaving",
    title="Leaving",
    description="",
    dataset=PEOPLE,
    numeric=("visits",),
    categorical=("plan",),
    task="classification",
    label=LabelSpec(make=_unused, table="people", horizon_days=1, delay_days=0),
    candidates=_unused,
    baseline=_unused,
    gate=GateSpec(metric="average_precision"),
    decide=_decide,
    trusted_types=(),
)


def _features(rows: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "person": [f"P{number:03d}" for number in range(rows)],
            "place": ["here", "there"] * (rows // 2),
            "visits": [None if number % 7 == 0 else number / 3 for number in range(rows)],
            "plan": ["basic", "plus", None, "basic"] * (rows // 4),
            "not_a_feature": ["x"] * rows,
        }
    )


@pytest.fixture(scope="module")
def estimator() -> Any:
    """A fitted pipeline over the features of the model above."""
    matrix = to_matrix(_features(), LEAVING).fillna({"visits": 0.0})
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")
    pipeline = make_pipeline(encode, _ZeroForMissing(), LogisticRegression())
    return pipeline.fit(matrix, np.arange(len(matrix)) % 2)


class _ZeroForMissing:
    """scikit-learn step: missing numbers become zero."""

    def fit(self, X: Any, y: Any = None) -> _ZeroForMissing:
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


@pytest.fixture
def publish_features(lake: Lake, run: RunInfo, tmp_path: Path) -> Any:
    def _publish(day: date = DAY, frame: pl.DataFrame | None = None) -> None:
        frame = _features() if frame is None else frame
        version = version_input(PEOPLE)
        lake.publish_frame(PEOPLE.features_prefix, day, frame, run=run, scratch=tmp_path, inputs=version)

    return _publish


def _predictions(lake: Lake, day: date, scratch: Path) -> pl.DataFrame:
    return pl.read_parquet(lake.download(LEAVING.predictions_prefix, day, scratch, "predictions.parquet"))


def _warehouse(connection: Any, day: date = DAY) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select * from ml.leaving_predictions where dt = %s order by person", [day])
        return list(cursor.fetchall())


def _targets(connection: Any, day: date) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select target_from, target_until from ml.leaving_predictions where dt = %s", [day])
        return list(set(cursor.fetchall()))


def _objects(lake: Lake) -> dict[str, bytes]:
    keys = lake.keys(LEAVING.predictions_prefix)
    return {key: lake.read_object(key) or b"" for key in keys}


def _latest(lake: Lake) -> Any:
    return json.loads(lake.read_object(latest.key(LEAVING.predictions_prefix)) or b"null")


def test_a_person_finds_score_decision_and_origin_of_each_row(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any, tmp_path: Path
) -> None:
    publish_features()

    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)
    publish(LEAVING, lake, postgres, DAY, run)

    frame = _predictions(lake, DAY, tmp_path / "read")
    expected = estimator.predict_proba(to_matrix(_features(), LEAVING))[:, 1]
    assert frame.select("person", "place").equals(_features().select("person", "place"))
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
    assert _predictions(lake, DAY, tmp_path).select("target_from", "target_until").unique().rows() == days
    assert _targets(postgres, DAY) == days


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
    of_older_code = _objects(lake)
    newer = replace(run, code_version="newer")

    published(next_day, newer)

    assert {key: content for key, content in _objects(lake).items() if f"dt={DAY}" in key} == {
        key: content for key, content in of_older_code.items() if f"dt={DAY}" in key
    }
    assert _targets(postgres, DAY) == [(None, None)]
    assert _targets(postgres, next_day) == [(next_day + timedelta(days=1),) * 2]
    assert planning.plan(LEAVING, lake, postgres, None) == {}
    published(DAY, newer)
    assert _targets(postgres, DAY) == [(next_day, next_day)]


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


def test_manifest_latest_and_warehouse_tell_the_same(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any, tmp_path: Path
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)

    shown = publish(LEAVING, lake, postgres, DAY, run)

    manifest = lake.manifest(LEAVING.predictions_prefix, DAY)
    features = lake.manifest(PEOPLE.features_prefix, DAY)
    assert manifest.inputs == {f"features/people/dt={DAY}": features.digest, "models:/leaving": "3"}
    latest = _latest(lake)
    assert latest == {
        "day": "2026-03-01",
        "manifest": f"predictions/leaving/dt={DAY}/manifest.json",
        "files": [file.model_dump() for file in manifest.files],
        "rows": 40,
        "model_name": "leaving",
        "model_version": 3,
    }
    for file in latest["files"]:
        body = lake.read_object(f"predictions/leaving/dt={DAY}/{file['name']}") or b""
        assert (len(body), sha256(body).hexdigest(), file["rows"]) == (file["bytes"], file["sha256"], 40)
    frame = _predictions(lake, DAY, tmp_path / "read")
    assert _warehouse(postgres) == [(DAY, *row) for row in frame.rows()]
    assert shown["rows"] == 40
    assert shown["files"] == [lake.uri(f"predictions/leaving/dt={DAY}/{file.name}") for file in manifest.files]


def test_the_same_features_and_version_again_change_no_byte(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, estimator: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(estimator, 3), run)
    publish(LEAVING, lake, postgres, DAY, run)
    files, rows = _objects(lake), _warehouse(postgres)
    with postgres, postgres.cursor() as cursor:
        cursor.execute("delete from ml.leaving_predictions")

    again = replace(run, run_id="again", started_at=LATER)
    score(LEAVING, lake, DAY, Scorer(estimator, 3), again)
    publish(LEAVING, lake, postgres, DAY, again)

    assert _objects(lake) == files
    assert _warehouse(postgres) == rows


def test_a_version_that_was_staged_in_between_does_not_come_through(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)
    files = _objects(lake)
    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), run)

    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    assert _objects(lake) == files


def test_another_version_takes_the_place_of_the_first(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, tmp_path: Path
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.25), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)

    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), replace(run, started_at=LATER))
    publish(LEAVING, lake, postgres, DAY, run)

    frame = _predictions(lake, DAY, tmp_path / "read")
    assert frame.select("score", "model_version", "scored_at").unique().rows() == [(0.75, 2, LATER)]
    assert _latest(lake)["model_version"] == 2
    assert {row[-2] for row in _warehouse(postgres)} == {2}


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
    assert _latest(lake)["day"] == "2026-03-04"

    with ThreadPoolExecutor(4) as side_by_side:
        list(side_by_side.map(publish_day, reversed(days)))
    assert _latest(lake)["day"] == "2026-03-08"


def _without_decision(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.with_columns(will_leave=pl.when(pl.col("person") != "P001").then(pl.lit(True)))


def _short(scores: pl.DataFrame) -> pl.DataFrame:
    return _decide(scores).head(-1)


def _shuffled(scores: pl.DataFrame) -> pl.DataFrame:
    return _decide(scores).reverse()


@pytest.mark.parametrize(
    ("decide", "probability", "sentence"),
    [
        (_decide, float("nan"), "40 scores are not numbers from 0 to 1"),
        (_decide, float("inf"), "40 scores are not numbers from 0 to 1"),
        (_decide, 1.01, "40 scores are not numbers from 0 to 1"),
        (_decide, -0.01, "40 scores are not numbers from 0 to 1"),
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

    assert _objects(lake) == {}


def test_a_day_that_cannot_be_scored_stops_no_other(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    days = [DAY + timedelta(number) for number in range(3)]
    publish_features(days[0])
    publish_features(days[1], _features().clear())
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
    publish_features(frame=pl.concat([_features(), _features().tail(2)]))
    score(LEAVING, lake, DAY, Scorer(Constant(0.5), 1), run)

    with pytest.raises(PredictionsError, match=r"2 rows repeat the key \(person, place\) of another"):
        publish(LEAVING, lake, postgres, DAY, run)


def test_scores_of_features_that_changed_meanwhile_are_not_published(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.5), 1), run)
    publish_features(frame=_features().with_columns(visits=pl.lit(1.0)))

    with pytest.raises(PredictionsError, match="published again after they were scored"):
        publish(LEAVING, lake, postgres, DAY, run)


def test_a_day_without_rows_is_refused(lake: Lake, run: RunInfo, publish_features: Any) -> None:
    publish_features(frame=_features().clear())

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
    assert _predictions(lake, DAY, tmp_path / "parquet")["person"].to_list() == people
    assert {row[1] for row in _warehouse(postgres)} == set(people)


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
    frame = _predictions(lake, DAY, tmp_path / "killed")
    assert frame["model_version"].to_list() == [in_files] * 40
    assert {row[-2] for row in _warehouse(connection)} == {in_table}
    assert _latest(lake)["model_version"] == 1
    # `latest.json` names the files of version 1.
    assert planning.plan(LEAVING, lake, connection, None) == ({} if in_files == in_table == 1 else {DAY: 2})

    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 2), second)
    publish(LEAVING, lake, connection, DAY, second)

    completed = _predictions(lake, DAY, tmp_path / "completed")
    assert completed.select("score", "model_version", "scored_at").unique().rows() == [(0.75, 2, LATER)]
    assert _warehouse(connection) == [(DAY, *row) for row in completed.rows()]
    assert _latest(lake)["model_version"] == 2
    assert planning.plan(LEAVING, lake, connection, None) == {}
    connection.close()


def test_what_the_warehouse_cannot_take_is_found_before_anything_is_published(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    hostile = _features().with_columns(person=pl.concat_str(pl.col("person"), pl.lit("\0")))
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
    files, digest = _objects(lake), lake.manifest(LEAVING.predictions_prefix, DAY).digest
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

    assert _objects(lake) == files
    assert lake.intact(LEAVING.predictions_prefix, DAY) is not None
    assert lake.manifest(LEAVING.predictions_prefix, DAY).digest == digest
