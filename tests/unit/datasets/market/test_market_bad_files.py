"""What is wrong in the prices of a symbol, or belongs to no session, stops no other symbol."""

from __future__ import annotations

import csv
import os
import re
import socket
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.exceptions import ComputeError

from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.file_source import FileSource
from include.datasets.market.periods import Period
from include.datasets.market.price_files import PriceFile, read_price_file
from include.lifecycle.specs import Source
from tests.unit.datasets.market.price_folders import (
    AAPL,
    FRIDAY,
    HALF_DAY,
    HEADER,
    LAST,
    THURSDAY,
    WEDNESDAY,
    extracted,
    source,
    write,
)

SESSIONS = NEW_YORK.days(FRIDAY, date(2017, 7, 14))
EVER = Period(date.min, date.max)


def test_rows_without_any_session_are_a_fault(folder: Path) -> None:
    write(folder, MSFT="2017-07-08,2,2,2,2,2,0\n")

    origin = source(folder, "MSFT")

    assert origin.days() == []
    assert "of MSFT has 1 rows that are left out" in " ".join(origin.faults())


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
