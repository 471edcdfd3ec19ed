"""Statistics over the last rows of a flat array, for each of its rows.

A result depends on the values inside its window alone, and on the order in which they are added, which is the same
for every row. So it is the same to the last bit wherever the array begins, which running sums cannot promise. A
window's statistic is put together from those of its halves, quarters and so on: a window of 63 rows costs 11
additions of whole arrays. What stands in rows before the first full window means nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def shifted(values: Values, rows: int) -> Values:
    """The values of `rows` rows before; the first rows, which have none, get the first value."""
    moved = np.empty_like(values)
    moved[rows:] = values[: max(len(values) - rows, 0)]
    moved[:rows] = values[:1]
    return moved


def window_sum(values: Values, rows: int) -> Values:
    """Sum of the last `rows` values."""
    return _fold(values, rows, np.add)


def window_max(values: Values, rows: int) -> Values:
    """Largest of the last `rows` values."""
    return _fold(values, rows, np.maximum)


def window_mean(values: Values, rows: int) -> Values:
    """Mean of the last `rows` values."""
    return window_sum(values, rows) / rows


def window_mean_and_deviation(values: Values, rows: int) -> tuple[Values, Values]:
    """Mean and population standard deviation of the last `rows` values; equal values deviate by exactly 0.

    Parts are put together by Chan, Golub, LeVeque: Algorithms for Computing the Sample Variance (1983), eq. 2.1.
    """
    mean, squares, done = values, np.zeros_like(values), 0
    part_mean, part_squares, part = values, np.zeros_like(values), 1
    while True:
        if rows & part:
            if done:
                mean, squares = _joined(
                    (mean, squares, done), (shifted(part_mean, done), shifted(part_squares, done), part)
                )
            else:
                mean, squares = part_mean, part_squares
            done += part
        if done == rows:
            return mean, np.sqrt(squares / rows)
        part_mean, part_squares = _joined(
            (part_mean, part_squares, part), (shifted(part_mean, part), shifted(part_squares, part), part)
        )
        part *= 2


def _fold(values: Values, rows: int, combine: Callable[[Values, Values], Values]) -> Values:
    """The last `rows` values combined, by parts of 1, 2, 4, ... rows."""
    total, done, part = values, 0, 1
    parts = values
    while True:
        if rows & part:
            total = combine(total, shifted(parts, done)) if done else parts
            done += part
        if done == rows:
            return total
        parts = combine(parts, shifted(parts, part))
        part *= 2


def _joined(newer: tuple[Values, Values, int], older: tuple[Values, Values, int]) -> tuple[Values, Values]:
    """Mean, and sum of squared deviations from it, of two parts together; each is mean, squares and row count."""
    mean, squares, rows = newer
    other_mean, other_squares, other_rows = older
    both = rows + other_rows
    difference = other_mean - mean
    return (
        mean + difference * (other_rows / both),
        squares + other_squares + difference * difference * (rows * other_rows / both),
    )
