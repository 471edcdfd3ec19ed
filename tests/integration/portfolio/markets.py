"""A lake of four made-up stocks, and what was published of their portfolios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from include.portfolio import planning, publish
from include.portfolio.inputs import PORTFOLIO, PREDICTIONS, PRICES, REPORT, RETURNS, VOLATILITY
from include.portfolio.settings import PortfolioSettings
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
DAYS = [date(2024, 1, 1) + timedelta(days) for days in range(90)]
SETTINGS = PortfolioSettings(window_sessions=60, min_history=60, bootstrap_samples=200)


def closes(symbols: Sequence[str] = SYMBOLS, days: int = len(DAYS)) -> dict[str, list[float]]:
    rng = np.random.default_rng(7)
    drawn = rng.normal(0.0005, [0.01 + 0.004 * number for number in range(len(symbols))], (days, len(symbols)))
    return {symbol: (100 * np.exp(drawn[:, n].cumsum())).tolist() for n, symbol in enumerate(symbols)}


def publish_prices(
    lake: Lake,
    run: RunInfo,
    scratch: Path,
    day: date,
    prices: Mapping[str, float],
    opens: Mapping[str, float] | None = None,
) -> None:
    """Prices that stay all day what they are at the close, but for those of `opens`."""
    columns = {name: list(prices.values()) for name in ("high", "low", "close")}
    columns["open"] = list({**prices, **(opens or {})}.values())
    rows = {"symbol": list(prices), "date": [day] * len(prices), **columns, "volume": [1] * len(prices)}
    lake.publish_frame(PRICES, day, pl.DataFrame(rows), run=run, scratch=scratch)


def publish_scores(
    lake: Lake, run: RunInfo, scratch: Path, prefix: str, day: date, scores: Mapping[str, float]
) -> None:
    frame = pl.DataFrame(
        {"symbol": list(scores), "score": list(scores.values())}, schema_overrides={"score": pl.Float64}
    )
    frame.write_parquet(scratch / PREDICTIONS)
    lake.publish(prefix, day, [LocalFile(scratch / PREDICTIONS, frame.height)], run=run, schema=dict(frame.schema))


def predict(lake: Lake, run: RunInfo, scratch: Path, day: date, returns: float = 0.002) -> None:
    numbered = list(enumerate(SYMBOLS))
    publish_scores(lake, run, scratch, RETURNS, day, {name: returns * (n + 1) for n, name in numbered})
    publish_scores(lake, run, scratch, VOLATILITY, day, {name: 0.2 + 0.05 * n for n, name in numbered})


def make_all(lake: Lake, connection: Any, run: RunInfo) -> list[date]:
    days = planning.plan(lake, None, SETTINGS)
    for day in days:
        publish.make(lake, connection, day, SETTINGS, run)
    return days


def table_of(lake: Lake, day: date, scratch: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(lake.download(PORTFOLIO, day, scratch, name))


def page_of(lake: Lake, day: date, scratch: Path) -> str:
    [path] = lake.download(REPORT, day, scratch, "index.html")
    html = path.read_text()
    assert code_in(html) == []
    assert [*broken_promises(html), *split_cells(html), *loose_percentages(html)] == []
    return html
