"""Files in the formats of real data: those of `tests/data`, and the real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

_MADE_UP = Path(__file__).parent / "data"
_REAL = Path(__file__).parents[2] / "shared" / "data"

MADE_UP_PRICES, REAL_PRICES = _MADE_UP / "ohlcv", _REAL / "ohlcv"
MADE_UP_TELCO, REAL_TELCO = _MADE_UP / "telco-customer-churn.csv", _REAL / "telco-customer-churn.csv"


def where_present(*paths: Path) -> list[Path]:
    """Those of the paths that there are."""
    return [path for path in paths if path.exists()]
