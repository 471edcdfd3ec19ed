"""The tables of the customers dataset: clean columns, keys and limits. Their row rules are in `rules`."""

from __future__ import annotations

from typing import Any

import polars as pl

from include.datasets.customers.columns import ADD_ONS
from include.lifecycle.specs import TableSpec

# DAG files import this module, and Great Expectations takes seconds to import: each table gets its rules late.


def _customers_rules() -> list[Any]:
    from include.datasets.customers import rules

    return rules.customers()


def _usage_daily_rules() -> list[Any]:
    from include.datasets.customers import rules

    return rules.usage_daily()


def _invoices_rules() -> list[Any]:
    from include.datasets.customers import rules

    return rules.invoices()


def _churns_rules() -> list[Any]:
    from include.datasets.customers import rules

    return rules.churns()


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
    rules=_customers_rules,
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
    rules=_usage_daily_rules,
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
    rules=_invoices_rules,
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
    rules=_churns_rules,
    min_rows=0,  # there are days on which nobody leaves
    max_bad_share=0.5,
    optional=True,
    usual_rows=None,
    days_ahead={"churned_on": 60, "recorded_on": 60},  # a file of one day knows who left in the month after it
)

TABLES = (CUSTOMERS_TABLE, USAGE_DAILY_TABLE, INVOICES_TABLE, CHURNS_TABLE)
