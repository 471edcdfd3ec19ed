"""The operational database answers for the end of a day, whatever happened since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import include.samples
from include.datasets.customers import CUSTOMERS
from include.datasets.customers.sources import make_source
from include.lifecycle.specs import Extracted, Source
from include.samples.company import Company
from include.samples.database import write_days
from include.samples.settings import CompanySettings

SCHEMA = Path(include.samples.__path__[0]) / "schema.sql"
FIRST = date(2026, 3, 1)
TABLES = [table.name for table in CUSTOMERS.tables]


class Operations:
    """The operational tables, written by hand."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.execute(SCHEMA.read_text())

    def execute(self, statement: str, *values: Any) -> None:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)

    def insert(self, table: str, **values: Any) -> None:
        columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.execute(f"insert into telecom.{table} ({columns}) values ({places})", *values.values())

    def customer(
        self, customer_id: str | None, valid_from: date, valid_to: date | None = None, **values: Any
    ) -> None:
        row = {"signup_date": valid_from, "monthly_charges": 20, "contract": "One year", **values}
        self.insert("customers", customer_id=customer_id, valid_from=valid_from, valid_to=valid_to, **row)

    def usage(self, customer_id: str, day: date, data_mb: float = 1.5) -> None:
        self.insert("usage_daily", customer_id=customer_id, day=day, data_mb=data_mb, call_minutes=2)

    def invoice(self, invoice_id: str | None, issued_on: date, paid_on: date | None = None) -> None:
        due_on = issued_on + timedelta(days=14)
        self.insert(
            "invoices",
            invoice_id=invoice_id,
            customer_id="C1",
            issued_on=issued_on,
            due_on=due_on,
            amount=20,
            paid_on=paid_on,
            is_late=None if paid_on is None else paid_on > due_on,
        )


Extract = Callable[[str, date], list[dict[str, str | None]]]


@pytest.fixture
def operations(postgres: Any) -> Operations:
    return Operations(postgres)


@pytest.fixture
def extract(postgres: Any, tmp_path: Path) -> Extract:
    def extracted(table: str, day: date) -> list[dict[str, str | None]]:
        file = tmp_path / "table.csv"
        extracted = _source(postgres).extract(table, day, file)
        rows = pl.read_csv(file, infer_schema=False).to_dicts()
        assert extracted == Extracted(records=len(rows))
        return rows

    return extracted


def _source(connection: Any) -> Source:
    return make_source({"kind": "postgres", "connection": "company_db"}, {"company_db": connection}.__getitem__)


def test_a_customer_is_the_version_of_the_day(operations: Operations, extract: Extract) -> None:
    changed = FIRST + timedelta(days=9)
    operations.customer("C1", FIRST, changed, contract="One year")
    operations.customer("C1", changed, contract="Two year", signup_date=FIRST)

    assert extract("customers", FIRST - timedelta(days=1)) == []
    assert [row["contract"] for row in extract("customers", changed - timedelta(days=1))] == ["One year"]
    assert [row["contract"] for row in extract("customers", changed)] == ["Two year"]


def test_all_columns_of_the_table_are_extracted(operations: Operations, extract: Extract) -> None:
    operations.customer("C1", FIRST)
    operations.usage("C1", FIRST)
    operations.invoice("I1", FIRST)
    operations.insert("churns", customer_id="C2", churned_on=FIRST, recorded_on=FIRST)

    for table in CUSTOMERS.tables:
        assert [list(row) for row in extract(table.name, FIRST)] == [list(table.columns)]


@pytest.mark.parametrize(
    ("signup", "day", "months"),
    [
        (date(2026, 3, 1), date(2026, 3, 31), "0"),
        (date(2026, 3, 1), date(2026, 4, 1), "1"),
        (date(2026, 1, 31), date(2026, 2, 28), "0"),
        (date(2024, 3, 2), date(2026, 3, 1), "23"),
        (date(2026, 4, 10), date(2026, 3, 1), "-1"),
    ],
)
def test_tenure_is_the_whole_months_since_the_signup(
    operations: Operations, extract: Extract, signup: date, day: date, months: str
) -> None:
    operations.customer("C1", min(signup, day), signup_date=signup)

    assert extract("customers", day)[0]["tenure"] == months


