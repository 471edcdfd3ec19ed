"""Daily returns of the symbols, and which of them have enough to be held together."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


def daily_returns(prices: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Daily simple returns: the column `date` and one per symbol, by date, without the first session.

    A return is from one of a symbol's own closes to the next, so that a session without trade has none (null), and
    the first after it spans them. On a suspected split it is from open to close in place: what was earned in the
    session is known whatever the ratio was, while the overnight jump cannot be told apart from the split.

    Parameters
    ----------
    prices : `symbol`, `date`, `open`, `close`, in any order.
    splits : `symbol`, `date`, as of `suspected_splits`.
    """
    marked = splits.select("symbol", "date", is_split=pl.lit(True))
    rows = prices.join(marked, on=["symbol", "date"], how="left").sort("symbol", "date")
    start = pl.when("is_split").then("open").otherwise(pl.col("close").shift().over("symbol"))
    changes = rows.select("symbol", "date", change=pl.col("close") / start - 1)
    wide = changes.pivot("symbol", index="date", values="change")
    return wide.sort("date")[1:]


def shares_history(returns: NDArray[np.float64], min_history: int) -> NDArray[np.bool_]:
    """Which symbols can be held from now on: those with a return now, and enough of them on common sessions.

    Symbols are taken in the order of how many returns they have; one with which fewer than `min_history` sessions
    would have a return of all of those taken is passed over. `returns` (sessions, symbols) ends now, and is NaN
    without a trade.
    """
    traded = ~np.isnan(returns)
    traded &= traded[-1]
    chosen = np.zeros(returns.shape[1], dtype=bool)
    common = np.ones(len(returns), dtype=bool)
    for symbol in np.argsort(-traded.sum(axis=0), kind="stable"):
        together = common & traded[:, symbol]
        if together.sum() >= min_history:
            chosen[symbol], common = True, together
    return chosen
