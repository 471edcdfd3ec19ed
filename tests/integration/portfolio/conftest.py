"""A lake that portfolios are made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.portfolio.markets import DAYS, closes, predict, publish_prices


@pytest.fixture
def market(lake: Lake, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with prices of all days, and predictions for the last two."""
    series = closes()
    for number, day in enumerate(DAYS):
        publish_prices(lake, run, tmp_path, day, {name: prices[number] for name, prices in series.items()})
    for day in DAYS[-2:]:
        predict(lake, run, tmp_path, day)
    return lake
