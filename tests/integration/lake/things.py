"""A day of things on the lake."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from include.lifecycle.storage.lake import (
    Lake,
    RunInfo,
)

DAY = date(2026, 3, 1)
PREFIX = "features/things"


def publish(lake: Lake, run: RunInfo, scratch: Path, values: list[int], **more: Any) -> str:
    return lake.publish_frame(PREFIX, DAY, pl.DataFrame({"x": values}), run=run, scratch=scratch, **more).digest
