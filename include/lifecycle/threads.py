"""How many threads numerical libraries may use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[Any]:
    """Matrix products on one thread: how a sum is shared out among threads changes its last bits."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    # Looking for the libraries that are loaded takes as long as a small fit. The first to ask has loaded them.
    return ThreadpoolController()
