"""The prices until a day, as far as a portfolio needs them: kept, so that each day reads its own only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from include.datasets.market.features import suspected_splits
from include.portfolio.returns import daily_returns


@dataclass(frozen=True)
class History:
    """The prices from a first session until a last one.

    Attributes
    ----------
    returns : daily returns of all symbols that ever had a price, see `daily_returns`; of a history that is carried
        on, at least those of the trailing window before the sessions that were added.
    closes : each symbol's last close.
    splits : the suspected ones: symbol, date, ratio; by date and symbol.
    """

    first: date
    last: date
    returns: pl.DataFrame
    closes: dict[str, float]
    splits: pl.DataFrame

    def trailing(self, sessions: int) -> History:
        """The same history with the returns of its last sessions only."""
        return replace(self, returns=self.returns.tail(sessions))


def extended(earlier: History | None, prices: pl.DataFrame) -> History:
    """The history with the sessions of `prices` (`symbol`, `date`, `open`, `close`) after it.

    Added at once or one by one, the same sessions give the same history.
    """
    known = prices if earlier is None else pl.concat([_last_closes(earlier, prices.schema), prices])
    splits = suspected_splits(known.rename({"date": "dt"})).sort("date", "symbol")
    daily = daily_returns(known, splits)
    newest = prices.sort("date").group_by("symbol", maintain_order=True).last()
    closes = dict(newest.select("symbol", "close").iter_rows())
    if earlier is None:
        first, returns = prices["date"].min(), daily
    else:
        first, closes = earlier.first, earlier.closes | closes
        returns = pl.concat([earlier.returns, daily], how="diagonal")
        splits = pl.concat([earlier.splits, splits])
    assert isinstance(first, date)
    return History(
        first=first,
        last=max(prices["date"]),
        returns=returns.select("date", *sorted(closes)).rechunk(),
        closes=dict(sorted(closes.items())),
        splits=splits.rechunk(),
    )


def _last_closes(history: History, schema: pl.Schema) -> pl.DataFrame:
    """The last close of each symbol as a row of the history's last session, which the next returns start from."""
    closes = list(history.closes.values())
    rows = {"symbol": list(history.closes), "date": history.last, "open": closes, "close": closes}
    return pl.DataFrame(rows).select(schema.names()).cast(schema)
