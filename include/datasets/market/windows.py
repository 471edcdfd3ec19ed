"""Statistics over the last rows of a flat array, for each of its rows.

A result depends on the values inside its window alone, and on the order in which they are added, which is the same
for every row. So it is the same to the last bit wherever the array begins, which running sums cannot promise. A
window's statistic is put together from those of its halves, quarters and so on: a window of 63 rows costs 10
additions of whole arrays. What stands in rows before the first full window means nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_Parts = tuple[Values, ...]
_Join = Callable[[_Parts, _Parts, int, int], _Parts]


def shifted(values: Values, rows: int) -> Values:
    """The values of `rows` rows before; the first rows, which have none, get the first value."""
    moved = np.empty_like(values)
    moved[rows:] = values[: max(len(values) - rows, 0)]
    moved[:rows] = values[:1]
    return moved


def window_sum(values: Values, rows: int) -> Values:
    """Sum of the last `rows` values."""
    (sums,) = _joined((values,), rows, lambda newer, older, *_: (newer[0] + older[0],))
    return sums


def window_max(values: Values, rows: int) -> Values:
    """Largest of the last `rows` values."""
    (largest,) = _joined((values,), rows, lambda newer, older, *_: (np.maximum(newer[0], older[0]),))
    return largest


def window_mean(values: Values, rows: int) -> Values:
    """Mean of the last `rows` values."""
    return window_sum(values, rows) / rows


def window_mean_and_deviation(values: Values, rows: int) -> tuple[Values, Values]:
    """Mean and population standard deviation of the last `rows` values; equal values deviate by exactly 0."""
    mean, squares = _joined((values, np.zeros_like(values)), rows, _join_squares)
    return mean, np.sqrt(squares / rows)


def _joined(single: _Parts, rows: int, join: _Join) -> _Parts:
    """Statistics of the last `rows` rows, put together by `join` from parts of 1, 2, 4, ... rows.

    `join` gets the statistics of the newer rows, those of the older ones, and how many rows each has. An array of
    statistics over n rows begins at row n - 1, where the first window is full.
    """
    if len(single[0]) < rows:
        return single
    part, size, done = single, 1, 0
    total = single
    while True:
        if rows & size:
            total = join(_from(total, size), _first_of(part, len(total[0]) - size), done, size) if done else part
            done += size
        if done == rows:
            return tuple(
                np.concatenate([all_[: rows - 1], full]) for all_, full in zip(single, total, strict=True)
            )
        part = join(_from(part, size), _first_of(part, len(part[0]) - size), size, size)
        size *= 2


def _from(parts: _Parts, first: int) -> _Parts:
    return tuple(values[first:] for values in parts)


def _first_of(parts: _Parts, count: int) -> _Parts:
    return tuple(values[:count] for values in parts)


def _join_squares(newer: _Parts, older: _Parts, rows: int, older_rows: int) -> _Parts:
    """Mean, and sum of squared deviations from it, of two parts together.

    Chan, Golub, LeVeque (1983), Algorithms for Computing the Sample Variance, eq. 2.1.
    """
    (mean, squares), (older_mean, older_squares) = newer, older
    difference, both = older_mean - mean, rows + older_rows
    return (
        mean + difference * (older_rows / both),
        squares + older_squares + difference * difference * (rows * older_rows / both),
    )
