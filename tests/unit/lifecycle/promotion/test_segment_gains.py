"""What a candidate gains over the champion in each part of the holdout."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.bootstrap import LEVEL
from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion.gate_evidence import SegmentGain
from include.lifecycle.promotion.segment_gains import judged_segments, segment_gains
from include.lifecycle.specs import GateSegments, ModelSpec
from include.models.churn import CHURN
from include.models.returns import RETURNS
from tests.gate_evidence import gate_evidence, segment
from tests.specs import changed


def customers(rows: int = 3000, seed: int = 1) -> pl.DataFrame:
    """Candidate and champion know the same of customers in general, and each more of one contract."""
    random = np.random.default_rng(seed)
    cause = random.normal(size=rows)
    frame = pl.DataFrame(
        {
            "customer_id": [f"C{number}" for number in range(rows)],
            "dt": [date(2026, 1, 1)] * rows,
            "contract": random.choice(["Month-to-month", "One year", "Two year"], rows),
            "age": random.integers(18, 90, rows).astype(float),
            "label": (cause + random.normal(size=rows) > 0.5).astype("int8"),
        }
    )
    knows = {"candidate": "One year", "champion": "Two year"}
    return frame.with_columns(
        **{
            who: _probability(cause + np.where(frame["contract"] == contract, 0.5, 2) * random.normal(size=rows))
            for who, contract in knows.items()
        }
    )


def _probability(value: np.ndarray) -> pl.Series:
    return pl.Series(1 / (1 + np.exp(-value)))


def model(*segments: GateSegments, **gate: Any) -> ModelSpec:
    return changed(CHURN, gate={"segments": segments, "min_segment_rows": 200, **gate})


def by_name(found: tuple[SegmentGain, ...]) -> dict[str, SegmentGain]:
    return {segment.name: segment for segment in found}


def test_a_loss_in_one_segment_is_seen_though_another_one_gains_as_much() -> None:
    found = by_name(segment_gains(model(GateSegments(by="contract")), customers()))

    assert list(found) == ["Month-to-month", "One year", "Two year"]
    assert found["One year"].gain == pytest.approx(-float(found["Two year"].gain or 0), abs=0.1)
    assert (found["Two year"].upper_bound or 0) < -0.05
    assert (found["Month-to-month"].upper_bound or 0) > 0


def test_the_bands_of_a_number_begin_at_its_cuts_and_missing_numbers_are_a_segment() -> None:
    ages = [10.0, 29.9, 30.0, 59.0, 60.0, 80.0, None, float("nan")]
    rows = customers(800).with_columns(age=pl.Series(ages * 100))

    found = segment_gains(model(GateSegments(by="age", cuts=(30, 60))), rows)

    names = ["under 30", "30 to under 60", "60 and over", "missing"]
    assert [(segment.name, segment.rows, segment.shortfall) for segment in found] == [
        (name, 200, None) for name in names
    ]


def test_a_segment_alone_has_an_interval_as_wide_as_that_of_all_rows() -> None:
    rows = customers().filter(contract="One year")

    [found] = segment_gains(model(GateSegments(by="contract")), rows)

    assert found.upper_bound == task_of(CHURN).gain(rows, "candidate", "champion", LEVEL).upper_bound


def test_rows_that_the_champion_could_not_score_gain_nothing() -> None:
    [found] = segment_gains(
        model(GateSegments(by="contract")), customers().filter(contract="One year").drop("champion")
    )

    assert (found.gain, found.upper_bound, found.shortfall) == (None, None, None)


def test_a_single_cut_makes_two_bands() -> None:
    found = segment_gains(model(GateSegments(by="age", cuts=(50.5,))), customers())

    assert [segment.name for segment in found] == ["under 50.5", "50.5 and over"]


def test_a_segment_that_is_too_small_or_has_outcomes_of_one_kind_is_named_with_what_it_lacks() -> None:
    rows = customers()
    rows = pl.concat([rows.filter(contract="One year").head(199), rows.filter(contract="Two year", label=0)])

    found = by_name(segment_gains(model(GateSegments(by="contract")), rows))

    assert found["One year"].shortfall == "199 rows, but at least 200 are needed"
    assert str(found["Two year"].shortfall).startswith("0 rows with label 1")
    assert {segment.gain for segment in found.values()} == {None}


def test_the_more_segments_are_judged_the_wider_is_the_interval_of_each() -> None:
    rows = customers()
    alone = by_name(segment_gains(model(GateSegments(by="contract")), rows.filter(contract="One year")))
    among = by_name(segment_gains(model(GateSegments(by="contract"), GateSegments(by="age", cuts=(30, 60))), rows))

    assert alone["One year"].gain == among["One year"].gain
    assert (alone["One year"].upper_bound or 0) < (among["One year"].upper_bound or 0)


def test_harmless_candidates_are_seldom_said_to_lose_in_one_of_many_segments() -> None:
    """Candidate and champion are of the same worth in ten segments; judged each alone, one in five would lose."""
    spec = changed(RETURNS, gate={"segments": (GateSegments(by="part"),), "min_segment_rows": 60})
    lost = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        days = [date(2026, 1, 1) + timedelta(number) for number in range(80)]
        rows = pl.DataFrame({"dt": days * 10, "part": np.repeat(range(10), 80), "label": np.zeros(800)})
        scores = {who: pl.Series(random.normal(size=800)) for who in ("candidate", "champion")}
        found = segment_gains(spec, rows.with_columns(**scores))
        lost += any((segment.upper_bound or 0) < 0 for segment in found)

    assert lost <= 4


def test_without_a_champion_segments_are_named_and_nothing_is_gained_in_them() -> None:
    found = segment_gains(model(GateSegments(by="contract")), customers().drop("champion"))

    assert [segment.gain for segment in found] == [None, None, None]
    assert [segment.shortfall for segment in found] == [None, None, None]


def test_a_column_that_the_holdout_lacks_has_no_segments() -> None:
    assert segment_gains(model(GateSegments(by="contract")), customers().drop("contract")) == ()


def test_the_segments_of_a_regression_are_compared_by_its_own_gain() -> None:
    random = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "symbol": ["AAPL", "MSFT"] * 300,
            "dt": [date(2026, 1, 1) + timedelta(number // 2) for number in range(600)],
            "label": random.normal(size=600),
        }
    )
    worse = pl.when(symbol="AAPL").then(1.0).otherwise(0.1)
    rows = rows.with_columns(candidate=pl.col("label") + worse, champion=pl.col("label") + 0.5)
    spec = changed(RETURNS, gate={"segments": (GateSegments(by="symbol"),)})

    found = by_name(segment_gains(spec, rows))

    assert found["AAPL"].gain == task_of(RETURNS).gain(rows.filter(symbol="AAPL"), "candidate", "champion").value
    assert found["AAPL"].upper_bound == pytest.approx(-3)
    assert found["MSFT"].upper_bound == pytest.approx(0.96)


def test_a_segment_that_judged_the_champion_is_looked_for_only_while_its_column_is_cut_as_it_was_then() -> None:
    asked = (GateSegments(by="contract"), GateSegments(by="age", cuts=(30, 60)))
    judged = (segment("Two year"), segment("One year", shortfall="too few rows"), segment("under 30", by="age"))
    evidence = gate_evidence(limits={"segments": asked}, segments=judged).model_dump(mode="json")

    assert judged_segments(model(*asked), evidence) == (("contract", "Two year"), ("age", "under 30"))
    other_cuts = model(GateSegments(by="contract"), GateSegments(by="age", cuts=(40,)))
    assert judged_segments(other_cuts, evidence) == (("contract", "Two year"),)
    assert judged_segments(model(), evidence) == ()


def test_a_verdict_from_before_segments_were_judged_names_none() -> None:
    evidence = {"metric": "roc_auc", "holdout_rows": 5, "candidate_version": 1}

    assert judged_segments(model(GateSegments(by="contract")), evidence) == ()
