"""What the features and rules of any dataset must keep."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from include.lifecycle.ingestion.row_rules import broken_rows, make_rules
from include.lifecycle.specs import DatasetSpec, TableSpec

Tables = Mapping[str, pl.LazyFrame]


def assert_point_in_time(dataset: DatasetSpec, day: date, tables: Tables) -> None:
    """Nothing but the rows from `history_days` before `day` up to `day` changes a byte of its features.

    Rows of later days are taken away, and get other values; rows of days that are too old are taken away; all rows
    come in another order.

    Parameters
    ----------
    tables : clean rows by table, with the partition's day in `dt`, also of days after `day`.

    Raises
    ------
    AssertionError
        Says which of these changed the features, and in which columns.
    """
    made = _features(dataset, [day], tables)[day]
    assert made.height, f"The features of {day} have no row; give rows of that day."
    others = {
        "the rows of later days": {name: rows.filter(pl.col("dt") <= day) for name, rows in tables.items()},
        "the values of later days": {name: _with_other_values_after(day, rows) for name, rows in tables.items()},
        "rows from before `history_days`": {
            name: rows.filter(pl.col("dt") >= day - timedelta(days=dataset.history_days[name]))
            for name, rows in tables.items()
        },
        "the order of the rows": {name: rows.reverse() for name, rows in tables.items()},
    }
    for what, changed in others.items():
        found = _features(dataset, [day], changed)[day]
        assert as_bytes(found) == as_bytes(made), (
            f"The features of {dataset.name!r} on {day} depend on {what}{_where(made, found)}. A day's features "
            "may use rows from `history_days` before it up to itself, in any order; filter by `dt`, and sort."
        )


def assert_regrouping_changes_nothing(dataset: DatasetSpec, days: Sequence[date], tables: Tables) -> None:
    """The features of a day are the same bytes with whatever other days they are made.

    Raises
    ------
    AssertionError
        Says which day differs, and in which columns.
    """
    together = _features(dataset, days, tables)
    assert list(together) == list(days), (
        f"The features of {dataset.name!r} were asked for {list(days)}, and given for {list(together)}."
    )
    for day in days:
        alone = _features(dataset, [day], tables)[day]
        assert as_bytes(alone) == as_bytes(together[day]), (
            f"The features of {dataset.name!r} on {day} depend on the days that they are made with"
            f"{_where(together[day], alone)}. Make each day of its own rows and history alone."
        )


def assert_rules_can_be_run(table: TableSpec, rows: pl.LazyFrame) -> dict[str, list[int]]:
    """Each rule of the table is written so that it can be asked of its rows; returns those that rows break.

    Raises
    ------
    RuleError
        If a rule is written wrongly, e.g. names a column that is not there.
    """
    return broken_rows(rows.collect(), make_rules(table.rules))


def as_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as the lake stores it."""
    file = io.BytesIO()
    frame.rechunk().write_parquet(file, statistics=False)
    return file.getvalue()


def _features(dataset: DatasetSpec, days: Sequence[date], tables: Tables) -> dict[date, pl.DataFrame]:
    return dict(dataset.features(days, tables))


def _with_other_values_after(day: date, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows, those of later days with the values of each other, so that types and keys stay what they are."""
    later, known = rows.filter(pl.col("dt") > day), rows.filter(pl.col("dt") <= day)
    return pl.concat([known, later.with_columns(pl.all().exclude("dt").reverse())])


def _where(one: pl.DataFrame, other: pl.DataFrame) -> str:
    if one.columns != other.columns or one.height != other.height:
        return f": {one.height} rows of {one.columns} became {other.height} of {other.columns}"
    differing = [name for name in one.columns if not one[name].equals(other[name])]
    return f", in {differing}" if differing else ""
