"""Files by day as a source, of one table; a folder of several tables is tested with the customers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.failures import lies_in_a_days_data
from include.lifecycle.specs import Source, TableSpec
from include.sources import source_of

ORDERS = TableSpec(name="orders", columns={"order_id": pl.String}, key=("order_id",), rules=list)
DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


def source(folder: Path) -> Source:
    def no_connection(connection_id: str) -> Any:
        raise AssertionError(connection_id)

    return source_of(ORDERS)({"kind": "csv_days", "path": str(folder)}, no_connection)


def test_a_file_or_a_folder_is_a_day(tmp_path: Path) -> None:
    (tmp_path / "2026-03-01.csv").write_text("order_id\na1\n")
    (tmp_path / "2026-03-02").mkdir()
    (tmp_path / "2026-03-02" / "orders.csv").write_text("order_id\nb1\n")
    (tmp_path / "2026-03-03").write_text("no suffix")
    origin = source(tmp_path)

    assert origin.days() == [DAY, NEXT]
    for day, text in ((DAY, "order_id\na1\n"), (NEXT, "order_id\nb1\n")):
        assert origin.extract("orders", day, tmp_path / "extracted")
        assert (tmp_path / "extracted").read_text() == text


def test_a_day_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2026-03-01.csv").write_text("order_id\na1\n")
    (tmp_path / "2026-03-01").mkdir()

    with pytest.raises(ValueError, match="are both of 2026-03-01; remove one"):
        source(tmp_path).extract("orders", DAY, tmp_path / "extracted")


def test_a_day_whose_file_is_gone_has_no_table(tmp_path: Path) -> None:
    assert source(tmp_path).extract("orders", DAY, tmp_path / "extracted") is None


def test_a_link_that_cannot_be_followed_is_a_fault_of_its_day_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "2026-03-01.csv").write_text("order_id\na1\n")
    (tmp_path / "2026-03-02.csv").symlink_to("x" * 300)
    origin = source(tmp_path)

    assert origin.days() == [DAY, NEXT]
    assert origin.extract("orders", DAY, tmp_path / "extracted")
    with pytest.raises(OSError, match="File name too long") as error:
        origin.extract("orders", NEXT, tmp_path / "extracted")
    assert lies_in_a_days_data(error.value)
