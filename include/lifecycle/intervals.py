"""The range around a predicted number, and how often it holds the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from include.lifecycle.specs import IntervalPolicy

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
    a scale, such as a price that never moved, say nothing of the multiple.

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
    """The interval that a registered version's tags tell of, or None."""
    if "interval_scale" not in tags:
        return None
    numbers = {name: float(tags[f"interval_{name}"]) for name in ("multiple", "nominal", "measured")}
    return Interval(tags["interval_scale"], **numbers)


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