def test_total_charges_keep_the_price_of_their_time(operations: Operations, extract: Extract) -> None:
    signup, rise, contract = date(2026, 1, 1), date(2026, 3, 1), date(2026, 3, 15)
    operations.customer("C1", signup, rise, monthly_charges=20)
    operations.customer("C1", rise, contract, monthly_charges=30, signup_date=signup)
    operations.customer("C1", contract, monthly_charges=30, signup_date=signup)
    operations.customer("C2", signup, monthly_charges="19.95")

    charged = {
        day: [float(row["total_charges"] or "nan") for row in extract("customers", day)]
        for day in (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 1), date(2026, 4, 1), date(2026, 6, 30))
    }

    assert charged == {
        date(2026, 1, 31): [0.0, 0.0],
        date(2026, 2, 28): [20.0, 19.95],
        date(2026, 3, 1): [40.0, 39.9],
        date(2026, 4, 1): [70.0, 59.85],
        date(2026, 6, 30): [130.0, 99.75],
    }


def test_who_has_left_is_a_customer_until_it_is_recorded(operations: Operations, extract: Extract) -> None:
    recorded = FIRST + timedelta(days=10)
    operations.customer("C1", FIRST)
    operations.insert("churns", customer_id="C1", churned_on=FIRST + timedelta(days=5), recorded_on=recorded)

    assert [row["customer_id"] for row in extract("customers", recorded - timedelta(days=1))] == ["C1"]
    assert extract("customers", recorded) == []
    assert extract("churns", recorded - timedelta(days=1)) == []
    assert extract("churns", recorded) == [
        {"customer_id": "C1", "churned_on": "2026-03-06", "recorded_on": "2026-03-11"}
    ]


def test_who_has_come_back_is_a_customer_again(operations: Operations, extract: Extract) -> None:
    operations.customer("C1", FIRST, FIRST + timedelta(days=10))
    operations.insert(
        "churns", customer_id="C1", churned_on=FIRST + timedelta(days=5), recorded_on=FIRST + timedelta(days=10)
    )
    operations.customer("C1", FIRST + timedelta(days=40))

    assert len(extract("customers", FIRST + timedelta(days=40))) == 1


def test_an_invoice_is_told_when_issued_and_when_paid(operations: Operations, extract: Extract) -> None:
    issued, paid = FIRST + timedelta(days=1), FIRST + timedelta(days=20)
    operations.usage("C1", FIRST)
    operations.invoice("I1", issued, paid_on=paid)
    told = {
        "invoice_id": "I1",
        "customer_id": "C1",
        "issued_on": "2026-03-02",
        "due_on": "2026-03-16",
        "amount": "20",
    }

    assert extract("invoices", issued) == [{**told, "paid_on": None, "is_late": None}]
    assert extract("invoices", issued + timedelta(days=1)) == []
    assert extract("invoices", paid) == [{**told, "paid_on": "2026-03-21", "is_late": "1"}]


def test_the_first_day_tells_the_invoices_of_the_90_days_that_end_with_it(
    operations: Operations, extract: Extract
) -> None:
    operations.usage("C1", FIRST)
    operations.usage("C1", FIRST + timedelta(days=1))
    operations.invoice("too long ago", FIRST - timedelta(days=90), paid_on=FIRST - timedelta(days=80))
    operations.invoice("paid", FIRST - timedelta(days=89), paid_on=FIRST - timedelta(days=60))
    operations.invoice("paid next day", FIRST - timedelta(days=30), paid_on=FIRST + timedelta(days=1))

    first, second = (extract("invoices", FIRST + timedelta(days=number)) for number in (0, 1))

    assert [(row["invoice_id"], row["paid_on"]) for row in first] == [
        ("paid", "2025-12-31"),
        ("paid next day", None),
    ]
    assert [(row["invoice_id"], row["paid_on"]) for row in second] == [("paid next day", "2026-03-02")]


def test_broken_rows_come_through_as_they_are(operations: Operations, extract: Extract) -> None:
    operations.customer("C1", FIRST, contract="Weekly", monthly_charges=-1)
    operations.customer("C1", FIRST, contract="Weekly", monthly_charges=-1)
    operations.customer(None, FIRST, age=213)
    operations.customer("C3", FIRST, signup_date=FIRST + timedelta(days=40))
    operations.usage("C1", FIRST, -7)
    operations.usage("C1", FIRST, -7)
    operations.invoice(None, FIRST)

    assert [row["customer_id"] for row in extract("customers", FIRST)] == ["C1", "C1", "C3", None]
    assert [row["data_mb"] for row in extract("usage_daily", FIRST)] == ["-7", "-7"]
    assert [row["invoice_id"] for row in extract("invoices", FIRST)] == [None]


