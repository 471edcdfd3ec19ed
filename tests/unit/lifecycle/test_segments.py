"""One estimator per segment, and the naive one that lets things stay as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor

from include.lifecycle.segments import Persistence, SegmentModels


def constant(number: float) -> DummyRegressor:
    """A fitted regressor that always says the number."""
    return DummyRegressor(strategy="constant", constant=number).fit([[0.0]], [0.0])


def test_each_segment_is_answered_by_its_own_model_and_others_by_the_common_one() -> None:
    table = pd.DataFrame({"symbol": ["A", "new", "B", "A"], "x": np.zeros(4)})
    models = SegmentModels("symbol", {"A": constant(1), "B": constant(2)}, constant(9))

    np.testing.assert_array_equal(models.predict(table), [1, 9, 2, 1])


def test_persistence_says_the_column() -> None:
    table = pd.DataFrame({"x": [1.0, -2.0]})

    np.testing.assert_array_equal(Persistence("x").fit(table, np.zeros(2)).predict(table), [1, -2])
