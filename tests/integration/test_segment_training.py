"""Symbols that are each fitted on their own, in batches: who answers for whom, and what a failure stops."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

from include.datasets.market import MARKET
from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.model_files import load_trusted
from include.lifecycle.segments import SegmentModels
from include.lifecycle.specs import Candidate, ModelSpec
from include.lifecycle.storage.lake import Lake
from include.lifecycle.training.record import TrainingRecord, TrainingRequest
from include.lifecycle.training.segment_training import (
    SegmentsFailedError,
    collect,
    fit_batch,
    own_candidates,
    stage_batches,
)
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import TrainingSet, assemble
from include.models.volatility import VOLATILITY
from include.models.volatility.estimators import build_boosting, build_har, suggest_boosting, suggest_har
from tests.integration.real_market import RUN
from tests.specs import changed
from tests.training_records import staged_record

DAYS = MARKET.calendar.days(date(2020, 1, 2), date(2020, 8, 14))
AS_OF = DAYS[-1]
SLOPES = {"AAA": 1.0, "BBB": 0.2, "CCC": 3.0, "DDD": 0.5}
VERSION = version_input(MARKET)
CANDIDATES = (
    Candidate(name="boosting_pooled", suggest=suggest_boosting, build=build_boosting),
    Candidate(name="har_per_symbol", suggest=suggest_har, build=build_har, per_segment=True),
)


def labels_of(day: date, features: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
    """The labels of the symbols that have features."""
    return rows(day).join(features, on="symbol", how="semi").select("symbol", "label")


MODEL = changed(
    VOLATILITY,
    candidates=lambda: CANDIDATES,
    label={"horizon_days": 1, "make": labels_of},
    split={"snapshot_every_days": 1, "folds": 2},
    segments={"per_task": 2},
)
REQUEST = TrainingRequest(AS_OF, trials=4, seed=7, run=RUN)


def rows(day: date, broken: str | None = None) -> pl.DataFrame:
    """Features and label of a day: the label is a symbol's own multiple of a feature, and a little noise."""
    random = np.random.default_rng(day.toordinal())
    frame = pl.DataFrame({"symbol": list(SLOPES), "years": [10, 9, None, 9]}).with_columns(
        **{name: pl.Series(random.uniform(0.1, 1, len(SLOPES))) for name in VOLATILITY.numeric}
    )
    noise = pl.Series(random.normal(0, 0.01, len(SLOPES)))
    label = pl.col("symbol").replace_strict(SLOPES) * pl.col("volatility_5d") + noise
    is_broken = pl.col("symbol").eq_missing(pl.lit(broken))
    return frame.with_columns(label=label).with_columns(
        volatility_5d=pl.when(is_broken).then(None).otherwise("volatility_5d")
    )


def publish(
    lake: Lake, scratch: Path, broken: str | None = None, young: Sequence[str] = (), model: ModelSpec = MODEL
) -> None:
    """Features, outcomes and training set; `broken` lacks a feature, `young` are there on the last 20 days."""
    for day in DAYS:
        frame = rows(day, broken).filter(~pl.col("symbol").is_in(young) | (day in DAYS[-20:]))
        for prefix, columns in (
            (MARKET.features_prefix, frame.drop("label")),
            (MARKET.clean("prices"), frame.select("symbol")),
        ):
            lake.publish_frame(prefix, day, columns, run=RUN, scratch=scratch, inputs=VERSION)
    assemble(model, lake, REQUEST)


