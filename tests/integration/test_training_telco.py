"""A Telco file from source to training: one of the format, and the real one where it is at hand."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.record import TrainingRequest
from include.lifecycle.training.training import train
from include.lifecycle.training.training_set import assemble
from include.models.churn import CHURN
from tests.data_files import MADE_UP_TELCO, REAL_TELCO, where_present
from tests.training_records import staged_record

DAY = date(2026, 1, 31)
AS_OF = DAY + timedelta(35)
ROC_AUC = {MADE_UP_TELCO: (0.7, 0.9), REAL_TELCO: (0.82, 0.88)}


@pytest.mark.parametrize("file", where_present(MADE_UP_TELCO, REAL_TELCO))
def test_the_telco_file_gives_an_honest_roc_auc(file: Path, lake: Lake, run: RunInfo) -> None:
    dataset = CHURN.dataset
    source = dataset.make_source({"kind": "csv", "path": str(file), "day": str(DAY)}, lambda _: None)
    extract(dataset, lake, source, [DAY], run)
    validate(dataset, lake, [DAY], run)
    build_features(dataset, lake, [DAY], run)
    request = TrainingRequest(AS_OF, trials=6, seed=7, run=run)
    assemble(CHURN, lake, request)

    train(CHURN, lake, request)

    training = staged_record(lake, CHURN.name, AS_OF)
    assert training.split == "key"
    lowest, highest = ROC_AUC[file]
    assert lowest <= training.metrics["holdout_roc_auc"] <= highest
    # The fewer rows, the farther a bin's rate lies from its mean score by chance.
    assert training.metrics["holdout_ece"] < (0.05 if file == REAL_TELCO else 0.15)
