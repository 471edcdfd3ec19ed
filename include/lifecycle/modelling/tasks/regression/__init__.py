"""Models that predict a number, judged by their skill over a naive baseline on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.lifecycle.modelling import tuning
from include.lifecycle.modelling.bootstrap import LEVEL, interval_ends, resampled_days
from include.lifecycle.modelling.tasks import Calibration, Estimate, Gain, Metric, Plot, Standing
from include.lifecycle.modelling.tasks.regression.estimate import FEWEST_DAYS, expected_errors, scaled_errors
from include.lifecycle.threads import one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from include.lifecycle.specs import ModelSpec

FEWEST_ROWS = 50


class Regression:
    """A number, and how much better it is than the baseline's."""

    metrics: Mapping[str, Metric] = {
        "skill": Metric(
            "skill over the baseline", "share of the baseline's squared error that is saved; 0 is no better"
        ),
        "skill_lower_bound": Metric(
            "lower end of the skill", "of the 95 % interval; above 0 the skill is not chance", "skill_low"
        ),
        "skill_upper_bound": Metric("upper end of the skill", "of the 95 % interval", "skill_high"),
        "rmse": Metric("root mean squared error", "lower is better"),
        "mae": Metric("mean absolute error", "lower is better"),
        "r2": Metric("R²", "higher is better; always saying these rows' mean gives 0"),
    }
    plots: Mapping[str, Plot] = {
        "over_time": Plot(
            "Predicted and observed over time",
            "Means over the rows of a day: the closer the lines to the observed one, the better.",
        ),
        "calibration": Plot(
            "Predicted against observed",
            "Tenths of the rows by score; points on the dotted line mean that scores can be taken at their word.",
        ),
    }
    gate_metrics = ("skill_lower_bound",)
    segment_metrics = ("skill", "skill_lower_bound", "skill_upper_bound", "rmse")
    calibration_title = "Bias in standard deviations of the outcomes"
    estimator_method = "predict"
    output_shape = (-1,)
    scores_every_row = True
    valid_scores = "finite numbers"
    estimate_metric = None
    estimate_meaning = (
        "It takes errors to be as large as on the holdout, in units of the scale of the published interval. As "
        "long as that holds, the measured figure lies within the interval in 95 of 100 weeks, as the days of the "
        "holdout do. Whether the scores have become worse it does not show, so neither skill nor verdict follows."
    )

    def __init__(self, model: ModelSpec) -> None:
        self._model = model

    @property
    def tuning_metric(self) -> str:
        """The skill over the baseline, of which the gate judges the lower end."""
        return "skill"

    def tuning_score(self, rows: pl.DataFrame, score: str) -> float:
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
        return {"skill": skill(rows, score), "skill_lower_bound": low, "skill_upper_bound": high, **measured}

    def gain(self, rows: pl.DataFrame, score: str, other: str, level: float = LEVEL) -> Gain:
        """The skill over the other: the share of its squared error that is saved."""
        compared = rows.with_columns(baseline_score=pl.col(other))
        return Gain(skill(compared, score), *skill_interval(compared, score, level))

    def calibration(self, rows: pl.DataFrame, score: str) -> Calibration:
        """The distance of the mean score from the mean outcome, and the end of its interval that is closer to 0.

        In standard deviations of the outcomes; not a number where these are all the same.
        """
        daily = (
            rows.group_by("dt")
            .agg(missed=(pl.col(score) - pl.col("label")).sum(), rows=pl.len())
            .sort("dt")
            .select("missed", "rows")
            .to_numpy()
        )
        drawn = daily[resampled_days(len(daily))].sum(axis=1)
        low, high = interval_ends(drawn[:, 0] / drawn[:, 1])
        spread = float(np.std(rows["label"].to_numpy())) or np.nan
        bias = abs(float(daily[:, 0].sum() / daily[:, 1].sum()))
        return Calibration(bias / spread, max(0.0, low, -high) / spread)

    def standing(self, measured: Mapping[str, float], baseline: Mapping[str, float]) -> Standing:
        """The upper end of the skill, which is below 0 where the scores are worse beyond chance."""
        low, high = measured["skill_lower_bound"], measured["skill_upper_bound"]
        sentence = f"{self.metrics['skill'].title} {measured['skill']:.3f} ({low:.3f} to {high:.3f})"
        return Standing(high, 0.0, sentence)

    def label_shortfall(self, labels: pl.Series) -> str | None:
        """Too few rows."""
        if len(labels) >= FEWEST_ROWS:
            return None
        return f"{len(labels)} rows, but at least {FEWEST_ROWS} are needed"

    def estimate_shortfall(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> str | None:
        """No scale that errors are proportional to, or too few days to learn from."""
        policy = self._model.interval
        if policy is None:
            return "The model has no interval, whose scale would say how large errors will be."
        if not (rows[policy.scale] > 0).any():
            return (
                f"None of {rows.height} rows has a {policy.scale!r} above 0, so it says nothing of their errors."
            )
        days = scaled_errors(holdout, "score", policy.scale).height
        if days >= FEWEST_DAYS:
            return None
        return f"The holdout has errors of {days} days, but at least {FEWEST_DAYS} are needed."

    def estimate(self, rows: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
        """Errors in proportion to the interval's scale; see `estimate.expected_errors`."""
        scale = self._model.interval.scale  # type: ignore[union-attr]
        own, baseline = (
            expected_errors(rows[scale], scaled_errors(holdout, name, scale))
            for name in ("score", "baseline_score")
        )
        return Estimate(metrics=own, baseline_metrics={name: error.value for name, error in baseline.items()})

    def observed(self, rows: pl.DataFrame) -> dict[str, float]:
        """The errors, also of rows too few to say more."""
        from sklearn.metrics import mean_absolute_error, root_mean_squared_error

        label, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
        return {
            "rmse": float(root_mean_squared_error(label, scores)),
            "mae": float(mean_absolute_error(label, scores)),
        }

    def draw(self, rows: pl.DataFrame, who: str = "candidate", where: str = "on the holdout") -> dict[str, Figure]:
        """The scores and the baseline's beside what happened."""
        from include.lifecycle.modelling.tasks.regression import plots

        return plots.draw(rows, who, where)

    def is_valid_score(self, score: pl.Expr) -> pl.Expr:
        """A finite number."""
        return score.is_finite().fill_null(False)


TASK = Regression


def skill(rows: pl.DataFrame, score: str) -> float:
    """1 - MSE / MSE of `baseline_score` (Murphy 1988, "Skill scores based on the mean square error").

    0 where neither errs.
    """
    losses = _daily_losses(rows, score)
    return float(_skill(losses[0].sum(), losses[1].sum()))


def skill_interval(rows: pl.DataFrame, score: str, level: float = LEVEL) -> tuple[float, float]:
    """The ends of the skill's interval of a level under `resampled_days`."""
    own, baseline = _daily_losses(rows, score)
    drawn = resampled_days(len(own), level)
    return interval_ends(_skill(own[drawn].sum(axis=1), baseline[drawn].sum(axis=1)), level)


def _daily_losses(rows: pl.DataFrame, score: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By day, the squared errors of the scores and of the baseline."""
    squared = rows.select(
        "dt", own=(pl.col("label") - pl.col(score)) ** 2, base=(pl.col("label") - pl.col("baseline_score")) ** 2
    )
    daily = squared.group_by("dt", maintain_order=True).agg(pl.col("own", "base").sum()).sort("dt")
    return daily["own"].to_numpy(), daily["base"].to_numpy()


def _skill(own: Any, baseline: Any) -> Any:
    return np.where(baseline > 0, 1 - own / np.where(baseline > 0, baseline, 1), np.where(own > 0, -np.inf, 0.0))
