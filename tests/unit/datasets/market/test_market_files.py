"""Prices from files, one per symbol, and the settings that choose a source."""

from __future__ import annotations

import csv
import os
import re
import socket
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.exceptions import ComputeError

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.file_source import FileSource
from include.datasets.market.periods import Period
from include.datasets.market.price_files import PriceFile, read_price_file
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


SESSIONS = NEW_YORK.days(FRIDAY, date(2017, 7, 14))
EVER = Period(date.min, date.max)


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


def test_rows_without_any_session_are_a_fault(folder: Path) -> None:
    write(folder, MSFT="2017-07-08,2,2,2,2,2,0\n")

    origin = source(folder, "MSFT")

    assert origin.days() == []
    assert "of MSFT has 1 rows that are left out" in " ".join(origin.faults())


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


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("daily_{symbol}.csv", "daily_TSLA.csv"), ("{symbol_lower}/{symbol}.csv", "tsla/TSLA.csv")],
)
def test_a_file_name_has_the_symbol_as_it_is_or_in_lower_case(folder: Path, file_name: str, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(f"{HEADER}\n{AAPL}")

    assert len(source(folder, "TSLA", file_name=file_name).days()) == 4


def good_rows_of_others(origin: Source, folder: Path) -> list[str]:
    """The rows of AAPL and MSFT on all days of a source."""
    rows = [row for day in origin.days() for row in extracted(origin, day, folder)]
    return sorted(row for row in rows if not row.startswith("TSLA"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"The file .*tsla\.us\.txt of TSLA cannot be read: No such file or directory\. Correct `path`"),
        (b"", "is empty; it should begin with Date,Open,High,Low,Close,Volume"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe\x00", r"of TSLA lacks the columns \['Date'"),
        (b"\x00" * 50, r"of TSLA lacks the columns \['Date'"),
        (b"<html>Busy</html>", r"of TSLA lacks the columns \['Date'"),
        (b"Date,Open,High,Low,Volume\n", r"of TSLA lacks the columns \['Close'\]"),
        (f"{HEADER},Date\n".encode(), r"of TSLA has \['Date'\] more than once in its header"),
        (
            f"{HEADER}\n07/05/2017,1,1,1,1,1,0\n".encode(),
            r"has 1 rows that are left out: .* e\.g\. line 2, dated '07/05/2017'\. Correct",
        ),
        (
            f"{HEADER}\n{AAPL}".encode() + b"x,1,1,1,1,1,0\n" * 40,
            "has 40 rows that are left out: .* e.g. line 5, dated 'x'",
        ),
        (f"{HEADER}\n{AAPL}".encode() + b"2017-07-06,1\n" * 40, r"e\.g\. line 5 \('2017-07-06,1'\)"),
        (f"{HEADER}\n1985-01-02,1,1,1,1,1,0\n".encode(), "has 1 rows that are left out: .* dated '1985-01-02'"),
    ],
    ids=[
        "missing",
        "empty",
        "blank",
        "a mark of UTF-16 alone",
        "zeros",
        "a page",
        "no close",
        "a header twice",
        "no date at all",
        "many rows without a date",
        "many broken lines",
        "a stray alone",
    ],
)
def test_a_file_that_is_no_good_is_named_and_the_other_symbols_go_on(
    folder: Path, content: bytes | None, sentence: str
) -> None:
    without = good_rows_of_others(source(folder, "AAPL", "MSFT"), folder)
    if content is not None:
        (folder / "tsla.us.txt").write_bytes(content)

    origin = source(folder, "AAPL", "TSLA", "MSFT")

    assert origin.days() == [FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST]
    assert good_rows_of_others(origin, folder) == without
    [fault] = origin.faults()
    assert re.search(sentence, fault), fault
    assert "tsla.us.txt of TSLA" in fault


def test_the_good_rows_of_a_symbol_stay_however_many_others_are_left_out(folder: Path) -> None:
    write(folder, TSLA="junk\n" * 40 + AAPL)

    origin = source(folder, "TSLA")

    rows = [row for day in origin.days() for row in extracted(origin, day, folder)]
    assert [row.removeprefix("TSLA,") for row in rows] == [line.rpartition(",")[0] for line in AAPL.splitlines()]
    assert "has 40 rows that are left out" in origin.faults()[0]


@pytest.mark.parametrize(
    ("line", "day", "written"),
    [
        ("1985-01-02,1,1,1,1,1,0", LAST, "TSLA,1985-01-02,1,1,1,1,1"),
        ("0001-01-01,1,1,1,1,1,0", LAST, "TSLA,0001-01-01,1,1,1,1,1"),
        ("2017-12-31,1,1,1,1,1,0", LAST, "TSLA,2017-12-31,1,1,1,1,1"),
        ("2033-01-03,1,1,1,1,1,0", LAST, "TSLA,2033-01-03,1,1,1,1,1"),
        ("+10000-01-01,1,1,1,1,1,0", HALF_DAY, "TSLA,+10000-01-01,1,1,1,1,1"),
        ("+262142-01-01,1,1,1,1,1,0", HALF_DAY, "TSLA,+262142-01-01,1,1,1,1,1"),
        ("0000-01-01,1,1,1,1,1,0", HALF_DAY, "TSLA,0000-01-01,1,1,1,1,1"),
        ("-0044-03-15,1,1,1,1,1,0", HALF_DAY, "TSLA,-0044-03-15,1,1,1,1,1"),
        ("07/05/2017,1,1,1,1,1,0", HALF_DAY, "TSLA,07/05/2017,1,1,1,1,1"),
        ("2017-02-30,1,1,1,1,1,0", HALF_DAY, "TSLA,2017-02-30,1,1,1,1,1"),
        (",1,1,1,1,1,0", HALF_DAY, "TSLA,,1,1,1,1,1"),
        ("2017-07-05,1,1,1,1,1,0,9", WEDNESDAY, 'TSLA,"2017-07-05,1,1,1,1,1,0,9"'),
        ("2017-07-05,1", WEDNESDAY, 'TSLA,"2017-07-05,1"'),
        ('2017-07-05,"1,1,1,1,1,0', WEDNESDAY, 'TSLA,"2017-07-05,""1,1,1,1,1,0"'),
        ("ruined", HALF_DAY, "TSLA,ruined"),
        ("  ", HALF_DAY, "TSLA,  "),
        ("2017-07-05,1,1,1,1,caf\xe9,0", WEDNESDAY, "TSLA,2017-07-05,1,1,1,1,caf\\xe9"),
    ],
)
def test_a_bad_line_lands_on_one_day_stretches_nothing_and_stops_nobody(
    folder: Path, line: str, day: date, written: str
) -> None:
    good = ["2017-07-03,1,1,1,1,1,0", "2017-07-07,2,2,2,2,2,0"]
    text = "\n".join([HEADER, good[0], line, good[1], ""])
    (folder / "tsla.us.txt").write_bytes(text.encode("latin-1"))
    today = date(2017, 7, 10)

    origin = FileSource(
        {name: folder / f"{name.lower()}.us.txt" for name in ("AAPL", "MSFT", "TSLA")}, EVER, None, today
    )

    assert origin.days() == [FRIDAY, HALF_DAY, WEDNESDAY, THURSDAY, LAST]
    assert origin.faults() == []
    rows = {day: [row for row in extracted(origin, day, folder) if row[:4] == "TSLA"] for day in origin.days()}
    assert written in rows[day]
    assert sum(map(len, rows.values())) == 3


def test_rows_of_a_symbol_that_ended_earlier_and_belong_nowhere_land_on_the_markets_newest_session(
    folder: Path,
) -> None:
    ended = "2017-06-30,1,1,1,1,1,0\n"
    write(folder, TSLA=f"{ended}2033-01-03,2,2,2,2,2,0\nruined\n")

    origin = source(folder, "AAPL", "MSFT", "TSLA")

    rows = {day: [row for row in extracted(origin, day, folder) if row[:4] == "TSLA"] for day in origin.days()}
    assert {day: found for day, found in rows.items() if found} == {
        FRIDAY: ["TSLA,2017-06-30,1,1,1,1,1"],
        LAST: ["TSLA,2033-01-03,2,2,2,2,2", "TSLA,ruined"],
    }
    assert origin.faults() == []


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


def test_a_file_that_fails_in_a_way_nobody_foresaw_stops_no_other_symbol(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(symbol: str, path: Path) -> PriceFile:
        if symbol == "AAPL":
            raise ComputeError("cannot parse\nthis")
        return read_price_file(symbol, path)

    monkeypatch.setattr("include.datasets.market.file_source.read_price_file", read)
    origin = source(folder, "AAPL", "MSFT")

    assert origin.days()[-1] == LAST
    [fault] = origin.faults()
    assert fault == f"The file {folder / 'aapl.us.txt'} of AAPL cannot be read: cannot parse this. Correct it."


@pytest.mark.parametrize("kind", ["socket", "loop", "folder", "pipe"])
def test_what_is_no_regular_file_stops_no_other_symbol(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # the name of a socket has 107 bytes at most
    path = Path("tsla.us.txt")
    match kind:
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        case "loop":
            path.symlink_to(path)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)

    origin = source(folder, "TSLA", "MSFT")

    assert origin.days()[-1] == LAST
    [fault] = origin.faults()
    assert f"The file of TSLA cannot be read: {folder / path} is no regular file, but a folder, a pipe" in fault


@given(
    broken=st.lists(
        st.tuples(
            st.sampled_from(["AAPL", "MSFT", "TSLA"]),
            st.integers(0, 9),
            st.one_of(
                st.sampled_from(
                    ["2033-01-03,1,1,1,1,1,0", "1985-01-02,1,1,1,1,1,0", "x", '"', ",,,,,,", "2017-07-03,"]
                ),
                st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1),
            ),
        ),
        max_size=3,
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
def test_whatever_lines_a_file_has_each_is_on_one_day_or_left_out_by_name_and_good_ones_always_stay(
    broken: list[tuple[str, int, str]], tmp_path: Path
) -> None:
    lines = {name: [f"{day},1,2,1,2,10,0" for day in SESSIONS] for name in ("AAPL", "MSFT", "TSLA")}
    for name, place, line in broken:
        lines[name].insert(place, line)
    for name, rows in lines.items():
        (tmp_path / f"{name.lower()}.us.txt").write_text("\n".join([HEADER, *rows]), encoding="utf-8")

    origin = source(tmp_path, *lines)

    assert origin.days() == SESSIONS
    out = {name for name in lines if any(f" of {name} " in fault for fault in origin.faults())}
    assert len(out) == len(origin.faults())
    found: Counter[str] = Counter()
    for day in origin.days():
        assert origin.extract("prices", day, tmp_path / "extracted.csv")
        with (tmp_path / "extracted.csv").open(newline="") as file:
            found.update(row[0] for row in list(csv.reader(file))[1:])
    assert found == {name: len(SESSIONS) if name in out else len(rows) for name, rows in lines.items()}
    assert out <= {name for name, _, _ in broken}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_marked_encoding_and_any_line_end_are_read(folder: Path, encoding: str, newline: str) -> None:
    (folder / "tsla.us.txt").write_bytes(f"{HEADER}\n{AAPL}".replace("\n", newline).encode(encoding))

    origin = source(folder, "TSLA")

    assert origin.faults() == []
    assert extracted(origin, THURSDAY, folder) == ["TSLA,2017-07-06,36.3,36.5,36.1,36.40,1.5e3"]


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
