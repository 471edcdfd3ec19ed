"""Rows in equally full bins by their scores, as calibration is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10


def score_bins(scores: NDArray[np.float64], bins: int = BINS) -> NDArray[np.integer]:
    """Number of the equally full bin of each score, counted from 0; equal scores share a bin."""
    edges = np.quantile(scores, np.arange(1, bins) / bins)
    return np.searchsorted(edges, scores, side="left")
