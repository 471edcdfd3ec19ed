"""The report of performance on a real lake: what is read for it, and that carrying on changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.modelling import model_files
from include.lifecycle.modelling.estimator_input import to_matrix
from include.lifecycle.monitoring import performance
from include.lifecycle.monitoring.earlier_outcomes import OUTCOMES
from include.lifecycle.monitoring.performance_verdict import KIND
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.scoring.prediction_files import PARQUET
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.lifecycle.training.record import BASELINE
from include.models.churn import CHURN
from tests.integration.churn_history import CHURNS, day, features_of, labels_of, publish_history
from tests.integration.s3_requests import requests_of
from tests.specs import changed

SNAPSHOTS = [day(number) for number in range(0, 20)]
FIRST, SECOND = day(45), day(52)
REFERENCE = Reference(day(0), 1)
REPORT = CHURN.report_prefix(KIND)


@pytest.fixture
def predicted(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """Twenty days with features and predictions, all their outcomes, and the baseline of the version at work."""
    publish_history(lake, tmp_path, SNAPSHOTS, until=SECOND)
    matrix = to_matrix(features_of(day(0)), CHURN)
    baseline = CHURN.baseline(7).fit(matrix, labels_of(day(0)))
    model_files.dump(baseline, tmp_path / BASELINE, CHURN.trusted_types)
    lake.publish(CHURN.reference_prefix(1), day(0), [LocalFile(tmp_path / BASELINE)], run=run)
    for snapshot in SNAPSHOTS:
        predict(lake, run, tmp_path, snapshot, 0.2)
    return lake


def predict(lake: Lake, run: RunInfo, scratch: Path, snapshot: Any, score: float) -> None:
    rows = features_of(snapshot).select("customer_id", score=pl.lit(score), model_version=pl.lit(1))
    rows.write_parquet(scratch / PARQUET)
    lake.publish(CHURN.predictions_prefix, snapshot, [LocalFile(scratch / PARQUET, rows.height)], run=run)


@contextmanager
def requests(lake: Lake) -> Iterator[list[str]]:
    """The addresses that are read while the block is at work."""
    asked: list[str] = []

    def note(request: Any, **_: Any) -> None:
        asked.append(request.url)

    lake.client.meta.events.register("before-send.s3.GetObject", note)
    yield asked
    lake.client.meta.events.unregister("before-send.s3.GetObject", note)


def outcomes_file(lake: Lake, reported: Any) -> tuple[str, dict[str, str]]:
    manifest = lake.manifest(REPORT, reported)
    return manifest.file(OUTCOMES).name, manifest.inputs


def test_a_report_reads_those_days_alone_that_the_one_before_has_not(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)

    with requests(predicted) as asked:
        verdict = performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE)

    assert verdict.days == tuple(SNAPSHOTS[:18])
    read = {snapshot for snapshot in SNAPSHOTS for url in asked if f"predictions/churn/dt%3D{snapshot}" in url}
    assert read == set(SNAPSHOTS[11:18])


def known_outcomes(lake: Lake, reported: date, scratch: Path) -> pl.DataFrame:
    """Day, customer and label of each prediction that a report judges."""
    [path] = lake.download(REPORT, reported, scratch, OUTCOMES)
    return pl.read_parquet(path).select("dt", "customer_id", "label")


def true_outcomes(snapshots: list[date]) -> pl.DataFrame:
    return pl.concat(
        features_of(snapshot)
        .select(pl.lit(snapshot).alias("dt"), "customer_id", label=pl.Series(labels_of(snapshot)))
        .sort("customer_id")
        for snapshot in snapshots
    )


def test_a_prediction_meets_the_outcome_of_its_own_customer_once_that_has_matured(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)

    known = known_outcomes(predicted, FIRST, tmp_path)
    assert known.equals(true_outcomes(SNAPSHOTS[:11]))
    assert all(CHURN.matures_on(snapshot) <= FIRST for snapshot in known["dt"].unique())


def test_days_wait_for_outcomes_that_come_late_and_are_judged_once_these_are_there(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    late = day(40)
    key = f"{CHURNS}/dt={late}/manifest.json"
    manifest = predicted.read_object(key)
    assert manifest is not None
    predicted.client.delete_object(Bucket=predicted.bucket, Key=key)

    waiting = performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)
    predicted.write_object(key, manifest)
    performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE)

    assert waiting.days == tuple(SNAPSHOTS[:5])
    assert known_outcomes(predicted, SECOND, tmp_path).equals(true_outcomes(SNAPSHOTS[:18]))


def test_an_outcome_that_is_recorded_twice_counts_once(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    recorded = predicted.scan(CHURNS, [day(20), day(21)], tmp_path).collect().drop("dt")
    predicted.publish_frame(CHURNS, day(21), pl.concat([recorded, recorded]), run=run, scratch=tmp_path)

    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)

    assert recorded.height > 0
    assert known_outcomes(predicted, FIRST, tmp_path).equals(true_outcomes(SNAPSHOTS[:11]))


def test_carrying_on_and_measuring_all_anew_give_the_same_bytes(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)
    predict(predicted, run, tmp_path, SNAPSHOTS[3], 0.4)
    carried = performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE)
    carried_file = outcomes_file(predicted, SECOND)

    recomputed = performance.monitor(
        CHURN, predicted, postgres, SECOND, replace(run, code_version="other code"), REFERENCE
    )

    assert carried == recomputed
    assert outcomes_file(predicted, SECOND) == carried_file


@pytest.mark.parametrize(("kind", "moment"), [("features", 40), ("predictions", 60), ("outcomes", 90)])
def test_what_is_corrected_while_a_report_is_made_is_not_carried_on_as_it_was(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path, kind: str, moment: int
) -> None:
    def correct(number: int) -> None:
        if number != moment:
            return
        if kind == "features":
            others = features_of(SNAPSHOTS[3]).head(400)
            inputs = version_input(CHURN.dataset)
            prefix = CHURN.dataset.features_prefix
            predicted.publish_frame(prefix, SNAPSHOTS[3], others, run=run, scratch=tmp_path, inputs=inputs)
        elif kind == "outcomes":
            others = predicted.scan(CHURNS, [day(12)], tmp_path).collect().drop("dt").head(1)
            predicted.publish_frame(CHURNS, day(12), others, run=run, scratch=tmp_path)
        else:
            predict(predicted, run, tmp_path, SNAPSHOTS[3], 0.4)

    with requests_of(predicted, correct) as made:
        performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)
    assert len(made) > moment
    carried = performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE)
    carried_file = outcomes_file(predicted, SECOND)

    other_code = replace(run, code_version="other code")
    recomputed = performance.monitor(CHURN, predicted, postgres, SECOND, other_code, REFERENCE)

    assert carried == recomputed
    assert outcomes_file(predicted, SECOND) == carried_file


def everybody_left(of: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
    labels = CHURN.label.make(of, features, outcomes)
    return labels.with_columns(label=pl.lit(1, labels.schema["label"]))


def test_labels_of_code_that_is_not_committed_yet_are_made_again(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)
    other = changed(CHURN, label={"make": everybody_left})

    performance.monitor(other, predicted, postgres, SECOND, run, REFERENCE)

    [path] = predicted.download(REPORT, SECOND, tmp_path, OUTCOMES)
    assert pl.read_parquet(path)["label"].unique().to_list() == [1]


def test_the_last_day_of_outcomes_that_a_report_looks_at_has_not_said_all(
    predicted: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    features = features_of(SECOND)
    predicted.publish_frame(CHURN.dataset.features_prefix, SECOND, features, run=run, scratch=tmp_path)
    predict(predicted, run, tmp_path, SECOND, 0.2)
    last_look = SECOND + timedelta(days=CHURN.drift.outcome_days)

    verdict = performance.monitor(CHURN, predicted, postgres, last_look, run, REFERENCE)

    assert verdict.days == ()


def test_a_damaged_report_is_not_carried_on_and_stops_no_later_one(
    predicted: Lake, postgres: Any, run: RunInfo
) -> None:
    performance.monitor(CHURN, predicted, postgres, FIRST, run, REFERENCE)
    whole = performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE)
    [name] = [file.name for file in predicted.manifest(REPORT, FIRST).files if "outcomes" in file.name]

    for key in (f"{REPORT}/dt={FIRST}/{name}", f"{REPORT}/dt={FIRST}/manifest.json"):
        predicted.write_object(key, b"damaged")
        assert performance.monitor(CHURN, predicted, postgres, SECOND, run, REFERENCE) == whole
