"""A training set carries on from the one before, and has what it would have if all were read again."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from threading import Lock
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from include.lifecycle.ingestion.feature_version import note_other_versions, version_input
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, Manifest, partition
from include.lifecycle.training import training_set
from include.lifecycle.training.training_set import assemble
from include.models.churn import CHURN
from tests.damage import DAMAGES, damage
from tests.integration.churn_history import CHURNS, RUN, day, features_of, publish_history, request
from tests.integration.s3_requests import requests_of
from tests.specs import changed

T = TypeVar("T")

WEEKLY = changed(CHURN, label={"horizon_days": 3}, split={"snapshot_every_days": 7, "look_back_days": 42})
SNAPSHOTS = [day(number) for number in range(0, 64, 7)]
FIRST, SECOND = day(36), day(43)
ROWS = WEEKLY.training_rows_prefix


@pytest.fixture
def history(lake: Lake, tmp_path: Path) -> Lake:
    """Features of each week, and the outcomes of each day."""
    publish_history(lake, tmp_path, SNAPSHOTS, until=SNAPSHOTS[-1])
    note_other_versions(WEEKLY.dataset, lake, ())
    return lake


def from_scratch(model: ModelSpec, lake: Lake, as_of: date) -> Manifest:
    """The training set without an earlier one to carry on from."""
    with patch.object(training_set, "_carried", lambda *_: ({}, {})):
        return assemble(model, lake, request(as_of))


def days_read(model: ModelSpec, lake: Lake, as_of: date) -> list[date]:
    """The days whose features a training set as of a day reads."""
    with requests_of(lake) as made:
        assemble(model, lake, request(as_of))
    keys = [key for name, key in made if name == "GetObject" and "/manifest" not in key]
    return [snapshot for snapshot in SNAPSHOTS for key in keys if f"features/customers/dt={snapshot}/" in key]


class Etl:
    """Replaces partitions at random, as an ETL, other trainings and people do."""

    def __init__(self, lake: Lake, scratch: Path, seed: int) -> None:
        self.lake, self.scratch = lake, scratch
        self.random = np.random.default_rng(seed)
        self._is_free = Lock()

    def replace(self) -> None:
        """Replace a partition, unless one is being replaced: the requests for that lead here, too."""
        if self._is_free.acquire(blocking=False):
            self._one_of([self._features, self._outcomes, self._labels])()
            self._is_free.release()

    def replace_at(self, moments: NDArray[np.int64]) -> Callable[[int], None]:
        """Replace a partition before the requests with these numbers."""
        return lambda now: self.replace() if now in moments else None

    def _features(self) -> None:
        snapshot = self._one_of(SNAPSHOTS)
        others = features_of(snapshot).with_columns(pl.col(WEEKLY.numeric[0]) + self.random.random())
        self._publish(WEEKLY.dataset.features_prefix, snapshot, others, version_input(WEEKLY.dataset))

    def _outcomes(self) -> None:
        recorded_on = self._one_of(self.lake.days(CHURNS))
        rows = self.lake.scan(CHURNS, [recorded_on], self.scratch).collect().drop("dt")
        self._publish(CHURNS, recorded_on, rows.sample(fraction=0.5, seed=int(self.random.integers(100))), {})

    def _labels(self) -> None:
        """Delete the labels of a day, or replace them by others that name the same inputs."""
        days = self.lake.days(WEEKLY.labels_prefix)
        if not days:
            return
        labelled = self._one_of(days)
        labels = self.lake.pin(WEEKLY.labels_prefix, [labelled])
        if self.random.random() < 0.5:
            key = f"{partition(WEEKLY.labels_prefix, labelled)}/manifest.json"
            self.lake.client.delete_object(Bucket=self.lake.bucket, Key=key)
        else:
            others = labels.scan(self.scratch).collect().drop("dt").with_columns(1 - pl.col("label"))
            self._publish(WEEKLY.labels_prefix, labelled, others, labels.manifests[labelled].inputs)

    def _one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.random.integers(len(choices)))]

    def _publish(self, prefix: str, of: date, frame: pl.DataFrame, inputs: dict[str, str]) -> None:
        scratch = self.scratch / uuid.uuid4().hex
        scratch.mkdir()
        self.lake.publish_frame(prefix, of, frame, run=RUN, scratch=scratch, inputs=inputs)


def test_a_weekly_training_reads_the_new_day_and_has_the_bytes_of_one_that_reads_all(history: Lake) -> None:
    assert days_read(WEEKLY, history, FIRST) == SNAPSHOTS[:5]

    assert days_read(WEEKLY, history, SECOND) == SNAPSHOTS[5:6]

    carried = history.manifest(ROWS, SECOND)
    recomputed = from_scratch(WEEKLY, history, SECOND)
    assert (carried.files, carried.inputs) == (recomputed.files, recomputed.inputs)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_replaced_while_trainings_read_none_of_it_is_carried_on(
    history: Lake, tmp_path: Path, seed: int
) -> None:
    etl = Etl(history, tmp_path, seed)
    for number in range(29, 58, 7):
        as_of, moments = day(number), etl.random.integers(1, 60, 3)
        with requests_of(history, etl.replace_at(moments)):
            assemble(WEEKLY, history, request(as_of))

        carried = assemble(WEEKLY, history, request(as_of))

        recomputed = from_scratch(WEEKLY, history, as_of)
        assert (carried.files, carried.inputs) == (recomputed.files, recomputed.inputs)
        for snapshot in training_set.choose_days(WEEKLY, history, as_of).windows:
            inputs = history.manifest(WEEKLY.labels_prefix, snapshot).inputs
            for prefix in (WEEKLY.dataset.features_prefix, CHURNS):
                named = [date.fromisoformat(path[-10:]) for path in inputs if path.startswith(prefix)]
                assert named
                assert history.digests(prefix, named).items() <= inputs.items()


def publish_features(lake: Lake, scratch: Path, snapshot: date, features: pl.DataFrame) -> None:
    prefix, version = WEEKLY.dataset.features_prefix, version_input(WEEKLY.dataset)
    lake.publish_frame(prefix, snapshot, features, run=RUN, scratch=scratch, inputs=version)


def test_days_without_rows_are_carried_on_too(history: Lake, tmp_path: Path) -> None:
    for snapshot in SNAPSHOTS[1:3]:
        publish_features(history, tmp_path, snapshot, features_of(snapshot).clear())
    assemble(WEEKLY, history, request(FIRST))

    assert days_read(WEEKLY, history, SECOND) == SNAPSHOTS[5:6]

    carried = history.manifest(ROWS, SECOND)
    recomputed = from_scratch(WEEKLY, history, SECOND)
    assert (carried.files, carried.inputs) == (recomputed.files, recomputed.inputs)


def test_days_that_are_all_without_rows_are_read_again(history: Lake, tmp_path: Path) -> None:
    for snapshot in SNAPSHOTS[1:5]:
        publish_features(history, tmp_path, snapshot, features_of(snapshot).clear())
    assemble(WEEKLY, history, request(FIRST))

    of_those_days_alone = changed(WEEKLY, split={"look_back_days": (FIRST - SNAPSHOTS[1]).days})
    assert days_read(of_those_days_alone, history, FIRST) == SNAPSHOTS[1:5]

    assert history.manifest(ROWS, FIRST).rows == 0


def test_a_type_that_one_day_alone_has_is_not_carried_on_in_the_others(history: Lake, tmp_path: Path) -> None:
    column = WEEKLY.numeric[0]
    for snapshot in SNAPSHOTS[1:6]:
        publish_features(history, tmp_path, snapshot, features_of(snapshot).cast({column: pl.Float32}))
    assemble(WEEKLY, history, request(FIRST))

    assemble(WEEKLY, history, request(SECOND))

    carried = history.manifest(ROWS, SECOND)
    assert carried.schema_[column] == "Float32"
    assert carried.files == from_scratch(WEEKLY, history, SECOND).files


def test_labels_that_are_replaced_as_soon_as_they_are_published_are_not_carried_on(
    history: Lake, tmp_path: Path
) -> None:
    labels, of = WEEKLY.labels_prefix, SNAPSHOTS[2]

    def replace(_: int) -> None:
        if made[-1] == ("ListObjectsV2", f"{labels}/dt=") and made.count(made[-1]) == 2:
            published = history.pin(labels, [of])
            others = published.scan(tmp_path).collect().drop("dt").with_columns(1 - pl.col("label"))
            inputs = published.manifests[of].inputs
            history.publish_frame(labels, of, others, run=RUN, scratch=tmp_path, inputs=inputs)

    with requests_of(history, replace) as made:
        assemble(WEEKLY, history, request(FIRST))

    assert days_read(WEEKLY, history, SECOND) == [of, SNAPSHOTS[5]]


def opposite(of: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
    return CHURN.label.make(of, features, outcomes).with_columns(1 - pl.col("label"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(changed(WEEKLY, numeric=WEEKLY.numeric[1:]), id="columns"),
        pytest.param(changed(WEEKLY, label={"make": opposite}), id="code of the label"),
        pytest.param(changed(WEEKLY, label={"horizon_days": 4}), id="horizon"),
    ],
)
def test_a_set_of_another_model_or_other_code_is_not_carried_on(history: Lake, other: ModelSpec) -> None:
    assemble(WEEKLY, history, request(FIRST))

    assert set(days_read(other, history, SECOND)) >= set(SNAPSHOTS[1:5])

    carried = history.manifest(ROWS, SECOND)
    for labels in history.keys(f"{WEEKLY.labels_prefix}/"):
        history.client.delete_object(Bucket=history.bucket, Key=labels)
    assert carried.files == from_scratch(other, history, SECOND).files


def test_a_set_whose_rows_other_code_has_made_is_not_carried_on(history: Lake) -> None:
    with patch.object(training_set, "source_digest", lambda _: "of other code"):
        assemble(WEEKLY, history, request(FIRST))

    assert days_read(WEEKLY, history, SECOND) == SNAPSHOTS[1:6]


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_labels_are_written_again_though_the_earlier_set_has_them(history: Lake, kind: str) -> None:
    assemble(WEEKLY, history, request(FIRST))
    damage(history, (WEEKLY.labels_prefix, SNAPSHOTS[2]), kind)

    assert days_read(WEEKLY, history, FIRST) == SNAPSHOTS[2:3]

    assert history.intact(WEEKLY.labels_prefix, SNAPSHOTS[2])


@pytest.mark.parametrize(
    "key_of",
    [
        pytest.param(lambda made: made.file("rows.parquet").name, id="rows"),
        pytest.param(lambda made: made.file("days.json").name, id="days"),
        pytest.param(lambda made: "manifest.json", id="manifest"),
    ],
)
def test_a_damaged_earlier_set_means_that_all_is_read(history: Lake, key_of: Callable[[Manifest], str]) -> None:
    made = assemble(WEEKLY, history, request(FIRST))
    history.write_object(f"{partition(ROWS, FIRST)}/{key_of(made)}", b"damaged")

    assert days_read(WEEKLY, history, SECOND) == SNAPSHOTS[1:6]
