"""The range around a predicted number, and how often it holds the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from include.lifecycle.modelling.bootstrap import resampled_days
from include.lifecycle.specs import IntervalPolicy

TOLERANCE = 0.02

LOW, HIGH, COVERAGE = "score_low", "score_high", "coverage"


@dataclass(frozen=True)
class Interval:
    """Prediction plus and minus `multiple` times the column `scale`, meant to hold `nominal` of the outcomes."""

    scale: str
    multiple: float
    nominal: float
    measured: float | None = None
    """Share of the holdout's outcomes that it held."""


def fit_interval(policy: IntervalPolicy, rows: pl.DataFrame, score: str) -> Interval:
    """The interval that would have held the share `policy.coverage` of `label` in rows scored out of sample.

    Of n scaled errors the multiple is the k-th smallest, k = coverage times (n + 1) rounded up, at most n: split
    conformal prediction, Lei et al. (2018), "Distribution-free predictive inference for regression". Rows without
    a scale, such as what never moved, say nothing of the multiple.

    Raises
    ------
    ValueError
        If no row has a positive scale.
    """
    scaled = rows.filter(pl.col(policy.scale) > 0)
    if scaled.is_empty():
        raise ValueError(
            f"None of {rows.height} rows has a {policy.scale!r} above 0, so no interval can be learnt; choose "
            "another `scale`."
        )
    missed = ((scaled["label"] - scaled[score]).abs() / scaled[policy.scale]).to_numpy()
    rank = min(len(missed), math.ceil(policy.coverage * (len(missed) + 1)))
    return Interval(policy.scale, float(np.sort(missed)[rank - 1]), policy.coverage)


def from_tags(tags: Mapping[str, str]) -> Interval | None:
    """The interval that a registered version's tags give, or None where one of them is missing or no number."""
    names = ("multiple", "nominal", "measured")
    try:
        return Interval(tags["interval_scale"], **{name: float(tags[f"interval_{name}"]) for name in names})
    except (KeyError, ValueError):
        return None


def add(interval: Interval, frame: pl.DataFrame, score: str = "score") -> pl.DataFrame:
    """The frame with `score_low`, `score_high` and `coverage`, the share of outcomes held on the holdout."""
    margin = pl.col(interval.scale) * interval.multiple
    return frame.with_columns(
        (pl.col(score) - margin).alias(LOW),
        (pl.col(score) + margin).alias(HIGH),
        pl.lit(interval.measured, pl.Float64).alias(COVERAGE),
    )


def coverage(interval: Interval, rows: pl.DataFrame, score: str) -> float:
    """The share of rows whose `label` the interval holds."""
    ends = add(interval, rows, score)
    return float(ends["label"].is_between(ends[LOW], ends[HIGH]).mean())  # type: ignore[arg-type]


def coverage_range(interval: Interval, rows: pl.DataFrame, score: str) -> tuple[float, float]:
    """The ends of the 95 % interval of `coverage`: the wider of Wilson's and that of a block bootstrap of days.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", takes rows for
    independent; the bootstrap of `resampled_days` does not, but says nothing where there are hardly any days.
    """
    from scipy.stats import binomtest

    ends = add(interval, rows, score)
    held = ends.select("dt", held=pl.col("label").is_between(LOW, HIGH))
    daily = held.group_by("dt").agg(rows=pl.len(), held=pl.col("held").sum()).sort("dt")
    drawn = resampled_days(daily.height)
    shares = daily["held"].to_numpy()[drawn].sum(axis=1) / daily["rows"].to_numpy()[drawn].sum(axis=1)
    wilson = binomtest(int(held["held"].sum()), held.height).proportion_ci(0.95, "wilson")
    low, high = np.quantile(shares, [0.025, 0.975])
    return min(float(low), float(wilson.low)), max(float(high), float(wilson.high))


def width_fault(nominal: float, measured: float, ends: tuple[float, float]) -> str | None:
    """Whether an interval is `too narrow` or `too wide` for its nominal coverage; None where it is neither.

    That takes a nominal coverage outside the ends of `coverage_range`, so that it is no chance, and more than
    `TOLERANCE` from the measured one, so that it matters: many rows make any difference certain.
    """
    low, high = ends
    if low <= nominal <= high or round(abs(measured - nominal), 9) <= TOLERANCE:
        return None
    return "too narrow" if measured < nominal else "too wide"
