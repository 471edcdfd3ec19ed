"""What a score means for people."""

from __future__ import annotations

import polars as pl

from include.models.churn.decisions import decide


def test_risk_rises_at_the_documented_thresholds() -> None:
    scores = pl.DataFrame({"score": [0.0, 0.0499, 0.05, 0.1499, 0.15, 1.0]})

    decided = decide(scores)

    assert decided["risk_category"].to_list() == ["low", "low", "medium", "medium", "high", "high"]
    assert decided["will_churn"].to_list() == [False, False, False, False, True, True]


def test_the_columns_that_were_there_stay_as_they_are() -> None:
    scores = pl.DataFrame({"customer_id": ["C1"], "score": [0.2]})

    assert decide(scores).select(scores.columns).equals(scores)
