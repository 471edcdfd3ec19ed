"""A portfolio carries on from the day before: the same bytes as if all had been computed from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.storage.lake import FileEntry, Manifest, Pinned
from include.portfolio import carried
from include.portfolio.carried import Past, carry_on
from include.portfolio.settings import PortfolioSettings

SETTINGS = PortfolioSettings(window_sessions=60, min_history=60, bootstrap_samples=200, rebalance_sessions=5)
FIRST = date(2024, 1, 1)
SESSIONS = 110
TRADED = {
    **dict.fromkeys("ABCD", range(SESSIONS)),
    "GONE": range(78),
    "HALTED": (*range(70), *range(90, SESSIONS)),
    "NEW": range(30, SESSIONS),
    "LATE": range(100, SESSIONS),
}
SPLIT = ("B", 85)


def day(number: int) -> date:
    return FIRST + timedelta(number)


def all_prices() -> pl.DataFrame:
    """Symbols that begin late, are halted, are gone, and one with an unadjusted split."""
    rows = []
    for number, (symbol, sessions) in enumerate(TRADED.items()):
        changes = np.random.default_rng(number).normal(0.0005, 0.02, SESSIONS)
        close = 100.0
        for session in sessions:
            opened = close / 2 if (symbol, session) == SPLIT else close
            close = opened * float(np.exp(changes[session]))
            rows.append((symbol, day(session), opened, close))
    return pl.DataFrame(rows, schema=["symbol", "date", "open", "close"], orient="row")


PRICES = all_prices()


def sessions(first: int, end: int) -> pl.DataFrame:
    return PRICES.filter(pl.col("date").is_between(day(first), day(end - 1)))


class Folder(Pinned):
    """The files that a portfolio left in a folder, in place of a lake."""

    def download(self, day: date, scratch: Path, plain_name: str | None = None) -> list[Path]:
        return [cast("Any", self.bucket) / cast("str", plain_name)]

    def read_json(self, day: date, plain_name: str) -> Any:
        import json

        return json.loads((cast("Any", self.bucket) / plain_name).read_text())


def left_by(past: Past, folder: Path) -> Folder:
    """What the next day finds of a portfolio."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = tuple(
        FileEntry(name=file.path.name, bytes=1, sha256="0" * 64, rows=file.rows)
        for file in carried.write(past, SETTINGS, folder)
    )
    manifest = Manifest(
        files=entries,
        rows=0,
        schema_={},
        inputs={},
        code_version="",
        run_id="",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    return Folder(cast("Any", folder), "portfolio", {past.history.last: manifest})


def files_of(past: Past, folder: Path) -> dict[str, bytes]:
    left_by(past, folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_steps(ends: Sequence[int], folder: Path) -> Past:
    """The past until the last of `ends`, each step carried on from what the one before left."""
    past, start = None, 0
    for end in ends:
        if past is not None:
            portfolio = left_by(past, folder / str(start))
            record = carried.find(portfolio, day(end - 1), SETTINGS, FIRST)
            assert record is not None
            past = carried.read(portfolio, record, folder)
        past, start = carry_on(past, sessions(start, end), SETTINGS), end
    assert past is not None
    return past


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(2, SESSIONS - 1), max_size=12))
def test_in_whatever_steps_the_days_come_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, ends: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    at_once = carry_on(None, sessions(0, SESSIONS), SETTINGS)

    assert files_of(in_steps([*sorted(ends), SESSIONS], folder), folder / "made") == files_of(
        at_once, folder / "at_once"
    )


def test_day_by_day_is_the_same_as_at_once(tmp_path: Path) -> None:
    at_once = carry_on(None, sessions(0, SESSIONS), SETTINGS)
    by_day = in_steps(range(2, SESSIONS + 1), tmp_path)

    assert at_once.backtest.returns.height == 4 * (SESSIONS - 61)
    assert at_once.history.splits["symbol"].to_list() == [SPLIT[0]]
    assert files_of(by_day, tmp_path / "made") == files_of(at_once, tmp_path / "at_once")


def test_another_close_on_the_way_is_another_back_test(tmp_path: Path) -> None:
    changed = sessions(99, 100).with_columns(pl.col("close") * 1.01)
    before = carry_on(None, sessions(0, 99), SETTINGS)
    ends = [
        carry_on(carry_on(before, prices, SETTINGS), sessions(100, SESSIONS), SETTINGS)
        for prices in (sessions(99, 100), changed)
    ]

    assert not ends[0].backtest.returns.equals(ends[1].backtest.returns)


@pytest.fixture
def portfolio(tmp_path: Path) -> Folder:
    """What a portfolio of the 100th session left."""
    return left_by(carry_on(None, sessions(0, 100), SETTINGS), tmp_path)


def test_a_portfolio_of_other_settings_is_not_carried_on(portfolio: Folder) -> None:
    costlier = SETTINGS.model_copy(update={"cost_basis_points": 20.0})

    assert carried.find(portfolio, day(100), SETTINGS, FIRST) is not None
    assert carried.find(portfolio, day(100), costlier, FIRST) is None


def test_a_portfolio_of_other_code_is_not_carried_on(portfolio: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "_CODE", carried._CODE[1:])

    assert carried.find(portfolio, day(100), SETTINGS, FIRST) is None


def test_a_portfolio_is_not_carried_on_where_older_prices_have_come_since(portfolio: Folder) -> None:
    assert carried.find(portfolio, day(100), SETTINGS, FIRST - timedelta(days=1)) is None
    assert carried.find(portfolio, day(100), SETTINGS, FIRST + timedelta(days=1)) is not None


def test_once_the_back_test_begins_in_a_later_year_it_is_not_carried_on(portfolio: Folder) -> None:
    last_year, next_year = date(FIRST.year + 10, 12, 31), date(FIRST.year + 11, 1, 2)

    assert carried.find(portfolio, last_year, SETTINGS, FIRST) is not None
    assert carried.find(portfolio, next_year, SETTINGS, FIRST) is None


def test_a_new_year_changes_nothing_while_the_history_is_shorter_than_the_back_test(portfolio: Folder) -> None:
    assert carried.find(portfolio, date(FIRST.year + 1, 1, 2), SETTINGS, FIRST) is not None
