"""The features that the volatility model reads."""

from __future__ import annotations

HAR = ("volatility_5d", "volatility_21d", "volatility_63d")
NUMERIC = (*HAR, "market_volatility_21d", "return_1d", "return_5d", "return_21d", "volume_z_21", "drawdown_63d")
