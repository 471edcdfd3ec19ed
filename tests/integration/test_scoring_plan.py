"""Which days scoring takes up, from what the lake and the ledger have."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle import ledger, scoring
from include.lifecycle.lake import Lake, RunInfo
from include.models.churn import CHURN

DAY = date(2026, 3, 2)


@pytest.fixture
def scored(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with a day whose predictions were made from its features, by version 1."""
    promoted = ledger.Entry("churn", "promote", 1, None, 1, DAY, "gate", "It is better.", {}, "first")
    ledger.record(postgres, promoted)
    publish_features(lake, run, tmp_path, age=40)
    features = lake.manifest("features/customers", DAY)
    inputs = {f"features/customers/dt={DAY}": features.digest}
    scores = pl.DataFrame({"customer_id": ["C1"], "score": [0.5]})
    lake.publish_frame("predictions/churn", DAY, scores, run=run, scratch=tmp_path, inputs=inputs)
    return lake


def publish_features(lake: Lake, run: RunInfo, scratch: Path, age: int) -> None:
    frame = pl.DataFrame({"customer_id": ["C1"], "age": [age]})
    lake.publish_frame("features/customers", DAY, frame, run=run, scratch=scratch)


def test_a_scored_day_is_left_alone(scored: Lake, postgres: Any) -> None:
    assert scoring.plan(CHURN, scored, postgres, None) == {}


def test_a_day_whose_features_were_corrected_is_scored_again(
    scored: Lake, postgres: Any, run: RunInfo, tmp_path: Path
) -> None:
    publish_features(scored, run, tmp_path, age=41)

    assert scoring.plan(CHURN, scored, postgres, None) == {DAY: 1}


def test_a_named_day_is_scored_whatever_there_is(scored: Lake, postgres: Any) -> None:
    assert scoring.plan(CHURN, scored, postgres, (DAY, DAY)) == {DAY: 1}
