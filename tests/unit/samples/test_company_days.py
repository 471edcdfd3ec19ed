"""The days of the sample company: the same every time, told in the order in which a company learns things."""

from dataclasses import fields
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from include.samples.company import Company, DayRows
from include.samples.settings import BadRows, CompanySettings, Drift
from tests.unit.samples.worlds import FIRST_DAY, FLAWLESS, as_of, generated, mean, table, versions

SMALL = CompanySettings(customers=800, seed=3, bad_rows=FLAWLESS)
DAYS = 40
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
FRAMES = [field.name for field in fields(DayRows) if field.name != "day"]


def assert_same(left: DayRows, right: DayRows) -> None:
    assert left.day == right.day
    for name in FRAMES:
        assert_frame_equal(getattr(left, name), getattr(right, name))


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    again = list(Company(SMALL, FIRST_DAY).days(FIRST_DAY, LAST_DAY))
    other = generated(SMALL.model_copy(update={"seed": 4}), 1)

    for left, right in zip(generated(SMALL, DAYS), again, strict=True):
        assert_same(left, right)
    assert not other[0].usage_daily.equals(again[0].usage_daily)


def test_the_rows_of_a_day_do_not_depend_on_which_other_days_are_generated() -> None:
    day = FIRST_DAY + timedelta(days=10)

    [alone] = Company(SMALL, FIRST_DAY).days(day, day)

    assert_same(alone, generated(SMALL, DAYS)[10])


def test_a_day_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="first day is 2026-03-01"):
        list(Company(SMALL, FIRST_DAY).days(FIRST_DAY - timedelta(days=1), FIRST_DAY))


def test_what_customers_do_does_not_depend_on_when_their_leaving_is_recorded() -> None:
    prompt = generated(SMALL.model_copy(update={"label_delay_days": 0}), DAYS)
    delayed = generated(SMALL, DAYS)

    assert_frame_equal(table(prompt, "usage_daily"), table(delayed, "usage_daily"))
    assert_frame_equal(table(prompt, "payments"), table(delayed, "payments"))
    leavings = [table(days, "churns").select("customer_id", "churned_on") for days in (prompt, delayed)]
    recorded_in_both = pl.col("churned_on").is_between(FIRST_DAY, LAST_DAY - timedelta(days=5))
    assert_frame_equal(*(rows.filter(recorded_in_both) for rows in leavings), check_row_order=False)


def test_a_leaving_is_known_only_after_the_delay() -> None:
    for rows in generated(SMALL, DAYS):
        assert (rows.churns["recorded_on"] == rows.day).all()
        assert (rows.churns["churned_on"] == rows.day - timedelta(days=5)).all()
    churns = table(generated(SMALL, DAYS), "churns")
    ends = versions(generated(SMALL, DAYS)).join(churns, on="customer_id").group_by("customer_id")
    last = ends.agg(pl.col("valid_to").max(), pl.col("recorded_on").first())
    assert last.height == churns.height > 20
    assert (last["valid_to"] == last["recorded_on"]).all()


def test_use_goes_on_to_the_day_before_the_leaving() -> None:
    usage = table(generated(SMALL, DAYS), "usage_daily").group_by("customer_id").agg(pl.col("day").max())
    churns = table(generated(SMALL, DAYS), "churns").filter(pl.col("churned_on") > FIRST_DAY)

    last = churns.join(usage, on="customer_id")

    assert last.height == churns.height > 20
    assert (last["day"] == last["churned_on"] - timedelta(days=1)).all()


def test_every_day_has_one_valid_version_of_each_customer_who_uses_the_service() -> None:
    customers = versions(generated(SMALL, DAYS))
    for rows in generated(SMALL, DAYS):
        valid = as_of(customers, rows.day)["customer_id"]
        users = rows.usage_daily["customer_id"]
        assert valid.is_unique().all()
        assert users.is_unique().all()
        assert users.is_in(valid.implode()).all()


def test_an_invoice_is_completed_once_on_the_day_of_its_payment() -> None:
    days = generated(SMALL, DAYS)
    invoices = table(days, "invoices").select("invoice_id", "issued_on", "due_on", known="paid_on")

    for rows in days:
        assert (rows.payments["paid_on"] == rows.day).all()
    paid = table(days, "payments").join(invoices, on="invoice_id")
    assert paid["invoice_id"].is_unique().all()
    assert paid["known"].is_null().all()
    assert (paid["paid_on"] > paid["issued_on"]).all()
    assert (paid["is_late"] == (paid["paid_on"] > paid["due_on"])).all()
    assert 0.02 < mean(paid["is_late"]) < 0.25


def test_customers_have_paid_for_their_whole_time_when_the_tables_begin() -> None:
    opening = generated(SMALL, DAYS)[0]
    paid = opening.invoices.drop_nulls("paid_on").group_by("customer_id").agg(pl.col("amount").sum())
    months = (pl.lit(FIRST_DAY) - pl.col("signup_date")).dt.total_days() / 30.44

    months_paid = opening.customers.join(paid, on="customer_id").select(
        pl.col("amount") / pl.col("monthly_charges") - months
    )

    assert months_paid.to_series().is_between(-2.5, 1.5).all()


@settings(max_examples=4, deadline=None)
@given(
    chosen=st.builds(
        CompanySettings,
        customers=st.just(200),
        seed=st.integers(0, 2**40),
        label_delay_days=st.integers(0, 12),
        new_customers_per_day=st.none() | st.floats(0, 5),
        drift=st.none()
        | st.builds(
            Drift,
            kind=st.sampled_from(("price_rise", "competitor_offer", "new_payment_method")),
            start=st.integers(0, 25),
            strength=st.floats(0.1, 5),
        ),
        bad_rows=st.builds(BadRows, rate=st.floats(0, 1)),
    )
)
def test_any_company_repeats_itself_and_keeps_its_tables_consistent(chosen: CompanySettings) -> None:
    days = generated(chosen, 20)

    assert_same(days[7], next(Company(chosen, FIRST_DAY).days(days[7].day, days[7].day)))
    for rows in days:
        assert (rows.usage_daily["day"] == rows.day).all()
        assert (rows.churns["recorded_on"] == rows.day).all()
        known = rows.invoices.select("issued_on", "paid_on").max()
        assert all(last is None or last <= rows.day for last in known.row(0))
        assert (rows.customers["valid_from"] <= rows.day).all()
