"""Importance says which features a model owes its metric to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from include.lifecycle.modelling import importance
from include.lifecycle.modelling.importance import permutation_importance
from tests.specs import people_model

MODEL = people_model(numeric=("strong", "weak", "noise"), categorical=("plan",))


@dataclass(frozen=True)
class Logistic:
    """A known model: `noise` and `plan` do nothing."""

    def predict_proba(self, matrix: Any) -> Any:
        probability = 1 / (1 + np.exp(1 - 2 * matrix["strong"].to_numpy() - 0.6 * matrix["weak"].to_numpy()))
        return np.column_stack([1 - probability, probability])


def rows(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {name: rng.normal(size=count) for name in MODEL.numeric} | {"plan": ["a", "b"] * (count // 2)}
    )
    label = rng.random(count) < Logistic().predict_proba(frame)[:, 1]
    return frame.with_columns(label=pl.Series(label.astype(np.int8)), baseline_score=pl.lit(0.3))


def test_the_features_that_the_model_goes_by_are_found_with_their_range() -> None:
    found = permutation_importance(MODEL, Logistic(), rows(2000), seed=1)

    strong, weak = found.features["strong"], found.features["weak"]
    assert strong.mean > weak.mean > 0
    assert 0 < strong.low <= strong.mean <= strong.high
    assert weak.low < weak.high
    for name in ("noise", "plan"):
        assert (found.features[name].low, found.features[name].mean, found.features[name].high) == (0, 0, 0)


def test_it_says_what_was_measured_on_how_many_rows_and_how_often() -> None:
    found = permutation_importance(MODEL, Logistic(), rows(400), seed=1)

    assert (found.metric, found.rows, found.repeats) == ("average_precision", 400, importance.REPEATS)
    assert tuple(found.features) == MODEL.features


def test_no_more_than_the_stated_rows_are_shuffled(monkeypatch: Any) -> None:
    monkeypatch.setattr(importance, "MAX_ROWS", 300)

    assert permutation_importance(MODEL, Logistic(), rows(400), seed=1).rows == 300


def test_the_same_rows_and_seed_give_the_same_figures(monkeypatch: Any) -> None:
    monkeypatch.setattr(importance, "MAX_ROWS", 300)
    first, again, other = (permutation_importance(MODEL, Logistic(), rows(400), seed) for seed in (1, 1, 2))

    assert first == again != other
