"""A deterministic stock market that fills the operational table `market.prices`.

Volatility comes in clusters: its logarithm is the sum of a slow and a fast AR(1) process, shared in part by all
symbols. So past volatility over several spans (Corsi 2009, HAR) says more of the next than the last one alone.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import date
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.columns import SYMBOL_PATTERN

logger = logging.getLogger(__name__)

_SCHEMA = Path(__file__).with_name("market.sql")
_COPY_BUFFER_BYTES = 1 << 20

_SLOW_PERSISTENCE, _SLOW_SHOCK = 0.985, 0.08
_FAST_PERSISTENCE, _FAST_SHOCK = 0.80, 0.20
_MARKET_VOLATILITY = 0.008  # of a daily return
_OWN_VOLATILITY = (0.008, 0.018)
_MARKET_SENSITIVITY = (0.6, 1.5)
_DAILY_DRIFT = 0.0003
_OVERNIGHT_SHARE = 0.4
_DAILY_JUMPS = 0.006
_JUMP_SIZE, _LARGEST_JUMP = 0.05, 0.2
_FIRST_PRICE = (30.0, 300.0)
_SHARES_A_DAY = (2e6, 4e7)

_Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN)]
_Values = NDArray[np.float64]


class Halt(BaseModel):
    """A symbol is not traded for some sessions; `session` is the number of the first, from 0 at the market's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    session: int = Field(ge=1)
    sessions: int = Field(default=1, ge=1)


class Split(BaseModel):
    """From a session on there are `shares` new shares for an old one, and earlier prices are not adjusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    session: int = Field(ge=1)
    shares: int = Field(default=4, ge=2)


class MarketSettings(BaseModel):
    """Everything that decides what the sample market's table contains, except its first session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: tuple[_Symbol, ...] = Field(default=("AAPL", "GOOGL", "MSFT", "TSLA", "AMZN"), min_length=1)
    history_days: int = Field(default=1260, ge=1)
    """Sessions filled at the first start."""
    seed: int = Field(default=7, ge=0)
    halts: tuple[Halt, ...] = (Halt(symbol="TSLA", session=400, sessions=4),)
    splits: tuple[Split, ...] = ()

    @model_validator(mode="after")
    def _symbols_are_unique(self) -> Self:
        if len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"`symbols` is {list(self.symbols)}; name each symbol once.")
        return self


def generate(settings: MarketSettings, sessions: Sequence[date]) -> pl.DataFrame:
    """Prices of all symbols on the market's first sessions: the columns of `market.prices`, by symbol and date.

    What a symbol does on a session depends on the seed, the symbol and the session's number alone.
    """
    factor = _MarketFactor(settings.seed, len(sessions))
    return pl.concat([_of_symbol(settings, symbol, sessions, factor) for symbol in settings.symbols])


def ensure_market(connection: Connection, settings: MarketSettings, until: date) -> list[date]:
    """Write the prices that are missing up to `until`, and return the sessions of which there were any.

    The first call opens the market `settings.history_days` sessions back; later calls go on from each symbol's
    latest row, and give a symbol that is new its whole history.

    Raises
    ------
    ValueError
        If the market in the database was generated with another seed.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sample_market'))")
        cursor.execute(_SCHEMA.read_text())
        first_day = _opening(cursor, settings, until)
        prices = _missing(cursor, generate(settings, NEW_YORK.days(first_day, until)))
        _copy(cursor, prices)
    if not prices.is_empty():
        with connection, connection.cursor() as cursor:
            cursor.execute("ANALYZE market.prices")
        logger.info("Sample market: %d rows written, up to %s.", prices.height, prices["date"].max())
    return prices["date"].unique().sort().to_list()


def correct(connection: Connection, symbol: str, day: date, factor: float) -> None:
    """Multiply the four prices of a symbol on a day, as a vendor corrects them late.

    Raises
    ------
    ValueError
        If there is no such row.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE market.prices SET open = open * %(factor)s, high = high * %(factor)s, low = low * %(factor)s,"
            " close = close * %(factor)s WHERE symbol = %(symbol)s AND date = %(day)s",
            {"symbol": symbol, "day": day, "factor": factor},
        )
        if cursor.rowcount == 0:
            raise ValueError(f"There is no price of {symbol} on {day} to correct; name a row of market.prices.")


class _MarketFactor:
    """What all symbols share: the market's returns, and the shocks to the logarithm of volatility."""

    def __init__(self, seed: int, sessions: int) -> None:
        normal = _random(seed, "the market", "returns").standard_normal((sessions, 2))
        self.log_volatility = _log_volatility(seed, "the market", sessions)
        self.overnight = _split_day(normal, _MARKET_VOLATILITY * np.exp(self.log_volatility), 0)
        self.intraday = _split_day(normal, _MARKET_VOLATILITY * np.exp(self.log_volatility), 1)


