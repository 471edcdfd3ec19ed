"""Prices from files, one per symbol: days, and the rows of each."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.unit.datasets.market.price_folders import (
    AAPL,
    FRIDAY,
    HALF_DAY,
    HEADER,
    LAST,
    MSFT,
    THURSDAY,
    WEDNESDAY,
    extracted,
    source,
    write,
)


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


def test_a_row_of_a_day_without_a_session_belongs_to_the_next_session_and_no_other(folder: Path) -> None:
    holiday, saturday = "2017-07-04,1,1,1,1,1,0\n", "2017-07-08,2,2,2,2,2,0\n"
    write(folder, MSFT=MSFT + holiday + saturday)

    origin = source(folder, "AAPL", "MSFT")

    assert origin.days() == [FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST]
    assert extracted(origin, WEDNESDAY, folder) == ["MSFT,2017-07-04,1,1,1,1,1"]
    belonging = [row for day in origin.days() for row in extracted(origin, day, folder)]
    assert len(belonging) == len(set(belonging)) == 7


def test_a_row_behind_the_last_session_belongs_to_that_until_the_next_one_has_come(folder: Path) -> None:
    saturday, monday = "2017-07-08,2,2,2,2,2,0\n", "2017-07-10,3,3,3,3,3,0\n"
    write(folder, MSFT=MSFT + saturday)
    before = source(folder, "MSFT")
    assert extracted(before, LAST, folder)[1:] == ["MSFT,2017-07-08,2,2,2,2,2"]

    write(folder, MSFT=MSFT + saturday + monday)
    after = source(folder, "MSFT")

    assert extracted(after, LAST, folder)[1:] == []
    on_monday = extracted(after, date(2017, 7, 10), folder)
    assert on_monday == ["MSFT,2017-07-08,2,2,2,2,2", "MSFT,2017-07-10,3,3,3,3,3"]


def test_two_rows_of_a_symbol_and_day_are_both_kept(folder: Path) -> None:
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


def test_the_first_session_that_is_known_has_its_rows_and_those_since_the_new_year(tmp_path: Path) -> None:
    write(tmp_path, AAPL="1980-01-01,1,1,1,1,1,0\n1980-01-02,2,2,2,2,2,0\n1980-01-03,3,3,3,3,3,0\n")
    origin = source(tmp_path, "AAPL")

    assert origin.days() == [date(1980, 1, 2), date(1980, 1, 3)]
    rows = extracted(origin, date(1980, 1, 2), tmp_path)
    assert rows == ["AAPL,1980-01-01,1,1,1,1,1", "AAPL,1980-01-02,2,2,2,2,2"]


@pytest.mark.parametrize("name", ["line", "raw_line", "symbol", "date", "parsed", "place", "near"])
@pytest.mark.parametrize("broken", ["", '2017-07-07,1,"2"\n'])
def test_a_further_column_of_any_name_changes_nothing(folder: Path, name: str, broken: str) -> None:
    body = "".join(f"{row}x\n" for row in AAPL.splitlines()) + broken
    (folder / "tsla.us.txt").write_text(f"{HEADER.replace('OpenInt', name)}\n{body}")

    origin = source(folder, "TSLA", "MSFT")

    assert origin.faults() == []
    rows = [row for day in origin.days() for row in extracted(origin, day, folder) if row[:4] == "TSLA"]
    assert [row.removeprefix("TSLA,") for row in rows[:3]] == [line[:-2] for line in AAPL.splitlines()]
    assert len(rows) == 3 + bool(broken)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_marked_encoding_and_any_line_end_are_read(folder: Path, encoding: str, newline: str) -> None:
    (folder / "tsla.us.txt").write_bytes(f"{HEADER}\n{AAPL}".replace("\n", newline).encode(encoding))

    origin = source(folder, "TSLA")

    assert origin.faults() == []
    assert extracted(origin, THURSDAY, folder) == ["TSLA,2017-07-06,36.3,36.5,36.1,36.40,1.5e3"]
