"""Reasons name what brought a score about, in the order of its weight, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling import reasons
from include.lifecycle.modelling.estimator_input import predict
from include.lifecycle.modelling.reasons import (
    REASONS,
    UsualValues,
    as_read,
    contributions,
    reasons_of,
    usual_values,
)
from include.lifecycle.specs import ModelSpec, ReasonsSpec
from tests.specs import changed, people_model

OTHERWISE = "Several things together"
NUMBERS = ("calls", "debt", "age", "visits")
PLANS = {"monthly": 0.30, "yearly": 0.10, "long": 0.0}
WEIGHTS = {"calls": -0.01, "debt": 0.03, "age": 0.02, "visits": 0.0}
MODEL = people_model(
    numeric=NUMBERS,
    categorical=("plan",),
    reasons=ReasonsSpec(
        column="act",
        directions={True: 1},
        words={name: f"{name} {{value:.0f}} not {{usual:.0f}}" for name in NUMBERS} | {"plan": "plan {value}"},
        otherwise=OTHERWISE,
    ),
)


@dataclass(frozen=True)
class Additive:
    """A probability that is a sum of what each feature adds, so that it is known what each contributes."""

    base: float = 0.1

    def predict_proba(self, matrix: Any) -> Any:
        probability = self.base + matrix["plan"].map(PLANS).to_numpy(dtype=float)
        for name, weight in WEIGHTS.items():
            probability = probability + weight * matrix[name].to_numpy()
        return np.column_stack([1 - probability, probability])


@dataclass(frozen=True)
class Known:
    """A classifier with a given probability, from the row's features."""

    probability: Any

    def predict_proba(self, matrix: Any) -> Any:
        probability = self.probability(matrix).to_numpy(dtype=float)
        return np.column_stack([1 - probability, probability])


def people(**columns: Any) -> pl.DataFrame:
    """Rows of the features, one column or more given, the others as usual."""
    rows = max(len(values) for values in columns.values())
    usual = {"calls": 10.0, "debt": 2.0, "age": 5.0, "visits": 1.0, "plan": "yearly"}
    return pl.DataFrame({name: columns.get(name, [value] * rows) for name, value in usual.items()})


def decided(rows: pl.DataFrame, estimator: Any = Additive(), act: bool | list[bool] = True) -> pl.DataFrame:
    """The rows with their scores, and whether somebody acts on them."""
    score = predict(estimator, rows, MODEL)
    acts = [act] * rows.height if isinstance(act, bool) else act
    return rows.with_columns(score=pl.Series(score), act=pl.Series(acts))


USUAL = {
    **{
        name: UsualValues(values=(value,), shares=(1.0,))
        for name, value in {"calls": 10.0, "debt": 2.0, "age": 5.0, "visits": 1.0}.items()
    },
    "plan": UsualValues(values=("monthly", "yearly", "long"), shares=(0.5, 0.25, 0.25)),
}


def test_of_an_additive_model_the_contributions_are_what_each_feature_adds() -> None:
    rows = decided(people(calls=[4.0, 20.0], debt=[5.0, 2.0], plan=["monthly", "long"]))

    found = contributions(MODEL, as_read(MODEL, rows).with_columns(rows["score"]), Additive(), USUAL)

    mean_plan = 0.5 * 0.30 + 0.25 * 0.10
    expected = [[0.06, 0.09, 0.0, 0.0, 0.30 - mean_plan], [-0.10, 0.0, 0.0, 0.0, -mean_plan]]
    # In the order of USUAL: calls, debt, age, visits, plan.
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_the_true_contributors_are_named_in_the_order_of_their_weight_and_no_more_than_three() -> None:
    rows = decided(people(calls=[4.0], debt=[5.0], age=[7.0], visits=[99.0], plan=["monthly"]))

    named = reasons_of(MODEL, rows, Additive(), USUAL)

    assert named.columns == list(REASONS)
    assert named.row(0) == ("plan monthly", "debt 5 not 2", "calls 4 not 10")


def test_what_most_rows_have_is_a_reason_too_where_it_raises_the_score() -> None:
    # Half of all pay by the month: the most frequent plan, and the riskiest.
    rows = decided(people(plan=["monthly"]))

    assert reasons_of(MODEL, rows, Additive(), USUAL).row(0) == ("plan monthly", None, None)


