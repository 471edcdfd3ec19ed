"""What a source gave of the shop."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from tests.integration.validation.shop import SHOP


@pytest.fixture
def land(lake: Lake, run: RunInfo, tmp_path: Path) -> Any:
    def land(day: date, counted: int | None = None, **tables: str | bytes) -> None:
        for table, content in tables.items():
            path = tmp_path / "table.csv"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            lines = count_data_lines(path) if counted is None else None
            lake.publish(SHOP.raw(table), day, [LocalFile(path, counted, lines)], run=run)

    return land
