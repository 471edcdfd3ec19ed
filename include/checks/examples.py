"""Rows made up for tests: they have the right types, and mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from random import Random
from typing import Any

import polars as pl

from include.lifecycle.specs import ModelSpec, TableSpec

KEYS = 8
TEXTS = ("a", "b", "c")
EXAMPLE_DAYS = 60


def example_rows(table: TableSpec, days: Sequence[date], *, keys: int = KEYS, seed: int = 7) -> pl.LazyFrame:
    """Clean rows of a table with their day in `dt`: `keys` rows a day, or one where a date is the key."""
    random = Random(seed)
    keyed_by_date = all(table.columns[name] in (pl.Date, pl.Datetime) for name in table.key)
    rows = [
        {name: _value(table, name, day, number, random) for name in table.columns} | {"dt": day}
        for day in days
        for number in range(1 if keyed_by_date else keys)
    ]
    return pl.LazyFrame(rows, schema={**table.columns, "dt": pl.Date})


def example_features(model: ModelSpec, first: date = date(2026, 1, 1), *, seed: int = 7) -> pl.DataFrame:
    """Features of some days, made of example rows, with `dt` and a `label` of 0 or 1 that means nothing."""
    dataset = model.dataset
    days = [date.fromordinal(first.toordinal() + number) for number in range(2 * EXAMPLE_DAYS)]
    tables = {table.name: example_rows(table, days, seed=seed) for table in dataset.tables}
    made = dataset.features(days[-EXAMPLE_DAYS:], tables)
    rows = pl.concat([features.with_columns(dt=pl.lit(day)) for day, features in made])
    random = Random(seed)
    return rows.with_columns(label=pl.Series([random.randint(0, 1) for _ in range(rows.height)], dtype=pl.Int8))


def _value(table: TableSpec, name: str, day: date, number: int, random: Random) -> Any:
    dtype = table.columns[name]
    if dtype == pl.Date:
        return day
    if dtype == pl.Datetime:
        return datetime.combine(day, time(12))
    if name in table.key:
        return f"k{number}" if dtype == pl.String else number
    if dtype == pl.String:
        return random.choice(TEXTS)
    if dtype == pl.Boolean:
        return random.random() < 0.5
    return random.randint(0, 100) if dtype.is_integer() else round(random.uniform(0, 100), 3)
