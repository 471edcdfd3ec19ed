"""The real IBM Telco file from source to model card, where the file is at hand."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.record import RECORD, TrainingRecord, TrainingRequest
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import assemble
from include.models.churn import CHURN

TELCO = Path(__file__).parents[2].parent / "shared" / "data" / "telco-customer-churn.csv"
DAY = date(2026, 1, 31)
AS_OF = DAY + timedelta(35)


@pytest.mark.skipif(not TELCO.exists(), reason=f"The Telco file is not at {TELCO}.")
def test_the_telco_file_gives_an_honest_roc_auc(lake: Lake, run: RunInfo) -> None:
    dataset = CHURN.dataset
    source = dataset.make_source({"kind": "csv", "path": str(TELCO), "day": str(DAY)}, lambda _: None)
    extract(dataset, lake, source, [DAY], run)
    validate(dataset, lake, [DAY], run)
    build_features(dataset, lake, [DAY], run)
    request = TrainingRequest(AS_OF, trials=6, seed=7, run=run)
    assemble(CHURN, lake, request)

    train(CHURN, lake, request)

    training = TrainingRecord.model_validate(lake.read_json(CHURN.staging_prefix, AS_OF, RECORD))
    assert training.split == "key"
    assert 0.82 <= training.metrics["holdout_roc_auc"] <= 0.88
    assert training.metrics["holdout_ece"] < 0.05
