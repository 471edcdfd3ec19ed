"""Row rules that every date column has: not long before all data, and not in the future. Pure."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from include.lifecycle.specs import TableSpec


def date_rules(table: TableSpec) -> dict[str, tuple[str, str]]:
    """Rule id to why it exists and its column."""
    rules = {}
    for name in _date_columns(table):
        ahead = table.days_ahead.get(name, 0)
        latest = f"{ahead} days after the day" if ahead else "the day"
        rules[_early_id(table, name)] = (f"No {name} lies before {table.first_date}.", name)
        rules[_future_id(table, name)] = (f"What lies after {latest} cannot be known yet.", name)
    return rules


def broken_date_rules(table: TableSpec, rows: pl.DataFrame) -> dict[str, pl.Series]:
    """Rule id to a mask of the rows that break it; rows have `dt`, their day. A missing date breaks none."""
    broken = {}
    for name in _date_columns(table):
        days = pl.col(name).cast(pl.Date)
        ahead = timedelta(days=table.days_ahead.get(name, 0))
        if table.columns[name] != pl.Date:
            ahead += timedelta(days=1)  # a time's zone need not be that of the day
        broken[_early_id(table, name)] = days < table.first_date
        broken[_future_id(table, name)] = days > pl.col("dt") + ahead
    masks = rows.select(rule.fill_null(False).alias(rule_id) for rule_id, rule in broken.items())
    return {mask.name: mask for mask in masks if mask.any()}


def _date_columns(table: TableSpec) -> list[str]:
    return [name for name, dtype in table.columns.items() if dtype == pl.Date or dtype == pl.Datetime]


def _early_id(table: TableSpec, name: str) -> str:
    return f"{table.name}.{name}.not_too_early"


def _future_id(table: TableSpec, name: str) -> str:
    return f"{table.name}.{name}.not_in_the_future"
