"""The five real stocks, their common years, through all market DAGs under the real scheduler."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import mlflow
import polars as pl
import pytest

from include.datasets.market import MARKET
from include.lifecycle.storage.lake import MANIFEST
from include.portfolio.inputs import PORTFOLIO, REPORT
from include.portfolio.strategies import STRATEGIES
from tests.damage import DAMAGES, damage, delete
from tests.e2e.conftest import World
from tests.training_records import staged_record

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "ohlcv"
SYMBOLS = ["AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"]
FIRST, LAST = date(2010, 6, 28), date(2017, 11, 10)
DAY = LAST.isoformat()

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"the real prices {FOLDER.name}/ are not here")


@pytest.fixture(scope="module")
def market(world: World) -> World:
    """All sessions of the common years with features."""
    source = {"kind": "files", "path": str(FOLDER), "symbols": SYMBOLS, "first_day": str(FIRST), "last_day": DAY}
    world.set_variable("market_source", {**source, "max_lag_days": None})
    assert world.run("market_etl").state == "success"
    return world


@pytest.fixture(scope="module")
def scored(market: World) -> World:
    """Both models trained as of the last day, and that day scored."""
    for model in ("volatility", "returns"):
        assert market.run(f"{model}_training", day=DAY, trials=9).state == "success"
        assert market.run(f"{model}_scoring", day=DAY).state == "success"
    return market


def holdout_metrics(world: World, model: str) -> dict[str, float]:
    """Those of the training as of the last day."""
    training = staged_record(world.lake, model, LAST)
    return {name.removeprefix("holdout_"): value for name, value in training.metrics.items()}


def champion_kind(world: World, model: str) -> str:
    client = mlflow.MlflowClient(world.settings.mlflow_url)
    return str(client.get_model_version_by_alias(model, "champion").tags["kind"])


def test_every_session_has_prices_and_rows_without_trade_are_in_quarantine(market: World, tmp_path: Path) -> None:
    sessions = MARKET.calendar.days(FIRST, LAST)

    assert market.lake.days(MARKET.clean("prices")) == sessions
    quarantined = market.lake.scan(MARKET.quarantine("prices"), sessions, tmp_path).collect()
    assert set(quarantined["broken_rules"].explode()) == {"prices.volume.traded"}
    raw = market.lake.pin(MARKET.raw("prices"), sessions).manifests.values()
    clean = market.lake.scan(MARKET.clean("prices"), sessions, tmp_path).select(pl.len()).collect().item()
    assert sum(manifest.rows for manifest in raw) == clean + quarantined.height


def test_each_symbol_is_fitted_in_a_mapped_task_and_compared_with_the_pooled_models(scored: World) -> None:
    for model, own in (("volatility", "har_per_symbol"), ("returns", "ridge_per_symbol")):
        [run] = scored.api.runs(f"{model}_training")
        fits = [
            instance
            for instance in scored.api.task_instances(f"{model}_training", run["dag_run_id"])
            if instance["task_id"] == "fit_segments"
        ]
        training = staged_record(scored.lake, model, LAST)

        assert [fit["rendered_map_index"] for fit in fits] == ["batch 1 of 1: AAPL to TSLA (5)"]
        assert set(training.per_segment.params[own]) == set(SYMBOLS)
        assert {trial.candidate for trial in training.trials} > {own}


def test_volatility_beats_persistence_and_becomes_champion(scored: World) -> None:
    training = staged_record(scored.lake, "volatility", LAST)

    assert training.candidate == "har_pooled"
    assert training.metrics["holdout_skill"] == pytest.approx(0.35, abs=0.03)
    assert training.metrics["holdout_skill_lower_bound"] > 0
    assert sum(values["skill"] > 0 for values in training.segments.values()) >= 4
    assert champion_kind(scored, "volatility") == "candidate"


def test_returns_claim_no_skill_they_do_not_have(scored: World, tmp_path: Path) -> None:
    assert holdout_metrics(scored, "returns")["skill_lower_bound"] < 0
    assert champion_kind(scored, "returns") == "baseline"
    files = scored.lake.download("predictions/returns", LAST, tmp_path, "predictions.parquet")
    predictions = pl.read_parquet(files)
    assert predictions["symbol"].to_list() == SYMBOLS
    assert set(predictions["signal"]) == {"HOLD"}
    assert (predictions["price_low"] < predictions["price_high"]).all()
    assert predictions["coverage"].is_between(0.7, 0.95).all()


def test_the_portfolio_has_four_strategies_and_a_backtest_of_all_years(scored: World, tmp_path: Path) -> None:
    assert scored.run("portfolio", day=DAY).state == "success"

    read = {
        name: pl.read_parquet(scored.lake.download("portfolio/market", LAST, tmp_path, f"{name}.parquet"))
        for name in ("weights", "backtest")
    }
    held = read["weights"].group_by("strategy").agg(pl.col("weight").sum(), most=pl.col("weight").max())
    assert set(held["strategy"]) == set(STRATEGIES)
    assert held["weight"].to_list() == pytest.approx([1.0] * 4)
    assert (held["most"] <= 0.35 + 1e-9).all()
    assert (read["backtest"]["date"] < date(2012, 1, 1)).any()
    assert read["backtest"]["date"].max() == LAST
    verdict = scored.lake.read_json("reports/portfolio/portfolio", LAST, "verdict.json")
    assert "equal weight" in verdict["headline"].lower()


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_to_the_portfolio_heals_when_its_dag_runs_again(scored: World, kind: str) -> None:
    prefixes = (PORTFOLIO, REPORT, f"{PORTFOLIO}/latest.json")
    before = scored.published(*prefixes)
    contents = {prefix: scored.lake.manifest(prefix, LAST).digest for prefix in (PORTFOLIO, REPORT)}
    for prefix in contents:
        damage(scored.lake, (prefix, LAST), kind)
    delete(scored.lake, f"{PORTFOLIO}/latest.json")

    assert scored.run("portfolio", day=DAY).state == "success"

    after = scored.published(*prefixes)
    assert after.keys() == before.keys()
    assert {key for key in before if after[key] != before[key] and not key.endswith(MANIFEST)} == set()
    assert {prefix: scored.lake.manifest(prefix, LAST).digest for prefix in contents} == contents


def test_the_monitoring_of_both_models_gives_a_verdict(scored: World) -> None:
    for model in ("volatility", "returns"):
        assert scored.run(f"{model}_monitoring", day=DAY).state == "success"
        assert scored.lake.read_json(f"reports/{model}/drift", LAST, "verdict.json")["reason"]
