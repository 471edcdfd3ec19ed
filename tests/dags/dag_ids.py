"""The ids of all DAGs: one per stage of each dataset and model, and those of the whole project."""

from __future__ import annotations

from pathlib import Path

from include.catalog import DATASETS, MODELS

ROOT = Path(__file__).parents[2]
EXPECTED = {"sample_world", "portfolio", "maintenance"} | {f"{name}_etl" for name in DATASETS}
STAGES = ("training", "scoring", "monitoring", "rollback", "shadow")
EXPECTED |= {f"{name}_{stage}" for name in MODELS for stage in STAGES}
