"""What is asked of the operational database (schema `telecom`) for the end of a day.

Whatever happens after the day, the answer stays the same: later versions of a customer, payments and leavings
are left out. Rows are in the order of all their columns, so that equal rows give equal files.

- customers: the version that holds on the day, without those whose leaving was recorded by then.
- usage_daily: the day's rows.
- invoices: those issued or paid on the day. The first day of all also has those of the 89 days before it, so
  that lateness is known from the start.
- churns: those recorded on the day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from include.datasets.customers.columns import ADD_ONS
from include.datasets.customers.features import INVOICE_DAYS

OPENING_DAYS = INVOICE_DAYS - 1
DATES = ("valid_from", "valid_to", "day", "issued_on", "paid_on", "churned_on", "recorded_on")
"""Columns that are compared with a day."""


@dataclass(frozen=True)
class Column:
    """An extracted column: its SQL, the source columns that this needs, and the join it needs."""

    sql: str
    needs: frozenset[str]
    join: str = ""


@dataclass(frozen=True)
class Extract:
    """How a table is read.

    `source` finds a day's rows by the columns in `needs`; its `{joins}` is what the selected columns join.
    The dates in `recorded` say on which days something was written into the table.
    """

    columns: Mapping[str, Column]
    needs: frozenset[str]
    recorded: tuple[str, ...]
    source: str

    def query(self, present: Collection[str]) -> str:
        """SELECT with the parameters `day` and `since`, of the columns whose needs the source table has.

        Raises
        ------
        ValueError
            If the table lacks a column without which its rows of a day cannot be found.
        """
        missing = self.needs - set(present)
        if missing:
            raise ValueError(
                f"A day's rows cannot be found without the columns {sorted(missing)}; "
                f"the table has {sorted(present)}."
            )
        columns = {name: column for name, column in self.columns.items() if column.needs <= set(present)}
        selected = ", ".join(f"{column.sql} as {name}" for name, column in columns.items())
        joins = " ".join(column.join for column in columns.values())
        order = ", ".join(str(number) for number in range(1, len(columns) + 1))
        return f"select {selected} {self.source.format(joins=joins)} order by {order}"


def _plain(*names: str) -> dict[str, Column]:
    return {name: Column(name, frozenset({name})) for name in names}


def _months(until: str) -> str:
    """Whole months from the signup until a date."""
    age = f"age({until}::timestamp, signup_date::timestamp)"
    return f"(date_part('year', {age}) * 12 + date_part('month', {age}))::int"


_EARLIER_CHARGES = f"""
left join (
    select customer_id, sum(monthly_charges * ({_months("valid_to")} - {_months("valid_from")})) as charged
    from (
        select distinct customer_id, valid_from, valid_to, monthly_charges, signup_date
        from telecom.customers
        where valid_to <= %(day)s
    ) as version
    group by customer_id
) as earlier using (customer_id)"""

# What each version charged for the whole months it held, so that a price rise does not change the past.
_TOTAL_CHARGES = f"""
case
    when earlier.charged is null then monthly_charges * {_months("%(day)s")}
    else earlier.charged + monthly_charges * ({_months("%(day)s")} - {_months("valid_from")})
end"""

_CUSTOMERS = Extract(
    columns={
        **_plain("customer_id", "gender", "senior_citizen", "partner", "dependents"),
        "tenure": Column(_months("%(day)s"), frozenset({"signup_date"})),
        **_plain("phone_service", "multiple_lines", "internet_service", *ADD_ONS),
        **_plain("contract", "paperless_billing", "payment_method", "monthly_charges"),
        "total_charges": Column(
            _TOTAL_CHARGES, frozenset({"monthly_charges", "signup_date"}), join=_EARLIER_CHARGES
        ),
        **_plain("age", "location", "signup_date"),
    },
    needs=frozenset({"customer_id", "valid_from", "valid_to"}),
    recorded=("valid_from",),
    source="""
from telecom.customers
{joins}
where valid_from <= %(day)s
    and (valid_to is null or valid_to > %(day)s)
    and not exists (
        select from telecom.churns
        where churns.customer_id = customers.customer_id
            and churned_on >= valid_from
            and recorded_on <= %(day)s
    )""",
)

_USAGE_DAILY = Extract(
    columns=_plain("customer_id", "day", "data_mb", "call_minutes"),
    needs=frozenset({"day"}),
    recorded=("day",),
    source="from telecom.usage_daily where day = %(day)s",
)

_INVOICES = Extract(
    columns={
        **_plain("invoice_id", "customer_id", "issued_on", "due_on", "amount"),
        "paid_on": Column("case when paid_on <= %(day)s then paid_on end", frozenset({"paid_on"})),
        "is_late": Column("case when paid_on <= %(day)s then is_late::int end", frozenset({"is_late"})),
    },
    needs=frozenset({"issued_on", "paid_on"}),
    recorded=("issued_on", "paid_on"),
    source="from telecom.invoices where issued_on between %(since)s and %(day)s or paid_on = %(day)s",
)

_CHURNS = Extract(
    columns=_plain("customer_id", "churned_on", "recorded_on"),
    needs=frozenset({"recorded_on"}),
    recorded=("recorded_on",),
    source="from telecom.churns where recorded_on = %(day)s",
)

EXTRACTS: Mapping[str, Extract] = {
    "customers": _CUSTOMERS,
    "usage_daily": _USAGE_DAILY,
    "invoices": _INVOICES,
    "churns": _CHURNS,
}
