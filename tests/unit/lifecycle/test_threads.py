"""Matrix products on one thread."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_info

from include.lifecycle.threads import one_blas_thread


def test_every_blas_that_the_estimators_bring_is_limited_and_let_go_again() -> None:
    LinearRegression().fit(np.eye(3), np.ones(3))
    before = threadpool_info()

    with one_blas_thread():
        limited = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    assert limited
    assert set(limited) == {1}
    assert threadpool_info() == before
