"""Tables larger than memory, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

BATCH_ROWS = 25_000


def batches(rows: pl.LazyFrame, size: int = BATCH_ROWS) -> Iterator[pl.LazyFrame]:
    """The rows in slices of `size`, in order, each read when it is collected.

    Slices of a scan of files keep memory the same for any number of rows; polars' own streaming to a file and
    pyarrow's batches were seen to take more the more rows there are.
    """
    count = rows.select(pl.len()).collect().item()
    return (rows.slice(start, size) for start in range(0, count, size))
