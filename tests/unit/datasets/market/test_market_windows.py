"""Windows beside numpy's own, for every length and wherever the array ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from include.datasets.market.windows import (
    shifted,
    window_max,
    window_mean,
    window_mean_and_deviation,
    window_sum,
)

VALUES = np.random.default_rng(6).normal(10, 3, 80)


@pytest.mark.parametrize("ours", [window_sum, window_max, window_mean])
def test_an_array_shorter_than_the_window_keeps_its_length(ours: Callable[..., np.ndarray]) -> None:
    assert len(ours(VALUES[:5], 6)) == 5


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 14, 20, 21, 63, 64, 80])
@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        (window_sum, np.sum),
        (window_max, np.max),
        (window_mean, np.mean),
        (lambda values, rows: window_mean_and_deviation(values, rows)[0], np.mean),
        (lambda values, rows: window_mean_and_deviation(values, rows)[1], np.std),
    ],
    ids=["sum", "max", "mean", "mean of two", "deviation"],
)
def test_a_window_holds_what_numpy_says_of_its_values(
    ours: Callable[..., np.ndarray], numpys: Callable[..., np.ndarray], rows: int
) -> None:
    expected = numpys(np.lib.stride_tricks.sliding_window_view(VALUES, rows), axis=1)

    made = ours(VALUES, rows)

    assert len(made) == len(VALUES)
    assert made[rows - 1 :] == pytest.approx(expected)


def test_the_first_rows_get_the_first_value_where_there_is_none_before() -> None:
    values = np.array([3.0, 1.0, 2.0])

    assert shifted(values, 1).tolist() == [3, 3, 1]
    assert shifted(values, 2).tolist() == [3, 3, 3]
    assert shifted(values, 5).tolist() == [3, 3, 3]
