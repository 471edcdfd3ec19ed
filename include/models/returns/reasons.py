"""Why a symbol is to be bought or sold: what speaks for it most."""

from __future__ import annotations

from include.lifecycle.specs import ReasonsSpec

REASONS = ReasonsSpec(
    column="signal",
    directions={"BUY": 1, "SELL": -1},
    words={
        "return_1d": "Log return of the last session: {value:.2%} (usual: {usual:.2%})",
        "return_5d": "Log return of 5 sessions: {value:.2%} (usual: {usual:.2%})",
        "return_21d": "Log return of 21 sessions: {value:.2%} (usual: {usual:.2%})",
        "volatility_5d": "Volatility of 5 sessions: {value:.1%} a year (usual: {usual:.1%})",
        "volatility_21d": "Volatility of 21 sessions: {value:.1%} a year (usual: {usual:.1%})",
        "volatility_63d": "Volatility of 63 sessions: {value:.1%} a year (usual: {usual:.1%})",
        "rsi_14": "Relative strength index of 14 sessions: {value:.0f} (usual: {usual:.0f})",
        "bollinger_20": "Bollinger position, 20 sessions: {value:.2f} (usual: {usual:.2f})",
        "distance_sma_10": "Distance from the 10-session average: {value:.2%} (usual: {usual:.2%})",
        "distance_sma_50": "Distance from the 50-session average: {value:.2%} (usual: {usual:.2%})",
        "volume_z_21": "Volume, in deviations from that of 21 sessions: {value:.1f} (usual: {usual:.1f})",
        "drawdown_63d": "Below its highest close of 63 sessions: {value:.1%} (usual: {usual:.1%})",
        "market_return_1d": "Market's log return of the last session: {value:.2%} (usual: {usual:.2%})",
        "market_return_5d": "Market's log return of 5 sessions: {value:.2%} (usual: {usual:.2%})",
        "market_volatility_21d": "Market's volatility of 21 sessions: {value:.1%} a year (usual: {usual:.1%})",
    },
    otherwise="Several things together; none stands out on its own",
)