@pytest.mark.parametrize("seed", range(5))
def test_no_feature_that_lowers_the_score_is_ever_named(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(5, 4, 200).round() for name in NUMBERS}
    rows = decided(people(**drawn, plan=rng.choice(list(PLANS), 200).tolist()))

    named = reasons_of(MODEL, rows, Additive(), USUAL)

    mean_plan = sum(share * PLANS[str(plan)] for plan, share in zip(*_plan_shares(), strict=True))
    for row, said in zip(rows.to_dicts(), named.rows(), strict=True):
        added = {name: WEIGHTS[name] * (row[name] - float(USUAL[name].values[0])) for name in NUMBERS}
        added["plan"] = PLANS[row["plan"]] - mean_plan
        raising = sorted((name for name in added if added[name] > 1e-9), key=lambda name: -added[name])[:3]
        found = [sentence.split()[0] for sentence in said if sentence and sentence != OTHERWISE]
        assert [added[name] for name in found] == pytest.approx([added[name] for name in raising])
        assert all(added[name] > 0 for name in found)


def _plan_shares() -> tuple[tuple[float | str, ...], tuple[float, ...]]:
    return USUAL["plan"].values, USUAL["plan"].shares


def test_where_a_low_score_is_acted_on_what_lowers_it_is_named() -> None:
    spec = ReasonsSpec(
        column="signal", directions={"BUY": 1, "SELL": -1}, words={"debt": "debt", "calls": "calls"}, otherwise=""
    )
    rows = decided(people(calls=[4.0, 20.0, 4.0], debt=[5.0, 5.0, 5.0]))
    rows = rows.with_columns(signal=pl.Series(["BUY", "SELL", "HOLD"]))

    named = reasons_of(changed(MODEL, reasons=spec), rows, Additive(), USUAL)

    assert named.rows() == [("debt", "calls", None), ("calls", None, None), (None, None, None)]


def test_rows_that_nobody_acts_on_have_no_reasons() -> None:
    rows = decided(people(debt=[9.0, 9.0, 9.0]), act=[False, True, False])

    assert reasons_of(MODEL, rows, Additive(), USUAL)["reason_1"].to_list() == [None, "debt 9 not 2", None]


def test_a_missing_value_is_no_reason() -> None:
    estimator = Known(lambda matrix: 0.2 + 0.5 * matrix["debt"].isna() + 0.1 * (matrix["plan"] == "missing"))
    rows = decided(people(debt=[None, float("nan")], plan=["yearly", None]), estimator)

    assert reasons_of(MODEL, rows, estimator, USUAL).rows() == [(OTHERWISE, None, None)] * 2


def test_where_nothing_stands_out_the_reason_says_so() -> None:
    rows = decided(people(calls=[10.0], plan=["long"]))

    assert reasons_of(MODEL, rows, Additive(), USUAL).row(0) == (OTHERWISE, None, None)


def test_features_without_words_are_never_named() -> None:
    spec = changed(MODEL.reasons, words={"calls": "calls"})  # type: ignore[type-var]
    rows = decided(people(calls=[4.0], debt=[50.0]))

    assert reasons_of(changed(MODEL, reasons=spec), rows, Additive(), USUAL).row(0) == ("calls", None, None)


@pytest.mark.parametrize("model", [MODEL, changed(MODEL, reasons=None)])
def test_without_usual_values_all_reasons_are_null_and_of_texts(model: ModelSpec) -> None:
    named = reasons_of(model, decided(people(debt=[9.0, 9.0])), Additive(), {})

    assert named.rows() == [(None, None, None)] * 2
    assert set(named.schema.values()) == {pl.String}


def test_no_rows_have_no_reasons() -> None:
    rows = decided(people(debt=[9.0])).clear()

    assert reasons_of(MODEL, rows, Additive(), USUAL).shape == (0, 3)


def test_a_slice_at_a_time_gives_the_reasons_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows = decided(people(**{name: rng.normal(5, 4, 50).round() for name in NUMBERS}))
    whole = reasons_of(MODEL, rows, Additive(), USUAL)

    monkeypatch.setattr(reasons, "_SLICE_ROWS", 7)

    assert reasons_of(MODEL, rows, Additive(), USUAL).equals(whole)


def test_usual_values_are_medians_and_the_shares_of_texts_by_frequency_then_name() -> None:
    rows = people(
        calls=[1.0, 2.0, float("nan"), None, 9.0], plan=["b", None, "a", "c", "c"], visits=[None] * 5
    ).with_columns(pl.col("visits").cast(pl.Float64))

    usual = usual_values(MODEL, rows)

    assert usual["calls"] == UsualValues(values=(2.0,), shares=(1.0,))
    assert usual["plan"] == UsualValues(values=("c", "a", "b"), shares=(0.5, 0.25, 0.25))
    assert "visits" not in usual
    assert usual_values(changed(MODEL, reasons=None), rows) == {}


def test_of_many_texts_the_most_frequent_stand_for_all() -> None:
    rows = people(plan=[f"p{number:02}" for number in range(40)] + ["p07", "p07"])

    plan = usual_values(MODEL, rows)["plan"]

    assert plan.values[:2] == ("p07", "p00")
    assert len(plan.values) == 12
    assert sum(plan.shares) == pytest.approx(1)
