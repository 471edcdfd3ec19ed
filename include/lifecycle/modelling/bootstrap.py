"""Samples of days that depend on their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
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


def resampled_days(days: int) -> NDArray[np.int64]:
    """Positions of days in each of RESAMPLES samples, of shape (RESAMPLES, days); see `circular_blocks`.

    Labels of neighbouring days overlap and rows of a day move together, so blocks are n^(1/3) of n days long, at
    least 5.
    """
    length = min(days, max(SHORTEST_BLOCK, round(days ** (1 / 3))))
    return circular_blocks(days, length, RESAMPLES, SEED)
