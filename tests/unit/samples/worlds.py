"""Small companies that several tests look at, each generated once."""

from datetime import date, timedelta
from functools import cache

import polars as pl

from include.samples.company import Company, DayRows
from include.samples.settings import BadRows, CompanySettings

FIRST_DAY = date(2026, 3, 1)
FLAWLESS = BadRows(rate=0)


@cache
def generated(settings: CompanySettings, days: int) -> tuple[DayRows, ...]:
    return tuple(Company(settings, FIRST_DAY).days(FIRST_DAY, FIRST_DAY + timedelta(days=days - 1)))


def table(days: tuple[DayRows, ...], name: str) -> pl.DataFrame:
    """All rows of one kind, over all days."""
    frames: list[pl.DataFrame] = [getattr(rows, name) for rows in days]
    return pl.concat(frames)


def mean(column: pl.Series) -> float:
    """The mean of numbers, or the share that is true."""
    found = column.mean()
    assert isinstance(found, float)
    return found


def versions(days: tuple[DayRows, ...]) -> pl.DataFrame:
    """The customers table as it stands after the days."""
    closed = table(days, "closed").rename({"valid_to": "closed_on"})
    customers = table(days, "customers").join(closed, on=["customer_id", "valid_from"], how="left")
    return customers.with_columns(valid_to=pl.coalesce("valid_to", "closed_on")).drop("closed_on")


def as_of(customers: pl.DataFrame, day: date) -> pl.DataFrame:
    """The customer versions that hold on a day."""
    ends_later = pl.col("valid_to").is_null() | (pl.col("valid_to") > day)
    return customers.filter(pl.col("valid_from") <= day, ends_later)
