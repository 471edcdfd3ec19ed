"""The settings that choose a source of the market."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from include.datasets.market.sources import make_source
from tests.unit.datasets.market.price_folders import AAPL, HEADER, no_connection, source


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("daily_{symbol}.csv", "daily_TSLA.csv"), ("{symbol_lower}/{symbol}.csv", "tsla/TSLA.csv")],
)
def test_a_file_name_has_the_symbol_as_it_is_or_in_lower_case(folder: Path, file_name: str, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(f"{HEADER}\n{AAPL}")

    assert len(source(folder, "TSLA", file_name=file_name).days()) == 4


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; correct `path`"):
        source(tmp_path / "nowhere", "AAPL")


FILES = {"kind": "files", "path": "/prices"}
HTTP = {"kind": "http", "symbols": ["AAPL"], "base_url": "https://prices.example"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**FILES, "symbols": []}, "at least 1 item"),
        ({**FILES}, "symbols"),
        ({**FILES, "symbols": ["AAPL", "AAPL"]}, r"\['AAPL'\] more than once"),
        ({**FILES, "symbols": ["aapl"]}, "should match pattern"),
        ({**FILES, "symbols": ["../AAPL"]}, "should match pattern"),
        (
            {**FILES, "symbols": ["AAPL"], "file_name": "prices.csv"},
            r"`file_name` is 'prices.csv'; it needs {symbol}",
        ),
        ({**FILES, "symbols": ["AAPL"], "file_name": "{symbol}{day}"}, "and nothing else in braces"),
        ({**FILES, "symbols": ["AAPL"], "max_lag_days": 0}, "greater than or equal to 1"),
        ({**FILES, "symbols": ["AAPL"], "first": "2017-01-01"}, "Extra inputs"),
        ({**HTTP, "connection": "vendor"}, "set one of them"),
        ({**HTTP, "base_url": None}, "set one of them"),
        ({**HTTP, "url": "{symbol}?key={key}"}, "set `connection`"),
        ({**HTTP, "url": "prices"}, "and may have {key}, and nothing"),
        ({**HTTP, "base_url": "prices.example"}, "should begin with http:// or https://"),
        ({**HTTP, "min_seconds_between_requests": -1}, "greater than or equal to 0"),
        ({"kind": "ftp", "symbols": ["AAPL"]}, "'files', 'http', 'postgres'"),
        ({"kind": "postgres", "symbols": ["AAPL"]}, "connection"),
    ],
    ids=str,
)
def test_settings_that_contradict_themselves_are_refused(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_source(settings, no_connection)


def test_how_far_a_source_may_lag_is_set_or_a_long_weekend(folder: Path) -> None:
    assert source(folder, "AAPL").max_lag_days == 5
    assert source(folder, "AAPL", max_lag_days=None).max_lag_days is None
