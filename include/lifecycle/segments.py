"""Estimators that treat each segment (a symbol, a country) on its own, or none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone

if TYPE_CHECKING:
    import pandas as pd


class PerSegment(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """One clone of a regressor for each value of a column; the others' rows never reach it.

    A segment with fewer than `min_rows` rows, or that was not there, is predicted by the clone fitted on all rows.

    Parameters
    ----------
    estimator : the regressor to clone.
    column : the column that names the segment.
    """

    def __init__(self, estimator: Any, column: str, min_rows: int = 50) -> None:
        self.estimator = estimator
        self.column = column
        self.min_rows = min_rows

    def fit(self, X: pd.DataFrame, y: NDArray[np.float64]) -> Self:
        """Fit the clone of all rows and those of the segments; X has the column `column`."""
        self.pooled_ = clone(self.estimator).fit(X, y)
        self.segments_ = {
            str(name): clone(self.estimator).fit(X.iloc[rows], y[rows])
            for name, rows in sorted(X.groupby(self.column).indices.items())
            if len(rows) >= self.min_rows
        }
        return self

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """A number for each row, from its segment's clone."""
        predicted = np.empty(len(X))
        for name, rows in X.groupby(self.column).indices.items():
            estimator = self.segments_.get(str(name), self.pooled_)
            predicted[rows] = estimator.predict(X.iloc[rows])
        return predicted


class Persistence(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Says that a column's present value stays as it is."""

    def __init__(self, column: str) -> None:
        self.column = column

    def fit(self, X: pd.DataFrame, y: NDArray[np.float64]) -> Self:
        """There is nothing to learn."""
        self.fitted_ = True
        return self

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """The column."""
        values: NDArray[np.float64] = X[self.column].to_numpy(dtype=np.float64)
        return values
