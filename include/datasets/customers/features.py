"""What is known of a customer at the end of a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from include.datasets.customers.columns import ADD_ONS

RECENT_DAYS = 7
USAGE_DAYS = 28
INVOICE_DAYS = 90

NUMERIC = (
    "senior_citizen",
    "tenure",
    "monthly_charges",
    "total_charges",
    "age",
    "data_mb_7d",
    "data_mb_28d",
    "call_minutes_7d",
    "call_minutes_28d",
    "data_trend",
    "call_trend",
    "late_share_90d",
    "overdue_invoices",
    "overdue_amount",
)
CATEGORICAL = (
    "gender",
    "partner",
    "dependents",
    "phone_service",
    "multiple_lines",
    "internet_service",
    *ADD_ONS,
    "contract",
    "paperless_billing",
    "payment_method",
)
_COLUMNS = ("customer_id", "location", *NUMERIC, *CATEGORICAL)

_THOUSANDTHS = 1000


def make_features(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
    """The features of each day, as `features_of_day` makes them."""
    for day in days:
        yield day, features_of_day(day, tables)


def features_of_day(day: date, tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """Features of each customer of `day`, from rows of that day and before alone; one row per customer, by id.

    Parameters
    ----------
    tables : clean `customers`, `usage_daily` and `invoices` with the partition's day in `dt`; rows of days that
        the features do not look at are ignored. A table that the source lacks is empty.

    Returns
    -------
    customer_id, location and the columns of a customer as they are, of which `total_charges` is 0 where nothing
    has been charged in the first month, and

    - `data_mb_7d`, `data_mb_28d`, `call_minutes_7d`, `call_minutes_28d`: mean per day (MB, minutes) over the
      recorded ones of the 7 or 28 days that end with `day`; null where none is recorded.
    - `data_trend`, `call_trend`: mean of the last 7 days over that of the 21 days before them; null where either
      is missing, or the latter 0.
    - `late_share_90d`: of the invoices issued in the 90 days that end with `day` and due by its end, the share
      paid late or still unpaid; null where none was due.
    - `overdue_invoices`, `overdue_amount` (USD): those of them due and unpaid; null where no invoice of anybody
      is known.
    """
    customers = tables["customers"].filter(pl.col("dt") == day).with_columns(total_charges=_charged_so_far())
    payment = _payment(day, tables["invoices"]).collect()
    known = customers.join(_usage(day, tables["usage_daily"]), on="customer_id", how="left").join(
        payment.lazy(), on="customer_id", how="left"
    )
    if not payment.is_empty():
        known = known.with_columns(pl.col("overdue_invoices", "overdue_amount").fill_null(0))
    return known.select(_COLUMNS).sort("customer_id").collect()


def _charged_so_far() -> pl.Expr:
    return pl.when(pl.col("tenure") == 0).then(pl.col("total_charges").fill_null(0)).otherwise("total_charges")


def _usage(day: date, usage: pl.LazyFrame) -> pl.LazyFrame:
    """Per customer with usage in the window: the usage features."""
    is_recent = pl.col("dt") > day - timedelta(days=RECENT_DAYS)
    measured = {
        f"{column}_{span}": values
        for column in ("data_mb", "call_minutes")
        for span, values in {
            "7d": pl.when(is_recent).then(_thousandths(column)),
            "28d": _thousandths(column),
            "before": pl.when(~is_recent).then(_thousandths(column)),
        }.items()
    }
    return (
        _window(usage, day, USAGE_DAYS)
        .select("customer_id", **measured)
        .group_by("customer_id")
        .agg(pl.all().sum(), pl.all().count().name.suffix("_count"))
        .select("customer_id", *(_mean_of_thousandths(name) for name in measured))
        .with_columns(data_trend=_trend("data_mb"), call_trend=_trend("call_minutes"))
        .drop("data_mb_before", "call_minutes_before")
    )


def _payment(day: date, invoices: pl.LazyFrame) -> pl.LazyFrame:
    """Per customer with an invoice in the window: the payment features."""
    is_due = pl.col("due_on") <= day
    is_overdue = is_due & pl.col("paid_on").is_null()
    is_late = is_overdue | (pl.col("paid_on") > pl.col("due_on"))
    return (
        _window(invoices, day, INVOICE_DAYS)
        .filter(pl.col("issued_on") > day - timedelta(days=INVOICE_DAYS))
        .sort("dt")
        .unique("invoice_id", keep="last")
        .select(
            "customer_id",
            late_share_90d=pl.when(is_due).then(is_late),
            overdue_invoices=is_overdue.cast(pl.Int64),
            overdue_amount=pl.when(is_overdue).then(_thousandths("amount")),
        )
        .group_by("customer_id")
        .agg(
            pl.col("late_share_90d").mean(),
            pl.col("overdue_invoices").sum(),
            pl.col("overdue_amount").sum() / _THOUSANDTHS,
        )
    )


def _window(rows: pl.LazyFrame, day: date, days: int) -> pl.LazyFrame:
    """Rows of the `days` days that end with `day`."""
    return rows.filter(pl.col("dt") > day - timedelta(days=days), pl.col("dt") <= day)


def _thousandths(column: str) -> pl.Expr:
    """The column in whole thousandths: integers add up to the same in whatever order threads go, floats do not."""
    return (pl.col(column) * _THOUSANDTHS).round().cast(pl.Int64, strict=False)


def _mean_of_thousandths(name: str) -> pl.Expr:
    count = pl.col(f"{name}_count")
    return pl.when(count > 0).then(pl.col(name) / (count * _THOUSANDTHS)).alias(name)


def _trend(column: str) -> pl.Expr:
    before = pl.col(f"{column}_before")
    return pl.when(before > 0).then(pl.col(f"{column}_7d") / before)
