"""Models that predict a number, judged by their skill over a naive baseline on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.kinds import Gain, Measure, Picture
from include.lifecycle.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec

FEWEST_ROWS = 50
RESAMPLES = 2000
SHORTEST_BLOCK = 5
BOOTSTRAP_SEED = 0


class Regression:
    """A number, and how much better it is than the baseline's."""

    measures: Mapping[str, Measure] = {
        "skill": Measure(
            "skill over the baseline", "share of the baseline's squared error that is saved; 0 is no better"
        ),
        "skill_low": Measure("lower end of the skill", "of the 95 % interval; above 0 the skill is not chance"),
        "skill_high": Measure("upper end of the skill", "of the 95 % interval"),
        "rmse": Measure("root mean squared error", "lower is better"),
        "mae": Measure("mean absolute error", "lower is better"),
        "r2": Measure("R²", "higher is better; always saying these rows' mean gives 0"),
    }
    pictures: Mapping[str, Picture] = {
        "over_time": Picture(
            "Predicted and observed over time",
            "Means over the rows of a day: the closer the lines to the observed one, the better.",
        ),
        "calibration": Picture(
            "Predicted against observed",
            "Tenths of the rows by score; points on the dotted line mean that scores can be taken at their word.",
        ),
    }
    valid_scores = "finite numbers"

    def tuning_metric(self, model: ModelSpec) -> str:
        """The skill over the baseline, of which the gate judges the lower end."""
        return "skill"

    def tuning_score(self, rows: pl.DataFrame, score: str, model: ModelSpec) -> float:
        """The skill alone: its interval takes thousands of samples, too long for each trial."""
        return skill(rows, score)

    def fit(self, estimator: Any, matrix: pd.DataFrame, labels: NDArray[Any], folds: NDArray[Any]) -> Any:
        """One fit on all rows."""
        return tuning.fit(estimator, matrix, labels)

    def predict(self, estimator: Any, matrix: pd.DataFrame) -> NDArray[np.float64]:
        """The predicted number."""
        with one_blas_thread():
            return np.asarray(estimator.predict(matrix), dtype=np.float64)

    def measure(self, rows: pl.DataFrame, score: str) -> dict[str, float]:
        """`rmse`, `mae` and `r2`; with a baseline to compare with, `skill` and the ends of its 95 % interval."""
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        label, scores = rows["label"].to_numpy(), rows[score].to_numpy()
        measured = {
            "rmse": float(root_mean_squared_error(label, scores)),
            "mae": float(mean_absolute_error(label, scores)),
            # One row has no spread that could be explained.
            "r2": float(r2_score(label, scores)) if rows.height > 1 else 0.0,
        }
        if "baseline_score" not in rows.columns:
            return measured
        low, high = skill_interval(rows, score)
        return {"skill": skill(rows, score), "skill_low": low, "skill_high": high, **measured}

    def gain(self, rows: pl.DataFrame, score: str, rival: str, model: ModelSpec) -> Gain:
        """The skill over the rival: the share of its squared error that is saved."""
        compared = rows.with_columns(baseline_score=pl.col(rival))
        low, _ = skill_interval(compared, score)
        return Gain(skill(compared, score), low)

    def shortage(self, labels: pl.Series) -> str | None:
        """Too few rows."""
        if len(labels) >= FEWEST_ROWS:
            return None
        return f"{len(labels)} rows, but at least {FEWEST_ROWS} are needed"

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """The scores and the baseline's beside what happened."""
        from include.lifecycle.modelling import plots

        return plots.draw_regression(rows, who, where)

    def valid(self, score: pl.Expr) -> pl.Expr:
        """A finite number."""
        return score.is_finite().fill_null(False)


KIND = Regression()


def skill(rows: pl.DataFrame, score: str) -> float:
    """1 - MSE / MSE of `baseline_score` (Murphy 1988, "Skill scores based on the mean square error").

    0 where neither errs.
    """
    losses = _daily_losses(rows, score)
    return float(_skill(losses[0].sum(), losses[1].sum()))


def skill_interval(rows: pl.DataFrame, score: str) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of the skill under `resampled_days`."""
    own, baseline = _daily_losses(rows, score)
    drawn = resampled_days(len(own))
    low, high = np.quantile(_skill(own[drawn].sum(axis=1), baseline[drawn].sum(axis=1)), [0.025, 0.975])
    return float(low), float(high)


def resampled_days(days: int) -> NDArray[np.int64]:
    """Positions of days in each of RESAMPLES samples of a circular block bootstrap, of shape (RESAMPLES, days).

    Labels of neighbouring days overlap and rows of a day move together, so whole blocks of days are drawn: n^(1/3)
    of n days long, at least 5 (Politis and Romano 1992, "A circular block-resampling procedure for stationary
    data").
    """
    length = min(days, max(SHORTEST_BLOCK, round(days ** (1 / 3))))
    random = np.random.default_rng(BOOTSTRAP_SEED)
    starts = random.integers(0, days, (RESAMPLES, -(-days // length)))
    blocks: NDArray[np.int64] = (starts[:, :, None] + np.arange(length)) % days
    return blocks.reshape(RESAMPLES, -1)[:, :days]


def _daily_losses(rows: pl.DataFrame, score: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By day, the squared errors of the scores and of the baseline."""
    squared = rows.select(
        "dt", own=(pl.col("label") - pl.col(score)) ** 2, base=(pl.col("label") - pl.col("baseline_score")) ** 2
    )
    daily = squared.group_by("dt", maintain_order=True).agg(pl.col("own", "base").sum()).sort("dt")
    return daily["own"].to_numpy(), daily["base"].to_numpy()


def _skill(own: Any, baseline: Any) -> Any:
    return np.where(baseline > 0, 1 - own / np.where(baseline > 0, baseline, 1), np.where(own > 0, -np.inf, 0.0))