def test_a_text_with_commas_quotes_and_line_breaks_stays_itself(operations: Operations, extract: Extract) -> None:
    name = 'Bad, "Aussee"\nAustria ö'
    operations.customer("C1", FIRST, location=name)

    assert extract("customers", FIRST)[0]["location"] == name


def test_a_column_that_the_database_lost_is_missing_in_the_file(operations: Operations, extract: Extract) -> None:
    operations.customer("C1", FIRST)
    operations.usage("C1", FIRST)
    operations.execute("alter table telecom.customers drop column signup_date, drop column contract")
    operations.execute("alter table telecom.usage_daily rename column call_minutes to minutes")

    lost = set(CUSTOMERS.table("customers").columns) - set(extract("customers", FIRST)[0])
    assert lost == {"signup_date", "tenure", "total_charges", "contract"}
    assert list(extract("usage_daily", FIRST)[0]) == ["customer_id", "day", "data_mb"]


def test_without_the_columns_that_date_a_row_there_is_nothing_to_extract(
    operations: Operations, extract: Extract
) -> None:
    operations.execute("alter table telecom.churns drop column recorded_on")

    with pytest.raises(ValueError, match=r"without the columns \['recorded_on'\]"):
        extract("churns", FIRST)


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "text"])
@pytest.mark.parametrize(("table", "column"), [("usage_daily", "day"), ("churns", "recorded_on")])
def test_a_date_that_has_become_something_else_is_named_and_loses_no_row_in_silence(
    operations: Operations, postgres: Any, tmp_path: Path, table: str, column: str, kind: str
) -> None:
    operations.usage("C1", FIRST)
    operations.execute(f"alter table telecom.{table} alter column {column} type {kind} using {column}::{kind}")

    for ask in (_source(postgres).days, lambda: _source(postgres).extract(table, FIRST, tmp_path / "table.csv")):
        with pytest.raises(
            ValueError, match=rf"telecom\.{table} has a column '{column}' of .* give it the type date"
        ):
            ask()


def test_a_table_that_the_database_lacks_is_not_extracted(
    operations: Operations, postgres: Any, tmp_path: Path
) -> None:
    operations.usage("C1", FIRST)
    operations.execute("drop table telecom.invoices")

    assert not _source(postgres).extract("invoices", FIRST, tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
    assert _source(postgres).days() == [FIRST]


def test_an_empty_day_is_a_header(operations: Operations, postgres: Any, tmp_path: Path) -> None:
    operations.usage("C1", FIRST)

    for table in TABLES:
        assert _source(postgres).extract(table, FIRST + timedelta(days=3), tmp_path / table)
        assert (tmp_path / table).read_text() == ",".join(CUSTOMERS.table(table).columns) + "\n"


def test_a_database_without_tables_has_no_days(postgres: Any) -> None:
    assert _source(postgres).days() == []


def test_days_include_those_of_which_the_usage_is_missing(operations: Operations, postgres: Any) -> None:
    assert _source(postgres).days() == []
    operations.usage("C1", FIRST)
    operations.usage("C1", FIRST + timedelta(days=2))
    assert len(_source(postgres).days()) == 3

    operations.customer("C1", FIRST + timedelta(days=3))

    assert _source(postgres).days() == [FIRST + timedelta(days=number) for number in range(4)]


@pytest.mark.parametrize("stray", [date(1970, 1, 1), date(2033, 1, 1)])
def test_a_stray_date_stretches_nothing(operations: Operations, postgres: Any, stray: date) -> None:
    days = [FIRST + timedelta(days=number) for number in range(4)]
    for day in [stray, *days]:
        operations.usage("C1", day)
        operations.customer(f"{day}", day)

    assert _source(postgres).days() == days


def test_what_happens_later_changes_no_byte_of_a_day(postgres: Any, tmp_path: Path) -> None:
    settings = CompanySettings(customers=300, seed=3, drift={"kind": "price_rise", "start": 12})
    company = Company(settings, FIRST)
    days = [FIRST + timedelta(days=number) for number in range(45)]

    def extracted() -> dict[tuple[str, date], bytes]:
        source = _source(postgres)
        for table in TABLES:
            for day in days[:10]:
                assert source.extract(table, day, tmp_path / f"{table}-{day}")
        return {(table, day): (tmp_path / f"{table}-{day}").read_bytes() for table in TABLES for day in days[:10]}

    write_days(postgres, company, days[:10])
    before = extracted()
    write_days(postgres, company, days[10:])

    assert extracted() == before
    assert all(before[("customers", day)].count(b"\n") > 250 for day in days[:10])