@pytest.fixture(scope="module")
def market(s3_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Four symbols that follow laws of their own."""
    lake = Lake(s3_client, f"lake-{uuid.uuid4().hex[:12]}")
    s3_client.create_bucket(Bucket=lake.bucket)
    publish(lake, tmp_path_factory.mktemp("market"))
    return lake


def fit_batches(lake: Lake, *, but: int | None = None) -> list[list[str]]:
    batches = stage_batches(MODEL, lake, REQUEST)
    for number in range(len(batches)):
        if number != but:
            fit_batch(MODEL, lake, REQUEST, number)
    return batches


def trained(lake: Lake, request: TrainingRequest = REQUEST) -> TrainingRecord:
    """The record of a training."""
    train(MODEL, lake, request)
    return staged_record(lake, MODEL.name, AS_OF)


def staged_estimator(lake: Lake, scratch: Path) -> Any:
    [file] = lake.download(MODEL.staging_prefix, AS_OF, scratch, "model.skops")
    return load_trusted(file, MODEL.trusted_types, "the test's model")


def test_batches_share_out_all_symbols(market: Lake) -> None:
    assert stage_batches(MODEL, market, REQUEST) == [["AAA", "BBB"], ["CCC", "DDD"]]


def test_symbols_with_laws_of_their_own_are_answered_by_models_of_their_own(market: Lake, tmp_path: Path) -> None:
    fit_batches(market)

    record = trained(market)

    assert record.candidate == "har_per_symbol"
    assert set(record.per_segment.params["har_per_symbol"]) == set(SLOPES)
    assert not any("on its own" in warning for warning in record.warnings)
    estimator = staged_estimator(market, tmp_path)
    assert isinstance(estimator, SegmentModels)
    day = rows(DAYS[-1])
    np.testing.assert_allclose(predict(estimator, day, MODEL), day["label"], atol=0.2)


def test_the_evidence_is_the_walk_forward_scores_of_the_symbols_own_models(market: Lake) -> None:
    fit_batches(market)

    trials = {trial.candidate: trial.value for trial in trained(market).trials}

    assert trials["har_per_symbol"] > 0.95
    assert trials["boosting_pooled"] < trials["har_per_symbol"]


def test_a_symbols_fit_knows_nothing_of_the_other_symbols(market: Lake, tmp_path: Path) -> None:
    fit_batches(market)
    trained(market)
    own = staged_estimator(market, tmp_path).models["CCC"]

    past = pl.concat([rows(day).with_columns(dt=pl.lit(day)) for day in DAYS]).filter(symbol="CCC")

    slope = LinearRegression().fit(past.select("volatility_5d").to_numpy(), past["label"].to_numpy()).coef_[0]
    low, high = (
        predict(own, past.head(1).with_columns(volatility_5d=pl.lit(value)), MODEL)[0] for value in (0.2, 0.8)
    )
    assert (high - low) / 0.6 == pytest.approx(slope, rel=0.1)


def test_the_same_training_gives_the_same_bytes(market: Lake) -> None:
    fit_batches(market)
    first = train(MODEL, market, REQUEST).digest
    for number in (1, 0):
        market.client.delete_object(
            Bucket=market.bucket, Key=f"{MODEL.segment_fits_prefix(number)}/dt={AS_OF}/manifest.json"
        )
        fit_batch(MODEL, market, REQUEST, number)

    assert train(MODEL, market, REQUEST).digest == first


def test_a_symbol_that_cannot_be_fitted_stops_no_other_one_and_is_named(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, broken="BBB")
    stage_batches(MODEL, lake, REQUEST)

    with pytest.raises(SegmentsFailedError, match=r"BBB .ValueError: Input X contains NaN"):
        fit_batch(MODEL, lake, REQUEST, 0)
    fit_batch(MODEL, lake, REQUEST, 1)
    record = trained(lake)

    assert set(record.per_segment.params["har_per_symbol"]) == {"AAA", "CCC", "DDD"}
    assert set(record.per_segment.failed) == {"BBB"}
    assert any("BBB (ValueError" in warning for warning in record.warnings)
    estimator = staged_estimator(lake, tmp_path)
    day = rows(DAYS[-1], broken="BBB").filter(symbol="BBB")
    np.testing.assert_array_equal(predict(estimator, day, MODEL), predict(estimator.otherwise, day, MODEL))


def test_a_batch_that_left_nothing_is_named_and_the_training_goes_on(market: Lake) -> None:
    for number in (0, 1):
        market.client.delete_object(
            Bucket=market.bucket, Key=f"{MODEL.segment_fits_prefix(number)}/dt={AS_OF}/manifest.json"
        )
    fit_batches(market, but=0)

    record = trained(market)

    assert record.per_segment.failed == dict.fromkeys(["AAA", "BBB"], "its task left no result")
    assert set(record.per_segment.params["har_per_symbol"]) == {"CCC", "DDD"}


@pytest.mark.parametrize(
    "change",
    [{"trials": REQUEST.trials + 2}, {"seed": REQUEST.seed + 1}, {"run": replace(RUN, run_id="another")}],
    ids=["budget", "seed", "run"],
)
def test_fits_of_another_budget_seed_or_run_do_not_count(market: Lake, change: dict[str, Any]) -> None:
    fit_batches(market)

    record = trained(market, replace(REQUEST, **change))

    assert set(record.per_segment.failed) == set(SLOPES)
    assert record.candidate == "boosting_pooled"


def test_a_batch_without_any_fit_does_not_stop_the_training(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, young=("AAA", "BBB"))

    fit_batches(lake)

    record = trained(lake)
    assert set(record.per_segment.params["har_per_symbol"]) == {"CCC", "DDD"}
    assert record.per_segment.failed == {}


def test_a_budget_too_small_for_the_candidates_is_said_once_and_not_of_each_symbol(market: Lake) -> None:
    stage_batches(MODEL, market, REQUEST)

    for act in (assemble, partial(fit_batch, batch=0)):
        with pytest.raises(ValueError, match="budget of 1 is too small for the 2 candidates"):
            act(MODEL, market, replace(REQUEST, trials=1))


def test_an_etl_between_the_tasks_of_a_training_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path)
    day = DAYS[10]
    changed = rows(day).with_columns(pl.col("volatility_5d") * 1.01).drop("label")

    before = TrainingSet.read(MODEL, lake, AS_OF, tmp_path / "before")
    stage_batches(MODEL, lake, REQUEST)
    lake.publish_frame(MARKET.features_prefix, day, changed, run=RUN, scratch=tmp_path, inputs=VERSION)
    lake.client.delete_object(Bucket=lake.bucket, Key=f"{MODEL.labels_prefix}/dt={DAYS[11]}/manifest.json")

    after = TrainingSet.read(MODEL, lake, AS_OF, tmp_path / "after")
    assert list(after.rows) == list(before.rows)
    assert all(after.rows[day].equals(before.rows[day]) for day in before.rows)
    assert (after.sources, after.inputs) == (before.sources, before.inputs)
    fits = collect(MODEL, lake, REQUEST, after, tmp_path)
    assert set(fits.failed) == set(SLOPES)


def test_batches_of_other_data_are_refused(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path)
    fit_batches(lake)
    day = DAYS[10]
    changed = rows(day).with_columns(pl.col("volatility_5d") * 1.01).drop("label")
    lake.publish_frame(MARKET.features_prefix, day, changed, run=RUN, scratch=tmp_path, inputs=VERSION)
    assemble(MODEL, lake, REQUEST)

    with pytest.raises(ValueError, match="of other features or labels than there are now"):
        train(MODEL, lake, REQUEST)


def test_the_holdout_is_measured_by_a_column_that_is_neither_key_nor_feature(lake: Lake, tmp_path: Path) -> None:
    model = changed(MODEL, candidates=lambda: CANDIDATES[:1], segments={"by": "years", "per_task": None})
    publish(lake, tmp_path, model=model)

    train(model, lake, REQUEST)

    segments = staged_record(lake, model.name, AS_OF).segments
    assert list(segments) == ["9", "10", "missing"]
    assert all(set(measured) >= {"skill", "rmse"} for measured in segments.values())


def test_a_number_in_categorical_is_fitted_by_its_values_and_the_missing_ones(lake: Lake, tmp_path: Path) -> None:
    model = changed(MODEL, categorical=("symbol", "years"), segments={"by": "years"})
    publish(lake, tmp_path, model=model)

    batches = stage_batches(model, lake, REQUEST)
    for number in range(len(batches)):
        fit_batch(model, lake, REQUEST, number)

    training_set = TrainingSet.read(model, lake, AS_OF, tmp_path)
    fits = collect(model, lake, REQUEST, training_set, tmp_path)
    assert batches == [["10", "9"], ["missing"]]
    assert set(fits.estimators["har_per_symbol"]) == {"10", "9", "missing"}


def test_features_without_the_column_of_the_segments_are_refused_with_what_to_change(
    lake: Lake, tmp_path: Path
) -> None:
    model = changed(MODEL, segments={"by": "region", "per_task": None})

    with pytest.raises(ValueError, match=r"The features lack \['region'\], .* `segments\.by`"):
        publish(lake, tmp_path, model=model)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": {"per_task": None}},
        {"candidates": lambda: CANDIDATES[:1]},
        {"candidates": lambda: CANDIDATES[1:]},
    ],
    ids=["no tasks for them", "tasks for none", "nothing to compare with"],
)
def test_candidates_and_segments_per_task_must_agree(change: dict[str, Any]) -> None:
    contradictory: ModelSpec = changed(MODEL, **change)

    with pytest.raises(ValueError, match="candidates with `per_segment`"):
        own_candidates(contradictory)


@pytest.mark.parametrize(
    "change", [{"segments": {"by": None}}, {"split": {"folds": 1}}, {"categorical": ()}], ids=str
)
def test_a_spec_with_segments_to_fit_says_what_it_lacks(change: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"at least 2 `split\.folds` .* as each row is answered by the model of its"
    ):
        ModelSpec(**dict(changed(MODEL, **change)))
