"""A CSV file with a column of dates as a source: every row has its day, and nothing is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from include.lifecycle.failures import lies_in_the_data
from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.line_count import count_data_lines
from include.lifecycle.ingestion.validation import validate
from include.lifecycle.specs import DatasetSpec, Source, TableSpec
from include.lifecycle.storage.lake import Lake, RunInfo
from include.sources import source_of
from tests.hostile_files import hostile_files

ORDERS = TableSpec(
    name="orders",
    columns={"order_id": pl.String, "date": pl.Date, "amount": pl.Float64},
    key=("order_id",),
    rules=list,
    max_bad_share=1,
)
STORES = ORDERS.model_copy(update={"name": "stores", "optional": True})
DATASET = DatasetSpec(
    name="shop",
    title="Shop",
    description="Orders of a shop.",
    key=("order_id",),
    timezone="UTC",
    schedule="30 3 * * *",
    tables=(ORDERS,),
    make_source=source_of(ORDERS),
    features=lambda days, tables: iter(()),
    history_days={"orders": 0},
)
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
TEXT = """\
order_id,date,amount
a1,2026-03-01,1.5
a2,2026-03-01 13:30:00,"2"
b1,2026-03-02,3
"""


def no_connection(connection_id: str) -> Any:
    raise AssertionError(f"The file source asked for the connection {connection_id!r}.")


def source(path: Path, *tables: TableSpec, **others: Any) -> Source:
    given: Mapping[str, Any] = {"kind": "csv", "path": str(path), **others}
    return source_of(*(tables or (ORDERS,)))(given, no_connection)


def orders(folder: Path, text: str = TEXT) -> Path:
    path = folder / "orders.csv"
    path.write_text(text)
    return path


def ids(origin: Source, day: date, folder: Path) -> list[str | None]:
    """The order ids of a day, as extracted; the whole record where it is broken."""
    extracted = origin.extract("orders", day, folder / "extracted.csv")
    rows = pl.read_csv(folder / "extracted.csv", infer_schema=False, truncate_ragged_lines=True)
    assert extracted is not None
    assert extracted.records == rows.height
    return rows["order_id"].to_list()


def days_or_error(origin: Source) -> list[date] | Exception:
    try:
        return origin.days()
    except Exception as error:
        return error


def test_each_row_belongs_to_the_day_in_its_date_column(tmp_path: Path) -> None:
    origin = source(orders(tmp_path))

    assert origin.days() == [FIRST, SECOND]
    assert ids(origin, FIRST, tmp_path) == ["a1", "a2"]
    assert ids(origin, SECOND, tmp_path) == ["b1"]


def test_what_is_written_stays_as_it_came_under_our_names(tmp_path: Path) -> None:
    path = orders(tmp_path, "Order No,Day of order,amount\n 007,2026-03-01,1.50\n")

    source(path, date_column="Day of order", columns={"Order No": "order_id", "Day of order": "date"}).extract(
        "orders", FIRST, tmp_path / "extracted.csv"
    )

    assert (tmp_path / "extracted.csv").read_text() == "order_id,date,amount\n 007,2026-03-01,1.50\n"


def test_what_has_no_day_of_its_own_belongs_to_the_day_of_the_row_before_it(tmp_path: Path) -> None:
    strange = "x1,1970-01-01,1\nx2,9999-12-31,1\nx3,soon,1\nx4,,1\nx5\n"
    header, a1, a2, b1 = TEXT.splitlines(keepends=True)
    origin = source(orders(tmp_path, header + a1 + strange + a2 + b1))

    assert origin.days() == [FIRST, SECOND]
    assert ids(origin, FIRST, tmp_path) == ["a1", "x1", "x2", "x3", "x4", "a2", "x5"]


def test_rows_before_the_first_date_belong_to_the_first_day(tmp_path: Path) -> None:
    origin = source(orders(tmp_path, TEXT.replace("a1,2026-03-01", "a1,soon")))

    assert ids(origin, FIRST, tmp_path) == ["a1", "a2"]


def test_a_growing_file_changes_no_day_that_was_there(tmp_path: Path) -> None:
    before = ids(source(orders(tmp_path, TEXT + "b2,soon,1\n")), SECOND, tmp_path)

    after = ids(source(orders(tmp_path, TEXT + "b2,soon,1\nc1,2026-03-03,1\n")), SECOND, tmp_path)

    assert after == before == ["b1", "b2"]


def test_a_folder_has_a_file_for_each_table_and_may_lack_one(tmp_path: Path) -> None:
    orders(tmp_path)

    origin = source(tmp_path, ORDERS, STORES)

    assert origin.days() == [FIRST, SECOND]
    assert origin.extract("stores", FIRST, tmp_path / "stores-extracted.csv") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=hostile_files())
def test_no_line_of_any_file_is_lost_and_an_error_says_what_is_wrong(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    origin = source(path, date_column="on")

    days = days_or_error(origin)
    if isinstance(days, Exception):
        assert lies_in_the_data(days)
        assert str(path) in str(days)
        return
    extracted = [origin.extract("orders", day, tmp_path / f"{day}.csv") for day in days]

    assert all(found is not None for found in extracted)
    in_days = sum(count_data_lines(tmp_path / f"{day}.csv") for day in days)
    assert in_days == count_data_lines(path)


def test_rows_in_are_good_ones_and_quarantined_ones(lake: Lake, run: RunInfo, tmp_path: Path) -> None:
    origin = source(orders(tmp_path, TEXT + 'b2,2026-03-02,many\nb3\nb4,soon,1\n"b5,2026-03-02,1\n'))

    extracted = extract(DATASET, lake, origin, origin.days(), run)
    verdicts = validate(DATASET, lake, origin.days(), run, extracted.faults)

    found = [verdict.tables["orders"] for verdict in verdicts]
    assert [(table.rows, table.good, table.quarantined) for table in found] == [(2, 1, 1), (5, 1, 4)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("order_id;date;amount\na1;2026-03-01;1\n", "has no column 'date'.*separated by ';'; write the file"),
        (
            "order_id,day\na1,2026-03-01\n",
            r"has no column 'date'; its columns are \['order_id', 'day'\]. Set `date_",
        ),
        (
            "order_id,date\na1,01.03.2026\n",
            "has no date until .* in its column 'date', e.g. '01.03.2026'; dates are",
        ),
        ("order_id,date\na1,9999-01-01\n", "has no date until "),
        ("order_id,date\n", "has no date until "),
        ("", "orders.csv"),
    ],
)
def test_a_file_without_days_is_named_with_what_to_change(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        source(orders(tmp_path, text)).days()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "orders.csv")

    with pytest.raises(ValueError, match=r"orders\.csv is no regular file"):
        source(tmp_path / "orders.csv").days()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"kind": "excel"}, "excel"),
        ({"path": None}, "path"),
        ({"colour": "red"}, "colour"),
        ({"max_lag_days": 0}, "max_lag_days"),
    ],
)
def test_settings_that_are_wrong_are_named(changed: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        source_of(ORDERS)({"kind": "csv", "path": str(orders(tmp_path)), **changed}, no_connection)


def test_one_file_cannot_be_several_tables(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("the tables ['orders', 'stores']; name a folder")):
        source(orders(tmp_path), ORDERS, STORES)


def test_a_folder_without_a_file_of_any_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no file <table>\.csv for any of the tables"):
        source(tmp_path)


def test_a_link_that_leads_nowhere_is_no_missing_table(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(TEXT)
    (tmp_path / "stores.csv").symlink_to("gone.csv")

    with pytest.raises(ValueError, match=r"stores\.csv is no regular file, .* a link that leads nowhere"):
        source(tmp_path, ORDERS, STORES).days()


def test_what_is_no_table_is_named_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "orders.csv").write_text(TEXT)
    (tmp_path / "Stores.csv").write_text(TEXT)

    assert source(tmp_path, ORDERS, STORES).days() == [FIRST, SECOND]
    assert "Stores.csv: no table, so ignored." in caplog.text


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist; correct `path`"):
        source(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("name", ["place", "dated", "certain", "day"])
def test_a_column_may_be_called_as_it_likes(name: str, tmp_path: Path) -> None:
    source(orders(tmp_path, f"order_id,date,{name}\na1,2026-03-01,x\n")).extract(
        "orders", FIRST, tmp_path / "extracted.csv"
    )

    assert (tmp_path / "extracted.csv").read_text() == f"order_id,date,{name}\na1,2026-03-01,x\n"


def test_a_column_with_a_name_of_the_engine_can_be_renamed(tmp_path: Path) -> None:
    path = orders(tmp_path, "order_id,dt,amount\na1,2026-03-01,1\n")

    assert source(path, date_column="dt", columns={"dt": "date"}).days() == [FIRST]
    with pytest.raises(ValueError, match=r"has the columns \['dt'\], which the engine uses itself"):
        source(path, date_column="dt").days()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"amount": "order_id"}, r"has \['order_id'\] twice"),
        ({"prise": "price"}, r"names \['prise'\], which .*orders.csv does not have"),
    ],
)
def test_changed_names_that_cannot_be_are_named(columns: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        source(orders(tmp_path), columns=columns).days()
