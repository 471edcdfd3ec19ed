"""Where the tests of the market's sources get prices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.datasets.market.downloads import Downloads
from tests.unit.datasets.market.price_folders import AAPL, MSFT, write
from tests.unit.datasets.market.vendors import Server, Vendor


@pytest.fixture
def server() -> Iterator[Server]:
    vendor = Server()
    yield vendor
    vendor.server.shutdown()
    vendor.server.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def vendor(server: Server, tmp_path: Path, waits: list[float]) -> Vendor:
    """Makes downloads from the server that note how long they would have slept."""

    def made(
        base_url: str = server.url, url: str = "{symbol_lower}.csv", key: str | None = None, pace: float = 0
    ) -> Downloads:
        return Downloads(base_url, url, key, tmp_path / "cache", pace, sleep=waits.append)

    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, AAPL=AAPL, MSFT=MSFT)
    return tmp_path
