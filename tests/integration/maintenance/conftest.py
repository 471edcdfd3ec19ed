"""The lake that maintenance looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.storage.lake import Lake, RunInfo
from tests.integration.maintenance.lakes import (
    AS_OF,
    DAILY,
    DAY,
    DAYS,
    LEARNT,
    WEEKLY,
    judge,
    load,
    stage,
    write_latest,
)


@pytest.fixture
def lived_in(lake: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> Lake:
    """A lake with a partition of each kind, and a warehouse that was loaded from its predictions."""
    tables = [prefix for prefix in DAILY if prefix != CUSTOMERS.validation_prefix]
    places = [(prefix, day) for prefix in tables for day in DAYS] + [(prefix, DAY) for prefix in WEEKLY]
    for prefix, day in [*places, *((prefix, AS_OF) for prefix in LEARNT)]:
        lake.publish_frame(prefix, day, pl.DataFrame({"x": [prefix, str(day)]}), run=run, scratch=tmp_path)
    for day in DAYS:
        judge(lake, run, tmp_path, day)
    stage(lake, run, tmp_path, seed=7)
    write_latest(lake)
    load(lake, postgres, DAYS)
    return lake
