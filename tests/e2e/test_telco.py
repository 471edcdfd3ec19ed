"""A Telco file, the real one where it is at hand, through ETL, training and scoring under the real scheduler."""

from __future__ import annotations

from datetime import date

import mlflow
import polars as pl

from tests.data_files import MADE_UP_TELCO, REAL_TELCO, where_present
from tests.e2e.conftest import World

TELCO = where_present(REAL_TELCO, MADE_UP_TELCO)[0]
DAY = "2026-06-01"
DAY_DATE = date.fromisoformat(DAY)
MATURED = "2026-07-06"


def test_the_telco_file_lives_through_the_lifecycle(world: World) -> None:
    world.set_variable("customers_source", {"kind": "csv", "path": str(TELCO), "day": DAY})

    etl = world.run("customers_etl")
    training = world.run("churn_training", day=MATURED, trials=10)
    scoring = world.run("churn_scoring", day=DAY)

    assert [run.state for run in (etl, training, scoring)] == ["success"] * 3
    verdict = world.lake.read_json("reports/customers/validation", DAY_DATE, "verdict.json")
    customers = verdict["tables"]["customers"]
    assert (customers["good"], customers["quarantined"]) == (pl.read_csv(TELCO).height, 0)
    assert world.lake.manifest("predictions/churn", DAY_DATE).rows == customers["good"]
    client = mlflow.MlflowClient(world.settings.mlflow_url)
    champion = client.get_model_version_by_alias("churn", "champion")
    assert champion.run_id is not None
    auc = client.get_run(champion.run_id).data.metrics["holdout_roc_auc"]
    lowest, highest = (0.82, 0.88) if TELCO == REAL_TELCO else (0.7, 0.9)
    assert lowest < auc < highest
