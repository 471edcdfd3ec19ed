"""Prices from files, one per symbol, and the settings that choose a source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.datasets.market.sources import make_source
from include.lifecycle.specs import Source

HEADER = "Date,Open,High,Low,Close,Volume,OpenInt"
AAPL = """\
2017-06-30,36.00,36.2,35.9,36.10,1200,0
2017-07-03,36.1,36.4,36.0,36.3,900,0
2017-07-06,36.3,36.5,36.1,36.40,1.5e3,0
"""
MSFT = """\
2017-07-03,68.1,68.4,68.0,68.3,0,0
2017-07-07,68.3,68.5,68.1,,700,0
"""
FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST = (
    date(2017, 6, 30),
    date(2017, 7, 3),
    date(2017, 7, 5),
    date(2017, 7, 6),
    date(2017, 7, 7),
)


def no_connection(connection_id: str) -> Any:
    raise AssertionError(f"The file source asked for the connection {connection_id!r}.")


def write(folder: Path, **bodies: str) -> None:
    for symbol, body in bodies.items():
        (folder / f"{symbol.lower()}.us.txt").write_text(f"{HEADER}\n{body}")


def source(folder: Path, *symbols: str, **settings: Any) -> Source:
    return make_source({"kind": "files", "path": str(folder), "symbols": symbols, **settings}, no_connection)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, AAPL=AAPL, MSFT=MSFT)
    return tmp_path


def extracted(origin: Source, day: date, folder: Path) -> list[str]:
    file = folder / "extracted.csv"
    assert origin.extract("prices", day, file)
    header, *rows = file.read_text().splitlines()
    assert header == "symbol,date,open,high,low,close,volume"
    return rows


def test_its_days_are_all_sessions_between_the_first_and_the_last_row(folder: Path) -> None:
    assert source(folder, "AAPL", "MSFT").days() == [FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST]
    assert source(folder, "MSFT").days() == [HALF_DAY, WEDNESDAY, THURSDAY, LAST]


def test_a_day_has_the_rows_of_all_symbols_as_they_came_by_symbol(folder: Path) -> None:
    rows = extracted(source(folder, "MSFT", "AAPL"), HALF_DAY, folder)

    assert rows == ["AAPL,2017-07-03,36.1,36.4,36.0,36.3,900", "MSFT,2017-07-03,68.1,68.4,68.0,68.3,0"]
    assert extracted(source(folder, "AAPL"), FRIDAY, folder) == ["AAPL,2017-06-30,36.00,36.2,35.9,36.10,1200"]


def test_a_missing_value_stays_missing_and_a_symbol_without_a_row_has_none(folder: Path) -> None:
    assert extracted(source(folder, "AAPL", "MSFT"), LAST, folder) == ["MSFT,2017-07-07,68.3,68.5,68.1,,700"]


def test_a_session_that_all_symbols_lack_is_an_empty_day(folder: Path) -> None:
    assert extracted(source(folder, "AAPL", "MSFT"), WEDNESDAY, folder) == []


def test_a_row_of_a_day_without_a_session_is_landed_with_the_next_session_and_no_other(folder: Path) -> None:
    holiday, saturday = "2017-07-04,1,1,1,1,1,0\n", "2017-07-08,2,2,2,2,2,0\n"
    write(folder, MSFT=MSFT + holiday + saturday)

    origin = source(folder, "AAPL", "MSFT")

    assert origin.days() == [FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST]
    assert extracted(origin, WEDNESDAY, folder) == ["MSFT,2017-07-04,1,1,1,1,1"]
    landed = [row for day in origin.days() for row in extracted(origin, day, folder)]
    assert len(landed) == len(set(landed)) == 6
    assert extracted(origin, date(2017, 7, 10), folder) == ["MSFT,2017-07-08,2,2,2,2,2"]


def test_two_rows_of_a_symbol_and_day_are_both_landed(folder: Path) -> None:
    write(folder, MSFT=MSFT + "2017-07-07,1,1,1,1,1,0\n")

    assert len(extracted(source(folder, "MSFT"), LAST, folder)) == 2


def test_the_period_bounds_days_and_rows(folder: Path) -> None:
    write(folder, MSFT=MSFT + "2017-07-04,1,1,1,1,1,0\n")

    origin = source(folder, "AAPL", "MSFT", first_day="2017-07-05", last_day="2017-07-06")

    assert origin.days() == [THURSDAY]
    assert extracted(origin, WEDNESDAY, folder) == []
    assert extracted(origin, LAST, folder) == []


def test_symbols_without_any_row_have_no_days(folder: Path) -> None:
    write(folder, TSLA="")

    assert source(folder, "TSLA").days() == []
    assert source(folder, "TSLA", "AAPL").days()[0] == FRIDAY


def test_blank_lines_and_windows_line_ends_are_no_rows(folder: Path) -> None:
    (folder / "tsla.us.txt").write_bytes(f"{HEADER}\n\n{AAPL}\n\n".replace("\n", "\r\n").encode())

    assert extracted(source(folder, "TSLA"), THURSDAY, folder) == ["TSLA,2017-07-06,36.3,36.5,36.1,36.40,1.5e3"]


def test_each_file_is_read_once(folder: Path) -> None:
    origin = source(folder, "AAPL")
    before = [extracted(origin, day, folder) for day in origin.days()]

    write(folder, AAPL="")

    assert [extracted(origin, day, folder) for day in origin.days()] == before


def test_a_file_name_may_be_given(folder: Path) -> None:
    (folder / "daily_tsla.csv").write_text(f"{HEADER}\n{AAPL}")

    assert len(source(folder, "TSLA", file_name="daily_{symbol}.csv").days()) == 4


def test_a_symbol_without_a_file_is_named_with_the_path(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of TSLA \(.*tsla\.us\.txt\); correct `path`"):
        source(folder, "AAPL", "TSLA")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a CSV table with a header"),
        (f"{HEADER}\n2017-07-03,1,1,1,1,1,0,9\n", "is not a CSV table with a header"),
        ("Date,Open,High,Low,Volume\n", r"lacks the columns \['Close'\]"),
        (f"{HEADER}\n2017-07-03,1,1,1,1,1,0\n07/05/2017,1,1,1,1,1,0\n", "whose date is '07/05/2017'"),
        (f"{HEADER}\n,1,1,1,1,1,0\n", "whose date is None"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(folder: Path, content: str, message: str) -> None:
    (folder / "tsla.us.txt").write_text(content)

    with pytest.raises(
        ValueError, match=rf"tsla\.us\.txt of TSLA {message}|tsla\.us\.txt of TSLA has a row {message}"
    ):
        source(folder, "TSLA").days()


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
        ({**FILES, "symbols": ["AAPL"], "file_name": "{symbol}{day}"}, "may have {symbol} alone"),
        ({**FILES, "symbols": ["AAPL"], "max_lag_days": 0}, "greater than or equal to 1"),
        ({**FILES, "symbols": ["AAPL"], "first": "2017-01-01"}, "Extra inputs"),
        ({**HTTP, "connection": "vendor"}, "set one of them"),
        ({**HTTP, "base_url": None}, "set one of them"),
        ({**HTTP, "url": "{symbol}?key={key}"}, "set `connection`"),
        ({**HTTP, "url": "prices"}, "may have {symbol} and {key} alone"),
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
