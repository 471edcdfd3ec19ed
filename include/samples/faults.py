"""Bad rows, of the kinds an operational system collects: each fault turns good rows into broken ones."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.samples.customers import as_recorded, customer_ids
from include.samples.settings import BadRows, FaultKind

Faults = Mapping[FaultKind, Callable[[pl.DataFrame], pl.DataFrame]]

_FIRST_STRAY_NUMBER = 9_000_000


def _twice(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows])


_NO_KEY = pl.lit(None, pl.String)

_CUSTOMER_FAULTS: Faults = {
    "unknown_contract": lambda rows: rows.with_columns(contract=pl.lit("Weekly")),
    "absurd_age": lambda rows: rows.with_columns(age=pl.lit(213, pl.Int64)),
    "negative_charges": lambda rows: rows.with_columns(monthly_charges=-pl.col("monthly_charges")),
    "future_signup": lambda rows: rows.with_columns(signup_date=pl.col("valid_from") + timedelta(days=30)),
    "null_key": lambda rows: rows.with_columns(customer_id=_NO_KEY),
    "duplicate_row": lambda rows: rows,
}
_USAGE_FAULTS: Faults = {
    "negative_usage": lambda rows: rows.with_columns(data_mb=-pl.col("data_mb") - 1),
    "null_key": lambda rows: rows.with_columns(customer_id=_NO_KEY),
    "duplicate_row": _twice,
}
_INVOICE_FAULTS: Faults = {
    "due_before_issue": lambda rows: rows.with_columns(due_on=pl.col("issued_on") - timedelta(days=7)),
    "null_key": lambda rows: rows.with_columns(invoice_id=_NO_KEY),
    "duplicate_row": _twice,
}


def stray_customers(rng: np.random.Generator, book: pl.DataFrame, bad_rows: BadRows, day: date) -> pl.DataFrame:
    """Broken customer rows, valid on `day` only: entered by hand under a new number, withdrawn the next day.

    They copy some customers of the book, whose own rows stay as they are. A "duplicate_row" keeps the number.
    """
    picked = _pick(rng, book.height, bad_rows, _CUSTOMER_FAULTS)
    copies = as_recorded(book[np.concatenate([np.empty(0, np.intp), *picked.values()])]).with_columns(
        valid_from=pl.lit(day), valid_to=pl.lit(day + timedelta(days=1))
    )
    strays = [copies.clear()]
    begin = 0
    for kind, positions in picked.items():
        rows = copies.slice(begin, len(positions))
        if kind != "duplicate_row":
            rows = rows.with_columns(customer_id=customer_ids(_FIRST_STRAY_NUMBER + begin, rows.height))
        strays.append(_CUSTOMER_FAULTS[kind](rows))
        begin += len(positions)
    return pl.concat(strays)


def spoil_usage(rng: np.random.Generator, usage: pl.DataFrame, bad_rows: BadRows) -> pl.DataFrame:
    """A day's usage rows, some of them broken."""
    return _spoil(rng, usage, bad_rows, _USAGE_FAULTS)


def spoil_invoices(rng: np.random.Generator, invoices: pl.DataFrame, bad_rows: BadRows) -> pl.DataFrame:
    """A day's issued invoices, some of them broken."""
    return _spoil(rng, invoices, bad_rows, _INVOICE_FAULTS)


def _spoil(rng: np.random.Generator, rows: pl.DataFrame, bad_rows: BadRows, faults: Faults) -> pl.DataFrame:
    picked = _pick(rng, rows.height, bad_rows, faults)
    is_good = np.ones(rows.height, dtype=np.bool_)
    for positions in picked.values():
        is_good[positions] = False
    broken = [faults[kind](rows[positions]) for kind, positions in picked.items()]
    return pl.concat([rows.filter(is_good), *broken])


def _pick(
    rng: np.random.Generator, count: int, bad_rows: BadRows, faults: Faults
) -> dict[FaultKind, NDArray[np.intp]]:
    """The positions, among `count` rows, that each wanted fault befalls."""
    kinds = [kind for kind in bad_rows.kinds if kind in faults]
    if not kinds:
        return {}
    positions = np.flatnonzero(rng.random(count) < bad_rows.rate)
    kind_of_position = rng.integers(len(kinds), size=len(positions))
    return {kind: positions[kind_of_position == index] for index, kind in enumerate(kinds)}
