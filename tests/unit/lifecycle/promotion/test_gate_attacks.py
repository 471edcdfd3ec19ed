"""Attacks on the gate: candidates that must not become champion, from rows to decision."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.promotion import evidence as gathering
from include.lifecycle.promotion.gate import GateDecision, evaluate_gate
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.holdout import Contender, Holdout, judgement_level
from include.lifecycle.specs import GateSegments, ModelSpec
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY
from tests.gate_evidence import gate_evidence, segment
from tests.specs import changed

DAY = date(2026, 3, 1)
CLASSIFIER = changed(
    CHURN,
    gate={"segments": (GateSegments(by="contract"),), "min_segment_rows": 200, "leakage_threshold": None},
)
REGRESSOR = changed(VOLATILITY, gate={"segments": (), "leakage_threshold": None, "references": {}})
BOTH = pytest.mark.parametrize("model", [CLASSIFIER, REGRESSOR], ids=lambda model: model.task)


def holdout_rows(model: ModelSpec, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """Rows of a holdout with a weak baseline, and what can be known of their labels."""
    random = np.random.default_rng(seed)
    cause = random.normal(size=1200)
    is_regression = model is REGRESSOR
    label = (
        cause + random.normal(size=1200) if is_regression else (random.random(1200) < _chance(cause)).astype(int)
    )
    rows = pl.DataFrame(
        {
            "customer_id": [f"C{number}" for number in range(1200)],
            "symbol": ["AAPL", "MSFT"] * 600,
            "dt": [DAY + timedelta(number // 12 if is_regression else 0) for number in range(1200)],
            "contract": random.choice(["Month-to-month", "One year", "Two year"], 1200),
            "label": label,
            "baseline_score": np.zeros(1200) if is_regression else np.full(1200, label.mean()),
        }
    )
    return rows.with_columns(candidate_score="baseline_score"), cause


def _chance(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


def scores_of(model: ModelSpec, cause: np.ndarray, noise: float = 0.0, seed: int = 9) -> pl.Series:
    """Scores that know the cause up to a noise."""
    known = cause + noise * np.random.default_rng(seed).normal(size=len(cause))
    return pl.Series(known if model is REGRESSOR else _chance(known))


def judged(
    model: ModelSpec, rows: pl.DataFrame, candidate: pl.Series, champion: pl.Series, judgement: int = 1
) -> GateDecision:
    """The decision on scores, as if version 2 had given the candidate's and version 1 the champion's."""
    given = {2: candidate, 1: champion}

    class Scored(Holdout):
        def scores(self, contender: Contender) -> pl.Series:
            return given[contender.version]

        def overlap(self, contender: Contender) -> tuple[str, ...]:
            return ()

    holdout = Scored(model, "", rows, DAY, "time")
    contenders = [Contender(who, version, DAY, None) for who, version in (("candidate", 2), ("champion", 1))]
    level = judgement_level(judgement)
    asked = gathering._asked(holdout, [], 2) | {"judgement": judgement, "gain_level": level}
    measured = gathering._compare(holdout, contenders[0], contenders[1], level)
    return evaluate_gate(GateEvidence(**asked, **measured, champion_version=1, champion_age_days=7))


@BOTH
def test_swapping_candidate_and_champion_flips_the_verdict(model: ModelSpec) -> None:
    rows, cause = holdout_rows(model)
    good, poor = scores_of(model, cause), scores_of(model, cause, noise=1)

    assert judged(model, rows, good, poor).action == "promote"
    assert judged(model, rows, poor, good).action == "keep"


@BOTH
def test_a_candidate_that_is_the_champion_s_twin_is_refused(model: ModelSpec) -> None:
    rows, cause = holdout_rows(model)
    scores = scores_of(model, cause)

    decision = judged(model, rows, scores, scores)

    assert decision.action == "keep"
    assert decision.evidence.gain == decision.evidence.gain_lower_bound == 0


def test_the_champion_itself_is_refused() -> None:
    decision = evaluate_gate(gate_evidence(candidate_version=7))

    assert (decision.action, decision.reasons) == ("keep", ("The candidate, version 7, is the champion itself.",))


def test_a_gain_of_a_billionth_on_every_day_is_certain_and_still_refused() -> None:
    rows, cause = holdout_rows(REGRESSOR)
    champion = scores_of(REGRESSOR, cause, noise=0.1)
    candidate = champion + (rows["label"] - champion) * 1e-9

    decision = judged(REGRESSOR, rows, candidate, champion)

    assert 0 < (decision.evidence.gain_lower_bound or 0) < 1e-8
    assert decision.action == "keep"
    assert judged(changed(REGRESSOR, gate={"min_gain": 0.0}), rows, candidate, champion).action == "promote"


def test_a_candidate_that_is_better_overall_but_worse_for_one_segment_is_refused() -> None:
    rows, cause = holdout_rows(CLASSIFIER)
    chosen = rows["contract"] == "Two year"
    good, blind = (scores_of(CLASSIFIER, known * cause, noise=0.3) for known in (1, 0))
    candidate, champion = good.zip_with(~chosen, blind), good.zip_with(chosen, blind)

    decision = judged(CLASSIFIER, rows, candidate, champion)

    assert (decision.evidence.gain_lower_bound or 0) > CLASSIFIER.gate.min_gain
    assert decision.action == "keep"
    assert any("loses more than 0.02 beyond chance in Two year" in reason for reason in decision.reasons)


def test_a_segment_that_judged_the_champion_and_is_missing_now_refuses() -> None:
    decision = evaluate_gate(gate_evidence(segments=(segment("Month-to-month"), segment("under 30", by="age"))))

    assert decision.action == "keep"
    assert decision.reasons == (
        "Segments by contract: the holdout has no rows of Two year, which judged the champion.",
    )


def test_a_holdout_without_the_column_of_the_segments_refuses() -> None:
    rows, cause = holdout_rows(CLASSIFIER)
    good, poor = scores_of(CLASSIFIER, cause), scores_of(CLASSIFIER, cause, noise=1)

    decision = judged(CLASSIFIER, rows.drop("contract"), good, poor)

    assert decision.reasons == ("Segments by contract: none were measured.",)


def test_a_holdout_so_small_that_no_segment_can_be_judged_refuses_and_says_what_to_do() -> None:
    rows, cause = holdout_rows(CLASSIFIER)
    good, poor = scores_of(CLASSIFIER, cause), scores_of(CLASSIFIER, cause, noise=1)

    decision = judged(changed(CLASSIFIER, gate={"min_segment_rows": rows.height}), rows, good, poor)

    assert decision.action == "keep"
    [reason] = decision.reasons
    assert reason.startswith("Segments by contract: none of 3 can be judged; the largest, ")
    assert f"rows, but at least {rows.height} are needed, so train on more rows" in reason


@pytest.mark.parametrize("outcome", [0, 1])
def test_a_holdout_of_one_class_only_refuses(outcome: int) -> None:
    rows, cause = holdout_rows(CLASSIFIER)
    good, poor = scores_of(CLASSIFIER, cause), scores_of(CLASSIFIER, cause, noise=1)

    decision = judged(CLASSIFIER, rows.with_columns(label=pl.lit(outcome)), good, poor)

    assert decision.action == "keep"
    assert any(reason.startswith("The holdout has") for reason in decision.reasons)


@BOTH
@pytest.mark.parametrize("share", [0.001, 1.0])
def test_scores_that_are_no_numbers_refuse(model: ModelSpec, share: float) -> None:
    rows, cause = holdout_rows(model)
    good, poor = scores_of(model, cause), scores_of(model, cause, noise=1)
    spoilt = pl.Series(np.where(np.arange(len(good)) < share * len(good), np.nan, good))

    decision = judged(model, rows, spoilt, poor)

    assert decision.action == "keep"
    assert any("could not score the holdout" in reason for reason in decision.reasons)


@BOTH
def test_constant_scores_refuse_also_where_they_beat_a_bad_baseline_and_a_bad_champion(model: ModelSpec) -> None:
    rows, cause = holdout_rows(model)
    bad = scores_of(model, -cause)
    constant = pl.Series(np.full(len(cause), rows["label"].to_numpy().mean()))

    decision = judged(model, rows.with_columns(baseline_score=bad), constant, bad)

    assert (decision.evidence.gain_lower_bound or 0) > model.gate.min_gain
    assert decision.action == "keep"
    assert "The candidate gives all rows the same score, so it tells none from another." in decision.reasons


@BOTH
def test_scores_that_order_well_and_promise_the_wrong_level_are_refused(model: ModelSpec) -> None:
    rows, cause = holdout_rows(model)
    good, poor = scores_of(model, cause), scores_of(model, 0 * cause, noise=0.1)
    shifted = good + 0.5 if model is REGRESSOR else good**0.25

    decision = judged(model, rows, shifted, poor)

    assert (decision.evidence.gain_lower_bound or 0) > model.gate.min_gain
    assert decision.action == "keep"
    assert any("is above the limit of" in reason for reason in decision.reasons)


def test_a_seed_tried_until_it_wins_meets_a_wider_interval_each_time() -> None:
    """Candidates no better than the champion: by the uncorrected interval one wins, by the counted one none."""
    rows, cause = holdout_rows(REGRESSOR)
    champion = scores_of(REGRESSOR, cause, noise=0.5)
    model = changed(REGRESSOR, gate={"min_gain": 0.0})
    candidates = [scores_of(REGRESSOR, cause, noise=0.5, seed=seed) for seed in range(100, 115)]

    alone = [judged(model, rows, candidate, champion).action for candidate in candidates]
    counted = [
        judged(model, rows, each, champion, number).action for number, each in enumerate(candidates, start=1)
    ]

    assert "promote" in alone
    assert set(counted) == {"keep"}


def test_a_lower_end_is_measured_at_the_level_that_the_count_leaves() -> None:
    rows, cause = holdout_rows(CLASSIFIER)
    good, poor = scores_of(CLASSIFIER, cause), scores_of(CLASSIFIER, cause, noise=0.5)

    first, fifth = (judged(CLASSIFIER, rows, good, poor, number).evidence for number in (1, 5))

    assert (first.gain_level, fifth.gain_level) == (0.05, 0.002)
    assert (fifth.gain_lower_bound or 0) < (first.gain_lower_bound or 0)
    scored = rows.with_columns(candidate=good, champion=poor)
    assert fifth.gain_lower_bound == task_of(CLASSIFIER).gain(scored, "candidate", "champion", 0.002).lower_bound
