"""What a published portfolio keeps for the next day, so that this carries on from it.

The files of a portfolio have all that the next day's needs of the past: the trailing returns, the back-test until
then, and `carried.json`. Carrying on and working everything out again give the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from include.datasets.market import features
from include.lifecycle.storage.lake import LocalFile, Pinned
from include.portfolio import backtest, history, returns, strategies, weights
from include.portfolio.backtest import Backtest, Position, walk_forward
from include.portfolio.history import History, extended
from include.portfolio.settings import PortfolioSettings

CARRIED = "carried.json"
RETURNS = "returns.parquet"
BACKTEST = "backtest.parquet"
BACKTEST_WEIGHTS = "backtest_weights.parquet"

_CODE = (features, history, returns, backtest, weights, strategies, sys.modules[__name__])
_SPLITS_SCHEMA = {"symbol": pl.String, "date": pl.Date, "ratio": pl.Float64}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CarriedPosition(_Record):
    """What each strategy of the back-test holds, see `Position`."""

    symbols: tuple[str, ...]
    weights: Mapping[str, tuple[float, ...]]
    sessions: int


class Carried(_Record):
    """The content of `carried.json`.

    Attributes
    ----------
    method : see `method`.
    first, last, closes, splits : as of `History`; splits are symbol, date and ratio.
    begins : the first session on which the back-test held something.
    """

    method: str
    first: date
    last: date
    closes: Mapping[str, float]
    splits: tuple[tuple[str, date, float], ...]
    begins: date | None
    position: CarriedPosition | None


@dataclass(frozen=True)
class Past:
    """The prices until a day, and the back-test of the strategies on them."""

    history: History
    backtest: Backtest


def carry_on(earlier: Past | None, prices: pl.DataFrame, settings: PortfolioSettings) -> Past:
    """The past with the sessions of `prices` added to it."""
    so_far = extended(earlier.history if earlier else None, prices)
    if earlier is None:
        return Past(so_far, walk_forward(so_far.returns, settings))
    return Past(so_far, walk_forward(so_far.returns, settings, earlier.backtest, until=earlier.history.last))


def write(past: Past, settings: PortfolioSettings, scratch: Path) -> list[LocalFile]:
    """Write what the next day carries on from to `scratch`; returns the files to publish."""
    kept, position = past.history.trailing(settings.window_sessions), past.backtest.position
    record = Carried(
        method=method(settings),
        first=kept.first,
        last=kept.last,
        closes=kept.closes,
        splits=tuple(kept.splits.select(*_SPLITS_SCHEMA).iter_rows()),
        begins=past.backtest.returns["date"].min(),
        position=position
        and CarriedPosition(
            symbols=position.symbols,
            weights={name: tuple(weights.tolist()) for name, weights in position.weights.items()},
            sessions=position.sessions,
        ),
    )
    (scratch / CARRIED).write_text(record.model_dump_json())
    tables = {RETURNS: kept.returns, BACKTEST: past.backtest.returns, BACKTEST_WEIGHTS: past.backtest.weights}
    for name, table in tables.items():
        table.rechunk().write_parquet(scratch / name, statistics=False)
    files = [LocalFile(scratch / name, table.height) for name, table in tables.items()]
    return [LocalFile(scratch / CARRIED), *files]


def find(
    portfolio: Pinned, day: date, settings: PortfolioSettings, first_price_day: date | None
) -> Carried | None:
    """What a portfolio of `day` carries on from; None if it has to start from scratch.

    That is where there is no earlier portfolio, or that was made by other code or settings, or begins too early.
    It is also where older prices have come since, e.g. by a backfill.

    Parameters
    ----------
    portfolio : the earlier portfolio, pinned to its one day, or to none.
    first_price_day : the first day with prices of those that a portfolio of `day` looks at.
    """
    for before, manifest in portfolio.manifests.items():
        if CARRIED in {file.plain_name for file in manifest.files}:
            # Python's own reading of a number in JSON is exact, so it is left to `read_json`.
            try:
                record = Carried.model_validate(portfolio.read_json(before, CARRIED))
            except ValidationError:
                return None  # Other code wrote it.
            has_all = first_price_day is None or record.first <= first_price_day
            is_late = record.begins is None or record.begins >= settings.backtest_start(day)
            is_late = is_late and record.first >= settings.prices_start(day)
            if has_all and is_late and record.method == method(settings):
                return record
    return None


def method(settings: PortfolioSettings) -> str:
    """Hash of the settings, and of the code that turns prices into a back-test."""
    code = (inspect.getsource(module).encode() for module in _CODE)
    return hashlib.sha256(b"".join([settings.model_dump_json().encode(), *code])).hexdigest()


def read(portfolio: Pinned, record: Carried, scratch: Path) -> Past:
    """What an earlier portfolio, pinned to its one day, left to carry on from; `record` as of `find`."""
    [day] = portfolio.days
    tables = (portfolio.download(day, scratch, name)[0] for name in (RETURNS, BACKTEST, BACKTEST_WEIGHTS))
    trailing, walked, bought = map(pl.read_parquet, tables)
    splits = pl.DataFrame(record.splits, schema=_SPLITS_SCHEMA, orient="row")
    so_far = History(record.first, record.last, trailing, dict(record.closes), splits)
    return Past(so_far, Backtest(walked, bought, _position(record.position)))


def _position(carried: CarriedPosition | None) -> Position | None:
    if carried is None:
        return None
    held = {name: np.array(values) for name, values in carried.weights.items()}
    return Position(carried.symbols, held, carried.sessions)
