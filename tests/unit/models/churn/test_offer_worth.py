"""What a retention offer is worth follows the cost model that the threshold of the decision comes from."""

from __future__ import annotations

import polars as pl
import pytest

from include.models.churn.decisions import HIGH_RISK, offer_worth


def test_an_offer_costs_a_months_charges_and_keeps_one_in_three_leavers_for_twenty_months() -> None:
    rows = pl.DataFrame({"monthly_charges": [60.0, 60.0], "label": [0, 1]})

    assert rows.select(offer_worth()).to_series().to_list() == pytest.approx([-60.0, 340.0])


def test_an_offer_pays_back_exactly_from_the_threshold_on() -> None:
    rows = pl.DataFrame({"monthly_charges": [80.0] * 20, "label": [1] * 3 + [0] * 17})

    assert rows["label"].mean() == HIGH_RISK
    assert rows.select(offer_worth()).to_series().sum() == pytest.approx(0)
