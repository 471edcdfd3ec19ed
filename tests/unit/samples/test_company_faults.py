"""Bad rows: as many and of the kinds that the settings ask for, and nothing else changes."""

from typing import get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from include.samples.settings import BadRows, CompanySettings, FaultKind
from tests.unit.samples.worlds import FLAWLESS, generated, table, versions

CLEAN = CompanySettings(customers=1000, seed=9, bad_rows=FLAWLESS)
DAYS = 12


def faulty(rate: float, *kinds: FaultKind) -> CompanySettings:
    bad_rows = BadRows(rate=rate, kinds=kinds or get_args(FaultKind))
    return CLEAN.model_copy(update={"bad_rows": bad_rows})


def withdrawn(settings: CompanySettings) -> pl.DataFrame:
    """The customer rows that were entered by mistake: their end is known from the start."""
    return table(generated(settings, DAYS), "customers").drop_nulls("valid_to")


@pytest.mark.parametrize(
    ("kind", "name", "is_bad"),
    [
        ("unknown_contract", "customers", pl.col("contract") == "Weekly"),
        ("absurd_age", "customers", pl.col("age") == 213),
        ("negative_charges", "customers", pl.col("monthly_charges") < 0),
        ("future_signup", "customers", pl.col("signup_date") > pl.col("valid_from")),
        ("null_key", "customers", pl.col("customer_id").is_null()),
        ("duplicate_row", "customers", pl.col("customer_id").is_duplicated() & pl.col("valid_to").is_not_null()),
        ("negative_usage", "usage_daily", pl.col("data_mb") < 0),
        ("null_key", "usage_daily", pl.col("customer_id").is_null()),
        ("duplicate_row", "usage_daily", pl.struct("customer_id", "day").is_duplicated()),
        ("due_before_issue", "invoices", pl.col("due_on") < pl.col("issued_on")),
        ("null_key", "invoices", pl.col("invoice_id").is_null()),
        ("duplicate_row", "invoices", pl.col("invoice_id").is_duplicated()),
    ],
)
def test_a_fault_befalls_the_wanted_share_of_rows(kind: FaultKind, name: str, is_bad: pl.Expr) -> None:
    rows = table(generated(faulty(0.05, kind), DAYS), name)
    candidates = table(generated(CLEAN, DAYS), "usage_daily" if name == "customers" else name).height
    pairs = 2 if kind == "duplicate_row" and name != "customers" else 1

    assert rows.filter(is_bad).height / pairs == pytest.approx(0.05 * candidates, rel=0.25)
    assert table(generated(CLEAN, DAYS), name).filter(is_bad).is_empty()


def test_a_fault_not_asked_for_does_not_occur() -> None:
    days = generated(faulty(0.05, "absurd_age"), DAYS)

    assert_frame_equal(table(days, "usage_daily"), table(generated(CLEAN, DAYS), "usage_daily"))
    assert (withdrawn(faulty(0.05, "absurd_age"))["age"] == 213).all()


def test_good_customers_and_their_lives_stay_as_they_are() -> None:
    clean, dirty = generated(CLEAN, DAYS), generated(faulty(0.1), DAYS)

    kept = pl.col("valid_to").is_null()
    assert_frame_equal(table(dirty, "customers").filter(kept), table(clean, "customers"))
    for name in ("closed", "payments", "churns"):
        assert_frame_equal(table(dirty, name), table(clean, name))
    assert not withdrawn(faulty(0.1)).is_empty()


def test_a_stray_customer_is_valid_for_one_day_under_a_number_of_its_own() -> None:
    strays = withdrawn(faulty(0.1, "absurd_age", "unknown_contract", "future_signup"))

    assert (strays["valid_to"] - strays["valid_from"]).dt.total_days().eq(1).all()
    assert strays.select("customer_id", "valid_from").is_unique().all()
    assert not strays["customer_id"].is_in(versions(generated(CLEAN, DAYS))["customer_id"].implode()).any()
