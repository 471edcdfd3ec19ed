"""The one way in which features reach an estimator: in training, in the gate and in scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

    from include.lifecycle.specs import ModelSpec

MISSING = "missing"


def to_matrix(frame: pl.DataFrame, model: ModelSpec) -> pd.DataFrame:
    """The model's features as its estimators expect them, in the order of `model.features`.

    Numeric columns become float64 with NaN where a value is missing, categorical ones text with the category
    `"missing"`, also where a number is NaN. Other columns of `frame` are left out.

    Raises
    ------
    ValueError
        If `frame` lacks a feature.
    """
    absent = [name for name in model.features if name not in frame.columns]
    if absent:
        raise ValueError(
            f"The features lack {absent}, which model {model.name!r} reads; build the features of the day again, "
            "or correct the model's `numeric` and `categorical`."
        )
    return frame.select(
        pl.col(model.numeric).cast(pl.Float64).fill_null(float("nan")),
        *(_as_text(name, frame.schema) for name in model.categorical),
    ).to_pandas()


def segment_names(model: ModelSpec, schema: pl.Schema) -> pl.Expr:
    """The segment of each row as text, as `to_matrix` writes categorical columns: missing is one, too."""
    return _as_text(str(model.segments.by), schema)


def _as_text(name: str, schema: pl.Schema) -> pl.Expr:
    known = pl.col(name).fill_nan(None) if schema[name].is_float() else pl.col(name)
    return known.cast(pl.String).fill_null(MISSING)


def predict(estimator: Any, frame: pl.DataFrame, model: ModelSpec) -> NDArray[np.float64]:
    """The score of each row of `frame`, as the estimator sees its features."""
    return task_of(model).predict(estimator, to_matrix(frame, model))
