"""The back-test on the prices of five stocks."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from include.datasets.market.features import suspected_splits
from include.portfolio.backtest import compare, figures, walk_forward
from include.portfolio.returns import daily_returns
from include.portfolio.settings import PortfolioSettings
from include.portfolio.strategies import STRATEGIES
from tests.data_files import MADE_UP_PRICES, REAL_PRICES, where_present


@pytest.mark.parametrize("folder", where_present(MADE_UP_PRICES, REAL_PRICES))
def test_on_five_stocks_no_optimum_beats_equal_weight(folder: Path) -> None:
    returns = returns_of_files(folder)
    made = walk_forward(returns, PortfolioSettings())
    compared = compare(made.returns, PortfolioSettings())

    print(pl.DataFrame([{"strategy": name, **vars(row)} for name, row in figures(made.returns).items()]))
    print(pl.DataFrame([{"strategy": name, **vars(row)} for name, row in compared.items()]))
    assert made.returns["strategy"].unique().sort().to_list() == sorted(STRATEGIES)
    assert made.returns["date"].n_unique() == returns["date"].n_unique() - 252
    assert {row.answer for row in compared.values()} == {"no evidence"}


def returns_of_files(folder: Path) -> pl.DataFrame:
    """Daily returns of the five stocks of a folder, from 2010-06-28 on at the earliest, to 2017-11-10."""
    frames = [
        pl.read_csv(file, try_parse_dates=True)
        .rename(str.lower)
        .select(
            "date", pl.col("open", "close").cast(float), "volume", symbol=pl.lit(file.name.split(".")[0].upper())
        )
        for file in sorted(folder.glob("*.us.txt"))
    ]
    rows = pl.concat(frames).filter(
        pl.col("date").is_between(date(2010, 6, 28), date(2017, 11, 10)), pl.col("volume") > 0
    )
    splits = suspected_splits(rows.rename({"date": "dt"})).cast({"symbol": pl.String})
    return daily_returns(rows, splits)
