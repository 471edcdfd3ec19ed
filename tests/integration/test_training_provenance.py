"""What a training records is what it learnt from, whenever somebody replaces a partition; it reads each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from include.lifecycle.ingestion.feature_version import note_other_versions, version_input
from include.lifecycle.storage.lake import Lake, partition
from include.lifecycle.training.record import HOLDOUT
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import TrainingSet, assemble
from include.models.churn import CHURN
from tests.integration.churn_history import CHURNS, RUN, churns_of, day, features_of, request
from tests.integration.s3_requests import requests_of
from tests.specs import changed
from tests.training_records import staged_record

SNAPSHOTS = [day(0), day(8), day(16)]
AS_OF = day(24)
OUTCOMES = [day(number) for number in range(25)]
QUICK = changed(
    CHURN,
    candidates=lambda: CHURN.candidates()[:1],
    label={"horizon_days": 3},
    split={"snapshot_every_days": 7},
)
FEATURES, LABELS = QUICK.dataset.features_prefix, QUICK.labels_prefix


class World:
    """Features and outcomes that come in versions; `contents` has each by its path and digest."""

    def __init__(self, lake: Lake, scratch: Path) -> None:
        self.lake, self.scratch = lake, scratch
        self.contents: dict[tuple[str, str], pl.DataFrame] = {}
        self.version = 0
        self.churns = pl.concat(churns_of(snapshot) for snapshot in SNAPSHOTS)
        self.replace(OUTCOMES)
        note_other_versions(QUICK.dataset, lake, ())

    def replace(self, outcome_days: Sequence[date] = OUTCOMES[::3]) -> None:
        """Publish another version of all features and of some days of outcomes, as an ETL does."""
        self.version += 1
        for snapshot in SNAPSHOTS:
            frame = features_of(snapshot).with_columns(pl.col(QUICK.numeric[0]) + self.version)
            self._publish(FEATURES, snapshot, frame, version_input(QUICK.dataset))
        for recorded_on in outcome_days:
            rows = self.churns.filter(pl.col("recorded_on") == recorded_on)
            # Every second version lacks one departure of each day, so that its labels are others.
            self._publish(CHURNS, recorded_on, rows if self.version % 2 else rows.head(-1))

    def replace_training_set(self) -> None:
        """Assemble another training set as of the same day."""
        self.replace()
        assemble(QUICK, self.lake, request(AS_OF))

    def _publish(
        self, prefix: str, of: date, frame: pl.DataFrame, inputs: Mapping[str, str] | None = None
    ) -> None:
        scratch = self.scratch / f"version {self.version}"
        scratch.mkdir(exist_ok=True)
        published = self.lake.publish_frame(prefix, of, frame, run=RUN, scratch=scratch, inputs=inputs)
        self.contents[partition(prefix, of), published.digest] = frame

    def assert_learnt_from(self, rows: pl.DataFrame, sources: dict[str, str]) -> None:
        """The rows of a day are the features and the labels that the sources name."""
        [snapshot] = rows["dt"].unique()
        features = self.contents[partition(FEATURES, snapshot), sources[partition(FEATURES, snapshot)]]
        assert (
            rows.sort("customer_id")
            .select(QUICK.features)
            .equals(features.join(rows, on="customer_id", how="semi").sort("customer_id").select(QUICK.features))
        )
        labels = rows.select("customer_id", "label").sort("customer_id")
        published = self.lake.publish_frame("check/labels", snapshot, labels, run=RUN, scratch=self.scratch)
        assert published.digest == sources[partition(LABELS, snapshot)]


@pytest.fixture(scope="module")
def world(main_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(main_lake, tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 20, 30, 33, 50, 58, 61, 64])
def test_a_training_set_names_what_it_was_read_from_whenever_the_etl_replaces_that(
    world: World, tmp_path: Path, moment: int
) -> None:
    world.replace()
    version = world.version

    with requests_of(world.lake, lambda number: world.replace() if number == moment else None):
        assemble(QUICK, world.lake, request(AS_OF))

    assert world.version == version + 1
    training_set = TrainingSet.read(QUICK, world.lake, AS_OF, tmp_path)
    assert list(training_set.rows) == SNAPSHOTS
    for snapshot, rows in training_set.rows.items():
        world.assert_learnt_from(rows, dict(training_set.sources))
        read = world.lake.manifest(LABELS, snapshot).inputs
        outcomes = pl.concat(world.contents[item] for item in read.items() if item[0].startswith(CHURNS))
        features = world.contents[partition(FEATURES, snapshot), read[partition(FEATURES, snapshot)]]
        labels = QUICK.label.make(snapshot, features, outcomes.lazy()).sort("customer_id")
        assert rows.select("customer_id", "label").equals(labels)


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5])
def test_a_training_names_what_it_learnt_from_whenever_another_training_set_replaces_its_own(
    world: World, tmp_path: Path, moment: int
) -> None:
    assemble(QUICK, world.lake, request(AS_OF))
    version = world.version

    with requests_of(world.lake, lambda number: world.replace_training_set() if number == moment else None):
        staged = train(QUICK, world.lake, request(AS_OF))

    assert world.version == version + 1
    record = staged_record(world.lake, QUICK.name, AS_OF)
    [holdout] = world.lake.download(QUICK.staging_prefix, AS_OF, tmp_path, HOLDOUT)
    assert record.data == staged.inputs
    world.assert_learnt_from(pl.read_parquet(holdout), staged.inputs)


def test_labels_that_somebody_replaces_after_they_were_assembled_are_not_learnt_from(
    world: World, tmp_path: Path
) -> None:
    assemble(QUICK, world.lake, request(AS_OF))
    [labels] = world.lake.download(LABELS, SNAPSHOTS[-1], tmp_path)
    others = pl.read_parquet(labels).with_columns(1 - pl.col("label"))
    world.lake.publish_frame(LABELS, SNAPSHOTS[-1], others, run=RUN, scratch=tmp_path)

    staged = train(QUICK, world.lake, request(AS_OF))

    [holdout] = world.lake.download(QUICK.staging_prefix, AS_OF, tmp_path, HOLDOUT)
    world.assert_learnt_from(pl.read_parquet(holdout), staged.inputs)


def test_a_training_reads_each_partition_once_and_nothing_but_its_set_when_it_learns(world: World) -> None:
    assemble(QUICK, world.lake, request(AS_OF))
    world.replace(OUTCOMES)

    with requests_of(world.lake) as assembling:
        assemble(QUICK, world.lake, request(AS_OF))
    with requests_of(world.lake) as training:
        train(QUICK, world.lake, request(AS_OF))

    read = Counter(key for name, key in assembling if name == "GetObject" and key.startswith((FEATURES, CHURNS)))
    days = {known for snapshot in SNAPSHOTS for known in QUICK.label_window(snapshot, OUTCOMES)}
    assert set(read.values()) == {1}
    assert len(read) == 2 * (len(SNAPSHOTS) + len(days))
    # Outcomes and features for the days, both and labels for what there was, the earlier set, and the new labels.
    assert [name for name, _ in assembling].count("ListObjectsV2") == 7
    prefixes = {key.partition("/dt=")[0] for _, key in training}
    assert prefixes == {QUICK.training_rows_prefix, QUICK.staging_prefix}
