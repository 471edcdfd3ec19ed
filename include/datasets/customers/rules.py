"""What a row of the customers dataset must be, as Great Expectations expectations.

The engine itself sees to types, keys, and dates in the future. A missing value passes a rule about values; where a
value must be there, a rule of its own says so. A rule about several values passes where one of them breaks a
rule of its own, which would only be told twice.
Each rule's `meta` holds its `rule_id`, by which quarantined rows name it, and `why` it exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

from include.datasets.customers.columns import ADD_ONS
from include.lifecycle.ingestion.row_predicates import ExpectRowsToSatisfy

_YES_NO = ["Yes", "No"]
_MAX_MONTHS = 1200
_MAX_MONTHLY_CHARGES = 1_000.0
_MAX_TOTAL_CHARGES = 100_000.0
_MAX_DAILY_MB = 10_000_000.0
_MAX_DAILY_MINUTES = 10_000.0


def customers() -> list[Any]:
    """Rules of a customer as known at the end of a day."""
    return [*_of_contract(), *_of_charges(), *_of_add_ons()]


def _of_contract() -> list[Any]:
    return [
        _in_set("customers.gender.known", "gender", ["Female", "Male"]),
        _in_set("customers.senior_citizen.known", "senior_citizen", [0, 1]),
        _in_set("customers.partner.known", "partner", _YES_NO),
        _in_set("customers.dependents.known", "dependents", _YES_NO),
        _in_set("customers.phone_service.known", "phone_service", _YES_NO),
        _in_set("customers.multiple_lines.known", "multiple_lines", [*_YES_NO, "No phone service"]),
        _in_set("customers.internet_service.known", "internet_service", ["DSL", "Fiber optic", "No"]),
        *(_in_set(f"customers.{name}.known", name, [*_YES_NO, "No internet service"]) for name in ADD_ONS),
        _present("customers.contract.present", "contract", "The contract says more about leaving than all else."),
        _in_set("customers.contract.known", "contract", ["Month-to-month", "One year", "Two year"]),
        _in_set("customers.paperless_billing.known", "paperless_billing", _YES_NO),
        _present(
            "customers.payment_method.present",
            "payment_method",
            "Everybody pays somehow. A method that is new to us is news, not an error, so any text passes.",
        ),
    ]


def _of_charges() -> list[Any]:
    return [
        _present("customers.monthly_charges.present", "monthly_charges", "A customer has a price."),
        _between("customers.monthly_charges.range", "monthly_charges", 0, _MAX_MONTHLY_CHARGES, above=True),
        _present("customers.tenure.present", "tenure", "How long a customer has been here is always known."),
        _between("customers.tenure.range", "tenure", 0, _MAX_MONTHS),
        _between("customers.total_charges.range", "total_charges", 0, _MAX_TOTAL_CHARGES),
        _satisfies(
            "customers.total_charges.present_after_first_month",
            ["tenure", "total_charges"],
            "tenure == 0 or total_charges == total_charges",
            "Whoever has completed a month has been charged; in the first month nothing has been charged yet, "
            "so a blank is right there.",
            ignore="never",
        ),
        _satisfies(
            "customers.total_charges.fits_tenure",
            ["tenure", "monthly_charges", "total_charges"],
            "tenure < 0 or monthly_charges <= 0 or total_charges <= 5 * (tenure + 1) * monthly_charges",
            "More than five times today's price for the whole time is another unit or another customer's sum.",
        ),
        _between("customers.age.range", "age", 16, 110),
    ]


def _of_add_ons() -> list[Any]:
    return [
        _satisfies(
            "customers.multiple_lines.fits_phone_service",
            ["phone_service", "multiple_lines"],
            "(phone_service == 'No') == (multiple_lines == 'No phone service')",
            "Only who has a phone can have several lines.",
        ),
        _satisfies(
            "customers.add_ons.fit_internet_service",
            ["internet_service", *ADD_ONS],
            " and ".join(f"(internet_service == 'No') == ({name} == 'No internet service')" for name in ADD_ONS),
            "Only who has internet can have what comes with it.",
        ),
    ]


def usage_daily() -> list[Any]:
    """Rules of a customer's usage on a day."""
    return [
        _satisfies(
            "usage_daily.day.is_the_partition",
            ["day", "dt"],
            "day == dt",
            "A row of another day would be counted on the wrong one.",
            ignore="never",
        ),
        _present("usage_daily.data_mb.present", "data_mb", "No usage is 0; a blank is a measurement lost."),
        _between("usage_daily.data_mb.range", "data_mb", 0, _MAX_DAILY_MB),
        _present("usage_daily.call_minutes.present", "call_minutes", "No calls are 0; a blank is one lost."),
        _between("usage_daily.call_minutes.range", "call_minutes", 0, _MAX_DAILY_MINUTES),
    ]


def invoices() -> list[Any]:
    """Rules of an invoice as known at the end of a day."""
    return [
        _present("invoices.customer_id.present", "customer_id", "An invoice is somebody's."),
        _present("invoices.issued_on.present", "issued_on", "Without it the invoice belongs to no day."),
        _present("invoices.due_on.present", "due_on", "Without it nobody can say whether it is late."),
        _present("invoices.amount.present", "amount", "An invoice asks for an amount."),
        _between("invoices.amount.range", "amount", 0, _MAX_TOTAL_CHARGES),
        _satisfies(
            "invoices.due_on.after_issue",
            ["issued_on", "due_on"],
            "due_on >= issued_on",
            "Nothing is due before it is asked for.",
        ),
        _satisfies(
            "invoices.paid_on.after_issue",
            ["issued_on", "paid_on"],
            "paid_on >= issued_on",
            "Nothing is paid before it is asked for.",
        ),
        _satisfies(
            "invoices.is_late.fits_dates",
            ["issued_on", "due_on", "paid_on", "is_late"],
            "due_on < issued_on or paid_on < issued_on or is_late == (paid_on > due_on)",
            "An invoice is late when it is paid after it was due.",
        ),
    ]


def churns() -> list[Any]:
    """Rules of a customer's leaving, as recorded on a day."""
    return [
        _present("churns.churned_on.present", "churned_on", "The label is made of this date."),
        _present("churns.recorded_on.present", "recorded_on", "Labels use what was known on a day."),
        _satisfies(
            "churns.recorded_on.after_leaving",
            ["churned_on", "recorded_on"],
            "recorded_on >= churned_on",
            "Leaving becomes known when it has happened.",
        ),
    ]


def _present(rule_id: str, column: str, why: str) -> Any:
    return ExpectColumnValuesToNotBeNull(column=column, meta={"rule_id": rule_id, "why": why})


def _in_set(rule_id: str, column: str, values: Sequence[Any]) -> Any:
    why = f"{column} is one of {', '.join(map(str, values))}."
    return ExpectColumnValuesToBeInSet(
        column=column, value_set=list(values), meta={"rule_id": rule_id, "why": why}
    )


def _between(rule_id: str, column: str, low: float, high: float, *, above: bool = False) -> Any:
    why = f"{column} is {'above' if above else 'at least'} {low:,} and at most {high:,}."
    return ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, strict_min=above, meta={"rule_id": rule_id, "why": why}
    )


def _satisfies(
    rule_id: str,
    columns: Sequence[str],
    predicate: str,
    why: str,
    *,
    ignore: Literal["any_value_is_missing", "never"] = "any_value_is_missing",
) -> Any:
    return ExpectRowsToSatisfy(
        column_list=list(columns),
        predicate=predicate,
        ignore_row_if=ignore,
        meta={"rule_id": rule_id, "why": why},
    )
