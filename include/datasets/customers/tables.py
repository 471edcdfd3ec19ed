"""The tables of the customers dataset: clean columns, keys and limits. Their row rules are in `rules`."""

from __future__ import annotations

import polars as pl

from include.datasets.customers.columns import ADD_ONS
from include.lifecycle.deferred import Deferred
from include.lifecycle.specs import TableSpec

_RULES = "include.datasets.customers.rules"  # imports Great Expectations, which takes seconds

CUSTOMERS_TABLE = TableSpec(
    name="customers",
    columns={
        "customer_id": pl.String,
        "gender": pl.String,
        "senior_citizen": pl.Int64,
        "partner": pl.String,
        "dependents": pl.String,
        "tenure": pl.Int64,
        "phone_service": pl.String,
        "multiple_lines": pl.String,
        "internet_service": pl.String,
        **dict.fromkeys(ADD_ONS, pl.String),
        "contract": pl.String,
        "paperless_billing": pl.String,
        "payment_method": pl.String,
        "monthly_charges": pl.Float64,
        "total_charges": pl.Float64,
        "age": pl.Int64,
        "location": pl.String,
        "signup_date": pl.Date,
    },
    key=("customer_id",),
    rules=Deferred(f"{_RULES}:customers"),
)

USAGE_DAILY_TABLE = TableSpec(
    name="usage_daily",
    columns={
        "customer_id": pl.String,
        "day": pl.Date,
        "data_mb": pl.Float64,
        "call_minutes": pl.Float64,
    },
    key=("customer_id",),
    rules=Deferred(f"{_RULES}:usage_daily"),
    optional=True,
)

INVOICES_TABLE = TableSpec(
    name="invoices",
    columns={
        "invoice_id": pl.String,
        "customer_id": pl.String,
        "issued_on": pl.Date,
        "due_on": pl.Date,
        "amount": pl.Float64,
        "paid_on": pl.Date,
        "is_late": pl.Int64,
    },
    key=("invoice_id",),
    rules=Deferred(f"{_RULES}:invoices"),
    min_rows=0,  # there are days on which nobody is billed and nobody pays
    max_bad_share=0.5,  # and days with so few rows that a single bad one is a large share
    optional=True,
    usual_rows=None,  # most are billed on the same day of the month
    days_ahead={"due_on": 366},
)

CHURNS_TABLE = TableSpec(
    name="churns",
    columns={"customer_id": pl.String, "churned_on": pl.Date, "recorded_on": pl.Date},
    key=("customer_id",),
    rules=Deferred(f"{_RULES}:churns"),
    min_rows=0,  # there are days on which nobody leaves
    max_bad_share=0.5,
    optional=True,
    usual_rows=None,
    days_ahead={"churned_on": 60, "recorded_on": 60},  # a file of one day knows who left in the month after it
)

TABLES = (CUSTOMERS_TABLE, USAGE_DAILY_TABLE, INVOICES_TABLE, CHURNS_TABLE)
