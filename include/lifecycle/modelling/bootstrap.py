"""Samples of days that depend on their neighbours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
MOST_RESAMPLES = 20_000
_BEYOND = 5
LEVEL = 0.05
"""How often an interval misses what it is meant to hold: that of a 95 % interval."""
SHORTEST_BLOCK = 5
SEED = 0


def circular_blocks(rows: int, length: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Positions of rows in each sample of a circular block bootstrap, of shape (samples, rows).

    Whole blocks of `length` rows are drawn, the last row being followed by the first (Politis and Romano 1992, "A
    circular block-resampling procedure for stationary data").
    """
    random = np.random.default_rng(seed)
    starts = random.integers(0, rows, (samples, -(-rows // length), 1))
    blocks: NDArray[np.int64] = (starts + np.arange(length)) % rows
    return blocks.reshape(samples, -1)[:, :rows]


def resampled_days(days: int, level: float = LEVEL) -> NDArray[np.int64]:
    """Positions of days in each of at least RESAMPLES samples, of shape (samples, days); see `circular_blocks`.

    Labels of neighbouring days overlap and rows of a day move together, so blocks are n^(1/3) of n days long, at
    least 5.
    """
    length = min(days, max(SHORTEST_BLOCK, round(days ** (1 / 3))))
    return circular_blocks(days, length, max(RESAMPLES, samples_for(level)), SEED)


def samples_for(level: float) -> int:
    """So many samples that 5 of them lie beyond each end of an interval of a level; at most MOST_RESAMPLES."""
    return min(MOST_RESAMPLES, math.ceil(2 * _BEYOND / level))


def interval_ends(values: NDArray[np.float64] | list[float], level: float = LEVEL) -> tuple[float, float]:
    """The quantiles of resampled values between which all but a share `level` of them lies."""
    low, high = np.quantile(values, [level / 2, 1 - level / 2])
    return float(low), float(high)