def _of_symbol(
    settings: MarketSettings, symbol: str, sessions: Sequence[date], factor: _MarketFactor
) -> pl.DataFrame:
    count = len(sessions)
    traits = _random(settings.seed, symbol, "traits")
    own_volatility, sensitivity = traits.uniform(*_OWN_VOLATILITY), traits.uniform(*_MARKET_SENSITIVITY)
    first_price, shares = (np.exp(traits.uniform(*np.log(span))) for span in (_FIRST_PRICE, _SHARES_A_DAY))
    normal = _random(settings.seed, symbol, "returns").standard_normal((count, 5))
    log_volatility = (_log_volatility(settings.seed, symbol, count) + factor.log_volatility) / 2
    volatility = own_volatility * np.exp(log_volatility)
    overnight = (
        sensitivity * factor.overnight + _split_day(normal, volatility, 0) + _jumps(settings, symbol, count)
    )
    intraday = sensitivity * factor.intraday + _split_day(normal, volatility, 1) + _DAILY_DRIFT
    log_close = np.log(first_price) + np.cumsum(overnight + intraday)
    log_open = log_close - intraday
    # The wicks beyond open and close are of the size of the day's volatility.
    log_high = np.maximum(log_open, log_close) + 0.4 * volatility * np.abs(normal[:, 2])
    log_low = np.minimum(log_open, log_close) - 0.4 * volatility * np.abs(normal[:, 3])
    log_volume = np.log(shares) + 0.3 * normal[:, 4] + log_volatility + 5 * np.abs(overnight + intraday)
    new_shares = _new_shares(settings, symbol, count)
    prices = {
        name: np.round(np.exp(values) / new_shares, 4)
        for name, values in zip(
            ("open", "high", "low", "close"), (log_open, log_high, log_low, log_close), strict=True
        )
    }
    volume = np.round(np.exp(log_volume) * new_shares).astype(np.int64)
    frame = pl.DataFrame({"symbol": [symbol] * count, "date": sessions, **prices, "volume": volume})
    return frame.filter(pl.Series(_is_traded(settings, symbol, count), dtype=pl.Boolean))


def _random(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Numbers of their own for each name and purpose; drawing more of them later does not change the first."""
    digest = hashlib.sha256(f"{seed}/{name}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def _log_volatility(seed: int, name: str, sessions: int) -> _Values:
    """How far the logarithm of volatility is from its usual value."""
    shocks = _random(seed, name, "volatility").standard_normal((sessions, 2))
    slow = _autoregressive(_SLOW_SHOCK * shocks[:, 0], _SLOW_PERSISTENCE)
    return slow + _autoregressive(_FAST_SHOCK * shocks[:, 1], _FAST_PERSISTENCE)


def _autoregressive(shocks: _Values, persistence: float) -> _Values:
    return np.array(list(accumulate(shocks.tolist(), lambda level, shock: persistence * level + shock)))


def _split_day(normal: _Values, volatility: _Values, part: int) -> _Values:
    """The returns overnight (part 0) or during the session (1)."""
    share = (_OVERNIGHT_SHARE, 1 - _OVERNIGHT_SHARE)[part]
    return np.asarray(np.sqrt(share) * volatility * normal[:, part])


def _jumps(settings: MarketSettings, symbol: str, sessions: int) -> _Values:
    """Rare gaps overnight, as after news."""
    happens = _random(settings.seed, symbol, "jump days").random(sessions) < _DAILY_JUMPS
    sizes = _JUMP_SIZE * _random(settings.seed, symbol, "jumps").standard_normal(sessions)
    return np.where(happens, np.clip(sizes, -_LARGEST_JUMP, _LARGEST_JUMP), 0.0)


def _new_shares(settings: MarketSettings, symbol: str, sessions: int) -> _Values:
    """For how many shares of a session there was one in the beginning."""
    shares = np.ones(sessions)
    for split in settings.splits:
        if split.symbol == symbol:
            shares[split.session :] *= split.shares
    return shares


def _is_traded(settings: MarketSettings, symbol: str, sessions: int) -> NDArray[np.bool_]:
    traded = np.ones(sessions, dtype=np.bool_)
    for halt in settings.halts:
        if halt.symbol == symbol:
            traded[halt.session : halt.session + halt.sessions] = False
    return traded


def _opening(cursor: Cursor, settings: MarketSettings, until: date) -> date:
    """The market's first session, noted at the first call."""
    cursor.execute("SELECT first_day, seed FROM sample_market.opening")
    row = cursor.fetchone()
    if row is None:
        first_day = NEW_YORK.later(NEW_YORK.later(until, 1), -settings.history_days)
        values = (first_day, settings.seed)
        cursor.execute("INSERT INTO sample_market.opening (first_day, seed) VALUES (%s, %s)", values)
        return first_day
    if row[1] != settings.seed:
        raise ValueError(
            f"The market in the database was generated with seed={row[1]}, not {settings.seed}. "
            "Set seed back, or drop the schemas market and sample_market to begin another."
        )
    opened: date = row[0]
    return opened


def _missing(cursor: Cursor, prices: pl.DataFrame) -> pl.DataFrame:
    """The rows after each symbol's latest one in the database."""
    cursor.execute("SELECT symbol, max(date) FROM market.prices GROUP BY symbol")
    schema = {"symbol": pl.String, "latest": pl.Date}
    latest = pl.DataFrame(cursor.fetchall(), schema=schema, orient="row")
    known = prices.join(latest, on="symbol", how="left", maintain_order="left")
    return known.filter(pl.col("latest").is_null() | (pl.col("date") > pl.col("latest"))).drop("latest")


def _copy(cursor: Cursor, prices: pl.DataFrame) -> None:
    buffer = BytesIO()
    prices.write_csv(buffer, include_header=False)
    buffer.seek(0)
    cursor.copy_expert("COPY market.prices FROM STDIN (FORMAT csv)", buffer, _COPY_BUFFER_BYTES)
