"""How large errors will be, by the scale of the interval, before any label is known.

The interval of a prediction is a multiple of a feature that errors are proportional to (Lei et al. 2018,
"Distribution-free predictive inference for regression"). So the errors of the holdout, in units of that scale, say
what to expect of rows whose scale is known. What the scores are worth by now does not follow from it.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling.tasks import Expected

FEWEST_DAYS = 20


def scaled_errors(holdout: pl.DataFrame, score: str, scale: str) -> pl.DataFrame:
    """By day of a holdout, the mean `absolute` and the mean `squared` error of a column, in units of `scale`.

    Rows without a scale are left out, as where the interval is fitted.
    """
    error = (pl.col("label") - pl.col(score)) / pl.col(scale)
    scaled = holdout.filter(pl.col(scale) > 0).group_by("dt")
    return scaled.agg(absolute=error.abs().mean(), squared=(error**2).mean()).sort("dt")


def expected_errors(scale: pl.Series, daily: pl.DataFrame) -> dict[str, Expected]:
    """`rmse` and `mae` of rows of such a scale, if errors are to it as on the days of `scaled_errors`.

    Rows of a day move together, and labels of neighbouring days overlap, so a week counts as one more day: the
    interval holds what 95 % of the days would have given.
    """
    known = scale.filter(scale > 0).to_numpy()
    size, power = float(known.mean()), float((known**2).mean())
    absolute, squared = size * daily["absolute"].to_numpy(), power * daily["squared"].to_numpy()
    return {
        "rmse": _expected(np.sqrt(squared), float(np.sqrt(squared.mean()))),
        "mae": _expected(absolute, float(absolute.mean())),
    }


def _expected(errors: NDArray[np.float64], value: float) -> Expected:
    low, high = np.quantile(errors, [0.025, 0.975])
    return Expected(value=value, lower_bound=float(low), upper_bound=float(high))
