"""Which days and which rows a model learns from, and on which it is judged.

A snapshot is the features of one day with the labels of what followed. Snapshots lie a fixed number of days
apart, counted back from the newest one whose outcomes are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

HOLDOUT_SHARE = 0.25
VALIDATION_SHARE = 0.2


class NothingToLearnError(ValueError):
    """The data that exist do not make a training set."""


@dataclass(frozen=True)
class Part:
    """Rows of a split: those of `days` whose key's place in 0..1 is from `first` to below `last`."""

    days: tuple[date, ...]
    first: float = 0.0
    last: float = 1.0


@dataclass(frozen=True)
class Split:
    """The parts of a training.

    Hyperparameters are searched by fitting on `search` and measuring on `validation`. The best are fitted once
    more on `fit`, which contains both, and judged on `holdout`, which nothing has seen. `by` says what
    separates the holdout from the rest, `validation_by` what separates validation from search.
    """

    search: Part
    validation: Part
    fit: Part
    holdout: Part
    by: Literal["time", "key"]
    validation_by: Literal["time", "key"]


def matured_days(
    feature_days: Sequence[date], outcome_days: Sequence[date], as_of: date, maturity: timedelta
) -> list[date]:
    """The days with features whose outcomes are known at the end of `as_of`, oldest first.

    Outcomes are known as far as the outcome table has arrived. A source with one single day, a file, has said
    all that it will, so for it `as_of` alone counts.

    Parameters
    ----------
    maturity : time from a day until all that its label depends on is known.
    """
    arrived = [day for day in outcome_days if day <= as_of]
    if not arrived:
        return []
    known_until = as_of if len(arrived) == 1 else max(arrived)
    return sorted(day for day in feature_days if day + maturity <= known_until)


def missing_outcomes(
    days: Sequence[date], outcome_days: Sequence[date], maturity: timedelta
) -> dict[date, list[date]]:
    """By day, the days of its label's window whose outcomes never arrived; days that lack none are absent.

    A source with one single day, a file, lacks nothing.
    """
    known = set(outcome_days)
    if len(known) == 1:
        return {}
    windows = {day: [day + timedelta(ahead) for ahead in range(1, maturity.days + 1)] for day in days}
    missing = {day: [other for other in window if other not in known] for day, window in windows.items()}
    return {day: gaps for day, gaps in missing.items() if gaps}


def spaced_days(days: Sequence[date], every: int) -> list[date]:
    """The newest day and, back from it, each next one at least `every` days earlier; oldest first."""
    chosen: list[date] = []
    for day in sorted(days, reverse=True):
        if not chosen or day <= chosen[-1] - timedelta(every):
            chosen.append(day)
    return chosen[::-1]


def split(days: Sequence[date], horizon: timedelta) -> Split:
    """Share out snapshot days so that no label window of one part reaches into the next part.

    The newest day is the holdout, and what is learnt from lies at least `horizon` before it; so do the search
    days before the validation day. Where the history is too short for that, customers are separated instead,
    by the hash of their key: for the choice of hyperparameters alone if possible, else for the holdout too.

    Raises
    ------
    NothingToLearnError
        If there are no days.
    """
    if not days:
        raise NothingToLearnError("No snapshot has matured, so there is nothing to learn from.")
    holdout = max(days)
    fit = tuple(sorted(day for day in days if day + horizon <= holdout))
    if not fit:
        return _split_keys((holdout,))
    search = tuple(day for day in fit if day + horizon <= fit[-1])
    if search:
        parts = Part(search), Part(fit[-1:])
    else:
        parts = Part(fit, VALIDATION_SHARE), Part(fit, 0, VALIDATION_SHARE)
    return Split(*parts, Part(fit), Part((holdout,)), by="time", validation_by="time" if search else "key")


def _split_keys(days: tuple[date, ...]) -> Split:
    return Split(
        search=Part(days, HOLDOUT_SHARE + VALIDATION_SHARE),
        validation=Part(days, HOLDOUT_SHARE, HOLDOUT_SHARE + VALIDATION_SHARE),
        fit=Part(days, HOLDOUT_SHARE),
        holdout=Part(days, 0, HOLDOUT_SHARE),
        by="key",
        validation_by="key",
    )


def select(frame: pl.DataFrame, key: Sequence[str], part: Part, max_rows: int, seed: int) -> pl.DataFrame:
    """The rows of one day that belong to a part, at most `max_rows` of them, sorted by key.

    Who belongs to a part depends on the key alone: were it to depend on a seed, a model could be judged on rows
    that its predecessor has learnt from. Which of too many rows are taken depends on key, `dt` and seed.
    """
    if (part.first, part.last) != (0.0, 1.0):
        place = places(frame, key)
        frame = frame.filter(pl.Series((place >= part.first) & (place < part.last)))
    if frame.height > max_rows:
        lottery = pl.Series("lottery", places(frame, [*key, "dt"], seed))
        frame = frame.with_columns(lottery).bottom_k(max_rows, by=["lottery", *key]).drop("lottery")
    return frame.sort(key)


def places(frame: pl.DataFrame, columns: Sequence[str], seed: int = 0) -> NDArray[np.float64]:
    """A number from 0 to below 1 for each row, from the SipHash of `columns` with the seed as its key."""
    from pandas.util import hash_array

    text = frame.select(pl.concat_str(pl.col(columns).cast(pl.String), separator="\x1f")).to_series()
    hashes = hash_array(text.to_numpy(), hash_key=f"{seed % 10**16:016d}", categorize=False)
    return (hashes >> 11) / 2.0**53
