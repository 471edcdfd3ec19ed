"""A drift changes the company from its first day on, and nothing before."""

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from include.samples.settings import CompanySettings, Drift, DriftKind
from tests.unit.samples.worlds import FIRST_DAY, FLAWLESS, as_of, generated, mean, table, versions

STEADY = CompanySettings(customers=1500, seed=5, bad_rows=FLAWLESS)
DAYS = 45
START = 15
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)


def drifting(kind: DriftKind, strength: float = 1.0) -> CompanySettings:
    return STEADY.model_copy(update={"drift": Drift(kind=kind, start=START, strength=strength)})


@pytest.mark.parametrize("kind", ["price_rise", "competitor_offer", "new_payment_method"])
def test_days_before_the_drift_are_those_of_a_company_without_it(kind: DriftKind) -> None:
    for name in ("customers", "closed", "usage_daily", "invoices", "payments", "churns"):
        assert_frame_equal(
            table(generated(drifting(kind), DAYS)[:START], name), table(generated(STEADY, DAYS)[:START], name)
        )


def test_a_price_rise_gives_every_customer_a_new_version_with_higher_charges() -> None:
    customers = versions(generated(drifting("price_rise", strength=2), DAYS))
    start = FIRST_DAY + timedelta(days=START)

    before = as_of(customers, start - timedelta(days=1)).select("customer_id", old="monthly_charges")
    after = as_of(customers, start).filter(pl.col("valid_from") == start)
    raised = after.join(before, on="customer_id")

    assert raised.height > 0.98 * before.height
    assert (raised["monthly_charges"] / raised["old"]).to_numpy() == pytest.approx(1.3, abs=0.001)


def left_after_start(settings: CompanySettings, who: pl.Expr) -> int:
    """How many of those customers left after the drift began."""
    days = generated(settings, DAYS)
    plans = versions(days).unique("customer_id", keep="first", maintain_order=True)
    late = pl.col("churned_on") >= FIRST_DAY + timedelta(days=START)
    leavings = table(days, "churns").filter(late).join(plans, on="customer_id")
    return leavings.filter(who).height


IS_BOUND = pl.col("contract") != "Month-to-month"
HAS_FIBER = pl.col("internet_service") == "Fiber optic"


def test_a_competitor_buys_out_the_contracts_of_fiber_customers() -> None:
    offered = drifting("competitor_offer")

    bound, bound_before = (left_after_start(company, HAS_FIBER & IS_BOUND) for company in (offered, STEADY))

    assert bound > 5 * max(bound_before, 1)
    assert bound > left_after_start(offered, HAS_FIBER & ~IS_BOUND)


def test_a_competitor_that_buys_out_contracts_leaves_the_others_alone() -> None:
    offered = drifting("competitor_offer")

    assert left_after_start(offered, ~HAS_FIBER) < left_after_start(STEADY, ~HAS_FIBER)
    assert left_after_start(offered, ~IS_BOUND) < left_after_start(STEADY, ~IS_BOUND)


def test_a_new_payment_method_spreads_from_its_first_day() -> None:
    customers = versions(generated(drifting("new_payment_method"), DAYS))

    def share(day: int) -> float:
        methods = as_of(customers, FIRST_DAY + timedelta(days=day))["payment_method"]
        return mean(methods == "Instant transfer")

    assert share(START - 1) == 0
    assert 0 < share(START) < share(START + 10) < share(DAYS - 1)
    assert share(DAYS - 1) == pytest.approx(0.26, abs=0.05)


def test_a_drift_can_begin_on_a_named_date() -> None:
    dated = STEADY.model_copy(update={"drift": Drift(kind="price_rise", start=FIRST_DAY + timedelta(days=START))})

    assert_frame_equal(
        table(generated(dated, DAYS), "customers"), table(generated(drifting("price_rise"), DAYS), "customers")
    )
