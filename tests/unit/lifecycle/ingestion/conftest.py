from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.storage.lake import Lake, RunInfo
from tests.unit.lifecycle.ingestion.shops import World


@pytest.fixture
def world(lake: Lake, run: RunInfo, tmp_path: Path) -> World:
    """An empty lake to put clean days into."""
    return World(lake, run, tmp_path)
