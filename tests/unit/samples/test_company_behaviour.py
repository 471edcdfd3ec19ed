"""The sample company behaves like one: its mix of customers, and what comes before a leaving."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from include.samples.settings import CompanySettings
from tests.unit.samples.worlds import FIRST_DAY, FLAWLESS, as_of, generated, mean, table, versions

COMPANY = CompanySettings(customers=6000, bad_rows=FLAWLESS)
DAYS = 120


def on_day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def mean_use(day: date, days: int) -> pl.DataFrame:
    usage = table(generated(COMPANY, DAYS), "usage_daily")
    trailing = usage.filter(pl.col("day").is_between(day - timedelta(days=days - 1), day))
    return trailing.group_by("customer_id").agg(pl.col("data_mb", "call_minutes").mean().name.suffix(f"_{days}"))


def features(number: int) -> pl.DataFrame:
    """What is known at the end of a day of customers still here, and whether they leave within 30 days."""
    day = on_day(number)
    days = generated(COMPANY, DAYS)
    leavings = table(days, "churns").select("customer_id", "churned_on")
    paid = table(days[: number + 1], "payments").with_columns(
        pl.col("invoice_id").str.head(8).alias("customer_id")
    )
    return (
        as_of(versions(days), day)
        .join(mean_use(day, 7), on="customer_id", how="left")
        .join(mean_use(day, 28), on="customer_id", how="left")
        .join(paid.group_by("customer_id").agg(pl.col("is_late").mean()), on="customer_id", how="left")
        .join(leavings, on="customer_id", how="left")
        .filter(pl.col("churned_on").is_null() | (pl.col("churned_on") > day))
        .select(
            pl.col("contract", "internet_service", "payment_method").cast(pl.Categorical).to_physical(),
            "monthly_charges",
            "is_late",
            (pl.col("data_mb_7") / pl.col("data_mb_28")).alias("data_trend"),
            (pl.col("call_minutes_7") / pl.col("call_minutes_28")).alias("call_trend"),
            (pl.lit(day) - pl.col("signup_date")).dt.total_days().alias("tenure"),
            (pl.col("churned_on") <= day + timedelta(days=30)).fill_null(False).alias("leaves"),
        )
    )


def test_the_mix_of_customers_is_that_of_the_telco_data() -> None:
    opening = as_of(versions(generated(COMPANY, DAYS)), FIRST_DAY)
    shares = {
        ("contract", "Month-to-month"): 0.55,
        ("contract", "Two year"): 0.24,
        ("internet_service", "Fiber optic"): 0.44,
        ("internet_service", "No"): 0.22,
        ("payment_method", "Electronic check"): 0.34,
        ("paperless_billing", "Yes"): 0.59,
        ("partner", "Yes"): 0.48,
        ("multiple_lines", "Yes"): 0.42,
    }
    for (column, value), share in shares.items():
        assert (opening[column] == value).mean() == pytest.approx(share, abs=0.06), (column, value)
    assert opening["monthly_charges"].mean() == pytest.approx(65, abs=5)
    assert opening["senior_citizen"].mean() == pytest.approx(0.16, abs=0.03)
    assert opening.height == pytest.approx(6000, rel=0.05)


def test_between_three_and_six_percent_leave_each_month_and_signups_replace_them() -> None:
    days = generated(COMPANY, DAYS)
    active = [rows.usage_daily.height for rows in days]
    churned_on = table(days, "churns")["churned_on"]

    for month in range(3):
        left = churned_on.is_between(on_day(30 * month), on_day(30 * month + 29)).sum()
        assert 0.03 < left / active[30 * month] < 0.06
    assert active[-1] == pytest.approx(active[0], rel=0.08)


def test_leaving_follows_falling_use_but_most_whose_use_falls_stay() -> None:
    use = mean_use(on_day(60), 7).join(mean_use(on_day(60), 28), on="customer_id")
    trend = use.filter(pl.col("data_mb_28") > 0).select(
        "customer_id", fallen=pl.col("data_mb_7") / pl.col("data_mb_28") < 0.7
    )
    churns = table(generated(COMPANY, DAYS), "churns").filter(
        pl.col("churned_on").is_between(on_day(61), on_day(90))
    )
    leaves = trend["customer_id"].is_in(churns["customer_id"].implode())

    fallen_leave = mean(leaves.filter(trend["fallen"]))
    others_leave = mean(leaves.filter(~trend["fallen"]))

    assert fallen_leave > 3 * others_leave
    assert fallen_leave < 0.5


def test_an_honest_model_of_leaving_within_a_month_ranks_well_but_not_perfectly() -> None:
    past = pl.concat([features(number) for number in (35, 42, 49)])
    later = features(84)
    columns = [name for name in past.columns if name != "leaves"]

    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, learning_rate=0.08, random_state=0)
    with threadpool_limits(1):
        model.fit(past[columns].to_numpy(), past["leaves"])
        scores = model.predict_proba(later[columns].to_numpy())[:, 1]
    rate = past.group_by("contract").agg(pl.col("leaves").mean().alias("rate"))
    contract_scores = later.join(rate, on="contract", how="left", maintain_order="left")["rate"]

    assert 0.80 <= roc_auc_score(later["leaves"], scores) <= 0.88
    assert 0.62 <= roc_auc_score(later["leaves"], np.asarray(contract_scores)) <= 0.75
