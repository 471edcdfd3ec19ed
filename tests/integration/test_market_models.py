"""Volatility and returns on the sample market: what is learnt, what is claimed, and that no future is used.

That no future is used is shown on the five real stocks as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.datasets.market import MARKET
from include.lifecycle.modelling.model_files import load_trusted
from include.lifecycle.monitoring import drift, performance
from include.lifecycle.monitoring.reference import Reference
from include.lifecycle.promotion.staged_training import StagedTraining, keep_reference
from include.lifecycle.scoring import scoring
from include.lifecycle.scoring.publishing import publish as publish_scores
from include.lifecycle.scoring.scorers import Scorer
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake
from include.lifecycle.training.record import TrainingRequest
from include.lifecycle.training.segment_training import fit_batch, stage_batches
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import assemble
from include.models.returns import RETURNS
from include.models.volatility import VOLATILITY
from include.samples.market import MarketSettings, Split, generate
from tests.integration.real_market import FIRST, FOLDER, RUN, prices, publish
from tests.specs import changed
from tests.training_records import staged_record

AS_OF = date(2011, 6, 30)
SHUFFLED_UNTIL = date(2011, 8, 12)
JUDGED_ON = date(2011, 9, 30)
UNTIL = date(2011, 12, 30)


def make_lake(s3_client: Any) -> Lake:
    lake = Lake(s3_client, f"lake-{uuid.uuid4().hex[:12]}")
    s3_client.create_bucket(Bucket=lake.bucket)
    return lake


def sample_prices() -> pl.DataFrame:
    """A year and a half of the sample market, with its halt and an unadjusted split."""
    settings = MarketSettings(splits=(Split(symbol="AMZN", session=120),))
    return generate(settings, MARKET.calendar.days(FIRST, UNTIL)).cast(pl.Schema(MARKET.table("prices").columns))


def real_prices() -> pl.DataFrame:
    """The same time of the real stocks."""
    return prices().filter(pl.col("date") <= UNTIL)


ROWS_OF = [pytest.param(sample_prices, id="sample")]
if FOLDER.exists():
    ROWS_OF.append(pytest.param(real_prices, id="real"))


@pytest.fixture(scope="module")
def market(s3_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Clean prices and features of the sample market."""
    lake = make_lake(s3_client)
    publish(lake, sample_prices(), tmp_path_factory.mktemp("market"))
    return lake


def quick(model: ModelSpec) -> ModelSpec:
    return changed(model, split={"folds": 2, "snapshot_every_days": 2})


def trained(model: ModelSpec, lake: Lake) -> str:
    """The digest of the staged training as of AS_OF."""
    request = TrainingRequest(AS_OF, trials=3, seed=7, run=RUN)
    assemble(model, lake, request)
    for batch, _ in enumerate(stage_batches(model, lake, request)):
        fit_batch(model, lake, request, batch)
    return train(model, lake, request).digest


def predicted(model: ModelSpec, lake: Lake, scratch: Path) -> str:
    """The digest of the predictions of AS_OF by the training staged for it."""
    [file] = lake.download(model.staging_prefix, AS_OF, scratch, "model.skops")
    estimator = load_trusted(file, model.trusted_types, "the test's model")
    interval = staged_record(lake, model.name, AS_OF).intervals["candidate"]
    return scoring.score(model, lake, AS_OF, Scorer(estimator, 1, interval), RUN).digest


def reference_of(model: ModelSpec, lake: Lake) -> Reference:
    """Version 1, trained as of AS_OF."""
    keep_reference(lake, StagedTraining(model, AS_OF, trained(model, lake)).pin(lake), 1, RUN)
    return Reference(AS_OF, 1)


