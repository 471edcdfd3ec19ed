"""The features that the returns model reads."""

from __future__ import annotations

NUMERIC = (
    "return_1d",
    "return_5d",
    "return_21d",
    "volatility_5d",
    "volatility_21d",
    "volatility_63d",
    "rsi_14",
    "bollinger_20",
    "distance_sma_10",
    "distance_sma_50",
    "volume_z_21",
    "drawdown_63d",
    "market_return_1d",
    "market_return_5d",
    "market_volatility_21d",
)
