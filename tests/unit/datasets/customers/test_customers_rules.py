"""Each rule of the customers dataset finds the row that breaks it, and no other."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.datasets.customers.columns import ADD_ONS
from include.lifecycle.ingestion.date_rules import broken_date_rules, date_rules
from include.lifecycle.ingestion.row_rules import broken_rows, make_rules

DAY = date(2026, 3, 31)
GOOD: dict[str, dict[str, Any]] = {
    "customers": {
        "customer_id": "C0000001",
        "gender": "Female",
        "senior_citizen": 0,
        "partner": "Yes",
        "dependents": "No",
        "tenure": 3,
        "phone_service": "Yes",
        "multiple_lines": "No",
        "internet_service": "DSL",
        **dict.fromkeys(ADD_ONS, "No"),
        "contract": "One year",
        "paperless_billing": "Yes",
        "payment_method": "Mailed check",
        "monthly_charges": 20.0,
        "total_charges": 60.0,
        "age": 40,
        "location": "Fresno",
        "signup_date": date(2025, 12, 31),
        "dt": DAY,
    },
    "usage_daily": {
        "customer_id": "C0000001",
        "day": DAY,
        "data_mb": 0.0,
        "call_minutes": 12.5,
        "dt": DAY,
    },
    "invoices": {
        "invoice_id": "I1",
        "customer_id": "C0000001",
        "issued_on": date(2026, 3, 1),
        "due_on": date(2026, 3, 15),
        "amount": 20.0,
        "paid_on": date(2026, 3, 20),
        "is_late": 1,
        "dt": DAY,
    },
    "churns": {
        "customer_id": "C0000001",
        "churned_on": date(2026, 3, 26),
        "recorded_on": DAY,
        "dt": DAY,
    },
}
NO_INTERNET = {"internet_service": "No", **dict.fromkeys(ADD_ONS, "No internet service")}

FAR = date(2031, 3, 1)
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("customers", {"gender": "x"}, "customers.gender.known"),
    ("customers", {"senior_citizen": 2}, "customers.senior_citizen.known"),
    ("customers", {"partner": "y"}, "customers.partner.known"),
    ("customers", {"dependents": "n"}, "customers.dependents.known"),
    ("customers", {"phone_service": "Maybe"}, "customers.phone_service.known"),
    ("customers", {"multiple_lines": "Three"}, "customers.multiple_lines.known"),
    ("customers", {"internet_service": "5G"}, "customers.internet_service.known"),
    *[("customers", {name: "Maybe"}, f"customers.{name}.known") for name in ADD_ONS],
    ("customers", {"contract": None}, "customers.contract.present"),
    ("customers", {"contract": "Weekly"}, "customers.contract.known"),
    ("customers", {"paperless_billing": "yes"}, "customers.paperless_billing.known"),
    ("customers", {"payment_method": None}, "customers.payment_method.present"),
    ("customers", {"monthly_charges": None}, "customers.monthly_charges.present"),
    ("customers", {"monthly_charges": 0.0, "total_charges": 0.0}, "customers.monthly_charges.range"),
    ("customers", {"monthly_charges": -20.0}, "customers.monthly_charges.range"),
    ("customers", {"monthly_charges": 1000.5}, "customers.monthly_charges.range"),
    ("customers", {"tenure": None}, "customers.tenure.present"),
    ("customers", {"tenure": -1}, "customers.tenure.range"),
    ("customers", {"tenure": 1201}, "customers.tenure.range"),
    ("customers", {"total_charges": -1.0}, "customers.total_charges.range"),
    ("customers", {"total_charges": None}, "customers.total_charges.present_after_first_month"),
    ("customers", {"total_charges": 6000.0}, "customers.total_charges.fits_tenure"),
    ("customers", {"age": 213}, "customers.age.range"),
    ("customers", {"age": 15}, "customers.age.range"),
    ("customers", {"signup_date": date(2026, 4, 1)}, "customers.signup_date.not_in_the_future"),
    ("customers", {"signup_date": date(1, 1, 1)}, "customers.signup_date.not_too_early"),
    ("customers", {"multiple_lines": "No phone service"}, "customers.multiple_lines.fits_phone_service"),
    ("customers", {"phone_service": "No"}, "customers.multiple_lines.fits_phone_service"),
    *[("customers", {name: "No internet service"}, "customers.add_ons.fit_internet_service") for name in ADD_ONS],
    *[("customers", {**NO_INTERNET, name: "Yes"}, "customers.add_ons.fit_internet_service") for name in ADD_ONS],
    ("usage_daily", {"day": date(2026, 3, 30)}, "usage_daily.day.is_the_partition"),
    ("usage_daily", {"day": None}, "usage_daily.day.is_the_partition"),
    ("usage_daily", {"data_mb": None}, "usage_daily.data_mb.present"),
    ("usage_daily", {"data_mb": -0.1}, "usage_daily.data_mb.range"),
    ("usage_daily", {"call_minutes": None}, "usage_daily.call_minutes.present"),
    ("usage_daily", {"call_minutes": -1.0}, "usage_daily.call_minutes.range"),
    ("invoices", {"customer_id": None}, "invoices.customer_id.present"),
    ("invoices", {"issued_on": None}, "invoices.issued_on.present"),
    ("invoices", {"due_on": None}, "invoices.due_on.present"),
    ("invoices", {"amount": None}, "invoices.amount.present"),
    ("invoices", {"amount": -5.0}, "invoices.amount.range"),
    (
        "invoices",
        {
            "issued_on": date(2026, 4, 1),
            "due_on": date(2026, 4, 15),
            "paid_on": None,
            "is_late": None,
        },
        "invoices.issued_on.not_in_the_future",
    ),
    ("invoices", {"due_on": date(2026, 2, 22)}, "invoices.due_on.after_issue"),
    ("invoices", {"due_on": date(2026, 2, 22), "is_late": 0}, "invoices.due_on.after_issue"),
    ("invoices", {"paid_on": date(2026, 2, 28), "is_late": 0}, "invoices.paid_on.after_issue"),
    ("invoices", {"paid_on": date(2026, 2, 28), "is_late": 1}, "invoices.paid_on.after_issue"),
    ("invoices", {"paid_on": date(2026, 4, 1)}, "invoices.paid_on.not_in_the_future"),
    ("invoices", {"is_late": 0}, "invoices.is_late.fits_dates"),
    ("churns", {"churned_on": None}, "churns.churned_on.present"),
    ("churns", {"recorded_on": None}, "churns.recorded_on.present"),
    ("churns", {"churned_on": date(2026, 4, 1)}, "churns.recorded_on.after_leaving"),
]
FINE: list[tuple[str, dict[str, Any]]] = [
    ("customers", {"tenure": 0, "total_charges": None}),
    ("customers", {"payment_method": "Instant transfer"}),
    ("customers", {"age": None, "location": None, "signup_date": None}),
    ("customers", {"phone_service": "No", "multiple_lines": "No phone service"}),
    ("customers", NO_INTERNET),
    ("customers", {"signup_date": DAY, "tenure": 0, "total_charges": 0.0}),
    ("invoices", {"paid_on": None, "is_late": None}),
    ("invoices", {"paid_on": date(2026, 3, 15), "is_late": 0}),
]


def _broken(table: str, rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    spec = CUSTOMERS.table(table)
    frame = pl.DataFrame(rows, schema={**spec.columns, "dt": pl.Date})
    untimely = {rule: mask.arg_true().to_list() for rule, mask in broken_date_rules(spec, frame).items()}
    return broken_rows(frame, make_rules(spec.rules)) | untimely


@pytest.mark.parametrize("table", GOOD)
def test_each_rule_finds_the_row_that_breaks_it_and_no_other(table: str) -> None:
    cases = [(change, rule_id) for name, change, rule_id in BROKEN if name == table]
    fine = [change for name, change in FINE if name == table]
    changes = [{}, *(change for change, _ in cases), *fine]
    key = CUSTOMERS.table(table).key[0]
    rows = [GOOD[table] | {key: f"K{number}"} | change for number, change in enumerate(changes)]

    found = {(position, rule_id) for rule_id, positions in _broken(table, rows).items() for position in positions}

    assert found == {(number, rule_id) for number, (_, rule_id) in enumerate(cases, 1)}


def test_two_wrong_values_break_two_rules() -> None:
    found = _broken("churns", [GOOD["churns"] | {"churned_on": FAR, "recorded_on": FAR}])

    assert set(found) == {"churns.churned_on.not_in_the_future", "churns.recorded_on.not_in_the_future"}


@pytest.mark.parametrize("table", GOOD)
def test_every_rule_has_a_row_that_breaks_it(table: str) -> None:
    spec = CUSTOMERS.table(table)

    tested = {rule_id for name, _, rule_id in BROKEN if name == table}
    assert set(make_rules(spec.rules)) == tested - set(date_rules(spec))
