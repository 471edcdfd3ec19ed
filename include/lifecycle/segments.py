"""Estimators that treat each segment (a country, a product) on its own, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

if TYPE_CHECKING:
    import pandas as pd


class SegmentModels(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fitted regressors, one for each value of a column, and one that answers for all other values.

    Parameters
    ----------
    column : the column that names the segment.
    models : fitted regressor by segment.
    otherwise : the fitted regressor of segments that are new, too young, or could not be fitted.
    """

    def __init__(self, column: str, models: Mapping[str, Any], otherwise: Any) -> None:
        self.column = column
        self.models = models
        self.otherwise = otherwise

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """A number for each row, from its segment's regressor; X has the column `column`."""
        predicted = np.empty(len(X))
        for name, rows in X.groupby(self.column).indices.items():
            estimator = self.models.get(str(name), self.otherwise)
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
