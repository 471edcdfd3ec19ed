"""Volatility and returns on the five real stocks: what is learnt, what is claimed, and that no future is used."""

from __future__ import annotations

import uuid
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.datasets.market import MARKET
from include.lifecycle import drift, performance, scoring
from include.lifecycle.drift import Reference
from include.lifecycle.intervals import Interval
from include.lifecycle.lake import Lake
from include.lifecycle.registry import keep_reference, load_trusted
from include.lifecycle.segment_training import fit_batch, stage_batches
from include.lifecycle.specs import ModelSpec
from include.lifecycle.training import assemble, train
from include.models.returns import RETURNS
from include.models.volatility import VOLATILITY
from tests.integration.real_market import FOLDER, RUN, prices, publish

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"the real prices {FOLDER.name}/ are not here")

AS_OF = date(2011, 6, 30)
JUDGED_ON = date(2011, 9, 30)
UNTIL = date(2011, 12, 30)
QUICK = {"folds": 2, "snapshot_every_days": 2}


def make_lake(s3_client: Any) -> Lake:
    lake = Lake(s3_client, f"lake-{uuid.uuid4().hex[:12]}")
    s3_client.create_bucket(Bucket=lake.bucket)
    return lake


@pytest.fixture(scope="module")
def market(s3_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Clean prices and features of a year and a half."""
    lake = make_lake(s3_client)
    rows = prices().filter(pl.col("date") <= UNTIL)
    publish(lake, rows, tmp_path_factory.mktemp("market"))
    return lake


def quick(model: ModelSpec) -> ModelSpec:
    return model.model_copy(update=QUICK)


def trained(model: ModelSpec, lake: Lake) -> str:
    """The digest of the staged training as of AS_OF."""
    assemble(model, lake, AS_OF, RUN)
    for batch, _ in enumerate(stage_batches(model, lake, AS_OF, RUN)):
        fit_batch(model, lake, AS_OF, batch, trials=3, seed=7, run=RUN)
    return train(model, lake, AS_OF, trials=3, seed=7, run=RUN).digest


def reference_of(model: ModelSpec, lake: Lake) -> Reference:
    """Version 1, trained as of AS_OF."""
    keep_reference(model, lake, AS_OF, trained(model, lake), 1, RUN)
    return Reference(AS_OF, 1)


def test_a_training_knows_nothing_of_prices_after_its_day(market: Lake, s3_client: Any, tmp_path: Path) -> None:
    rows = prices().filter(pl.col("date") <= UNTIL)
    later = rows.filter(pl.col("date") > AS_OF)
    order = np.random.default_rng(3).permutation(later.height)
    shuffled = later.with_columns(later.select("open", "high", "low", "close", "volume")[order])
    other = make_lake(s3_client)
    publish(other, pl.concat([rows.filter(pl.col("date") <= AS_OF), shuffled]), tmp_path)

    for model in (quick(VOLATILITY), quick(RETURNS)):
        assert trained(model, other) == trained(model, market)


@pytest.mark.parametrize("model", [VOLATILITY, RETURNS], ids=lambda model: model.name)
def test_the_story_of_a_training_has_the_evidence_by_symbol_and_the_naive_models(
    model: ModelSpec, market: Lake
) -> None:
    trained(quick(model), market)

    training = market.read_json(model.staging_prefix, AS_OF, "training.json")

    assert set(training["segments"]) == {"AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"}
    assert set(training["reference_metrics"]) == set(model.references)
    assert training["baseline_metrics"]["holdout_skill_low"] == 0
    assert 0.6 < training["intervals"]["candidate"]["measured"] <= 1


def test_published_predictions_are_judged_once_their_outcomes_are_known(
    market: Lake, postgres: Any, tmp_path: Path
) -> None:
    model = quick(VOLATILITY)
    reference = reference_of(model, market)
    files = market.download(model.staging_prefix, AS_OF, tmp_path, "model.skops")
    estimator = load_trusted(files[0], model.trusted_types, "the test's model")
    interval = Interval(**market.read_json(model.staging_prefix, AS_OF, "training.json")["intervals"]["candidate"])
    for day in MARKET.calendar.days(date(2011, 7, 1), date(2011, 10, 31)):
        scoring.score(model, market, day, estimator, 1, RUN, interval)
        scoring.publish_files(model, market, postgres, day, RUN)

    verdict = performance.monitor(model, market, postgres, JUDGED_ON, RUN, reference)

    assert model.matures_on(verdict.days[-1]) == JUDGED_ON
    assert verdict.coverage is not None
    assert verdict.rows == 5 * len(verdict.days)
    outcomes = pl.read_parquet(
        market.download(model.report_prefix("performance"), JUDGED_ON, tmp_path, "outcomes.parquet")
    )
    saved = (
        1
        - ((outcomes["label"] - outcomes["score"]) ** 2).sum()
        / ((outcomes["label"] - outcomes["baseline_score"]) ** 2).sum()
    )
    assert verdict.measures["skill"] == pytest.approx(saved)


def test_a_feature_that_is_also_the_key_does_not_disturb_the_drift_report(market: Lake, postgres: Any) -> None:
    few_rows = VOLATILITY.drift.model_copy(update={"min_rows": 100})
    model = quick(VOLATILITY).model_copy(update={"drift": few_rows})
    reference = reference_of(model, market)

    verdict = drift.monitor(model, market, postgres, AS_OF, RUN, reference)

    distance = verdict.columns["symbol"].distance
    assert distance is not None
    assert distance < 0.1
    assert verdict.missing_days == ()


def test_before_any_outcome_is_known_there_is_not_enough_evidence(market: Lake, postgres: Any) -> None:
    model = quick(RETURNS)
    reference = reference_of(model, market)

    verdict = performance.monitor(model, market, postgres, AS_OF, RUN, reference)

    assert (verdict.verdict, verdict.rows) == ("not enough evidence", 0)
