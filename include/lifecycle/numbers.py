"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

_FEWEST_DIGITS = 4
_MOST_DIGITS = 17


def distinct_texts(values: Sequence[float | None]) -> list[str | None]:
    """Numbers with as many digits as it takes for different ones to look different; None stays None."""
    numbers = {value + 0.0 for value in values if value is not None and math.isfinite(value)}
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        # Adding 0 makes 0 of -0.
        texts = [None if value is None else f"{value + 0.0:,.{digits}g}" for value in values]
        if len({f"{number:,.{digits}g}" for number in numbers}) == len(numbers):
            break
    return texts
