"""Features of customers: what they are by hand, and that they know nothing of later days."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.checks import assert_point_in_time, assert_regrouping_changes_nothing
from include.checks.datasets import as_bytes
from include.datasets.customers import CUSTOMERS
from include.datasets.customers.features import CATEGORICAL, NUMERIC, features_of_day, make_features

DAY = date(2026, 3, 31)
ADA, BEN = "C0000001", "C0000002"


def customer(customer_id: str, dt: date = DAY, **values: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "contract": "Month-to-month",
        "tenure": 3,
        "monthly_charges": 20.0,
        "total_charges": 60.0,
        "location": "Fresno",
        "dt": dt,
        **values,
    }


def usage(customer_id: str, days_before: int, data_mb: float, call_minutes: float = 1.0) -> dict[str, Any]:
    dt = DAY - timedelta(days=days_before)
    return {
        "customer_id": customer_id,
        "day": dt,
        "data_mb": data_mb,
        "call_minutes": call_minutes,
        "dt": dt,
    }


def invoice(number: int, issued_before: int, dt_before: int, **values: Any) -> dict[str, Any]:
    """An invoice of 10.10 issued to Ada so many days before, due 14 days later, as told in a partition `dt`."""
    issued_on = DAY - timedelta(days=issued_before)
    return {
        "invoice_id": f"I{number}",
        "customer_id": ADA,
        "issued_on": issued_on,
        "due_on": issued_on + timedelta(days=14),
        "amount": 10.10,
        "paid_on": None,
        "dt": DAY - timedelta(days=dt_before),
        **values,
    }


def tables(**rows: list[dict[str, Any]]) -> dict[str, pl.LazyFrame]:
    return {
        table.name: pl.LazyFrame(rows.get(table.name, []), schema={**table.columns, "dt": pl.Date})
        for table in CUSTOMERS.tables
    }


def features_of(customer_id: str, given_tables: Mapping[str, pl.LazyFrame]) -> dict[str, Any]:
    return features_of_day(DAY, given_tables).row(by_predicate=pl.col("customer_id") == customer_id, named=True)


def test_columns_are_the_key_the_location_and_what_models_use() -> None:
    frame = features_of_day(DAY, tables(customers=[customer(ADA)]))

    assert frame.columns == ["customer_id", "location", *NUMERIC, *CATEGORICAL]


def test_there_is_a_row_for_each_customer_of_the_day_by_id() -> None:
    rows = [customer(BEN), customer(ADA), customer("C0000003", dt=DAY - timedelta(days=1))]

    assert features_of_day(DAY, tables(customers=rows))["customer_id"].to_list() == [ADA, BEN]


def test_each_day_has_the_features_of_its_own_customers() -> None:
    before = DAY - timedelta(days=1)
    known = tables(customers=[customer(BEN), customer(ADA, dt=before)])

    found = {day: features["customer_id"].to_list() for day, features in make_features([before, DAY], known)}

    assert found == {before: [ADA], DAY: [BEN]}


def test_a_trend_of_little_usage_is_a_trend() -> None:
    rows = [usage(ADA, 0, 0.25), usage(ADA, 10, 0.5)]

    assert features_of(ADA, tables(customers=[customer(ADA)], usage_daily=rows))["data_trend"] == 0.5


def test_usage_that_no_whole_number_of_thousandths_can_hold_counts_as_not_recorded() -> None:
    rows = [usage(ADA, 0, 1e300), usage(ADA, 1, 6.0)]

    assert features_of(ADA, tables(customers=[customer(ADA)], usage_daily=rows))["data_mb_7d"] == 6.0


def test_an_invoice_paid_on_the_day_it_was_due_is_not_late() -> None:
    due = DAY - timedelta(days=6)
    on_time, late = (invoice(n, 20, 3, paid_on=due + timedelta(days=n)) for n in range(2))

    ada = features_of(ADA, tables(customers=[customer(ADA)], invoices=[on_time, late]))

    assert ada["late_share_90d"] == 0.5


def test_usage_is_the_daily_mean_over_the_last_days_and_its_trend() -> None:
    rows = [
        usage(ADA, 0, 10.0, 4.0),
        usage(ADA, 6, 20.0, 0.0),
        usage(ADA, 7, 30.0, 8.0),
        usage(ADA, 27, 50.0, 0.0),
    ]
    outside = [usage(ADA, 28, 1e6), usage(BEN, 0, 5.0)]

    ada = features_of(ADA, tables(customers=[customer(ADA), customer(BEN)], usage_daily=[*rows, *outside]))

    assert ada["data_mb_7d"] == 15.0
    assert ada["data_mb_28d"] == 27.5
    assert ada["data_trend"] == 0.375
    assert (ada["call_minutes_7d"], ada["call_minutes_28d"], ada["call_trend"]) == (2.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("rows", "trend"),
    [
        ([usage(ADA, 0, 10.0)], None),
        ([usage(ADA, 10, 10.0)], None),
        ([usage(ADA, 0, 0.0), usage(ADA, 10, 0.0)], None),
        ([usage(ADA, 0, 0.0), usage(ADA, 10, 8.0)], 0.0),
    ],
    ids=["nothing before", "nothing recent", "never any", "stopped"],
)
def test_a_trend_needs_use_before_and_records_since(rows: list[dict[str, Any]], trend: float | None) -> None:
    assert features_of(ADA, tables(customers=[customer(ADA)], usage_daily=rows))["data_trend"] == trend


def test_an_invoice_counts_as_it_last_stood() -> None:
    issued = invoice(1, issued_before=40, dt_before=40)
    paid_in_time = {**issued, "paid_on": DAY - timedelta(days=30), "dt": DAY - timedelta(days=30)}

    before = features_of(ADA, tables(customers=[customer(ADA)], invoices=[issued]))
    after = features_of(ADA, tables(customers=[customer(ADA)], invoices=[paid_in_time, issued]))

    assert (before["late_share_90d"], before["overdue_invoices"], before["overdue_amount"]) == (1.0, 1, 10.1)
    assert (after["late_share_90d"], after["overdue_invoices"], after["overdue_amount"]) == (0.0, 0, 0.0)


def test_late_share_and_overdue_are_of_the_invoices_issued_in_90_days_and_due() -> None:
    rows = [
        invoice(1, issued_before=89, dt_before=60, paid_on=DAY - timedelta(days=60)),  # paid late
        invoice(2, issued_before=50, dt_before=45, paid_on=DAY - timedelta(days=45)),  # paid in time
        invoice(3, issued_before=20, dt_before=20),  # overdue
        invoice(4, issued_before=14, dt_before=14),  # due today and unpaid at its end
        invoice(5, issued_before=13, dt_before=13),  # due tomorrow
        invoice(6, issued_before=90, dt_before=50, paid_on=DAY - timedelta(days=50)),  # too long ago
    ]

    ada = features_of(ADA, tables(customers=[customer(ADA)], invoices=rows))

    assert ada["late_share_90d"] == 0.75
    assert ada["overdue_invoices"] == 2
    assert ada["overdue_amount"] == 20.2


def test_who_owes_nothing_has_no_overdue_invoices_where_invoices_are_known() -> None:
    ben = features_of(BEN, tables(customers=[customer(BEN)], invoices=[invoice(1, issued_before=5, dt_before=5)]))

    assert (ben["late_share_90d"], ben["overdue_invoices"], ben["overdue_amount"]) == (None, 0, 0.0)


def test_what_the_source_does_not_tell_is_missing_and_not_zero() -> None:
    ada = features_of(ADA, tables(customers=[customer(ADA)]))

    unknown = (
        "data_mb_7d",
        "call_minutes_28d",
        "data_trend",
        "late_share_90d",
        "overdue_invoices",
        "overdue_amount",
    )
    assert [ada[name] for name in unknown] == [None] * len(unknown)


def test_nothing_has_been_charged_in_the_first_month() -> None:
    rows = [customer(ADA, tenure=0, total_charges=None), customer(BEN, tenure=0, total_charges=12.5)]

    assert features_of_day(DAY, tables(customers=rows))["total_charges"].to_list() == [0.0, 12.5]


KNOWN = {
    "customers": [customer(ADA), customer(BEN, tenure=30)],
    "usage_daily": [
        usage(customer_id, back, back * 7919 % 1000 * 99.9 + 0.1)
        for back in range(28)
        for customer_id in (ADA, BEN)
    ],
    "invoices": [invoice(number, issued_before=5 * number, dt_before=5 * number) for number in range(18)],
}
LATER = st.integers(1, 40).map(lambda ahead: DAY + timedelta(days=ahead))


@settings(max_examples=40, deadline=None)
@given(
    later=st.fixed_dictionaries(
        {
            "customers": st.lists(st.builds(customer, st.sampled_from([ADA, BEN, "C0000009"]), LATER)),
            "usage_daily": st.lists(
                st.builds(usage, st.sampled_from([ADA, BEN]), st.integers(-40, -1), st.floats(-1e9, 1e9))
            ),
            "invoices": st.lists(
                st.builds(invoice, st.integers(0, 30), st.integers(-40, 80), st.integers(-40, -1))
            ),
        }
    ),
    seed=st.integers(0, 2**32),
)
def test_no_row_of_a_later_day_and_no_order_of_rows_changes_a_byte(
    later: dict[str, list[dict[str, Any]]], seed: int
) -> None:
    def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return random.Random(seed).sample(rows, len(rows))

    before = features_of_day(DAY, tables(**KNOWN))
    after = features_of_day(DAY, tables(**{name: shuffled(rows + later[name]) for name, rows in KNOWN.items()}))

    assert as_bytes(after) == as_bytes(before)


def test_features_keep_what_those_of_every_dataset_must() -> None:
    next_day = DAY + timedelta(days=1)
    later = {"customers": [customer(ADA, dt=next_day), customer(BEN, dt=next_day, tenure=31)]}
    later["usage_daily"] = [usage(ADA, -1, 1.0), usage(BEN, -1, 2.0)]
    known = tables(**{name: rows + later.get(name, []) for name, rows in KNOWN.items()})

    assert_point_in_time(CUSTOMERS, DAY, known)
    assert_regrouping_changes_nothing(CUSTOMERS, [DAY, next_day], known)
