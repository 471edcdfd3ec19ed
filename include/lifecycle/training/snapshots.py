"""Which days and which rows a model learns from, and on which it is judged.

A snapshot is the features of one day with the labels of what followed. Snapshots lie a fixed number of days
apart, counted back from the newest one whose outcomes are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from include.lifecycle.specs import ModelSpec

HOLDOUT_SHARE = 0.25
VALIDATION_SHARE = 0.2

SplitBy = Literal["time", "key"]
"""What separates two parts of a split."""


class NothingToLearnError(ValueError):
    """The data that exist do not make a training set."""


@dataclass(frozen=True)
class Part:
    """Rows of a split: those of `days` whose key's place in 0..1 is from `first` to below `last`."""

    days: tuple[date, ...]
    first: float = 0.0
    last: float = 1.0


@dataclass(frozen=True)
class Fold:
    """Hyperparameters are tried by fitting on `train` and measuring on `validation`."""

    train: Part
    validation: Part


@dataclass(frozen=True)
class Split:
    """The parts of a training.

    Hyperparameters are chosen by the folds. The best are fitted once more on `refit`, which contains the folds,
    and judged on `holdout`, which nothing has seen. `by` says what separates the holdout from the rest,
    `validation_by` what separates validation from train.
    """

    folds: tuple[Fold, ...]
    refit: Part
    holdout: Part
    by: SplitBy
    validation_by: SplitBy


def matured_days(
    feature_days: Sequence[date], outcome_days: Sequence[date], as_of: date, matures_on: Callable[[date], date]
) -> list[date]:
    """The days with features whose outcomes are known at the end of `as_of`, oldest first.

    Outcomes are known as far as the outcome table has arrived. A source with one single day, a file, has said
    all that it will, so for it `as_of` alone counts.

    Parameters
    ----------
    matures_on : the day by whose end all that a day's label depends on is known.
    """
    arrived = [day for day in outcome_days if day <= as_of]
    if not arrived:
        return []
    known_until = as_of if len(arrived) == 1 else max(arrived)
    return sorted(day for day in feature_days if matures_on(day) <= known_until)


def missing_outcomes(
    days: Sequence[date], outcome_days: Sequence[date], model: ModelSpec
) -> dict[date, list[date]]:
    """By day, the days of its label's window whose outcomes never arrived; days that lack none are absent.

    A source with one single day, a file, lacks nothing.
    """
    known = set(outcome_days)
    if len(known) == 1 or not days:
        return {}
    calendar = model.dataset.calendar
    lost = [day for day in calendar.days(min(days), model.matures_on(max(days))) if day not in known]
    missing = {day: [other for other in lost if day < other <= model.matures_on(day)] for day in days}
    return {day: gaps for day, gaps in missing.items() if gaps}


def spaced_days(days: Sequence[date], every: int) -> list[date]:
    """The newest day and, back from it, each next one at least `every` days earlier; oldest first."""
    chosen: list[date] = []
    for day in sorted(days, reverse=True):
        if not chosen or day <= chosen[-1] - timedelta(every):
            chosen.append(day)
    return chosen[::-1]


def split(days: Sequence[date], model: ModelSpec) -> Split:
    """Share out snapshot days so that no label window of one part reaches into the next part.

    The holdout is the newest `model.split.holdout_share` of the days, or the newest day. What is learnt from lies
    at least the horizon before it, and so do a fold's training days before its validation days (purging: Lopez de
    Prado 2018, "Advances in financial machine learning", ch. 7). The folds walk forward over the newer half of
    what is learnt from; a single one validates on its newest day. Where the history is too short for that, keys
    are separated instead, by their hash: for the choice of hyperparameters alone, else for the holdout too.

    Raises
    ------
    NothingToLearnError
        If there are no days, or too few for the folds.
    """
    if not days:
        raise NothingToLearnError("No snapshot has matured, so there is nothing to learn from.")
    days = sorted(days)
    count = 1 if model.split.holdout_share is None else math.ceil(model.split.holdout_share * len(days))
    holdout = tuple(days[-count:])
    refit = _before(days, holdout[0], model)
    if model.split.folds > 1:
        return Split(_walk_forward(refit, model), Part(refit), Part(holdout), by="time", validation_by="time")
    if not refit:
        return _split_keys(holdout)
    train = _before(refit, refit[-1], model)
    if train:
        fold = Fold(Part(train), Part(refit[-1:]))
    else:
        fold = Fold(Part(refit, VALIDATION_SHARE), Part(refit, 0, VALIDATION_SHARE))
    return Split((fold,), Part(refit), Part(holdout), by="time", validation_by="time" if train else "key")


def _before(days: Sequence[date], first: date, model: ModelSpec) -> tuple[date, ...]:
    """The days whose label windows end by `first`."""
    return tuple(day for day in days if model.horizon_ends_on(day) <= first)


def _walk_forward(refit: Sequence[date], model: ModelSpec) -> tuple[Fold, ...]:
    """Folds that validate on consecutive stretches of the newer half, each after what is fitted on."""
    length = len(refit) // 2 // model.split.folds
    starts = [len(refit) - length * (model.split.folds - number) for number in range(model.split.folds)]
    folds = tuple(
        Fold(Part(_before(refit, refit[start], model)), Part(tuple(refit[start : start + length])))
        for start in starts
        if length
    )
    if not all(fold.train.days for fold in folds) or not folds:
        raise NothingToLearnError(
            f"{len(refit)} snapshots to learn from are too few for the {model.split.folds} walk-forward folds of "
            f"model {model.name!r}; give it a longer history."
        )
    return folds


def _split_keys(days: tuple[date, ...]) -> Split:
    train = Part(days, HOLDOUT_SHARE + VALIDATION_SHARE)
    validation = Part(days, HOLDOUT_SHARE, HOLDOUT_SHARE + VALIDATION_SHARE)
    return Split(
        folds=(Fold(train, validation),),
        refit=Part(days, HOLDOUT_SHARE),
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
