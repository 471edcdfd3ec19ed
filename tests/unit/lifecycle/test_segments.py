"""One estimator per segment, and the naive one that lets things stay as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from include.lifecycle.segments import PerSegment, Persistence


class OnX(LinearRegression):  # type: ignore[misc]
    """A linear regression on the column `x` alone."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> OnX:
        return super().fit(X[["x"]], y)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict(X[["x"]])


def frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Two segments with opposite slopes, interleaved, and one with a single row."""
    x = np.arange(100.0)
    names = np.where(np.arange(100) % 2 == 0, "up", "down")
    labels = np.where(names == "up", x, -x)
    table = pd.DataFrame({"x": [*x, 5.0], "symbol": [*names, "rare"]})
    return table, np.append(labels, 0.0)


def test_each_segment_is_predicted_by_what_was_learnt_from_it_alone() -> None:
    table, labels = frame()

    predicted = PerSegment(OnX(), "symbol", min_rows=10).fit(table, labels).predict(table)

    np.testing.assert_allclose(predicted[:100], labels[:100], atol=1e-9)


def test_a_small_or_unknown_segment_is_predicted_by_what_was_learnt_from_all() -> None:
    table, labels = frame()
    estimator = PerSegment(OnX(), "symbol", min_rows=10).fit(table, labels)
    pooled = OnX().fit(table, labels)
    unknown = pd.DataFrame({"x": [1.0, 2.0], "symbol": ["rare", "new"]})

    assert set(estimator.segments_) == {"up", "down"}
    np.testing.assert_array_equal(estimator.predict(unknown), pooled.predict(unknown))


def test_persistence_says_the_column() -> None:
    table, labels = frame()

    np.testing.assert_array_equal(Persistence("x").fit(table, labels).predict(table), table["x"])
