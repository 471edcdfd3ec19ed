"""A database of prices."""

from __future__ import annotations

from typing import Any

import pytest

from include.samples.market import ensure_market
from tests.integration.market_sources.sources import SMALL, UNTIL


@pytest.fixture
def market(postgres: Any) -> Any:
    """A database with eighty sessions of the sample market."""
    ensure_market(postgres, SMALL, UNTIL)
    return postgres
