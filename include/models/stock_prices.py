"""Prices made up for behaviour tests, as the features that the dataset's own code makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.datasets.market import MARKET
from include.lifecycle.specs import BehaviourTest, Invariant

_FIRST_DAY, _LAST_DAY = date(2024, 3, 1), date(2024, 6, 28)
_SWING = 0.02
_NEW_SYMBOLS = 3

Prices = NDArray[np.float64]


def independent_of_names_and_units() -> tuple[BehaviourTest, ...]:
    """A stock that the model does not know is scored by what its prices do: neither by its name nor its currency.

    A model may have learnt each symbol on its own, so a symbol that it knows may be scored as no other.
    """
    in_dollars, in_cents = made_of(moving), made_of(_moving_in_cents)
    return (
        Invariant(name="the name of a new symbol", before=_called("new"), after=_called("also new")),
        Invariant(name="prices in another unit", before=in_dollars, after=in_cents, tolerance=1e-6),
    )


def made_of(closes: Callable[[int], Prices]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Features of the last of some sessions, of the sample's symbols with such closes, given their number."""
    return lambda sample: _features(sample["symbol"].unique().sort().to_list(), closes)


def flat(sessions: int) -> Prices:
    """A price that never moves."""
    return np.full(sessions, 100.0)


def moving(sessions: int) -> Prices:
    """A price that swings by a few per cent a session, with no session like another."""
    return 100 * np.exp(np.cumsum(_SWING * np.sin(np.arange(sessions) ** 2)))


def _moving_in_cents(sessions: int) -> Prices:
    return 100 * moving(sessions)


def _called(name: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda sample: _features([f"{name} {number}" for number in range(_NEW_SYMBOLS)], moving)


def _features(symbols: Sequence[str], closes: Callable[[int], Prices]) -> pl.DataFrame:
    days = MARKET.calendar.days(_FIRST_DAY, _LAST_DAY)
    close = closes(len(days))
    # No open far from the last close, which would look like a split.
    prices = pl.DataFrame(
        {"dt": days, "open": close, "close": close, "volume": 1e6 * (1 + np.arange(len(days)) % 5)}
    )
    rows = prices.join(pl.DataFrame({"symbol": symbols}), how="cross")
    [(_, features)] = MARKET.features([days[-1]], {"prices": rows.lazy()})
    return features