@pytest.mark.parametrize("rows_of", ROWS_OF)
def test_shuffling_all_prices_after_a_day_changes_no_feature_model_or_prediction_until_then(
    rows_of: Callable[[], pl.DataFrame], s3_client: Any, tmp_path: Path
) -> None:
    rows = rows_of().filter(pl.col("date") <= SHUFFLED_UNTIL)
    later = rows.filter(pl.col("date") > AS_OF)
    order = np.random.default_rng(3).permutation(later.height)
    shuffled = later.with_columns(later.select("open", "high", "low", "close", "volume")[order])
    lakes = [make_lake(s3_client), make_lake(s3_client)]
    publish(lakes[0], rows, tmp_path)
    publish(lakes[1], pl.concat([rows.filter(pl.col("date") <= AS_OF), shuffled]), tmp_path)

    until, after = (
        MARKET.calendar.days(FIRST, AS_OF),
        MARKET.calendar.days(AS_OF + timedelta(days=1), SHUFFLED_UNTIL),
    )
    features = [lake.digests(MARKET.features_prefix, until) for lake in lakes]
    assert features[0] == features[1]
    changed = [lake.digests(MARKET.features_prefix, after) for lake in lakes]
    assert changed[0] != changed[1]
    for model in (quick(VOLATILITY), quick(RETURNS)):
        assert trained(model, lakes[0]) == trained(model, lakes[1])
        assert predicted(model, lakes[0], tmp_path / "one") == predicted(model, lakes[1], tmp_path / "other")


@pytest.mark.parametrize("model", [VOLATILITY, RETURNS], ids=lambda model: model.name)
def test_the_record_of_a_training_has_the_evidence_by_symbol_and_the_naive_models(
    model: ModelSpec, market: Lake, tmp_path: Path
) -> None:
    trained(quick(model), market)

    training = staged_record(market, model.name, AS_OF)

    assert set(training.segments) == {"AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"}
    assert set(training.reference_metrics) == set(model.gate.references)
    assert training.baseline_metrics["holdout_skill_lower_bound"] == 0
    holdout = pl.read_parquet(market.download(model.staging_prefix, AS_OF, tmp_path, "holdout.parquet"))
    interval = training.intervals["candidate"]
    held = (holdout["label"] - holdout["candidate_score"]).abs() <= interval.multiple * holdout["volatility_21d"]
    assert interval.measured == pytest.approx(held.mean())


def test_published_predictions_are_judged_once_their_outcomes_are_known(
    market: Lake, postgres: Any, tmp_path: Path
) -> None:
    model = quick(VOLATILITY)
    reference = reference_of(model, market)
    files = market.download(model.staging_prefix, AS_OF, tmp_path, "model.skops")
    estimator = load_trusted(files[0], model.trusted_types, "the test's model")
    interval = staged_record(market, model.name, AS_OF).intervals["candidate"]
    for day in MARKET.calendar.days(date(2011, 7, 1), date(2011, 10, 31)):
        scoring.score(model, market, day, Scorer(estimator, 1, interval), RUN)
        publish_scores(model, market, postgres, day, RUN)

    verdict = performance.monitor(model, market, postgres, JUDGED_ON, RUN, reference)

    assert model.matures_on(verdict.days[-1]) == JUDGED_ON
    assert verdict.coverage is not None
    assert verdict.rows == 5 * len(verdict.days)
    outcomes = pl.read_parquet(
        market.download(model.report_prefix("performance"), JUDGED_ON, tmp_path, "outcomes.parquet")
    )
    own, baseline = (
        float(((outcomes["label"] - outcomes[scores]) ** 2).sum()) for scores in ("score", "baseline_score")
    )
    assert verdict.measures["skill"] == pytest.approx(1 - own / baseline)
    assert verdict.estimated is not None
    assert verdict.estimated.estimate is not None
    assert (verdict.estimated.verdict, verdict.estimated.rows) == ("not judged", 25)
    error = verdict.estimated.estimate.metrics["rmse"]
    assert 0 < error.lower_bound < error.value < error.upper_bound


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
    with postgres, postgres.cursor() as cursor:
        cursor.execute("select count(*) from ml.performance where model = %s", [model.name])
        assert cursor.fetchone() == (0,)
